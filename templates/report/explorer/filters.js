// Which cases fit: every filter is a comparison of codes, and the text is looked up in one string a case.
let rows = null;
let shown = null;
let texts = null;
let placeOf = null;
const axisNamed = (name) => rows.axes.find((axis) => axis.name === name);
const anchorOf = (place) => rows.anchors[place] ?? rows.id[place];
const caseHref = (place) => `#case=${encodeURIComponent(anchorOf(place)).replace(/%(2F|3D|2C|3A|40)/g, decodeURIComponent)}`;
const places = () => (placeOf ??= new Map(rows.id.map((_, place) => [anchorOf(place), place])));
const valueOf = (axis, code) => (code < 0 ? NONE : axis.values[code]);

const searchable = () => (texts ??= rows.id.map((name, place) => `${name} ${rows.lines[rows.line[place]]}`.toLowerCase()));
// A value, or of numbers those above one or up to it: ">1", "<=1". What this run lacks fits no case.
const THRESHOLD = /^(>|<=)(.+)$/;
const fits = (axis, wanted) => {
  if (wanted === NONE) return [-1];
  const code = axis.values.indexOf(wanted);
  const [, sign, bound] = (code < 0 && THRESHOLD.exec(wanted)) || [];
  if (!sign) return code < 0 ? [] : [code];
  return axis.values.flatMap((value, at) => ((sign === ">" ? Number(value) > Number(bound) : Number(value) <= Number(bound)) ? [at] : []));
};
const wantedCodes = () => Object.entries(state.axes).map(([name, value]) => {
  const axis = axisNamed(name);
  return { codes: axis?.codes ?? [], accepted: new Set(axis ? fits(axis, value) : []) };
});

const filterRows = () => {
  const count = rows.id.length;
  const verdict = rows.verdicts.findIndex(([name]) => name === state.verdict);
  const wanted = wantedCodes();
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const text = words.length ? searchable() : null;
  shown = new Uint8Array(count);
  let found = 0;
  for (let place = 0; place < count; place++) {
    if (state.verdict && rows.verdict[place] !== verdict) continue;
    if (state.unexpected && !rows.unexpected[place]) continue;
    if (!wanted.every((item) => item.accepted.has(item.codes[place]))) continue;
    if (text && !words.every((word) => text[place].includes(word))) continue;
    shown[place] = 1;
    found++;
  }
  return found;
};

const axisField = (axis) => {
  const missing = axis.codes.includes(-1);
  const options = [...axis.values, ...(missing ? [NONE] : [])].map((value) => element("option", { value }, value));
  const select = element("select", { "data-axis": axis.name }, element("option", { value: "" }, "all"), ...options);
  return element("label", { class: "field" }, `${axis.name} `, select);
};
const buildFilters = () => {
  const telling = rows.axes.filter((axis) => axis.values.length + axis.codes.includes(-1) > 1);
  // The rare ones would push the matrix out of sight.
  const [first, rest] = [telling.slice(0, 6), telling.slice(6)];
  byId("filter-axes").append(...first.map(axisField));
  if (rest.length) {
    byId("filter-axes").append(element("details", { class: "more" }, element("summary", {}, counted(rest.length, "more filter")), element("div", {}, ...rest.map(axisField))));
  }
  const form = byId("filter");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    const { axis } = event.target.dataset;
    if (axis && event.target.value) state.axes[axis] = event.target.value;
    else if (axis) delete state.axes[axis];
    state.q = byId("filter-text").value;
    state.verdict = byId("filter-verdict").value;
    state.unexpected = byId("filter-unexpected").checked ? "1" : "";
    address(event.target.id !== "filter-text");
    refresh();
  });
  byId("filter-clear").addEventListener("click", () => {
    state = { ...emptyState(), rows: state.rows, cols: state.cols, sort: state.sort };
    address(true);
    refresh();
  });
};
const showFilters = (found) => {
  byId("filter-text").value === state.q || (byId("filter-text").value = state.q);
  byId("filter-verdict").value = state.verdict;
  byId("filter-unexpected").checked = Boolean(state.unexpected);
  for (const select of byId("filter-axes").querySelectorAll("select")) {
    const value = state.axes[select.dataset.axis] ?? "";
    select.value = value;
    // A threshold is none of the values, and stands among them while it filters.
    if (select.value !== value) select.append(element("option", { value, selected: true }, value));
    select.closest("label").classList.toggle("active", select.value !== "");
  }
  byId("filter-axes").querySelectorAll("details").forEach((more) => { more.open ||= more.querySelector(".active") !== null; });
  byId("filter-count").textContent = `${found.toLocaleString("en")} of ${counted(rows.id.length, "case")} shown`;
  byId("filter-clear").disabled = found === rows.id.length;
};
