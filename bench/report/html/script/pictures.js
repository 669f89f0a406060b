// What the pictures of a section have in common: methods, choices, sizes, numbers.
const SYMBOLS = ["circle", "square", "triangle", "diamond", "star", "cross", "wye"];
const LOOKS = 11;
const FONT = { fontFamily: "inherit", fontSize: "12px", overflow: "visible" };

const color = (row) => `var(--look-${row.look % LOOKS})`;
const symbol = (row) => SYMBOLS[(row.look + Math.floor(row.look / LOOKS)) % SYMBOLS.length];
const faded = (label) => (selection.size && !selection.has(label) ? 0.18 : 1);
const front = (rows, label) =>
  [...rows].sort((a, b) => selection.has(label(a)) - selection.has(label(b)));

// The methods' marks, and what hovering over one of them tells.
const dots = (points, r) =>
  Plot.dot(points, {
    x: "x",
    y: "y",
    r,
    symbol: (p) => symbol(p.row),
    fill: (p) => color(p.row),
    fillOpacity: (p) => faded(p.row.label),
  });
const tips = (points, width) =>
  Plot.tip(
    points,
    Plot.pointer({ x: "x", y: "y", title: "title", maxRadius: 30, ...tipSize(width) }),
  );

function cellsOf(row) {
  const more = row.cells.length > 3 ? ` and ${row.cells.length - 3} more` : "";
  return `seeds ${row.seeds.join(", ")}; cells ${row.cells.slice(0, 3).join(", ")}${more}`;
}

function written([value, low, high]) {
  return low === null ? `${value}` : `${value} [${low}, ${high}]`;
}

// A choice among entries, kept in the address under its key; the first entry needs no place there.
function chooser(name, key, entries, first, redraw) {
  const list = make(
    "select",
    {},
    ...entries.map(([value, title]) => make("option", { value }, title)),
  );
  const restore = () => {
    const wanted = chosen(key);
    list.value = entries.some(([value]) => value === wanted) ? wanted : first;
  };
  list.addEventListener("input", () => {
    choose(key, list.value === first ? "" : list.value);
    redraw();
  });
  return {
    label: make("label", {}, `${name} `, list),
    restore,
    get value() {
      return list.value;
    },
  };
}

function legend(rows) {
  const buttons = rows.map((row) => {
    const shape = d3.symbol(
      d3[`symbol${symbol(row)[0].toUpperCase()}${symbol(row).slice(1)}`],
      60,
    )();
    const mark = d3.create("svg").attr("viewBox", "-8 -8 16 16").attr("aria-hidden", "true");
    mark.append("path").attr("d", shape).style("fill", color(row));
    const button = make("button", { type: "button", className: "method" }, mark.node(), row.label);
    button.addEventListener("click", () => toggle(row.label));
    onSelection(() => button.setAttribute("aria-pressed", selection.has(row.label)));
    return button;
  });
  return make(
    "div",
    { className: "legend", role: "group", "aria-label": "Methods: select some to bring them out" },
    ...buttons,
  );
}

// A picture: draws when it comes near the screen, when its width changes, and when a choice does.
function picture(section, { id, title, note, controls, draw, numbers }) {
  const heading = make("h4", { id: `${id}-${section.number}` }, title);
  const canvas = make("div", { className: "canvas" });
  const details = make(
    "details",
    { className: "numbers" },
    make("summary", { "aria-label": `The numbers of: ${title}, ${section.title}` }, "The numbers"),
  );
  const place = make(
    "div",
    { className: "picture" },
    heading,
    make("div", { className: "controls" }, ...controls),
    canvas,
    make("p", { className: "note" }, note),
    details,
  );
  let near = false;
  let width = 0;

  function redraw() {
    if (!near || !canvas.clientWidth) return;
    width = canvas.clientWidth;
    canvas.replaceChildren(...draw(width));
    if (details.open) listNumbers();
  }

  function listNumbers() {
    const [headers, ...lines] = numbers();
    const table = make(
      "table",
      {},
      make(
        "thead",
        {},
        make("tr", {}, ...headers.map((text) => make("th", { scope: "col" }, text))),
      ),
      make(
        "tbody",
        {},
        ...lines.map(([first, ...others]) =>
          make(
            "tr",
            {},
            make("th", { scope: "row" }, first),
            ...others.map((value) => make("td", { className: "number" }, `${value ?? "-"}`)),
          ),
        ),
      ),
    );
    const button = make("button", { type: "button" }, "Export CSV");
    button.addEventListener("click", () =>
      save(`${id}-${section.title}`.toLowerCase().replace(/[^a-z0-9]+/g, "-"), numbers()),
    );
    details.replaceChildren(
      details.firstElementChild,
      button,
      make(
        "div",
        {
          className: "scroll",
          tabIndex: 0,
          role: "region",
          "aria-label": `The numbers of: ${title}, ${section.title}`,
        },
        table,
      ),
    );
  }

  details.addEventListener("toggle", () => {
    if (details.open) listNumbers();
  });
  new IntersectionObserver(
    (seen, watcher) => {
      if (!seen.some((entry) => entry.isIntersecting)) return;
      near = true;
      watcher.disconnect();
      redraw();
    },
    { rootMargin: "600px" },
  ).observe(canvas);
  new ResizeObserver(() => {
    if (Math.abs(canvas.clientWidth - width) > 1) redraw();
  }).observe(canvas);
  onSelection(redraw);
  return { place, redraw };
}

// Draws a plot whose marks tell their method when clicked.
function clickable(options) {
  const figure = Plot.plot({ style: FONT, symbol: { type: "identity" }, ...options });
  const svg = figure.tagName === "svg" ? figure : figure.querySelector("svg");
  svg.setAttribute("role", "img");
  // Within an image, which has a name of its own, the groups of marks may have none.
  const unname = () => {
    for (const group of svg.querySelectorAll("g[aria-label]")) {
      group.dataset.mark = group.getAttribute("aria-label");
      group.removeAttribute("aria-label");
    }
  };
  unname();
  new MutationObserver(unname).observe(svg, { childList: true, subtree: true });
  svg.addEventListener("click", () => {
    if (figure.value) toggle(figure.value.row.label);
  });
  svg.addEventListener("input", () => {
    svg.style.cursor = figure.value ? "pointer" : "";
  });
  return figure;
}

// One method far beyond the others would flatten them: beyond the middle the scale is logarithmic.
function scaleOf(values) {
  const sizes = values
    .map(Math.abs)
    .filter(Boolean)
    .sort((a, b) => a - b);
  const middle = sizes[Math.floor(sizes.length / 2)];
  if (!(sizes.at(-1) > 12 * middle)) return { type: "linear" };
  return values.every((value) => value > 0)
    ? { type: "log" }
    : { type: "symlog", constant: middle };
}

const tipSize = (width) => ({ lineWidth: Math.min(36, width / 15), lineHeight: 1.35 });
const tick = (value) => `${Number(value.toPrecision(3))}`;

// Names beside points, towards the middle of the picture so that none is cut off.
function names(points, among) {
  const shown =
    points.length <= 8 ? points : points.filter((point) => selection.has(point.row.label));
  const places = among.map((point) => point.x);
  const middle = (Math.min(...places) + Math.max(...places)) / 2;
  return [true, false].map((left) =>
    Plot.text(
      shown.filter((point) => point.x <= middle === left),
      {
        x: "x",
        y: "y",
        text: (point) => point.row.label,
        dx: left ? 9 : -9,
        dy: -9,
        textAnchor: left ? "start" : "end",
        fill: "currentColor",
        stroke: "var(--page)",
        strokeWidth: 3,
        fillOpacity: (point) => faded(point.row.label),
      },
    ),
  );
}
