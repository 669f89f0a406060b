// Searches the facts; texts only ever become text nodes, whatever a model said.
const factsTable = document.querySelector("table.facts");
const facts = factsTable
  ? factsExplorer(JSON.parse(document.getElementById("facts-data").textContent))
  : null;

function factsExplorer(data) {
  const filters = document.getElementById("facts-filters");
  const fields = filters.elements;
  const found = document.getElementById("facts-found");
  const more = document.getElementById("facts-more");
  const step = 100;
  const several = data.sections.length > 1;
  const labels = [
    "question",
    "target",
    "before",
    "after",
    "other contexts",
    "epochs",
    "change",
    "distance",
    "method",
  ];
  const entries = data.cells.flatMap((cell) =>
    data.sections[cell.section].facts.map((fact, i) => ({
      fact,
      section: cell.section,
      method: cell.method,
      seed: cell.seed,
      change: cell.changes[i],
      before: cell.before[i],
      after: marked(cell.after[i], cell.confused[i] & 1),
      elsewhere: elsewhere(cell, i),
      epochs: cell.epochs[i],
      text: [
        fact.question,
        fact.target,
        fact.old,
        cell.before[i],
        cell.after[i],
        elsewhere(cell, i),
      ]
        .join("\n")
        .toLowerCase(),
    })),
  );
  let order = { column: -1, descending: false };
  let matching = [];
  let shown = 0;
  let ready = false; // restoring each choice would search once more

  function marked(answer, confused) {
    return (answer || "(empty)") + (confused ? ` [${data.confused}]` : "");
  }

  // An answer of another context that is null is the same as on the trained prompt.
  function elsewhere(cell, i) {
    const said = Object.entries(cell.elsewhere).flatMap(([name, answers], place) =>
      answers[i] === null
        ? []
        : [`${name}: ${marked(answers[i], cell.confused[i] & (2 << place))}`],
    );
    return said.join("; ") || data.same;
  }

  function texts(entry) {
    const section = data.sections[entry.section];
    const { target, old, distance, bucket } = entry.fact;
    const where = `${entry.method}, seed ${entry.seed}` + (several ? `, ${section.title}` : "");
    return [
      entry.fact.question,
      target + (old ? ` (was: ${old})` : ""),
      entry.before || "(empty)",
      entry.after,
      entry.elsewhere,
      entry.epochs ?? "-",
      data.changes[entry.change],
      distance === null ? "-" : `${distance.toFixed(2)} (${section.buckets[bucket]})`,
      where,
    ];
  }

  function matches(entry, wanted) {
    const { distance } = entry.fact;
    return (
      (wanted.section === "" || entry.section === Number(wanted.section)) &&
      (selection.size === 0 || selection.has(entry.method)) &&
      (wanted.bucket === "" || entry.fact.bucket === Number(wanted.bucket)) &&
      (wanted.fate === "" || entry.change === Number(wanted.fate)) &&
      (wanted.from === "" || (distance !== null && distance >= Number(wanted.from))) &&
      (wanted.to === "" || (distance !== null && distance <= Number(wanted.to))) &&
      entry.text.includes(wanted.text)
    );
  }

  function line(entry) {
    const row = document.createElement("tr");
    texts(entry).forEach((text, i) =>
      row.append(make("td", { dir: "auto", data: { label: labels[i] } }, `${text}`)),
    );
    return row;
  }

  function show() {
    found.append(...matching.slice(shown, shown + step).map(line));
    shown = Math.min(shown + step, matching.length);
    more.hidden = shown === matching.length;
    const count = document.getElementById("facts-count");
    count.textContent =
      `${matching.length} of ${entries.length} answers` +
      (more.hidden ? "" : `, the first ${shown} shown`);
    table?.hideCells();
  }

  function search() {
    if (!ready) return;
    const wanted = Object.fromEntries(new FormData(filters));
    wanted.text = wanted.text.trim().toLowerCase();
    matching = entries.filter((entry) => matches(entry, wanted));
    if (order.column >= 0) {
      const key = (entry) => {
        if (labels[order.column] === "distance") return `${entry.fact.distance ?? ""}`;
        const text = `${texts(entry)[order.column]}`;
        return text === "-" ? "" : text;
      };
      const keys = new Map(matching.map((entry) => [entry, key(entry)]));
      matching.sort((a, b) => compare(keys.get(a), keys.get(b), order.descending ? -1 : 1));
    }
    found.replaceChildren();
    shown = 0;
    show();
  }

  // A method that is chosen here is selected everywhere; several together are an entry of their own.
  const together = make("option", { value: "selected", hidden: true });
  fields.method.append(together);
  function showSelection() {
    together.hidden = selection.size < 2;
    together.textContent = `the ${selection.size} selected`;
    fields.method.value = selection.size > 1 ? "selected" : ([...selection][0] ?? "");
  }

  const kept = ["text", "section", "bucket", "fate", "from", "to"];
  function changed() {
    for (const name of kept) choose(name, fields[name].value.trim());
    search();
    for (const watch of rangeWatchers) watch();
  }

  const rangeWatchers = [];
  let table = null;
  table = enhance(factsTable, {
    sort: (column, descending) => {
      order = { column, descending };
      search();
    },
    lines: () => [labels, ...matching.map((entry) => texts(entry).map(String))],
  });
  filters.addEventListener("input", (event) => {
    if (event.target === fields.method) {
      if (fields.method.value !== "selected")
        select(fields.method.value ? [fields.method.value] : []);
    } else changed();
  });
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () =>
    setTimeout(() => {
      select([]);
      changed();
    }),
  );
  more.addEventListener("click", show);
  onRestore(() => {
    for (const name of kept) fields[name].value = chosen(name);
    for (const watch of rangeWatchers) watch();
    search();
  });
  onSelection(() => {
    showSelection();
    search();
  });
  ready = true;
  search();

  return {
    distances(title) {
      return (
        data.sections
          .find((section) => section.title === title)
          ?.facts.map((fact) => fact.distance) ?? []
      );
    },
    range: () => [fields.from.value, fields.to.value],
    limit(title, from, to) {
      fields.section.value =
        several && (from || to)
          ? data.sections.findIndex((section) => section.title === title)
          : "";
      fields.from.value = from;
      fields.to.value = to;
      fields.bucket.value = "";
      changed();
      return document.getElementById("facts-count").textContent;
    },
    onRange(watch) {
      rangeWatchers.push(watch);
    },
  };
}
