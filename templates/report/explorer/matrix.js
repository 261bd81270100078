// The matrix over whichever axes the reader chooses. It is laid out once for its axes; a filter changes the cells that
// change, and hides rows and columns that have none left. Cells without a case are no elements.
const ROOM = { rows: 1000, columns: 200 };
const GROUPS = new Set(["file", "suite"]);
let laid = null;
let stale = true;
const chosen = (side) => {
  const given = side === "rows" ? state.rows ?? rows.rows : state.cols ?? rows.columns;
  return given.map(axisNamed).filter(Boolean);
};
// Unexpected ones first, then in the order of the verdicts, the worst first.
const badness = (place) => (rows.unexpected[place] ? 0 : 100) + rows.verdict[place];
// In a cell, a case that did not run says less than any that did.
const rankInCell = (place) => badness(place) + (rows.not_run.includes(rows.verdict[place]) && !rows.unexpected[place] ? 50 : 0);
// The distinct combinations of the axes' values that occur, in declared order, and which of them each case has.
const combinations = (axes) => {
  // Cases without the axis come last among numbers, and first among names: what has no runtime is the reference.
  const rank = axes.map((axis) => (axis.values.every((value) => /^\d+$/.test(value)) ? (code) => (code < 0 ? axis.values.length : code) : (code) => code + 1));
  const keys = rows.id.map((_, place) => axes.reduce((key, axis, level) => key * (axis.values.length + 1) + rank[level](axis.codes[place]), 0));
  const distinct = [...new Set(keys)].sort((a, b) => a - b);
  const numbers = new Map(distinct.map((key, at) => [key, at]));
  const at = Int32Array.from(keys, (key) => numbers.get(key));
  const entries = distinct.map(() => null);
  at.forEach((entry, place) => { entries[entry] ??= axes.map((axis) => [axis, axis.codes[place]]); });
  return { at, entries };
};
const labelOf = (entry, from = 0) => entry.slice(from).filter(([, code], level) => code >= 0 || level === 0).map(([axis, code], level) => (level && /^\d+$|^(true|false)$/.test(valueOf(axis, code)) ? `${axis.name} ${valueOf(axis, code)}` : valueOf(axis, code))).join(" · ") || "all cases";
const cellQuery = (entry) => entry.map(([axis, code]) => `${writtenField(axisField(axis.name))}:${writtenValue(valueOf(axis, code))}`);

const layOut = () => {
  const [downAxes, acrossAxes] = [chosen("rows"), chosen("cols")];
  const [down, across] = [combinations(downAxes), combinations(acrossAxes)];
  const grouped = downAxes.length > 1 && GROUPS.has(downAxes[0].name) ? 1 : 0;
  const [tall, wide] = [Math.min(down.entries.length, ROOM.rows), Math.min(across.entries.length, ROOM.columns)];
  const heads = across.entries.slice(0, wide).map((entry) => {
    const [first, ...others] = labelOf(entry).split(" · ");
    return element("div", { role: "columnheader", class: "ch", title: labelOf(entry) }, element("span", {}, first, others.length ? element("small", {}, ` ${others.join(" · ")}`) : null));
  });
  const head = element("div", { role: "row", class: "heads" }, element("div", { role: "columnheader", class: "rh corner" }, `${downAxes.slice(grouped).map(({ name }) => name).join(" · ") || "all"} ╲ ${acrossAxes.map(({ name }) => name).join(" · ") || "all"}`), ...heads);
  const lines = [];
  const groups = [];
  for (let at = 0; at < tall; at++) {
    const entry = down.entries[at];
    const group = grouped ? valueOf(...entry[0]) : "";
    if (grouped && groups.at(-1)?.name !== group) groups.push({ name: group, row: element("div", { role: "row", class: "group" }, element("div", { role: "rowheader", class: "rh" }, group)), lines: [] });
    const label = labelOf(entry, grouped);
    const line = { label, group, entry, node: element("div", { role: "row", class: "line" }, element("div", { role: "rowheader", class: "rh", title: label }, label)), cells: new Map() };
    lines.push(line);
    groups.at(-1)?.lines.push(line);
  }
  const grid = byId("matrix-grid");
  grid.replaceChildren(head, ...(grouped ? groups.flatMap(({ row, lines: own }) => [row, ...own.map(({ node }) => node)]) : lines.map(({ node }) => node)));
  const left = [[down.entries.length - tall, "row"], [across.entries.length - wide, "column"]].filter(([count]) => count > 0);
  byId("matrix-left").textContent = left.length ? `${left.map(([count, noun]) => counted(count, noun)).join(" and ")} left out: choose other axes.` : "";
  laid = { down, across, lines, heads, groups, tall, wide };
  for (const select of byId("pivot").querySelectorAll("select")) {
    const axes = select.dataset.side === "rows" ? downAxes : acrossAxes;
    select.value = axes[select.dataset.level]?.name ?? "";
  }
};

const tally = () => {
  const cells = new Map();
  for (let place = 0; place < shown.length; place++) {
    const [row, column] = [laid.down.at[place], laid.across.at[place]];
    if (!shown[place] || row >= laid.tall || column >= laid.wide) continue;
    const at = row * laid.wide + column;
    let cell = cells.get(at);
    if (!cell) cells.set(at, (cell = { row, column, unexpected: 0, verdicts: new Map(), worst: place }));
    cell.unexpected += rows.unexpected[place];
    cell.verdicts.set(rows.verdict[place], (cell.verdicts.get(rows.verdict[place]) ?? 0) + 1);
    if (rankInCell(place) < rankInCell(cell.worst)) cell.worst = place;
  }
  return cells;
};
const toldOf = (cell) => {
  const told = [...cell.verdicts].sort(([a], [b]) => a - b).map(([code, count]) => `${count} ${rows.verdicts[code][2]}`).join(", ");
  return `${told}${cell.unexpected ? `; ${cell.unexpected} unexpected` : TONES[rows.tone[cell.worst]] === "known" ? "; as expected" : ""}`;
};
const showCell = (line, cell, at, visibleAt) => {
  let known = line.cells.get(at);
  const told = toldOf(cell);
  if (!known) {
    const link = element("a", { tabindex: "-1" });
    known = { node: element("div", { role: "gridcell", class: "cell" }, link), link, told: null, at: -1 };
    line.cells.set(at, known);
    line.node.append(known.node);
    line.added = true;
  }
  if (known.node.hidden) known.node.hidden = false;
  if (known.at !== visibleAt) {
    known.at = visibleAt;
    known.node.style.setProperty("--at", visibleAt);
    known.node.setAttribute("aria-colindex", visibleAt + 2);
  }
  if (known.told === told && known.worst === cell.worst) return;
  Object.assign(known, { told, worst: cell.worst });
  const name = `${line.label}, ${labelOf(laid.across.entries[at])}: ${told}`;
  known.link.setAttribute("aria-label", name);
  known.link.title = name;
  known.link.className = TONES[rows.tone[cell.worst]];
  known.link.textContent = cell.unexpected ? `${rows.verdicts[rows.verdict[cell.worst]][1]}!` : rows.verdicts[rows.verdict[cell.worst]][1];
  known.query = cellQuery([...line.entry, ...laid.across.entries[at]]);
  known.link.href = viewHref(known.query.join(" "));
};
const showMatrix = () => {
  const key = `${chosen("rows").map(({ name }) => name)} / ${chosen("cols").map(({ name }) => name)}`;
  if (laid?.key !== key) { layOut(); laid.key = key; }
  const cells = tally();
  const used = new Set([...cells.values()].map(({ column }) => column));
  const visible = new Map([...used].sort((a, b) => a - b).map((column, at) => [column, at]));
  laid.heads.forEach((node, column) => {
    node.hidden = !used.has(column);
    if (used.has(column)) { node.style.setProperty("--at", visible.get(column)); node.setAttribute("aria-colindex", visible.get(column) + 2); }
  });
  const filled = laid.lines.map(() => new Set());
  for (const cell of cells.values()) {
    showCell(laid.lines[cell.row], cell, cell.column, visible.get(cell.column));
    filled[cell.row].add(cell.column);
  }
  laid.lines.forEach((line, row) => {
    line.node.hidden = filled[row].size === 0;
    for (const [column, known] of line.cells) if (!filled[row].has(column)) known.node.hidden = true;
    // In the order of the columns, which is that of the keys, too.
    const inOrder = line.added ? [...line.cells].sort(([a], [b]) => a - b).map(([, known]) => known.node) : [];
    if (inOrder.some((node, at) => line.node.children[at + 1] !== node)) line.node.append(...inOrder);
    line.added = false;
  });
  for (const group of laid.groups) group.row.hidden = group.lines.every(({ node }) => node.hidden);
  const grid = byId("matrix-grid");
  grid.style.setProperty("--columns", used.size);
  grid.setAttribute("aria-colcount", used.size + 1);
  byId("matrix-none").hidden = cells.size > 0;
  const inSight = ".line:not([hidden]) > :not([hidden]) > a";
  stop(grid.querySelector(`${inSight}[tabindex='0']`) ?? grid.querySelector(inSight));
  stale = false;
};
// Far from the screen it waits: what nobody sees costs no key.
let near = false;
const offerMatrix = () => { stale = true; if (near) setTimeout(() => { if (stale && near) showMatrix(); }); };
const watchMatrix = () => {
  new IntersectionObserver((seen) => {
    near = seen.at(-1).isIntersecting;
    if (near && stale) showMatrix();
  }, { rootMargin: "600px" }).observe(byId("matrix"));
  // Once the list answers, so that nothing moves when somebody scrolls there.
  const idle = globalThis.requestIdleCallback ?? setTimeout;
  idle(() => { if (stale && inReport()) showMatrix(); });
};

// One stop for Tab; arrows go from case to case of the grid, Home and End along a row, with Ctrl to the corners.
const stop = (link) => {
  for (const other of byId("matrix-grid").querySelectorAll("a[tabindex='0']")) other.tabIndex = -1;
  if (link) link.tabIndex = 0;
};
const linesInSight = () => laid.lines.filter(({ node }) => !node.hidden);
const sorted = (line) => [...line.cells.values()].filter(({ node }) => !node.hidden).sort((a, b) => a.at - b.at);
const nextCell = (link, key, far) => {
  const lines = linesInSight();
  const row = lines.findIndex(({ node }) => node.contains(link));
  const own = sorted(lines[row]);
  const at = own.findIndex((cell) => cell.link === link);
  if (key === "ArrowLeft") return own[at - 1];
  if (key === "ArrowRight") return own[at + 1];
  if (key === "Home") return far ? sorted(lines[0])[0] : own[0];
  if (key === "End") return far ? sorted(lines.at(-1)).at(-1) : own.at(-1);
  // Up and down: the nearest cell of the next row, since not every row has one in this column.
  const other = lines[row + (key === "ArrowDown" ? 1 : -1)];
  return other && sorted(other).reduce((best, cell) => (Math.abs(cell.at - own[at].at) < Math.abs(best.at - own[at].at) ? cell : best));
};
const onMatrixKeys = (event) => {
  const link = event.target.closest?.("#matrix-grid a");
  if (!link || !/^(Arrow(Up|Down|Left|Right)|Home|End)$/.test(event.key) || event.altKey || event.metaKey) return;
  event.preventDefault();
  const next = nextCell(link, event.key, event.ctrlKey)?.link;
  if (!next) return;
  stop(next);
  next.focus();
};
const onMatrixClick = (event) => {
  const link = event.target.closest?.("#matrix-grid a");
  if (!link) return;
  event.preventDefault();
  stop(link);
  const known = laid.lines.flatMap((line) => [...line.cells.values()]).find((cell) => cell.link === link);
  const asked = readable.trim();
  setQuery([parseQuery(asked).kind === "or" ? `(${asked})` : asked, ...known.query.filter((term) => !asked.split(/\s+/).includes(term))].filter(Boolean).join(" "));
  byId("cases").scrollIntoView();
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
  const grid = byId("matrix-grid");
  grid.addEventListener("keydown", onMatrixKeys);
  grid.addEventListener("click", onMatrixClick);
  watchMatrix();
};
