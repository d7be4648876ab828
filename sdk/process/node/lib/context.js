// What a step knows, how it answers, and what it asks of the host.
import { dump, isJSON, members, wellFormed } from "./json.js";

export const errors = ["ok", "denied", "not_found", "too_large", "invalid", "unavailable", "cancelled", "quota", "unknown_op", "fault"];
export const errno = { denied: 1, notFound: 2, tooLarge: 3, invalid: 4, unavailable: 5, cancelled: 6, unknownOp: 8 };
const maxOutputs = 64;
const maxName = 128;
const maxValue = 8 << 20;
const maxMessage = 16 << 10;
const slice = 1 << 20;
const piece = 256 << 10;

/** The host refused. A step that lets it through fails with its code. */
export class CallError extends Error {
  constructor(number, { code, reason = "", hint = "", op = "" } = {}) {
    const word = code || (errors[number] ?? "errno");
    super(op ? `${op}: ${reason || word}` : reason || word);
    this.name = "CallError";
    Object.assign(this, { errno: number, code: word, reason, hint, op });
  }
}

/** How a step ends other than by success: throw one of Skip, Permanent, Retry and Failed. */
export class Ending extends Error {
  kind = 1;

  constructor(message = "", { code = "", cause, after } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.code = code;
    if (after !== undefined) this.after = after;
  }
}

export class Failed extends Ending {}

export class Skip extends Ending {
  kind = 2;
}

export class Permanent extends Ending {
  kind = 4;
}

export class Retry extends Ending {
  kind = 3;
}

/** Returns a message that the host takes. */
export function clip(message) {
  const data = Buffer.from(String(message));
  return data.length <= maxMessage ? data.toString() : data.subarray(0, maxMessage).toString().replace(/\ufffd+$/, "");
}

const bytesOf = (data) => (typeof data === "string" ? Buffer.from(data) : Buffer.from(data.buffer ?? data, data.byteOffset, data.byteLength));

/** One attempt of a step. */
export class Context {
  #attempt;
  #limit;
  #sizes = new Map();
  #inputs;

  constructor(document, attempt, outputBytes) {
    const told = JSON.parse(document);
    if (told === null || typeof told !== "object" || Array.isArray(told)) throw new Permanent("the run context is no object");
    for (const [name, value] of Object.entries(told)) if (!(name in Context.prototype)) this[name] = value;
    this.inputs = told.with ?? {};
    this.context = told.context ?? {};
    delete this.with;
    this.raw = document;
    this.#attempt = attempt;
    this.#limit = outputBytes || 1 << 20;
    /** Ends when the attempt is to stop. */
    this.signal = attempt.signal;
    const put = (level) => (text) => attempt.log(level, clip(text));
    this.log = { debug: put(1), info: put(2), warn: put(3), error: put(4) };
    this.http = new HTTP(this);
    this.state = new State(this);
    this.artifact = new Artifacts(this);
  }

  rawInput(name) {
    this.#inputs ??= members(members(this.raw).get("with") ?? "");
    return this.#inputs.get(name);
  }

  output(name, value) {
    this.outputRaw(name, dump(value));
  }

  outputRaw(name, text) {
    const refuse = (number, reason) => {
      throw new CallError(number, { reason, op: "output" });
    };
    if (name === "" || !wellFormed(name)) refuse(errno.invalid, "an output needs a name that is text");
    const size = Buffer.byteLength(text);
    const old = this.#sizes.get(name);
    let total = size - (old ?? 0);
    for (const n of this.#sizes.values()) total += n;
    const many = old === undefined && this.#sizes.size >= maxOutputs;
    if (Buffer.byteLength(name) > maxName || size > maxValue || total > this.#limit || many) {
      refuse(errno.tooLarge, `output "${name.slice(0, 40)}" of ${size} bytes is over a limit of the step`);
    }
    if (!isJSON(text)) refuse(errno.invalid, `output "${name.slice(0, 40)}" is no JSON of at most 64 levels`);
    this.#attempt.output(name, Buffer.from(text));
    this.#sizes.set(name, size);
  }

  async save(name, content, type = "application/octet-stream") {
    const pieces = typeof content === "string" || ArrayBuffer.isView(content) || content instanceof ArrayBuffer ? [content] : content;
    try {
      for await (const part of pieces) {
        const data = bytesOf(part);
        for (let at = 0; at < data.length; at += piece) {
          await this.#attempt.artifact(name, type, data.subarray(at, at + piece), false, false);
        }
      }
    } catch (error) {
      await this.#attempt.artifact(name, type, Buffer.alloc(0), false, true);
      throw error;
    }
    await this.#attempt.artifact(name, type, Buffer.alloc(0), true, false);
  }

  progress(fraction, message = "") {
    this.#attempt.progress(Math.max(0, Math.min(1000, Math.round(fraction * 1000))) || 0, clip(message));
    return this.cancelled;
  }

  get cancelled() {
    return this.signal.aborted;
  }

  sleep(seconds) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.signal.removeEventListener("abort", done);
        resolve(this.signal.aborted);
      };
      const timer = setTimeout(done, seconds * 1000);
      if (this.signal.aborted) done();
      else this.signal.addEventListener("abort", done);
    });
  }

  async callBytes(op, request = {}, body = "") {
    return this.#attempt.call(op, Buffer.from(dump(request)), bytesOf(body));
  }

  async call(op, request = {}, body = "") {
    const answer = await this.callBytes(op, request, body);
    return answer.length > 0 ? JSON.parse(answer.toString()) : undefined;
  }

  info() {
    return this.call("host.info");
  }

  async secret(name) {
    return (await this.call("secret.get", { name })).value;
  }

  async emit(type, data, subject) {
    return (await this.call("event.emit", { type, subject, data })).id;
  }
}

export class Response {
  constructor(answer) {
    this.status = answer.status;
    this.headers = answer.headers ?? {};
    if (answer.artifact) this.artifact = answer.artifact;
    this.bytes = answer.body_base64 === undefined ? Buffer.from(answer.body ?? "") : Buffer.from(answer.body_base64, "base64");
  }

  get ok() {
    return this.status < 400;
  }

  get text() {
    return this.bytes.toString();
  }

  json() {
    return JSON.parse(this.text);
  }
}

class HTTP {
  #ctx;

  constructor(ctx) {
    this.#ctx = ctx;
  }

  async request(method, url, { headers, body = "", json, timeout, artifact } = {}) {
    const all = { ...headers };
    if (json !== undefined) {
      body = dump(json);
      if (!Object.keys(all).some((name) => name.toLowerCase() === "content-type")) all["content-type"] = "application/json";
    }
    const request = { method, url };
    if (Object.keys(all).length > 0) request.headers = all;
    if (timeout !== undefined) request.timeout_ms = Math.round(timeout * 1000);
    if (artifact !== undefined) request.artifact = artifact;
    return new Response(await this.#ctx.call("http.request", request, body));
  }

  get(url, options) {
    return this.request("GET", url, options);
  }

  post(url, options) {
    return this.request("POST", url, options);
  }

  put(url, options) {
    return this.request("PUT", url, options);
  }

  delete(url, options) {
    return this.request("DELETE", url, options);
  }
}

class State {
  #ctx;

  constructor(ctx) {
    this.#ctx = ctx;
  }

  async get(key, otherwise) {
    try {
      return (await this.#ctx.call("state.get", { key })).value;
    } catch (error) {
      if (error instanceof CallError && error.errno === errno.notFound) return otherwise;
      throw error;
    }
  }

  async set(key, value) {
    await this.#ctx.call("state.set", { key, value });
  }

  async delete(key) {
    await this.#ctx.call("state.delete", { key });
  }

  async list(prefix = "") {
    return (await this.#ctx.call("state.list", { prefix })).keys;
  }
}

class Artifacts {
  #ctx;

  constructor(ctx) {
    this.#ctx = ctx;
  }

  put(name, data, type = "application/octet-stream") {
    return this.#ctx.call("artifact.put", { name, type }, data);
  }

  async get(ref, part) {
    if (part === undefined && ref.size > slice) {
      const all = [];
      for await (const data of this.read(ref)) all.push(data);
      return Buffer.concat(all);
    }
    return this.#ctx.callBytes("artifact.get", { ...ref, ...part });
  }

  async *read(ref) {
    for (let offset = 0; ; offset += slice) {
      const data = await this.get(ref, { offset, length: slice });
      if (data.length > 0) yield data;
      if (data.length < slice) return;
    }
  }

  async text(ref) {
    return (await this.get(ref)).toString();
  }
}
