// What is listed, to take along: as a table, as data, for an issue; and the commands that run or show it.
// What makes a spreadsheet take a text for a formula, some programs after blanks, or in full width.
const FIGURE = /^-?(inf|nan|\d+(\.\d+)?(e[+-]?\d+)?)$/;
const FORMULA = /^\s*[=+\-@＝＋－＠]|^[\t\n]/;
const TAKEN_GLOBS = 20;
const factsListed = () => listing.map((place) => ({
  case_id: rows.id[place],
  suite: undefined,
  verdict: rows.verdicts[rows.verdict[place]][0],
  unexpected: rows.unexpected[place] === 1,
  cause: causeOf(place)?.[0] ?? null,
  cause_title: causeOf(place)?.[1] ?? null,
  line: rows.lines[rows.line[place]] || null,
  ...Object.fromEntries(rows.axes.map((axis) => [axis.name === "suite" ? "suite" : `axis_${axis.name}`, axis.codes[place] < 0 ? null : axis.values[axis.codes[place]]])),
  ...Object.fromEntries(rows.points.flatMap((point, at) => [[`${point}_max_abs`, rows.max_abs[at][place]], [`${point}_max_steps`, rows.steps[at][place]]])),
  ...Object.fromEntries(rows.pipelines.map((name, at) => [`${name}_sqnr_db`, rows.sqnr[at][place]])),
  seconds: rows.seconds[place],
}));
const csvValue = (value) => {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const safe = FORMULA.test(value) && !FIGURE.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};
const csvListed = () => {
  const facts = factsListed();
  const names = Object.keys(facts[0] ?? { case_id: "" });
  return `${[names, ...facts.map((fact) => names.map((name) => fact[name]))].map((line) => line.map(csvValue).join(",")).join("\n")}\n`;
};
const jsonListed = () => `${JSON.stringify({ run: rows.run, query: readable, cases: factsListed() }, null, 1)}\n`;
// A text that is text in GitHub's Markdown, and in a cell of a table.
const markdownText = (text) => text.replace(/[\\`*_{}[\]<>()#+\-!|~&]/g, "\\$&").replace(/@|:\/\/|\bwww\./g, (sign) => `${sign[0]}\u200b${sign.slice(1)}`).replace(/\s+/g, " ");
const markdownCode = (text) => { const ticks = "`".repeat(Math.max(0, ...(text.match(/`+/g) ?? []).map((run) => run.length)) + 1); return `${ticks}${ticks.length > 1 ? " " : ""}${text.replace(/\s+/g, " ").replaceAll("|", "\\|")}${ticks.length > 1 ? " " : ""}${ticks}`; };
const markdownListed = () => {
  const lines = listing.map((place) => `| ${rows.verdicts[rows.verdict[place]].slice(1).join(" ")}${rows.unexpected[place] ? " **unexpected**" : ""} | ${markdownCode(rows.id[place])} | ${markdownText(whyOf(place))} |`);
  return [`${counted(listing.length, "case")}${readable.trim() ? ` that ${listing.length === 1 ? "fits" : "fit"} ${markdownCode(readable)}` : ""}, run ${markdownCode(rows.run)}:`, "", "| verdict | case | cause |", "| --- | --- | --- |", ...lines, ""].join("\n");
};
const TAKEN = { csv: [csvListed, "text/csv"], json: [jsonListed, "application/json"], md: [markdownListed, "text/markdown"] };
const download = (kind) => {
  const [render, type] = TAKEN[kind];
  const url = URL.createObjectURL(new Blob([render()], { type: `${type};charset=utf-8` }));
  const link = element("a", { href: url, download: `qatrix-${rows.run.replace(/[^\w-]/g, "_").slice(0, 60)}.${kind}` });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
};

const shellQuoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);
// A glob that just this case fits, whatever its name has in it.
const globOf = (name) => name.replace(/[*?[]/g, "[$&]").replace(/[{}]/g, "?");
// `--only` says the same as a query that asks for values of axes and nothing else.
const onlyOptions = () => {
  const tree = parseQuery(state.q);
  const terms = tree.kind === "and" ? tree.parts : [tree];
  const named = (term) => (term.kind === "field" && term.operator === ":" && term.field !== "file" ? axisNamed(term.field) : null);
  const plain = (term) => named(term) && /^[A-Za-z_]\w*$/.test(term.field) && term.field !== "suite" && term.values.every(({ text }) => axisNamed(term.field).values.includes(text) && !text.includes(","));
  if (!terms.length || !terms.every(plain) || new Set(terms.map(({ field }) => field)).size < terms.length) return null;
  return terms.flatMap((term) => ["--only", `${term.field}=${term.values.map(({ text }) => text).join(",")}`]);
};
const againCommand = () => {
  if (!rows.again.length || !listing.length || fault) return null;
  const only = onlyOptions();
  if (!only && listing.length > TAKEN_GLOBS) return null;
  const options = only ?? listing.flatMap((place) => ["--case", globOf(rows.anchors[place] === undefined ? rows.id[place] : "")]);
  return options.includes("") ? null : [...rows.again, ...options, "--fresh"].map(shellQuoted).join(" ");
};
const showTaking = () => {
  if (!byId("take").open) return;
  const [home, again] = [byId("take-commands"), againCommand()];
  const one = listing.includes(current) ? current : listing[0];
  const line = (title, text) => element("p", {}, element("span", { class: "muted" }, title), element("code", { class: "copy" }, text), copyButton(text, text.slice(0, 60)));
  home.replaceChildren(
    ...(again ? [line("Run these again", again)] : [element("p", { class: "muted" }, listing.length > TAKEN_GLOBS && rows.again.length ? `To get a command that runs these again, search for up to ${TAKEN_GLOBS} cases, or for values of axes alone.` : "There is no command that runs these again.")]),
    ...(one !== undefined && rows.anchors[one] === undefined ? [line(current === one ? "Show the chosen case" : "Show the first case", `qatrix show ${shellQuoted(rows.id[one])}`)] : []),
  );
};
const buildTaking = () => {
  byId("take").addEventListener("toggle", showTaking);
  byId("take").addEventListener("click", (event) => { const kind = event.target.dataset?.take; if (kind) download(kind); });
};
