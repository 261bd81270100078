// What the address says, shown; then what the reader does.
const TITLE = document.title;
// Columns of numbers first, which one case's view needs, too; the list is made once somebody sees it.
let built = false;
const refresh = () => {
  const found = filterRows();
  sortRows();
  if (!built) return;
  showFilters(found);
  showTable();
  offerMatrix();
  showFacets();
  showTaking();
};
const build = () => {
  if (built) return;
  built = true;
  byId("explore").hidden = false;
  byId("filters").hidden = false;
  buildFilters();
  buildTable();
  buildFacets();
  buildTaking();
  buildHelp();
  buildPivot();
  byId("grid").addEventListener("keydown", onRowKeys);
  rove(byId("grid").querySelector("thead"), "[data-sort]");
  rove(document.querySelector(".chips"), "a");
  byId("grid").addEventListener("focusin", onRowFocus);
  document.addEventListener("focusin", onElsewhere);
  document.addEventListener("pointerdown", onElsewhere);
  byId("copy-link").addEventListener("click", (event) => copied(event.currentTarget, linkToView()));
};
// The examples are of this run: its own verdicts, axes and causes.
const buildHelp = () => {
  const common = rows.verdicts.map(([name], code) => [rows.verdict.filter((item) => item === code).length, name]).filter(([count]) => count).sort(([a], [b]) => b - a).map(([, name]) => name);
  const axis = (least) => rows.axes.find(({ name, values }) => !["suite", "file"].includes(name) && values.length >= least);
  const [two, other] = [axis(2), rows.axes.findLast(({ name, values }) => !["suite", "file"].includes(name) && values.length > 1)];
  const value = (item) => writtenValue(item.values[0]);
  const stem = two?.values[0].match(/^\w+?(?=_|$)/)?.[0];
  const examples = [
    common.length > 1 && [`verdict:${common.slice(-2).join(",")}`, "one of several values"],
    stem && [`${writtenField(axisField(two.name))}:${stem}*`, "a value that begins so; ? is one character"],
    other && [`-${writtenField(axisField(other.name))}:${value(other)}`, "not this value; NOT does the same"],
    rows.causes.length && [`cause:${rows.causes[0][0]}`, "cases of one cause"],
    ["is:unexpected OR is:known", "either; known is a difference as expected"],
    ["sqnr<20 steps>1", "figures: sqnr, steps, max_abs, seconds"],
    common.length > 1 && [`(verdict:${common[0]} OR verdict:${common[1]}) seconds>2`, "parentheses group"],
    ['"two words"', "a text of name, cause or error, as it stands"],
  ].filter(Boolean);
  byId("examples").replaceChildren(...examples.map(([query, told]) => {
    const button = element("button", { type: "button", class: "example" }, element("code", {}, query));
    button.addEventListener("click", () => { setQuery(query); byId("help").open = false; byId("query").focus(); });
    return element("li", {}, button, " ", element("span", { class: "muted" }, told));
  }));
  byId("field-names").textContent = [...new Set(["verdict", "is", "cause", "id", "error", "sqnr", "steps", "max_abs", "seconds", ...rows.axes.map(({ name }) => axisField(name))])].join(", ").slice(0, 2000);
};
const showReport = () => {
  byId("case-view").hidden = true;
  byId("report").hidden = false;
  document.documentElement.classList.remove("one-case");
  document.title = TITLE;
  build();
};
const opened = (id) => {
  const target = id && document.getElementById(id);
  target?.querySelectorAll(":scope > details.fold").forEach((fold) => { fold.open = true; });
  for (let outer = target?.closest("details"); outer; outer = outer.parentElement.closest("details")) outer.open = true;
  return target;
};
const follow = async () => {
  // The address is another by now: what waits to be written would replace it.
  forgetTyped();
  const anchor = wantedCase();
  if (anchor !== null) {
    document.documentElement.classList.add("one-case");
    return showCase(anchor);
  }
  const wasCase = document.documentElement.classList.contains("one-case");
  const wasBuilt = built;
  showReport();
  const hash = location.hash.slice(1);
  if (isView(hash) || hash === "") {
    listed = location.hash;
    state = readState(hash);
    refresh();
  } else if (!wasBuilt) refresh();
  if (wasCase && isView(hash)) byId("cases").scrollIntoView();
  else if (hash && !isView(hash)) opened(fragment())?.scrollIntoView();
  if (wasCase && listing.includes(current) && (isView(hash) || fragment() === "cases")) goToRow(atRow());
  return undefined;
};
// Of a link into the report, what it filters is what one wants to see.
const onLink = (event) => {
  const link = event.target.closest?.("a[href^='#']");
  const hash = link?.getAttribute("href").slice(1);
  if (!link || event.defaultPrevented) return;
  if (isView(hash)) requestAnimationFrame(() => byId("cases").scrollIntoView());
  else if (link.hash === location.hash) opened(hash)?.scrollIntoView();
};
// On paper the table is plain, and short: what is unexpected, then the worst of the others.
const PAPER_ROWS = 40;
const onPrint = () => {
  if (!built) return;
  if (stale) showMatrix();
  const ranked = [...listing].sort((a, b) => badness(a) - badness(b));
  const unexpected = listing.filter((place) => rows.unexpected[place]).length;
  const printed = ranked.slice(0, Math.max(PAPER_ROWS, Math.min(unexpected, 200)));
  const left = listing.length - printed.length;
  byId("paper")?.remove();
  byId("grid").after(element("div", { id: "paper" },
    element("table", { class: "plain" }, element("thead", {}, element("tr", {}, ...columns.slice(0, 3).map(({ title }) => element("th", { scope: "col" }, title)))), element("tbody", {}, ...printed.map((place) => element("tr", {}, element("td", {}, pill(place)), element("th", { scope: "row", class: "id" }, rows.id[place]), element("td", {}, whyOf(place)))))),
    element("p", {}, left > 0 ? `Printed: ${unexpected ? "the unexpected cases, then the worst of the others" : "the worst cases"}; ${counted(left, "case")} more in the page and in results.csv.` : "")));
};
// What stands in the page for whoever has no script comes back where the script cannot do its work.
const unfold = () => {
  document.documentElement.classList.remove("explorable", "one-case");
  for (const plain of document.querySelectorAll("main noscript")) plain.replaceWith(...new DOMParser().parseFromString(plain.textContent, "text/html").body.childNodes);
};
const start = async () => {
  if (!globalThis.DecompressionStream) throw new Error("this browser is too old for it");
  rows = await readRows();
  if (isView(location.hash.slice(1))) { state = readState(location.hash.slice(1)); listed = location.hash; }
  refresh();
  addEventListener("hashchange", follow);
  addEventListener("popstate", () => { if (!location.hash) follow(); });
  addEventListener("beforeprint", onPrint);
  document.addEventListener("keydown", onPageKeys);
  await follow();
  document.addEventListener("click", onLink);
  document.documentElement.classList.add("ready");
};
start().catch((error) => {
  unfold();
  (byId("cases") ?? byId("main")).prepend(element("p", { class: "banner known", role: "alert" }, `The table cannot be shown: ${error.message}.`));
});
