// The table of cases: only the rows in sight are there; filtering and sorting are arrays of numbers.
let order = null;
let sortedBy = null;
let listing = [];
let current = -1;
const drawn = new Map();
const OVERSCAN = 6;
// As high as the style makes a row: narrow windows have a line more.
const narrow = matchMedia("(max-width: 48rem)");
const rowHeight = () => (narrow.matches ? 52 : 40);
const pill = (place) => {
  const [, glyph, word] = rows.verdicts[rows.verdict[place]];
  return element("span", { class: `pill ${TONES[rows.tone[place]]}` }, `${glyph} ${word}`, rows.unexpected[place] ? element("b", { title: "unexpected" }, " !", element("span", { class: "sr" }, " unexpected")) : null);
};
const caseLink = (place) => {
  const name = rows.id[place];
  // The suite and the pattern, and below them the axes, which tell rows apart.
  const end = name.split("/", 2).join("/").length + 1;
  return element("a", { class: "id", href: caseHref(place), title: name, tabindex: "-1" }, element("b", {}, name.slice(0, end)), element("span", {}, name.slice(end)));
};
const whyOf = (place) => causeOf(place)?.[1] ?? (rows.tone[place] === "g" ? "" : rows.lines[rows.line[place]]);
const causeCell = (place) => {
  const told = whyOf(place);
  return element("span", { title: told }, rows.unexpected[place] ? element("b", { class: "badge bad" }, "unexpected") : null, rows.unexpected[place] ? ` ${told}` : told);
};
// The furthest apart of all points that were compared.
const greatest = (columns) => rows.id.map((_, place) => {
  let most = null;
  for (const column of columns) {
    const value = column[place];
    if (value !== null && (most === null || figure(most) < figure(value) || value === "nan")) most = value;
  }
  return most;
});
const measured = (column) => column.some((value) => value !== null);
const columnsOf = () => [
  { key: "verdict", title: "Verdict", show: pill, value: (place) => badness(place) },
  { key: "case", title: "Case", show: caseLink, value: (place) => rows.id[place] },
  { key: "cause", title: "Cause", show: causeCell, value: (place) => whyOf(place).toLowerCase() || "\uffff" },
  { key: "max_abs", title: "Max abs", about: "greatest absolute difference between the outputs", show: number, of: greatest(rows.max_abs) },
  { key: "steps", title: "Steps", about: "the same in quantization steps of the output", show: number, of: greatest(rows.steps) },
  ...rows.pipelines.map((name, at) => ({ key: `sqnr.${name}`, title: `SQNR ${name}`, about: "dB against the float model; higher is better", show: fixed(1), of: rows.sqnr[at] })).filter(({ of }) => measured(of)).slice(0, 4),
  { key: "seconds", title: "Seconds", show: fixed(2), of: rows.seconds },
];
let columns = null;
// Addresses may sort by a point of comparison, which has no column of its own.
const columnNamed = (key) => {
  columns ??= columnsOf();
  const [point, fact] = key.split(/\.(?=[^.]*$)/);
  const at = rows.points.indexOf(point);
  return columns.find((item) => item.key === key) ?? (at >= 0 && { max_abs: { of: rows.max_abs[at] }, steps: { of: rows.steps[at] } }[fact]) ?? null;
};

// Numbers begin with the greatest: the difference that someone looks for.
const ordered = (key) => {
  const all = Array.from({ length: rows.id.length }, (_, place) => place);
  const column = key && columnNamed(key.replace(/^-/, ""));
  if (!column) return all;
  const sign = key.startsWith("-") ? -1 : 1;
  if (column.of) {
    const values = Float64Array.from(column.of, (given) => { const value = figure(given); return value === null || Number.isNaN(value) ? -sign * Infinity : value; });
    // What was not measured is last, whichever way.
    const absent = Uint8Array.from(column.of, (given) => given === null || given === "nan");
    return all.sort((a, b) => absent[a] - absent[b] || sign * (values[a] - values[b] || 0) || a - b);
  }
  const values = all.map(column.value);
  return all.sort((a, b) => sign * (values[a] < values[b] ? -1 : values[a] > values[b] ? 1 : 0) || a - b);
};
const sortRows = () => {
  if (sortedBy === state.sort) return;
  sortedBy = state.sort;
  order = ordered(sortedBy);
};

const headOfTable = () => element("thead", {}, element("tr", { "aria-rowindex": 1 }, ...columns.map((column) => {
  const button = element("button", { type: "button", "data-sort": column.key, title: column.about ?? null }, column.title);
  button.addEventListener("click", () => {
    const [first, second] = column.of ? [`-${column.key}`, column.key] : [column.key, `-${column.key}`];
    state.sort = state.sort === first ? second : state.sort === second ? "" : first;
    address(true);
    refresh();
  });
  return element("th", { scope: "col", class: column.of ? "n" : `c-${column.key}` }, button);
})));
const made = (place) => element("tr", {}, ...columns.map((column) => {
  if (column.key === "case") return element("th", { scope: "row", class: "c-case" }, column.show(place), element("small", { class: "why" }, whyOf(place)));
  return element("td", { class: column.of ? "n" : `c-${column.key}` }, column.of ? column.show(column.of[place]) : column.show(place));
}));
const gap = () => element("tbody", { "aria-hidden": "true" }, element("tr", {}, element("td", { class: "gap" })));
const buildTable = () => {
  const home = byId("grid");
  home.hidden = false;
  columns ??= columnsOf();
  const table = element("table", { "aria-label": "Cases" }, element("colgroup", {}, ...columns.map((column) => element("col", { class: column.of ? "n" : `c-${column.key}` }))), headOfTable(), gap(), element("tbody", { id: "listed" }), gap());
  home.append(table, element("p", { class: "empty", id: "none-fit", hidden: true }, "No case fits this search."));
  home.addEventListener("scroll", () => requestAnimationFrame(drawRows), { passive: true });
  narrow.addEventListener("change", () => drawRows());
  addEventListener("resize", () => drawRows());
};
// Rows that stay in sight stay the same elements: a pressed link is not lost, nor the focus.
const drawRows = () => {
  const [home, body] = [byId("grid"), byId("listed")];
  if (!body) return;
  const height = rowHeight();
  const room = Math.ceil(home.clientHeight / height);
  const first = Math.max(0, Math.min(Math.floor(home.scrollTop / height) - OVERSCAN, listing.length - room - OVERSCAN));
  const wanted = listing.slice(first, first + room + 2 * OVERSCAN);
  const kept = new Set(wanted);
  for (const [place, row] of drawn) if (!kept.has(place)) { row.remove(); drawn.delete(place); }
  let next = body.firstElementChild;
  wanted.forEach((place, at) => {
    let row = drawn.get(place);
    if (!row) drawn.set(place, (row = made(place)));
    row.setAttribute("aria-rowindex", first + at + 2);
    if (row === next) next = next.nextElementSibling;
    else body.insertBefore(row, next);
  });
  const [above, below] = home.querySelectorAll(".gap");
  above.style.height = `${first * height}px`;
  below.style.height = `${(listing.length - first - wanted.length) * height}px`;
  // One stop for Tab: the row that the reader was at, else the first.
  const stop = drawn.has(current) ? current : wanted[0];
  for (const [place, row] of drawn) row.querySelector("a").tabIndex = place === stop ? 0 : -1;
};
const showTable = () => {
  listing = order.filter((place) => shown[place] === 1);
  const home = byId("grid");
  home.querySelector("table").setAttribute("aria-rowcount", listing.length + 1);
  byId("none-fit").hidden = listing.length > 0;
  if (home.scrollTop) home.scrollTop = 0;
  drawRows();
  for (const button of home.querySelectorAll("[data-sort]")) {
    const way = state.sort === button.dataset.sort ? "ascending" : state.sort === `-${button.dataset.sort}` ? "descending" : null;
    if (way) button.parentNode.setAttribute("aria-sort", way); else button.parentNode.removeAttribute("aria-sort");
  }
};
// To a row, and the keys with it.
const goToRow = (at) => {
  const place = listing[Math.max(0, Math.min(at, listing.length - 1))];
  if (place === undefined) return;
  const [home, height] = [byId("grid"), rowHeight()];
  const top = listing.indexOf(place) * height;
  const head = home.querySelector("thead").offsetHeight;
  if (top < home.scrollTop) home.scrollTop = top;
  else if (top + height + head > home.scrollTop + home.clientHeight) home.scrollTop = top + height + head - home.clientHeight;
  current = place;
  drawRows();
  const link = drawn.get(place).querySelector("a");
  link.focus({ preventScroll: true });
  link.scrollIntoView({ block: "nearest" });
};
const atRow = () => listing.indexOf(current);
const onRowKeys = (event) => {
  const page = Math.max(1, Math.floor(byId("grid").clientHeight / rowHeight()) - 2);
  const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -listing.length, End: listing.length }[event.key];
  if (!step || !event.target.closest?.("#listed") || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  goToRow(atRow() + step);
};
const onRowFocus = (event) => {
  const row = event.target.closest?.("#listed tr");
  if (!row) return;
  current = [...drawn].find(([, item]) => item === row)?.[0] ?? current;
  for (const [place, item] of drawn) item.querySelector("a").tabIndex = place === current ? 0 : -1;
};
