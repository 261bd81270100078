// What is shown, as the page's fragment says it: "#verdict=failed&axis.dim=2&sort=-seconds", "#case=<id>".
const FREE = { q: "", verdict: "", unexpected: "", sort: "" };
const emptyState = () => ({ ...FREE, axes: {}, rows: null, cols: null });
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
  return text.includes("/") && places().has(text) ? text : null;
};
const isView = (hash) => /^(q|verdict|unexpected|sort|rows|cols|axis\.[^=]*)=/.test(hash);
const list = (text) => (text === null ? null : text.split(",").filter(Boolean));

const readState = (hash) => {
  const given = new URLSearchParams(hash);
  const read = emptyState();
  for (const key of Object.keys(FREE)) read[key] = given.get(key) ?? "";
  read.rows = list(given.get("rows"));
  read.cols = list(given.get("cols"));
  for (const [key, value] of given) if (key.startsWith("axis.")) read.axes[key.slice(5)] = value;
  return read;
};
const written = (shown) => {
  const out = new URLSearchParams();
  for (const key of Object.keys(FREE)) if (shown[key]) out.set(key, shown[key]);
  for (const [name, value] of Object.entries(shown.axes)) out.set(`axis.${name}`, value);
  if (shown.rows) out.set("rows", shown.rows.join(",") || ",");
  if (shown.cols) out.set("cols", shown.cols.join(",") || ",");
  return out.toString().replaceAll("%2C", ",").replaceAll("%2F", "/");
};
const viewHref = (changes, axes) => `#${written({ ...state, ...changes, axes: { ...state.axes, ...axes } })}`;
// Typing replaces the address; what is clicked is a step to go back to.
const address = (kept) => {
  const hash = written(state);
  const where = hash ? `#${hash}` : location.pathname + location.search;
  if (kept) history.pushState(null, "", where); else history.replaceState(null, "", where);
};
