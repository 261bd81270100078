// The rows of the report, and how numbers are written. Texts become text nodes, never markup.
const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
};
const byId = (name) => document.getElementById(name);
const NONE = "–";

const unpacked = async (text) => {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let place = 0; place < letters.length; place++) bytes[place] = letters.charCodeAt(place);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
};
// A part lies in the page or, in a large report, in a script beside it: a page that was opened
// from a folder may read nothing else.
const beside = (name) => new Promise((resolve, reject) => {
  const script = element("script", { src: `data/${name}.js` });
  script.onload = () => { resolve(globalThis.qatrixParts[name]); delete globalThis.qatrixParts[name]; script.remove(); };
  script.onerror = () => reject(new Error(`data/${name}.js cannot be read; keep the folder data/ beside index.html`));
  document.head.append(script);
});
const part = async (name) => {
  const inline = byId(`part-${name}`);
  return JSON.parse(await unpacked(inline ? inline.textContent : await beside(name)));
};
const readRows = async () => {
  const inline = byId("part-rows");
  return inline ? JSON.parse(inline.textContent) : part("rows");
};

const figure = (value) => (typeof value === "string" ? Number(value.replace("inf", "Infinity")) : value);
const number = (given) => {
  if (given === null) return NONE;
  const value = figure(given);
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const [digits, exponent] = value.toExponential(2).split("e");
  if (exponent >= -4 && exponent < 3) return String(Number(value.toPrecision(3)));
  return `${Number(digits)}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
};
const fixed = (digits) => (given) => {
  const value = figure(given);
  return value === null || !Number.isFinite(value) ? number(given) : value.toFixed(digits);
};
const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const TONES = { g: "good", f: "fair", q: "quiet", k: "known", b: "bad" };
