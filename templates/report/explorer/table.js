// The table of cases. Tabulator draws the rows that are in sight; filtering and sorting are arrays of
// numbers here, since its own sorting takes half a second at a hundred thousand rows.
let grid = null;
let order = null;
let sortedBy = "";
const ROW = 74;
const pill = (place) => {
  const [, glyph, word] = rows.verdicts[rows.verdict[place]];
  return element("span", { class: `pill ${TONES[rows.tone[place]]}` }, `${glyph} ${word}`, rows.unexpected[place] ? element("b", { title: "unexpected" }, " !", element("span", { class: "sr" }, " unexpected")) : null);
};
const verdictCell = (place) => element("span", {}, pill(place), rows.known[place] ? element("small", {}, "as expected") : rows.unexpected[place] ? element("small", {}, "unexpected") : null);
const caseCell = (place) => {
  const line = rows.lines[rows.line[place]];
  return element("span", { class: "what" }, element("a", { class: "id", href: caseHref(place), title: rows.id[place] }, rows.id[place]), line ? element("small", { title: line }, line) : null);
};
const columnsOf = () => [
  { key: "verdict", title: "verdict", width: innerWidth > 700 ? 130 : 112, show: verdictCell, value: (place) => badness(place), frozen: true },
  { key: "case", title: "case", width: 520, grow: 1, show: caseCell, value: (place) => rows.id[place] },
  ...rows.points.flatMap((point, at) => [
    { key: `${point}.max_abs`, title: `${point} max abs`, show: number, of: rows.max_abs[at] },
    { key: `${point}.steps`, title: `${point} steps`, show: number, of: rows.steps[at] },
  ]),
  ...rows.pipelines.map((name, at) => ({ key: `sqnr.${name}`, title: `SQNR ${name}, dB`, show: fixed(1), of: rows.sqnr[at] })),
  { key: "seconds", title: "seconds", show: fixed(2), of: rows.seconds },
];
let columns = null;

// Numbers begin with the greatest: the difference that someone looks for.
const ordered = (key) => {
  const count = rows.id.length;
  const places = Array.from({ length: count }, (_, place) => place);
  const column = columns.find((item) => item.key === key.replace(/^-/, ""));
  if (!column) return places;
  const sign = key.startsWith("-") ? -1 : 1;
  if (column.of) {
    const values = Float64Array.from(column.of, (given) => { const value = figure(given); return value === null || Number.isNaN(value) ? -sign * Infinity : value; });
    // What was not measured is last, whichever way.
    const absent = Uint8Array.from(column.of, (given) => given === null || given === "nan");
    return places.sort((a, b) => absent[a] - absent[b] || sign * (values[a] - values[b] || 0) || a - b);
  }
  const values = places.map(column.value);
  return places.sort((a, b) => sign * (values[a] < values[b] ? -1 : values[a] > values[b] ? 1 : 0) || a - b);
};
const headCell = (column) => () => {
  const button = element("button", { type: "button", "data-sort": column.key }, column.title);
  button.addEventListener("click", () => {
    const [first, second] = column.of ? [`-${column.key}`, column.key] : [column.key, `-${column.key}`];
    state.sort = state.sort === first ? second : state.sort === second ? "" : first;
    address(true);
    refresh();
  });
  return button;
};
const definition = (column) => ({
  title: column.title,
  field: column.key,
  headerSort: false,
  resizable: false,
  width: column.width ?? 96,
  widthGrow: column.grow,
  frozen: column.frozen && innerWidth > 700,
  cssClass: column.of ? "n" : "",
  titleFormatter: headCell(column),
  formatter: (cell) => { const { place } = cell.getData(); return column.of ? column.show(column.of[place]) : column.show(place); },
});
const buildTable = () => new Promise((resolve) => {
  columns = columnsOf();
  sortedBy = state.sort;
  order = ordered(sortedBy);
  const home = byId("grid");
  home.hidden = false;
  const room = home.clientWidth - 130 - 96 * (columns.length - 2);
  columns[1].width = Math.max(room - 20, innerWidth > 700 ? 380 : 260);
  grid = new Tabulator(home, {
    data: order.map((place) => ({ place })),
    columns: columns.map(definition),
    height: Math.min(Math.max(innerHeight * 0.8, 420), 62 + ROW * rows.id.length + 20),
    rowHeight: ROW,
    index: "place",
    placeholder: "No case fits these filters.",
    columnDefaults: { headerHozAlign: "left" },
    keybindings: false,
  });
  grid.on("tableBuilt", () => {
    // Its rows hold the links that keys go to; as a stop of its own it would be a child that no grid may have.
    home.querySelector(".tabulator-tableholder").removeAttribute("tabindex");
    home.setAttribute("aria-label", "Cases");
    home.setAttribute("aria-rowcount", rows.id.length);
    resolve();
  });
});
const showTable = async () => {
  if (sortedBy !== state.sort) {
    sortedBy = state.sort;
    order = ordered(sortedBy);
    await grid.replaceData(order.map((place) => ({ place })));
  }
  grid.setFilter((row) => shown[row.place] === 1);
  for (const button of byId("grid").querySelectorAll("[data-sort]")) {
    const way = state.sort === button.dataset.sort ? "ascending" : state.sort === `-${button.dataset.sort}` ? "descending" : "none";
    button.closest("[role=columnheader]").setAttribute("aria-sort", way);
  }
};
// Up and down go from case to case.
const onKeys = (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const row = event.target.closest?.(".tabulator-row");
  if (!step || !row || event.altKey || event.ctrlKey || event.metaKey) return;
  const next = step > 0 ? row.nextElementSibling : row.previousElementSibling;
  if (!next) return;
  event.preventDefault();
  next.querySelector("a")?.focus();
};
// The grid draws its rows anew while it is scrolled or resized, and a link that is replaced between
// press and release gets no click: then the release opens what was pressed.
let pressed = null;
const plain = (event) => event.button === 0 && !(event.altKey || event.ctrlKey || event.metaKey || event.shiftKey);
const onPress = (event) => {
  const link = event.target.closest?.("a");
  pressed = link && plain(event) ? { link, href: link.getAttribute("href"), x: event.clientX, y: event.clientY } : null;
};
const onRelease = (event) => {
  const press = pressed;
  pressed = null;
  if (!press || press.link.isConnected || Math.hypot(event.clientX - press.x, event.clientY - press.y) > 4) return;
  location.hash = press.href;
};
