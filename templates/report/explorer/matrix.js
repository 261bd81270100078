// The matrix over whichever axes the reader chooses, of the cases that fit the filters.
const ROOM = { rows: 400, columns: 60 };
const chosen = (side) => {
  const given = side === "rows" ? state.rows ?? rows.rows : state.cols ?? rows.columns;
  return given.map(axisNamed).filter(Boolean);
};
// The distinct combinations of the axes' values that occur, in declared order.
const combinations = (axes) => {
  const keys = new Int32Array(rows.id.length).fill(-1);
  const index = new Map();
  for (let place = 0; place < keys.length; place++) {
    if (!shown[place]) continue;
    let key = 0;
    for (const axis of axes) key = key * (axis.values.length + 1) + (axis.codes[place] < 0 ? axis.values.length : axis.codes[place]);
    let entry = index.get(key);
    if (!entry) index.set(key, (entry = { key, number: 0, codes: axes.map((axis) => axis.codes[place]) }));
    keys[place] = key;
  }
  const ordered = [...index.values()].sort((a, b) => a.key - b.key);
  ordered.forEach((entry, number) => { entry.number = number; });
  return { keys, index, ordered };
};
const counts = (across, down) => {
  const cells = new Map();
  for (let place = 0; place < shown.length; place++) {
    if (!shown[place]) continue;
    const at = down.index.get(down.keys[place]).number * across.ordered.length + across.index.get(across.keys[place]).number;
    let cell = cells.get(at);
    if (!cell) cells.set(at, (cell = { total: 0, unexpected: 0, verdicts: new Map(), worst: place }));
    cell.total++;
    cell.unexpected += rows.unexpected[place];
    cell.verdicts.set(rows.verdict[place], (cell.verdicts.get(rows.verdict[place]) ?? 0) + 1);
    if (badness(place) < badness(cell.worst)) cell.worst = place;
  }
  return cells;
};
// Unexpected ones first, then in the order of the verdicts, the worst first.
const badness = (place) => (rows.unexpected[place] ? 0 : 100) + rows.verdict[place];
const conditions = (axes, entry) => Object.fromEntries(axes.map((axis, level) => [axis.name, valueOf(axis, entry.codes[level])]));

const cellOf = (cell, filter) => {
  if (!cell) return element("td");
  const [, glyph, word] = rows.verdicts[rows.verdict[cell.worst]];
  const told = [...cell.verdicts].sort(([a], [b]) => a - b).map(([code, count]) => `${count} ${rows.verdicts[code][2]}`).join(", ");
  const tone = TONES[rows.tone[cell.worst]];
  const link = element("a", { href: viewHref({}, filter), title: cell.unexpected ? `${told}; ${cell.unexpected} unexpected` : told },
    element("b", { "aria-hidden": "true" }, glyph), ` ${word}`,
    cell.unexpected ? element("b", {}, " !", element("span", { class: "sr" }, " unexpected")) : null,
    element("small", {}, cell.verdicts.size > 1 ? told : counted(cell.total, "case")),
    tone === "known" ? element("small", {}, "as expected") : null);
  return element("td", { class: tone }, link);
};
const spans = (entries, level) => {
  const found = [];
  let previous = null;
  for (const entry of entries) {
    const key = entry.codes.slice(0, level + 1).join();
    if (key === previous) found.at(-1).span++;
    else found.push({ code: entry.codes[level], span: 1 });
    previous = key;
  }
  return found;
};
const headOf = (axes, entries, before) => axes.map((axis, level) => element("tr", {},
  element("th", { scope: "row", class: "corner", colspan: before }, axis.name),
  ...spans(entries, level).map(({ code, span }) => element("th", { scope: span > 1 ? "colgroup" : "col", colspan: span, class: level ? "" : "q" }, element("span", {}, valueOf(axis, code))))));

const showMatrix = () => {
  const [downAxes, acrossAxes] = [chosen("rows"), chosen("cols")];
  const [down, across] = [combinations(downAxes), combinations(acrossAxes)];
  const cells = counts(across, down);
  const [tall, wide] = [down.ordered.slice(0, ROOM.rows), across.ordered.slice(0, ROOM.columns)];
  const grouped = downAxes[0]?.name === "suite" && downAxes.length > 1;
  const head = element("thead", {}, ...headOf(acrossAxes, wide, 1));
  if (!acrossAxes.length) head.append(element("tr", {}, element("th", { scope: "row", class: "corner" }, ""), element("th", { scope: "col" }, "all cases")));
  const bodies = [];
  let group = null;
  for (const entry of tall) {
    const name = grouped ? valueOf(downAxes[0], entry.codes[0]) : "";
    if (!bodies.length || name !== group) {
      bodies.push(element("tbody"));
      if (grouped) bodies.at(-1).append(element("tr", { class: "suite" }, element("th", { scope: "rowgroup", colspan: wide.length + 1 }, element("span", {}, name))));
      group = name;
    }
    const parts = downAxes.map((axis, level) => [axis, valueOf(axis, entry.codes[level])]).slice(grouped ? 1 : 0).filter(([, value], level) => level === 0 || value !== NONE);
    const label = parts.map(([axis, value], level) => element(level ? "small" : "span", {}, level ? `${axis.name} ${value}` : value));
    bodies.at(-1).append(element("tr", {}, element("th", { scope: "row" }, ...(label.length ? label : ["all cases"])),
      ...wide.map((column) => cellOf(cells.get(entry.number * across.ordered.length + column.number), { ...conditions(downAxes, entry), ...conditions(acrossAxes, column) }))));
  }
  const left = [[down.ordered.length - tall.length, "row"], [across.ordered.length - wide.length, "column"]].filter(([count]) => count > 0);
  const note = left.length ? ` ${left.map(([count, noun]) => counted(count, noun)).join(" and ")} left out: filter, or choose other axes.` : "";
  const caption = element("caption", {}, "A cell names the worst verdict of its cases, an unexpected one (", element("strong", {}, "!"), `) before any other, and filters the table below to them. An empty cell has no case.${note}`);
  byId("matrix-table").replaceChildren(caption, head, ...bodies);
  for (const select of byId("pivot").querySelectorAll("select")) {
    const axes = select.dataset.side === "rows" ? downAxes : acrossAxes;
    select.value = axes[select.dataset.level]?.name ?? "";
  }
};

const buildPivot = () => {
  const form = byId("pivot");
  const field = (side, level) => element("select", { "data-side": side, "data-level": level, "aria-label": `${side === "rows" ? "Rows" : "Columns"}, axis ${level + 1}` },
    element("option", { value: "" }, NONE), ...rows.axes.map((axis) => element("option", { value: axis.name }, axis.name)));
  const group = (side, title) => element("fieldset", {}, element("legend", {}, title), ...[0, 1, 2].map((level) => field(side, level)));
  const swap = element("button", { type: "button" }, "Swap");
  form.append(group("rows", "Rows"), group("cols", "Columns"), swap);
  const read = (side) => [...new Set([...form.querySelectorAll(`[data-side=${side}]`)].map((select) => select.value).filter(Boolean))];
  const change = (changes) => { Object.assign(state, changes); address(true); refresh(); };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => change({ rows: read("rows"), cols: read("cols") }));
  swap.addEventListener("click", () => change({ rows: read("cols"), cols: read("rows") }));
  form.hidden = false;
};
