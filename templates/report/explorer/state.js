// What is shown, as the page's fragment says it: "#q=verdict:failed+dim:2&sort=-seconds", "#case=<id>".
const emptyState = () => ({ q: "", sort: "", rows: null, cols: null });
let state = emptyState();
// Where the reader was before a case was opened.
let listed = "";

const fragment = () => {
  const hash = location.hash.slice(1);
  try { return decodeURIComponent(hash); } catch { return hash; }
};
const wantedCase = () => {
  const text = fragment();
  if (text.startsWith("case=")) return text.slice(5);
  // A bare case id is understood too.
  return text.includes("/") && !isView(location.hash.slice(1)) && places().has(text) ? text : null;
};
const isView = (hash) => /^(q|verdict|unexpected|sort|rows|cols|axis\.[^=]*)=/.test(hash);
const list = (text) => (text === null ? null : text.split(",").filter(Boolean));

// What older links say with keys of their own is said by the query now.
const oldTerms = (given) => {
  const terms = [];
  if (given.get("verdict")) terms.push(`verdict:${writtenValue(given.get("verdict"))}`);
  if (given.get("unexpected")) terms.push("is:unexpected");
  for (const [key, value] of given) {
    if (!key.startsWith("axis.") || !value) continue;
    const name = writtenField(OWN_FIELDS.has(key.slice(5)) ? key : key.slice(5));
    terms.push(/^(>|<=)-?[\d.]+$/.test(value) ? `${name}${value}` : `${name}:${writtenValue(value)}`);
  }
  return terms;
};
const readState = (hash) => {
  const given = new URLSearchParams(hash);
  const q = [given.get("q") ?? "", ...oldTerms(given)].filter(Boolean).join(" ");
  return { q, sort: given.get("sort") ?? "", rows: list(given.get("rows")), cols: list(given.get("cols")) };
};
const written = (shown) => {
  const out = new URLSearchParams();
  for (const key of ["q", "sort"]) if (shown[key]) out.set(key, shown[key]);
  if (shown.rows) out.set("rows", shown.rows.join(",") || ",");
  if (shown.cols) out.set("cols", shown.cols.join(",") || ",");
  return out.toString().replace(/%(2C|2F|3A|3C|3E|2A|40)/g, decodeURIComponent);
};
const viewHref = (q) => `#${written({ ...state, q })}`;
// A link into a section leaves the query out of the address; what is copied has it.
const linkToView = () => `${location.href.split("#")[0]}${written(state) && `#${written(state)}`}`;
// Typing replaces the address, and not at every key: browsers refuse many changes a second. What is clicked is a step to go back to.
const TYPED_MS = 250;
let waiting = 0;
const forgetTyped = () => { clearTimeout(waiting); waiting = 0; };
const writeAddress = (kept) => {
  forgetTyped();
  const hash = written(state);
  const where = hash ? `#${hash}` : location.pathname + location.search;
  if (kept) history.pushState(null, "", where); else history.replaceState(null, "", where);
  listed = hash ? where : "";
};
const address = (kept) => {
  forgetTyped();
  if (kept) writeAddress(true); else waiting = setTimeout(writeAddress, TYPED_MS, false);
};
// Who leaves the field may follow a link at once, and comes back to what was typed.
const writeTyped = () => { if (waiting) writeAddress(false); };
