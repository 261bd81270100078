// The language of the search field: words, fields with values, comparisons, AND by juxtaposition, OR, NOT, parentheses.
//   query := and ("OR" and)*      and := not ("AND"? not)*      not := ("-" | "NOT") not | "(" query ")" | term
// A parsed query is a tree of { kind, … } whose terms know where they stand in the text, so that a part can be replaced.
class QueryFault extends Error {}
const FIELD = /^([A-Za-z_][\w.]*)(:|<=|>=|<|>)/;
const PLAIN_FIELD = /^[A-Za-z_][\w.]*$/;
const PLAIN_VALUE = /^[^\s,()"<>=:*?\\-][^\s,()"*?\\]*$/;
const KEYWORDS = new Set(["OR", "AND", "NOT"]);

const quotedText = (text) => `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
const writtenValue = (text) => (PLAIN_VALUE.test(text) ? text : quotedText(text));
const writtenField = (name) => (PLAIN_FIELD.test(name) ? name : quotedText(name));

// What begins at `at` and ends with its closing quote.
const readQuoted = (text, at) => {
  let out = "";
  for (let place = at + 1; place < text.length; place++) {
    if (text[place] === '"') return { value: out, end: place + 1 };
    if (text[place] === "\\" && place + 1 < text.length) place++;
    out += text[place];
  }
  throw new QueryFault(`The quote that opens at ${text.slice(at, at + 12)} is not closed: end it with ".`);
};
const readBare = (text, at) => {
  let end = at;
  while (end < text.length && !/[\s,()"]/.test(text[end])) end++;
  return { value: text.slice(at, end), end, bare: true };
};
const readValue = (text, at) => (text[at] === '"' ? readQuoted(text, at) : readBare(text, at));
// A word ends at a blank or a parenthesis: case ids, with their commas, are words.
const readWord = (text, at) => {
  let end = at;
  while (end < text.length && !/[\s()"]/.test(text[end])) end++;
  return { value: text.slice(at, end), end };
};

const readField = (text, at) => {
  if (text[at] === '"') {
    const name = readQuoted(text, at);
    const operator = /^(:|<=|>=|<|>)/.exec(text.slice(name.end));
    return operator && { name: name.value, operator: operator[1], end: name.end + operator[1].length };
  }
  const found = FIELD.exec(text.slice(at));
  return found && { name: found[1], operator: found[2], end: at + found[0].length };
};
const readTerm = (text, at) => {
  const field = readField(text, at);
  if (!field) {
    const word = text[at] === '"' ? readQuoted(text, at) : readWord(text, at);
    if (word.end === at) throw new QueryFault(`Nothing can begin with ${text[at]} here.`);
    return { kind: "word", value: word.value, start: at, end: word.end };
  }
  const values = [];
  let end = field.end;
  do {
    const value = readValue(text, values.length ? end + 1 : end);
    if (value.end === (values.length ? end + 1 : end)) throw new QueryFault(`${field.name}${field.operator} needs a value, such as ${field.operator === ":" ? `${field.name}:…` : `${field.name}${field.operator}1`}; to search for the text itself, put it into quotes.`);
    values.push({ text: value.value, bare: Boolean(value.bare) });
    end = value.end;
  } while (text[end] === ",");
  return { kind: "field", field: field.name, operator: field.operator, values, start: at, end };
};

const parseQuery = (text) => {
  let at = 0;
  let open = 0;
  const skip = () => { while (/\s/.test(text[at] ?? "")) at++; };
  const keyword = (word) => text.startsWith(word, at) && /^[\s()]|^$/.test(text.slice(at + word.length, at + word.length + 1));
  const taken = (word) => { skip(); if (!keyword(word)) return false; at += word.length; return true; };
  const joined = (kind, parts) => (parts.length === 1 ? parts[0] : { kind, parts, start: parts[0].start, end: parts.at(-1).end });
  const either = (depth) => {
    const parts = [all(depth)];
    while (taken("OR")) parts.push(all(depth));
    return joined("or", parts);
  };
  const all = (depth) => {
    const parts = [not(depth)];
    for (skip(); at < text.length && text[at] !== ")" && !keyword("OR"); skip()) {
      taken("AND");
      parts.push(not(depth));
    }
    return joined("and", parts);
  };
  const not = (depth) => {
    skip();
    const start = at;
    if (depth > 100) throw new QueryFault("This query is nested too deeply.");
    if (at >= text.length) throw new QueryFault("Something is missing at the end, after OR, AND, NOT or a parenthesis.");
    for (const word of KEYWORDS) if (word !== "NOT" && keyword(word)) throw new QueryFault(`${word} needs something on both sides; to search for the word itself, write it in small letters.`);
    if (taken("NOT") || (text[at] === "-" && at + 1 < text.length && !/\s/.test(text[at + 1]) && ++at)) {
      const part = not(depth + 1);
      return { kind: "not", part, start, end: part.end };
    }
    if (text[at] === ")") throw new QueryFault(open ? "Something is missing before )." : "A parenthesis closes here that was never opened.");
    if (text[at] !== "(") {
      const term = readTerm(text, at);
      at = term.end;
      return term;
    }
    at++;
    open++;
    const part = either(depth + 1);
    skip();
    if (text[at] !== ")") throw new QueryFault("A parenthesis is not closed: end it with ).");
    at++;
    open--;
    return { ...part, start, end: at, closed: true };
  };
  if (!text.trim()) return { kind: "and", parts: [], start: 0, end: 0 };
  const tree = either(0);
  skip();
  if (at < text.length) throw new QueryFault("A parenthesis closes here that was never opened.");
  return tree;
};

const shortened = (name) => ([...name].length > 60 ? `${[...name].slice(0, 60).join("")}…` : name);
// The name that is meant by one that nothing has: at most two letters are other, or it begins that way.
const distance = (left, right) => {
  let above = Array.from({ length: right.length + 1 }, (_, place) => place);
  for (let row = 1; row <= left.length; row++) {
    const line = [row];
    for (let column = 1; column <= right.length; column++) {
      line.push(Math.min(above[column] + 1, line[column - 1] + 1, above[column - 1] + (left[row - 1] !== right[column - 1])));
    }
    above = line;
  }
  return above[right.length];
};
const nearest = (name, names) => {
  const asked = name.toLowerCase().slice(0, 60);
  const ranked = names.map((item) => [item.toLowerCase().startsWith(asked) ? 0.5 : distance(asked, item.toLowerCase()), item]);
  return ranked.sort(([a], [b]) => a - b).find(([far]) => far <= 2)?.[1];
};
const globbed = (text) => new RegExp(`^${text.replace(/[\\^$.|+()[\]{}]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".")}$`, "isu");
// Whether a value's text is what was asked for: the same, whatever the case of letters, or a glob where it stands bare.
const matcher = ({ text, bare }) => {
  if (!bare || !/[*?]/.test(text)) { const asked = text.toLowerCase(); return (given) => given.toLowerCase() === asked; }
  const pattern = globbed(text);
  return (given) => pattern.test(given);
};
const COMPARE = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, ":": (a, b) => a === b };
const bound = (term) => {
  const value = Number(term.values[0].text.replace(/^(-?)inf$/i, "$1Infinity"));
  if (term.values.length > 1 || term.values[0].text === "" || Number.isNaN(value)) throw new QueryFault(`${term.field}${term.operator} needs one number, not ${term.values.map((item) => item.text).join(",")}.`);
  return value;
};

// A parsed query as a function of a case's place. `fields` says what each field is made of, `text` gives a case's words.
const compiled = (tree, fields, text) => {
  const of = (node) => {
    if (node.kind === "not") { const part = of(node.part); return (place) => !part(place); }
    if (node.kind === "and" || node.kind === "or") {
      const parts = node.parts.map(of);
      return node.kind === "and" ? (place) => parts.every((part) => part(place)) : (place) => parts.some((part) => part(place));
    }
    if (node.kind === "word") {
      const word = node.value.toLowerCase();
      const words = text();
      return (place) => words[place].includes(word);
    }
    const field = fields.get(node.field.toLowerCase());
    if (!field) {
      const near = nearest(node.field, [...fields.keys()]);
      throw new QueryFault(`There is no field ${shortened(node.field)}${near ? `; did you mean ${near}?` : "."} To search for the text itself, put it into quotes.`);
    }
    return field(node);
  };
  return of(tree);
};

// The text with a value of a field added to what is asked for, or taken out again.
const fieldTerm = (tree, name) => (tree.kind === "and" && !tree.closed ? tree.parts : [tree]).find((part) => part.kind === "field" && part.operator === ":" && part.field.toLowerCase() === name.toLowerCase());
const isAsked = (term, value) => Boolean(term?.values.some((item) => item.text.toLowerCase() === value.toLowerCase()));
const writtenTerm = (name, values) => `${writtenField(name)}:${values.map((item) => (item.bare ? item.text : writtenValue(item.text))).join(",")}`;
// The text without a term of its outermost conditions, and without the AND that joined it.
const cut = (text, term) => {
  const [before, after] = [text.slice(0, term.start).trim(), text.slice(term.end).trim()];
  return `${before.replace(/\s*\bAND$/, "")} ${before.endsWith("AND") ? after : after.replace(/^AND\b\s*/, "")}`.trim();
};
const toggled = (text, name, value) => {
  const tree = parseQuery(text);
  const term = fieldTerm(tree, name);
  if (!term) {
    const before = tree.kind === "or" && !tree.closed ? `(${text.trim()})` : text.trim();
    return `${before} ${writtenTerm(name, [{ text: value }])}`.trim();
  }
  const values = isAsked(term, value) ? term.values.filter((item) => item.text.toLowerCase() !== value.toLowerCase()) : [...term.values, { text: value }];
  return values.length ? `${text.slice(0, term.start)}${writtenTerm(name, values)}${text.slice(term.end)}` : cut(text, term);
};
// The same query without what it asks of one field, to count what else could be asked for.
const without = (text, name) => {
  const term = fieldTerm(parseQuery(text), name);
  return term ? cut(text, term) : text;
};
