// Tables: sort by a column, hide columns, export, select methods, filter rows.
function compare(a, b, sign) {
  if (a === "" || b === "") return (a === "") - (b === ""); // without a value last either way
  const [x, y] = [Number(a), Number(b)];
  return sign * (Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y);
}

function sortKey(cell) {
  if (cell.dataset.sort !== undefined) return cell.dataset.sort;
  const text = cell.textContent.trim();
  if (text === "-") return "";
  return /^[+-]?\d/.test(text) ? `${parseFloat(text)}` : text;
}

function sortRows(table, original) {
  return (column, descending) => {
    const key = (row) => sortKey(row.cells[column]);
    const rows =
      column < 0
        ? original
        : [...original].sort((a, b) => compare(key(a), key(b), descending ? -1 : 1));
    table.tBodies[0].append(...rows);
  };
}

function numberLines(table) {
  const headers = [...table.tHead.rows[0].cells].filter((cell) => !cell.hidden);
  const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
  const columns = headers
    .map((header) => {
      const scale = Number(header.dataset.scale ?? 1);
      const cells = rows.map((row) => row.cells[header.cellIndex]);
      const number = (text) => (text ? Number((Number(text) * scale).toPrecision(6)) : "");
      const value = (cell) => {
        const text = cell.textContent.trim();
        return header.dataset.scale && cell.dataset.sort
          ? number(cell.dataset.sort)
          : text === "-"
            ? ""
            : text;
      };
      const name = header.dataset.axis ?? header.dataset.key;
      const lines = [[name, ...cells.map(value)]];
      if (cells.some((cell) => cell.dataset.low)) {
        for (const end of ["low", "high"])
          lines.push([`${name} ${end}`, ...cells.map((cell) => number(cell.dataset[end]))]);
      }
      return lines;
    })
    .flat();
  return columns[0].map((_, place) => columns.map((column) => column[place]));
}

function enhance(table, { sort, lines = () => numberLines(table) } = {}) {
  const id = table.dataset.table;
  const headers = [...table.tHead.rows[0].cells];
  const keys = headers.map((header) => (header.dataset.key ??= header.textContent.trim()));
  const sorted = sort ?? sortRows(table, [...table.tBodies[0].rows]);
  let hidden = new Set();

  function hideCells() {
    for (const row of [table.tHead.rows[0], ...table.tBodies[0].rows]) {
      keys.forEach((key, place) => {
        row.cells[place].hidden = hidden.has(key);
      });
    }
  }

  const boxes = keys.map((key, place) => {
    const box = make("input", { type: "checkbox", disabled: place === 0 });
    box.addEventListener("change", () =>
      choose(`hide-${id}`, ...keys.filter((_, i) => !boxes[i].checked)),
    );
    box.addEventListener("change", restoreColumns);
    return box;
  });
  const names = headers.map((header) => header.textContent.trim());
  const every = make("button", { type: "button" }, "Show all");
  every.addEventListener("click", () => {
    choose(`hide-${id}`);
    restoreColumns();
  });
  const summary = make("summary", {}, "Columns");
  const list = make(
    "fieldset",
    {},
    make("legend", {}, "Columns to show"),
    ...boxes.map((box, place) => make("label", {}, box, names[place])),
    every,
  );
  const exporting = make("button", { type: "button" }, "Export CSV");
  const title = table.closest("[aria-label]")?.getAttribute("aria-label") ?? id;
  exporting.setAttribute("aria-label", `Export CSV of ${title}`);
  exporting.addEventListener("click", () =>
    save(title.toLowerCase().replace(/[^a-z0-9]+/g, "-"), lines()),
  );
  const tools = make("div", { className: "tools" }, make("details", {}, summary, list), exporting);
  table.closest(".scroll").before(tools);

  function restoreColumns() {
    hidden = new Set(params.getAll(`hide-${id}`).filter((key) => keys.indexOf(key) > 0));
    boxes.forEach((box, place) => {
      box.checked = !hidden.has(keys[place]);
    });
    summary.textContent = hidden.size ? `Columns (${hidden.size} hidden)` : "Columns";
    summary.setAttribute("aria-label", `${summary.textContent} of ${title}`);
    hideCells();
  }

  function restoreSort() {
    const [, key, way] = /^(.*):(asc|desc)$/.exec(chosen(`sort-${id}`)) ?? [];
    const column = keys.indexOf(key);
    for (const header of headers) if (header.ariaSort) header.ariaSort = "none";
    if (column >= 0) headers[column].ariaSort = way === "desc" ? "descending" : "ascending";
    sorted(column, way === "desc");
  }

  for (const header of headers) {
    if (header.dataset.sort === "none") continue;
    if (!header.querySelector("button"))
      header.replaceChildren(make("button", { type: "button" }, ...header.childNodes));
    header.ariaSort ??= "none";
    header.querySelector("button").addEventListener("click", () => {
      const way = header.ariaSort === "descending" ? "asc" : "desc"; // the greatest first
      choose(`sort-${id}`, `${header.dataset.key}:${way}`);
      restoreSort();
    });
  }
  onRestore(restoreColumns);
  onRestore(restoreSort);
  return { hideCells };
}

function pickable(cell) {
  const label = cell.textContent;
  const button = make(
    "button",
    { type: "button", className: "pick", title: "Select this method everywhere" },
    ...cell.childNodes,
  );
  cell.append(button);
  button.addEventListener("click", () => toggle(label));
  onSelection(() => {
    button.setAttribute("aria-pressed", selection.has(label));
    cell.parentElement.classList.toggle("selected", selection.has(label));
  });
}

for (const table of document.querySelectorAll("table[data-table]:not(.facts)")) {
  enhance(table);
  for (const cell of table.querySelectorAll("tbody th"))
    if (labels.has(cell.textContent)) pickable(cell);
}

for (const input of document.querySelectorAll("input.filter")) {
  const rows = [...input.closest("section").querySelectorAll("table.board tbody tr")];
  const key = `filter-${input.dataset.section}`;
  const apply = () => {
    const wanted = input.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
  };
  input.addEventListener("input", () => {
    choose(key, input.value.trim());
    apply();
  });
  onRestore(() => {
    input.value = chosen(key);
    apply();
  });
}

const bar = document.getElementById("selected");
document.getElementById("selected-clear").addEventListener("click", () => {
  select([]);
  document.querySelector("main").focus();
});
onSelection(() => {
  bar.hidden = selection.size === 0;
  document.getElementById("selected-names").textContent = [...selection].join(", ");
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && selection.size) select([]);
});
