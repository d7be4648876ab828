// What a script asks of Uniflow.
//
//   import * as uniflow from "uniflow";
//
//   export function run(ctx) {
//     uniflow.log.info(`${ctx.inputs.rows.length} rows`);
//     return { count: ctx.inputs.rows.length };
//   }
//
// The object that the function returns becomes the outputs of the step, one for each key. The engine calls the function
// once per attempt, in a fresh sandbox. Types stand in uniflow.d.ts.
import * as host from "_uniflow";

const errors = ["ok", "denied", "not_found", "too_large", "invalid", "unavailable", "cancelled", "quota", "unknown_op", "fault"];
const mostOfMessage = 16000; // bytes that the host surely takes
const slice = 4 << 20; // bytes of an artifact that are read at once

// ---- endings ----

// Ending is how a step ends other than by success. Throw one of Skip, Permanent, Retry and Failed.
export class Ending extends Error {
  constructor(message = "", { code = "", after, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.after = after;
  }
  get name() {
    return this.constructor.name;
  }
  get kind() {
    return 1;
  }
}

// Failed is a failure; the retry policy of the step decides. So does any other error.
export class Failed extends Ending {}

// Skip says that there was nothing to do. Outputs are kept.
export class Skip extends Ending {
  get kind() {
    return 2;
  }
}

// Retry is a failure that passes; after is in seconds.
export class Retry extends Ending {
  get kind() {
    return 3;
  }
}

// Permanent is a failure that trying again cannot help.
export class Permanent extends Ending {
  get kind() {
    return 4;
  }
}

// CallError says that the host refused. A step that lets it through fails with its code; what asking again cannot change
// is permanent.
export class CallError extends Error {
  constructor(code, message = "", hint = "", op = "") {
    super(op ? `${op}: ${message || code}` : message || code);
    this.code = code;
    this.reason = message;
    this.hint = hint;
    this.op = op;
  }
  get name() {
    return "CallError";
  }
  get kind() {
    return ["denied", "invalid", "unknown_op"].includes(this.code) ? 4 : 1;
  }
}

// Return ends with a number, and records nothing.
export class Return {
  constructor(kind) {
    this.kind = kind;
  }
}

// ending is the message of host.fail.
export function ending(message, code, after) {
  const document = { message: cut(String(message)) };
  if (code) document.code = String(code);
  if (after !== undefined) document.retry_after_ms = Math.round(after * 1000);
  let text = JSON.stringify(document);
  if (host.encode(text).length > mostOfMessage) text = JSON.stringify({ ...document, message: document.message.slice(0, 2000) });
  return text;
}

function cut(text) {
  const whole = text.toWellFormed();
  return whole.length * 3 <= mostOfMessage ? whole : host.decode(host.encode(whole).subarray(0, mostOfMessage)).replace(/\ufffd$/, "");
}

// ---- JSON ----

const mark = "\u0000integer:";
let marked = false;

function plain(key, value) {
  const at = this[key];
  if (typeof at === "bigint") {
    marked = true;
    return mark + at;
  }
  if (ArrayBuffer.isView(at) || at instanceof ArrayBuffer) throw new TypeError("bytes are no JSON: put them with uniflow.artifact.put");
  if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError(`${value} is no JSON`);
  return value;
}

// dump returns the JSON of a value; integers of the type bigint are written in full.
function dump(value) {
  marked = false;
  const text = JSON.stringify(value, plain);
  if (text === undefined) throw new TypeError(`a value of type ${typeof value} is no JSON`);
  return marked ? text.replace(/"\\u0000integer:(-?\d+)"/g, "$1") : text;
}

// members splits the text of an object; the values stay as they stand.
function members(text) {
  const parts = text !== undefined && text.startsWith("{") ? host.split(text) : [];
  const all = new Map();
  for (let i = 0; i + 1 < parts.length; i += 2) all.set(JSON.parse(parts[i]), parts[i + 1]);
  return all;
}

// ---- the step ----

// Context is what the step is told. Every member of the run context is a property; inputs is `with`.
export class Context {
  #text;
  #inputs;
  constructor(raw) {
    this.#text = host.decode(raw);
    Object.assign(this, JSON.parse(this.#text));
    this.inputs = this.with ?? {};
  }
  // raw is the document, as text.
  get raw() {
    return this.#text;
  }
  // rawInput returns the JSON text of an input as it stands in the document; undefined where there is none.
  rawInput(name) {
    this.#inputs ??= members(members(this.#text).get("with"));
    return this.#inputs.get(name);
  }
}

// output sets an output to a value that JSON can hold.
export function output(name, value) {
  outputRaw(name, dump(value));
}

// outputRaw sets an output to a JSON text, as it is.
export function outputRaw(name, text) {
  const code = host.output(String(name), text);
  if (code < 0) throw new CallError(nameOf(code), `output "${name}" is refused: ${nameOf(code)}`, "", "output");
}

// results sets what the function returned as outputs.
export function results(result) {
  if (result === undefined || result === null) return;
  const all = typeof result === "object" && !Array.isArray(result) && !ArrayBuffer.isView(result) ? result : { result };
  for (const [name, value] of Object.entries(all)) if (value !== undefined) output(name, value);
}

// progress says how far the step is, from 0 to 1; true when it is being cancelled.
export function progress(fraction, message = "") {
  return host.progress(Math.max(0, Math.min(1000, Math.round(fraction * 1000))), cut(String(message))) === 1;
}

const put = (level) => (message) => void host.log(level, cut(String(message)));

export const log = { debug: put(1), info: put(2), warn: put(3), error: put(4) };

// ---- services ----

const nameOf = (code) => errors[-code] ?? `error_${-code}`;
const asBytes = (data) => (typeof data === "string" ? host.encode(data.toWellFormed()) : data);

function callBytes(op, request, body) {
  const [code, answer] = host.call(op, dump(request), body === undefined ? undefined : asBytes(body));
  if (code === 0) return answer;
  let why = {};
  try {
    why = JSON.parse(host.decode(answer));
  } catch {
    // the host said nothing more
  }
  throw new CallError(why.code || nameOf(code), why.message, why.hint, op);
}

// call calls a service by the name of its operation, and returns what it answers.
export function call(op, request = {}, body = undefined) {
  const answer = callBytes(op, request, body);
  return answer.length ? JSON.parse(host.decode(answer)) : null;
}

// info returns what the host is and can.
export const info = () => call("host.info");

// secret returns a secret that the manifest exposes to the step.
export const secret = (name) => call("secret.get", { name }).value;

// emit emits an event and returns its id.
export const emit = (type, data, subject) => call("event.emit", { type, subject, data }).id;

// Response is what a server answered. Names of headers are in lower case.
export class Response {
  #body;
  #packed;
  constructor(answer) {
    this.status = answer.status;
    this.headers = answer.headers ?? {};
    this.artifact = answer.artifact;
    this.#body = answer.body;
    this.#packed = answer.body_base64;
  }
  get ok() {
    return this.status < 400;
  }
  get bytes() {
    return this.#packed === undefined ? host.encode(this.#body ?? "") : unbase64(this.#packed);
  }
  get text() {
    return this.#body ?? host.decode(this.bytes);
  }
  json() {
    return JSON.parse(this.text);
  }
}

function request(method, url, { headers, body, json, timeout, artifact } = {}) {
  const all = { ...headers };
  if (json !== undefined) {
    body = dump(json);
    all["content-type"] ??= "application/json";
  }
  const ask = { method, url };
  if (Object.keys(all).length) ask.headers = all;
  if (timeout !== undefined) ask.timeout_ms = Math.round(timeout * 1000);
  if (artifact !== undefined) ask.artifact = artifact;
  return new Response(JSON.parse(host.decode(callBytes("http.request", ask, body))));
}

// http makes requests, by the host, where the grant http allows it. A status of 400 or more is an answer, no error.
export const http = {
  request,
  get: (url, options) => request("GET", url, options),
  post: (url, options) => request("POST", url, options),
  put: (url, options) => request("PUT", url, options),
  delete: (url, options) => request("DELETE", url, options),
};

// state holds values that the pipeline keeps from run to run. What is written counts when the run succeeds.
export const state = {
  get(key, otherwise = undefined) {
    try {
      return call("state.get", { key }).value;
    } catch (error) {
      if (error instanceof CallError && error.code === "not_found") return otherwise;
      throw error;
    }
  },
  set: (key, value) => void call("state.set", { key, value }),
  delete: (key) => void call("state.delete", { key }),
  list: (prefix = "") => call("state.list", { prefix }).keys,
};

// artifact holds values too large for JSON. A reference is an object that can be an output.
export const artifact = {
  put: (name, data, type = "application/octet-stream") => call("artifact.put", { name, type }, data),
  get(ref, { offset, length } = {}) {
    if (offset !== undefined || length !== undefined || !(ref.size > slice)) return callBytes("artifact.get", { ...ref, offset, length });
    const whole = new Uint8Array(ref.size);
    for (let at = 0; at < ref.size; at += slice) {
      whole.set(callBytes("artifact.get", { ...ref, offset: at, length: Math.min(slice, ref.size - at) }), at);
    }
    return whole;
  },
  text: (ref) => host.decode(artifact.get(ref)),
};

// ---- bytes as text ----

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// base64 returns bytes as text, unbase64 the bytes.
export function base64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const n = (bytes[i] << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    text += digits[n >> 18] + digits[(n >> 12) & 63] + (i + 1 < bytes.length ? digits[(n >> 6) & 63] : "=") + (i + 2 < bytes.length ? digits[n & 63] : "=");
  }
  return text;
}

export function unbase64(text) {
  const plain = text.replace(/[\s=]/g, "");
  const bytes = new Uint8Array((plain.length * 3) >> 2);
  let bits = 0;
  let held = 0;
  let n = 0;
  for (const c of plain) {
    const digit = digits.indexOf(c);
    if (digit < 0) throw new SyntaxError("not base64");
    bits = ((bits << 6) | digit) & 0xffffff;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes[n++] = (bits >> held) & 255;
    }
  }
  return bytes;
}

// warm fills caches before the state is kept that attempts start from.
export function warm() {
  new Context(host.encode('{"with":{"a":[1,2.5,"x",null,true]},"context":{}}')).rawInput("a");
  dump({ a: [1, 2.5, "x", null, true] });
  ending("", "x", 1);
}
