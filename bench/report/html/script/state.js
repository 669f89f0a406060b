// What is chosen on the page, kept in its address: #section-1&m=lora&sort-1-1=drift:asc
let params = readAddress().params;
let writing = 0;
const restorers = [];

function readAddress() {
  const parts = location.hash.slice(1).split("&");
  const anchor = parts[0].includes("=") ? "" : parts.shift();
  return { anchor, params: new URLSearchParams(parts.join("&")) };
}

function chosen(key) {
  return params.get(key) ?? "";
}

function choose(key, ...values) {
  params.delete(key);
  for (const value of values) if (value !== "") params.append(key, value);
  clearTimeout(writing); // browsers allow a few hundred changes of an address per minute
  writing = setTimeout(writeAddress, 150);
}

function writeAddress() {
  const kept = [readAddress().anchor, params.toString()].filter(Boolean).join("&");
  if (location.hash.slice(1) !== kept) history.replaceState(null, "", `#${kept}`);
}

function onRestore(restore) {
  restorers.push(restore);
  restore();
}

function scrollToAnchor() {
  const { anchor, params: found } = readAddress();
  if (anchor && found.toString()) document.getElementById(anchor)?.scrollIntoView();
}

addEventListener("hashchange", () => {
  const found = readAddress();
  if (found.anchor && !found.params.toString()) {
    writeAddress(); // a link within the page keeps what is chosen
    return;
  }
  params = found.params;
  readSelection();
  for (const restore of restorers) restore();
  scrollToAnchor();
});

// The methods that are selected, the same in every table and picture. An address of another page
// may name methods that this one does not have: with these selected, all others would fade.
const labels = new Set(
  [...document.querySelectorAll("table.board tbody th")].map((cell) => cell.textContent),
);
const selected = () => new Set(params.getAll("m").filter((label) => labels.has(label)));
let selection = selected();
const selectionWatchers = [];

function readSelection() {
  selection = selected();
  for (const watch of selectionWatchers) watch();
}

function select(labels) {
  choose("m", ...labels);
  readSelection();
}

function toggle(label) {
  select(
    selection.has(label) ? [...selection].filter((one) => one !== label) : [...selection, label],
  );
}

function onSelection(watch) {
  selectionWatchers.push(watch);
  watch();
}

// Makes an element; strings among its children become text, whatever a model or a file said.
function make(tag, properties = {}, ...children) {
  const { data, ...rest } = properties;
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(rest)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  Object.assign(element.dataset, data);
  element.append(...children);
  return element;
}

function save(name, lines) {
  const cell = (value) => {
    // A spreadsheet would run a text that begins like a formula.
    const text =
      typeof value === "string" ? value.replace(/^(?=[=+@\t\r-])/, "'") : `${value ?? ""}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const text = lines.map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
  const link = make("a", {
    download: `${name}.csv`,
    href: URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" })),
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
