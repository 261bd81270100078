// Which cases fit the query: every field is made of columns of codes or numbers, and words are looked up in one text a case.
let rows = null;
let shown = null;
let texts = null;
let placeOf = null;
let fieldsOf = null;
// Fields that are no axes; an axis of such a name is "axis.verdict".
const OWN_FIELDS = new Set(["verdict", "is", "cause", "id", "error", "sqnr", "steps", "max_abs", "seconds"]);
const axisNamed = (name) => rows.axes.find((axis) => axis.name === name);
const axisField = (name) => (OWN_FIELDS.has(name) ? `axis.${name}` : name);
const anchorOf = (place) => rows.anchors[place] ?? rows.id[place];
const caseHref = (place) => `#case=${encodeURIComponent(anchorOf(place)).replace(/%(2F|3D|2C|3A|40)/g, decodeURIComponent)}`;
const places = () => (placeOf ??= new Map(rows.id.map((_, place) => [anchorOf(place), place])));
const valueOf = (axis, code) => (code < 0 ? NONE : axis.values[code]);
const causeOf = (place) => (rows.cause[place] < 0 ? null : rows.causes[rows.cause[place]]);

const searchable = () => (texts ??= rows.id.map((name, place) => `${name} ${rows.lines[rows.line[place]]} ${rows.errors[rows.error[place]]} ${causeOf(place)?.[1] ?? ""}`.toLowerCase()));

// A field whose cases have a code each: `names` has what each code is called, of which any may be asked for.
const codedField = (codes, names) => (term) => {
  if (term.operator !== ":") return numberedField([codes.map((code) => (code < 0 ? null : Number(names[code][0])))])(term);
  const wanted = term.values.map(matcher);
  const accepted = new Set(names.flatMap((told, code) => (told.some((name) => wanted.some((fits) => fits(name))) ? [code] : [])));
  if (term.values.some(({ text }) => text === NONE || (text.toLowerCase() === "none" && !names.some(([name]) => name === text)))) accepted.add(-1);
  return (place) => accepted.has(codes[place]);
};
// A field of figures: it is enough that one of the case's fits; what was not measured never does.
const numberedField = (columns) => (term) => {
  const limit = bound(term);
  const fits = COMPARE[term.operator];
  return (place) => columns.some((column) => { const value = figure(column[place]); return value !== null && !Number.isNaN(value) && fits(value, limit); });
};
const textField = (given) => (term) => {
  if (term.operator !== ":") throw new QueryFault(`${term.field} is a text: write ${term.field}:… instead.`);
  const wanted = term.values.map((item) => (item.bare && /[*?]/.test(item.text) ? matcher(item) : (text) => text.toLowerCase().includes(item.text.toLowerCase())));
  return (place) => wanted.some((fits) => fits(given(place)));
};
const IS = {
  unexpected: (place) => rows.unexpected[place] === 1,
  expected: (place) => rows.unexpected[place] === 0,
  known: (place) => rows.known[place] === 1,
  reused: (place) => rows.reused[place] === 1,
};
const isField = (term) => {
  const tests = term.values.map(({ text }) => {
    const test = Object.hasOwn(IS, text.toLowerCase()) && IS[text.toLowerCase()];
    if (!test) throw new QueryFault(`is: takes ${Object.keys(IS).join(", ")}, not ${text}.`);
    return test;
  });
  return (place) => tests.some((test) => test(place));
};
const verdictField = (term) => {
  for (const item of term.values) {
    if (/[*?]/.test(item.text)) continue;
    if (!item.text.trim()) throw new QueryFault(`verdict: needs a value, such as verdict:${rows.verdicts.at(-1)[0]}.`);
    if (!rows.verdicts.some((names) => names.some((name) => matcher(item)(name)))) throw new QueryFault(`There is no verdict ${shortened(item.text)}${nearest(item.text, rows.verdicts.map(([name]) => name)) ? `; did you mean ${nearest(item.text, rows.verdicts.map(([name]) => name))}?` : "."}`);
  }
  return codedField(rows.verdict, rows.verdicts.map(([name, , word]) => [name, word]))(term);
};
const fields = () => (fieldsOf ??= new Map([
  ...rows.axes.flatMap((axis) => { const made = codedField(axis.codes, axis.values.map((value) => [value])); return [[axis.name.toLowerCase(), made], [`axis.${axis.name.toLowerCase()}`, made]]; }),
  ["verdict", verdictField],
  ["is", isField],
  ["cause", codedField(rows.cause, rows.causes.map(([key, title]) => [key, title]))],
  ["id", textField((place) => rows.id[place])],
  ["error", textField((place) => rows.errors[rows.error[place]])],
  ["max_abs", numberedField(rows.max_abs)],
  ["steps", numberedField(rows.steps)],
  ["sqnr", numberedField(rows.sqnr)],
  ["seconds", numberedField([rows.seconds])],
  ...rows.points.flatMap((point, at) => [[`max_abs.${point}`, numberedField([rows.max_abs[at]])], [`steps.${point}`, numberedField([rows.steps[at]])]]),
  ...rows.pipelines.map((name, at) => [`sqnr.${name.toLowerCase()}`, numberedField([rows.sqnr[at]])]),
]));

// The cases that fit a query, a byte each. Raises QueryFault where it cannot be read.
const fitting = (query) => {
  const test = compiled(parseQuery(query), fields(), searchable);
  const found = new Uint8Array(rows.id.length);
  for (let place = 0; place < found.length; place++) if (test(place)) found[place] = 1;
  return found;
};
let fault = "";
// The query of what is listed: the last one that could be read.
let readable = "";
// What cannot be read, as someone is typing it, leaves what was shown before.
const filterRows = () => {
  fault = "";
  try {
    shown = fitting(state.q);
    readable = state.q;
  } catch (error) {
    if (!(error instanceof QueryFault)) throw error;
    fault = error.message;
    shown ??= new Uint8Array(rows.id.length).fill(1);
  }
  return shown.reduce((sum, one) => sum + one, 0);
};
const setQuery = (q) => {
  state.q = q;
  address(true);
  refresh();
};

const buildFilters = () => {
  const [form, field] = [byId("filter"), byId("query")];
  form.addEventListener("submit", (event) => event.preventDefault());
  field.addEventListener("input", () => {
    state.q = field.value;
    address(false);
    refresh();
  });
  field.addEventListener("blur", writeTyped);
  byId("filter-clear").addEventListener("click", () => { setQuery(""); field.focus(); });
  const chips = document.querySelector(".chips");
  chips.setAttribute("role", "toolbar");
  chips.setAttribute("aria-label", "Verdicts");
  // A chip is a link for whoever has no script; with one it is joined to what is asked for already.
  document.addEventListener("click", (event) => {
    const chip = event.target.closest?.("[data-term]");
    if (!chip || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const [name, value] = JSON.parse(chip.dataset.term);
    setQuery(toggled(readable, name, value));
  });
};
const showFilters = (found) => {
  const field = byId("query");
  if (field.value !== state.q) field.value = state.q;
  field.setAttribute("aria-invalid", String(fault !== ""));
  byId("query-fault").textContent = fault;
  byId("filter-count").textContent = `${found.toLocaleString("en")} of ${counted(rows.id.length, "case")}`;
  byId("filter-clear").hidden = state.q === "";
  const asked = parseQuery(readable);
  for (const chip of document.querySelectorAll(".chips [data-term]")) {
    const [name, value] = JSON.parse(chip.dataset.term);
    const on = isAsked(fieldTerm(asked, name), value);
    chip.classList.toggle("on", on);
    if (on) chip.setAttribute("aria-current", "true"); else chip.removeAttribute("aria-current");
  }
};
