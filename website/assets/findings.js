// Filters for the table of findings. Without this script the table is all there; the address keeps what is chosen.
"use strict";
(() => {
  const root = document.querySelector("#findings-table");
  if (!root) return;
  const rows = [...root.querySelectorAll("tbody tr")];
  const words = { component: "Component", impact: "Impact", verdict: "Verdict", release: "Release" };
  const values = (row, key) => row.dataset[key].split("|").filter(Boolean);
  const form = document.createElement("form");
  const count = document.createElement("p");
  count.setAttribute("role", "status");
  const selects = {};
  for (const [key, word] of Object.entries(words)) {
    const known = [...new Set(rows.flatMap((row) => values(row, key)))];
    // A choice of one is none.
    if (known.length < 2) continue;
    const select = document.createElement("select");
    for (const value of ["", ...known.sort()]) {
      const option = new Option(value.replaceAll("_", " ") || "all", value);
      select.append(option);
    }
    const label = document.createElement("label");
    label.append(`${word} `, select);
    form.append(label);
    selects[key] = select;
  }
  const show = () => {
    const chosen = Object.entries(selects).filter(([, select]) => select.value);
    for (const row of rows) {
      row.hidden = !chosen.every(([key, select]) => values(row, key).includes(select.value));
    }
    const left = rows.filter((row) => !row.hidden).length;
    count.textContent = `${left} of ${rows.length} findings`;
  };
  const read = () => {
    const wanted = new URLSearchParams(location.hash.slice(1));
    for (const [key, select] of Object.entries(selects)) {
      select.value = wanted.get(key) ?? "";
      if (select.selectedIndex < 0) select.value = "";
    }
    show();
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => {
    const chosen = Object.entries(selects).filter(([, select]) => select.value);
    const address = new URLSearchParams(chosen.map(([key, select]) => [key, select.value]));
    history.replaceState(null, "", chosen.length ? `#${address}` : location.pathname + location.search);
    show();
  });
  window.addEventListener("hashchange", read);
  root.prepend(form, count);
  read();
})();
