// JSON as text: what the host takes, and where the members of an object stand.
import { randomUUID } from "node:crypto";

const space = /[ \t\n\r]*/y;
const text = /"[^"\\]*(?:\\.[^"\\]*)*"/sy; // in this form, long texts need no stack
const word = /[^\s,\]}]+/y;
const maxDepth = 64;

function match(pattern, source, at) {
  pattern.lastIndex = at;
  return pattern.test(source) ? pattern.lastIndex : -1;
}

const skip = (source, at) => match(space, source, at);

/** Returns where the value at a place ends. The source is known to be JSON. */
function valueEnd(source, at) {
  if (source[at] === '"') return match(text, source, at);
  if (source[at] !== "{" && source[at] !== "[") return match(word, source, at);
  let depth = 0;
  do {
    const c = source[at];
    if (c === '"') {
      at = match(text, source, at);
      continue;
    }
    if (c === "{" || c === "[") depth++;
    if (c === "}" || c === "]") depth--;
    at++;
  } while (depth > 0);
  return at;
}

/** Returns the members of an object, the values as they stand; none for another value. */
export function members(source) {
  const found = new Map();
  let at = skip(source, 0);
  if (source[at] !== "{") return found;
  at = skip(source, at + 1);
  while (source[at] === '"') {
    const nameEnd = match(text, source, at);
    const begin = skip(source, skip(source, nameEnd) + 1);
    const end = valueEnd(source, begin);
    found.set(JSON.parse(source.slice(at, nameEnd)), source.slice(begin, end));
    at = skip(source, end);
    if (source[at] === ",") at = skip(source, at + 1);
  }
  return found;
}

/** Tells whether the host takes a text as a value: one JSON value, at most 64 deep. */
export function isJSON(source) {
  let depth = 0;
  for (const [token] of source.matchAll(/[[\]{}]|"[^"\\]*(?:\\.[^"\\]*)*"/gs)) {
    if (token === "{" || token === "[") depth++;
    if (token === "}" || token === "]") depth--;
    if (depth > maxDepth) return false;
  }
  try {
    JSON.parse(source);
  } catch {
    return false;
  }
  return wellFormed(source);
}

/** Tells whether a text has no half of a surrogate pair, so that it can be UTF-8. */
export const wellFormed = (source) => !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(source);

const bigint = `bigint-${randomUUID()}:`; // marks one in a document for a moment
const marked = new RegExp(`"${bigint}(-?\\d+)"`, "g");

/** Encodes a value; a bigint is written as an integer in full. */
export function dump(value) {
  const encoded = JSON.stringify(value, (_, v) => (typeof v === "bigint" ? bigint + v : v));
  if (encoded === undefined) throw new TypeError(`a value of type ${typeof value} is no JSON`);
  return encoded.includes(bigint) ? encoded.replace(marked, "$1") : encoded;
}
