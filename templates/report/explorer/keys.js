// Keys of the whole page, and none of them while someone types.
const typing = (target) => target.matches?.("input, textarea, select, [contenteditable]");
const openMenu = () => document.querySelector(".menu[open]");
const inReport = () => !byId("report").hidden;
const focusSearch = () => { byId("query").focus(); byId("query").select(); byId("explore").scrollIntoView({ block: "nearest" }); };
const onEscape = (event) => {
  const menu = openMenu();
  if (menu) { menu.open = false; menu.querySelector("summary").focus(); return true; }
  if (!inReport()) { location.hash = listed || "#cases"; return true; }
  if (event.target !== byId("query") || (state.q === "" && byId("query").value === "")) return false;
  setQuery("");
  return true;
};
const toggleHelp = () => {
  const help = byId("help");
  help.open = !help.open;
  (help.open ? help.querySelector("summary") : byId("query")).focus();
  byId("explore").scrollIntoView({ block: "nearest" });
};
// From a case it takes until the list is shown again.
const inList = (act) => {
  if (inReport()) { act(); return; }
  addEventListener("hashchange", act, { once: true });
  location.hash = listed || "#cases";
};
const KEYS = {
  "/": () => inList(focusSearch),
  "?": () => inList(toggleHelp),
  j: () => (inReport() ? goToRow(atRow() + 1) : document.querySelector("#case-view a[rel=next]")?.click()),
  k: () => (inReport() ? goToRow(Math.max(0, atRow() - 1)) : document.querySelector("#case-view a[rel=prev]")?.click()),
};
const onPageKeys = (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
  if (event.key === "Escape") { if (onEscape(event)) event.preventDefault(); return; }
  if (event.key === "ArrowDown" && event.target === byId("query") && listing.length) { event.preventDefault(); goToRow(Math.max(0, atRow())); return; }
  if (typing(event.target) || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
};
// Things in a row that are one stop for Tab: left and right go from one to the next, Home and End to the ends.
const rove = (home, selector) => {
  const all = () => [...home.querySelectorAll(selector)];
  const stopAt = (one) => { for (const other of all()) other.tabIndex = other === one ? 0 : -1; };
  stopAt(all()[0]);
  home.addEventListener("focusin", (event) => { if (event.target.matches(selector)) stopAt(event.target); });
  home.addEventListener("keydown", (event) => {
    const shownOnes = all().filter((one) => one.checkVisibility());
    const at = shownOnes.indexOf(event.target);
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const next = { ArrowRight: shownOnes[at + 1], ArrowLeft: shownOnes[at - 1], Home: shownOnes[0], End: shownOnes.at(-1) }[event.key];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
};
// A menu closes where the reader goes elsewhere.
const onElsewhere = (event) => { for (const menu of document.querySelectorAll(".menu[open]")) if (!menu.contains(event.target)) menu.open = false; };
