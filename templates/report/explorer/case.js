// One case, as a view of its own: "#case=<id>".
const TAGS = new Set("A,B,BR,CIRCLE,CODE,DD,DETAILS,DIV,DL,DT,FIGCAPTION,FIGURE,G,H3,H4,LI,LINE,MARK,OL,P,PATH,POLYLINE,PRE,RECT,SECTION,SMALL,SPAN,STRONG,SUMMARY,SVG,TABLE,TBODY,TD,TEXT,TH,THEAD,TITLE,TR,UL,WBR".split(","));
const ATTRIBUTES = new Set("aria-hidden,aria-label,class,colspan,cx,cy,d,height,href,open,points,r,rel,role,rx,scope,tabindex,text-anchor,title,viewBox,width,x,x1,x2,y,y1,y2".split(","));
// Into this page, the web, a script beside the page, or the page of another run.
const SAFE_LINK = /^(#|https?:\/\/|repro\/[\w.=-]+$|(\.\.\/)*((?!\.\.?\/)[\w.%~-]+\/)*index\.html(#case=\S*)?$)/;
// Packed facts are markup of our own templates; all the same only what they use is taken over.
const taken = (node) => {
  if (node.nodeType === Node.TEXT_NODE) return document.createTextNode(node.data);
  if (node.nodeType !== Node.ELEMENT_NODE || !TAGS.has(node.nodeName.toUpperCase())) return "";
  const made = document.createElementNS(node.namespaceURI, node.localName);
  for (const { name, value } of node.attributes) {
    if (ATTRIBUTES.has(name) && (name !== "href" || SAFE_LINK.test(value))) made.setAttribute(name, value);
  }
  made.append(...[...node.childNodes].map(taken));
  return made;
};
const facts = new Map();
const factsOf = async (place) => {
  const block = Math.floor(place / rows.block);
  if (!facts.has(block)) facts.set(block, part(`cases-${String(block).padStart(3, "0")}`));
  const text = (await facts.get(block))[place % rows.block];
  return [...new DOMParser().parseFromString(text, "text/html").body.childNodes].map(taken);
};

const copied = async (button, text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page that was opened from a folder may not be allowed to: then the old way.
    const area = element("textarea", { class: "sr" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
};
const copyButton = (text, label) => {
  const button = element("button", { type: "button", class: "copying", "aria-label": `Copy ${label}` }, "Copy");
  button.addEventListener("click", () => copied(button, text));
  return button;
};
// The cases that fit the filters, in the table's order.
const neighbours = (place) => {
  const fitting = order.filter((item) => shown[item]);
  const at = fitting.indexOf(place);
  return at < 0 ? {} : { at, total: fitting.length, before: fitting[at - 1], after: fitting[at + 1] };
};
const step = (place, text, rel) => (place === undefined ? null : element("a", { href: caseHref(place), rel }, text));
const caseHead = (place, title, copyLink) => {
  const near = neighbours(place);
  const back = element("a", { href: listed || "#cases", class: "back" }, "← All cases");
  const where = near.total ? element("span", { class: "muted" }, `${(near.at + 1).toLocaleString("en")} of ${near.total.toLocaleString("en")}`) : null;
  return [
    element("nav", { class: "steps", "aria-label": "Cases" }, back, step(near.before, "↑ Previous", "prev"), step(near.after, "↓ Next", "next"), where),
    element("p", { class: "title" }, pill(place), " ", copyLink),
    element("h2", { id: "case-title", class: "id" }, title),
  ];
};
// A drawing that is wider than the screen begins at what differs, not at its neighbors.
const toDifference = (drawing) => {
  const lefts = [...drawing.querySelectorAll(".own rect")].map((box) => Number(box.getAttribute("x")));
  if (lefts.length) drawing.scrollLeft = Math.min(...lefts) - 16;
};
const showCase = async (anchor) => {
  const view = byId("case-view");
  const place = places().get(anchor);
  byId("report").hidden = true;
  view.hidden = false;
  if (place === undefined) {
    view.replaceChildren(element("h2", { id: "case-title" }, "No such case"), element("p", {}, "This run has no case of that name: "), element("p", {}, element("code", {}, anchor.slice(0, 300))), element("p", {}, element("a", { href: "#cases" }, "← All cases")));
    document.title = "No such case · qatrix";
  } else {
    let content;
    try { content = await factsOf(place); } catch (error) { content = [element("p", { class: "banner known" }, error.message)]; }
    // Meanwhile the reader may have gone to another case, or back to the list.
    if (wantedCase() !== anchor) return;
    const copyLink = copyButton(location.href, "a link to this case");
    copyLink.textContent = "Copy link";
    view.replaceChildren(...caseHead(place, rows.id[place], copyLink), element("div", { class: "facts-of-case" }, ...content));
    for (const drawing of view.querySelectorAll(".hood .scroll")) {
      toDifference(drawing);
      drawing.closest("details")?.addEventListener("toggle", () => toDifference(drawing), { once: true });
    }
    for (const code of view.querySelectorAll("code.copy")) (code.closest("pre") ?? code).after(copyButton(code.textContent, code.closest("pre") ? "the script" : code.textContent.slice(0, 80)));
    document.title = `${rows.id[place].slice(0, 120)} · qatrix`;
  }
  scrollTo(0, 0);
  view.focus({ preventScroll: true });
};
