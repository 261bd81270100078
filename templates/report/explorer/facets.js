// The facets: each axis with its values, how many of the shown cases have them, and a press that edits the query.
const FACET_VALUES = 60;
const facetsOf = () => {
  const verdicts = { name: "verdict", label: "verdict", codes: rows.verdict, values: rows.verdicts.map(([name]) => name), words: rows.verdicts.map(([, glyph, word]) => `${glyph} ${word}`) };
  const causes = { name: "cause", label: "cause", codes: rows.cause, values: rows.causes.map(([key]) => key), words: rows.causes.map(([, title]) => title) };
  const axes = rows.axes.map((axis) => ({ name: axisField(axis.name), label: axis.name, codes: axis.codes, values: axis.values, words: axis.values }));
  return [verdicts, causes, ...axes].filter((facet) => facet.values.length > 1 || (facet.values.length === 1 && facet.codes.includes(-1)));
};
let facets = null;
const tallied = (facet) => {
  const fits = fieldTerm(parseQuery(readable), facet.name) ? fitting(without(readable, facet.name)) : shown;
  const totals = new Map();
  for (let place = 0; place < fits.length; place++) if (fits[place]) totals.set(facet.codes[place], (totals.get(facet.codes[place]) ?? 0) + 1);
  return totals;
};
const facetButton = (facet, code, total, on) => element("button", { type: "button", class: "facet", "aria-pressed": String(on), "data-term": JSON.stringify([facet.name, code < 0 ? NONE : facet.values[code]]) },
  element("span", {}, code < 0 ? `no ${facet.label}` : facet.words[code]), " ", element("b", {}, total.toLocaleString("en")));
const facetList = (facet) => {
  const term = fieldTerm(parseQuery(readable), facet.name);
  const asked = (code) => isAsked(term, code < 0 ? NONE : facet.values[code]);
  const totals = tallied(facet);
  for (let code = -1; code < facet.values.length; code++) if (asked(code) && !totals.has(code)) totals.set(code, 0);
  const found = [...totals].sort(([a, left], [b, right]) => right - left || a - b);
  const rest = found.length - FACET_VALUES;
  return [...found.slice(0, FACET_VALUES).map(([code, total]) => facetButton(facet, code, total, asked(code))), rest > 0 ? element("small", {}, `and ${counted(rest, "value")} more`) : ""];
};
const showFacets = () => {
  const home = byId("facets");
  if (!byId("filters").open) return;
  facets ??= facetsOf().map((facet) => {
    const box = element("div", { class: "values" });
    home.append(element("fieldset", {}, element("legend", {}, facet.label), box));
    return { facet, box };
  });
  // Whoever pressed a value goes on from there.
  const held = home.contains(document.activeElement) ? document.activeElement.dataset.term : null;
  for (const { facet, box } of facets) box.replaceChildren(...facetList(facet));
  if (held) [...home.querySelectorAll("[data-term]")].find((button) => button.dataset.term === held)?.focus({ preventScroll: true });
};
const buildFacets = () => byId("filters").addEventListener("toggle", showFacets);
