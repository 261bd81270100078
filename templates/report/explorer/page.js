// What the address says, shown; then what the reader does.
const TITLE = document.title;
const refresh = () => {
  const found = filterRows();
  showFilters(found);
  showMatrix();
  return showTable();
};
const follow = async () => {
  const anchor = wantedCase();
  if (anchor !== null) return showCase(anchor);
  const wasCase = !byId("case-view").hidden;
  byId("case-view").hidden = true;
  byId("report").hidden = false;
  document.title = TITLE;
  const hash = location.hash.slice(1);
  if (isView(hash) || hash === "") {
    listed = location.hash;
    state = readState(hash);
    await refresh();
  }
  if (wasCase && isView(hash)) byId("cases").scrollIntoView();
  else if (hash && !isView(hash)) document.getElementById(fragment())?.scrollIntoView();
  return undefined;
};
// Of a link into the report, what it filters is what one wants to see.
const onLink = (event) => {
  const link = event.target.closest?.("a[href^='#']");
  if (!link || !isView(link.getAttribute("href").slice(1))) return;
  requestAnimationFrame(() => byId(link.closest("#matrix") ? "cases" : "explore").scrollIntoView());
};
// On paper the table is plain: what the grid does not show would be missing.
const onPrint = () => {
  const body = byId("case-table")?.tBodies[0];
  if (!body || rows.sides) return;
  [...body.rows].forEach((row, place) => { row.hidden = !shown[place]; });
};
const start = async () => {
  if (!globalThis.Tabulator || !globalThis.DecompressionStream) throw new Error("this browser is too old for it");
  rows = await readRows();
  if (isView(location.hash.slice(1))) { state = readState(location.hash.slice(1)); listed = location.hash; }
  byId("explore").hidden = false;
  buildFilters();
  buildPivot();
  await buildTable();
  await refresh();
  addEventListener("hashchange", follow);
  addEventListener("popstate", () => { if (!location.hash) follow(); });
  addEventListener("beforeprint", onPrint);
  document.addEventListener("click", onLink);
  byId("grid").addEventListener("keydown", onKeys);
  byId("grid").addEventListener("pointerdown", onPress);
  addEventListener("pointerup", onRelease);
  byId("copy-link").addEventListener("click", (event) => copied(event.currentTarget, location.href));
  if (location.hash) await follow();
  document.documentElement.classList.add("ready");
};
start().catch((error) => {
  document.documentElement.classList.remove("explorable");
  byId("cases").prepend(element("p", { class: "banner known", role: "alert" }, `The table cannot be shown: ${error.message}.`));
});
