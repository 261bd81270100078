// Comfort only: filtering and sorting the cases, and opening the case that a link names.
(() => {
  "use strict";
  const openTarget = () => {
    let name = location.hash.slice(1);
    try { name = decodeURIComponent(name); } catch { /* a hash that is not encoded is used as it is */ }
    const target = document.getElementById(name);
    if (target instanceof HTMLDetailsElement) {
      target.hidden = false;
      target.open = true;
      target.scrollIntoView({ behavior: "instant" });
      target.querySelector("summary").focus({ preventScroll: true });
    }
  };
  addEventListener("hashchange", openTarget);
  if (location.hash) openTarget();

  const table = document.getElementById("case-table");
  if (!table) return;
  const body = table.tBodies[0];
  const details = [...document.getElementById("case-details").children];
  const rows = [...body.rows].map((row, place) => ({ row, detail: details[place], text: row.textContent.toLowerCase() }));

  const form = document.getElementById("filter");
  const text = document.getElementById("filter-text");
  const verdict = document.getElementById("filter-verdict");
  const unexpected = document.getElementById("filter-unexpected");
  const count = document.getElementById("filter-count");
  const filter = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const item of rows) {
      const fits = words.every((word) => item.text.includes(word))
        && (!verdict.value || item.row.dataset.verdict === verdict.value)
        && (!unexpected.checked || "unexpected" in item.row.dataset);
      item.row.hidden = item.detail.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${rows.length} shown`;
  };
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", filter);
  filter();

  // Header cells span two rows, so a column's place in the body is counted, not looked up.
  const first = [...table.tHead.rows[0].cells].filter((cell) => cell.dataset.sort);
  const second = [...table.tHead.rows[1].cells];
  const columns = [...first.slice(0, 2), ...second, ...first.slice(2)];
  const value = (item, place, kind) => {
    const shown = item.row.cells[place].textContent.trim();
    if (kind === "text") return shown;
    const number = parseFloat(shown.replace("∞", "Infinity"));
    return Number.isNaN(number) ? null : number;
  };
  columns.forEach((header, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const kind = header.dataset.sort;
      // Numbers begin with the greatest: the difference that someone looks for.
      const start = kind === "number" ? "descending" : "ascending";
      const other = kind === "number" ? "ascending" : "descending";
      const direction = header.getAttribute("aria-sort") === start ? other : start;
      columns.forEach((item) => item.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", direction);
      const sign = direction === "ascending" ? 1 : -1;
      const keyed = rows.map((item) => [value(item, place, kind), item.row]);
      keyed.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        return sign * (a < b ? -1 : a > b ? 1 : 0);
      });
      body.append(...keyed.map(([, row]) => row));
    });
  });
})();
