/**
 * The AssemblyScript kit for steps of Uniflow, in one file.
 *
 *     import { handle, Ending, Step } from "./uniflow";
 *     export { uniflow_abi_v1 } from "./uniflow";
 *
 *     function greet(step: Step): Ending {
 *       const name = step.inputs.get("name");
 *       if (!name.isText) return Ending.permanent("name must be a text");
 *       step.output("greeting", "Hello, " + name.text());
 *       return Ending.ok();
 *     }
 *
 *     export function uniflow_run(): i32 {
 *       return handle(greet);
 *     }
 *
 * Build it with `asc --runtime stub --use abort=`: a step is short, so nothing
 * is freed. A service answers with a Result: the value, or why it said no.
 */

// ---- the host ----

// @ts-ignore: decorator
@external("uniflow", "input_size") declare function input_size(): i32;
// @ts-ignore: decorator
@external("uniflow", "input_read") declare function input_read(dst: usize, off: u32, len: u32): i32;
// @ts-ignore: decorator
@external("uniflow", "output") declare function host_output(name: usize, nameLen: u32, value: usize, len: u32): i32;
// @ts-ignore: decorator
@external("uniflow", "log") declare function host_log(level: i32, msg: usize, len: u32): void;
// @ts-ignore: decorator
@external("uniflow", "fail") declare function host_fail(kind: i32, msg: usize, len: u32): i32;
// @ts-ignore: decorator
@external("uniflow", "progress") declare function host_progress(permille: i32, msg: usize, len: u32): i32;
// @ts-ignore: decorator
@external("uniflow", "call") declare function host_call(op: usize, opLen: u32, req: usize, len: u32): i32;
// @ts-ignore: decorator
@external("uniflow", "call_read") declare function host_call_read(dst: usize, off: u32, len: u32): i32;
// @ts-ignore: decorator
@external("uniflow", "call_write") declare function host_call_write(src: usize, len: u32): i32;

/** The mark of a reactor; never called. Export it from the plugin. */
export function uniflow_abi_v1(): void {}

/** How a step ends; the numbers of the contract. */
export enum Kind { Ok = 0, Failed = 1, Skip = 2, Retry = 3, Permanent = 4 }

/** Error numbers of the contract. */
export enum Errno {
  Ok = 0, Denied = 1, NotFound = 2, TooLarge = 3, Invalid = 4, Unavailable = 5, Cancelled = 6, Quota = 7, UnknownOp = 8, Fault = 9,
}

/** The name of an error number. */
export function errnoName(errno: i32): string {
  switch (errno) {
    case Errno.Ok: return "ok";
    case Errno.Denied: return "denied";
    case Errno.NotFound: return "not_found";
    case Errno.TooLarge: return "too_large";
    case Errno.Invalid: return "invalid";
    case Errno.Cancelled: return "cancelled";
    case Errno.Quota: return "quota";
    case Errno.UnknownOp: return "unknown_op";
    case Errno.Fault: return "fault";
    default: return "unavailable";
  }
}

const MAX_DEPTH: i32 = 66; // 64 of a value, and 2 of the run context around it
const MAX_MESSAGE: i32 = 16384;

/** Bytes somewhere in memory. */
export class Bytes {
  constructor(public at: usize, public size: i32) {}

  static of(text: string): Bytes {
    const utf8 = String.UTF8.encode(text);
    return new Bytes(changetype<usize>(utf8), utf8.byteLength);
  }

  static from(array: Uint8Array): Bytes { return new Bytes(array.dataStart, array.length); }

  /** The bytes as UTF-8. */
  text(): string { return String.UTF8.decodeUnsafe(this.at, this.size); }

  toUint8Array(): Uint8Array {
    const copy = new Uint8Array(this.size);
    memory.copy(copy.dataStart, this.at, this.size);
    return copy;
  }

  /** At most so many bytes, without cutting a character. */
  clip(most: i32): Bytes {
    if (this.size <= most) return this;
    while (most > 0 && (load<u8>(this.at + most) & 0xc0) == 0x80) most--;
    return new Bytes(this.at, most);
  }
}

// ---- reading JSON ----

function blank(p: usize, end: usize): usize {
  while (p < end) {
    const c = load<u8>(p);
    if (c != 0x20 && c != 0x09 && c != 0x0a && c != 0x0d) break;
    p++;
  }
  return p;
}

function stringEnd(p: usize, end: usize): usize {
  for (p++; p < end; p++) {
    const c = load<u8>(p);
    if (c == 0x22) return p + 1;
    if (c == 0x5c) p++;
  }
  return 0;
}

/** The end of the value that starts at p, or 0. */
function valueEnd(p: usize, end: usize): usize {
  if (p >= end) return 0;
  const first = load<u8>(p);
  if (first == 0x22) return stringEnd(p, end);
  if (first != 0x7b && first != 0x5b) {
    const start = p;
    for (; p < end; p++) {
      const c = load<u8>(p);
      if (c <= 0x20 || c == 0x2c || c == 0x3a || c == 0x5d || c == 0x7d) break;
    }
    return p > start ? p : 0;
  }
  for (let depth = 0; p < end; ) {
    const c = load<u8>(p);
    if (c == 0x22) {
      p = stringEnd(p, end);
      if (!p) return 0;
      continue;
    }
    if ((c == 0x7b || c == 0x5b) && ++depth > MAX_DEPTH) return 0;
    if ((c == 0x7d || c == 0x5d) && --depth == 0) return p + 1;
    p++;
  }
  return 0;
}

function hex4(p: usize): i32 {
  let n = 0;
  for (let i = 0; i < 4; i++) {
    const c = <i32>load<u8>(p + i), lower = c | 32;
    if (c >= 0x30 && c <= 0x39) n = (n << 4) | (c - 0x30);
    else if (lower >= 0x61 && lower <= 0x66) n = (n << 4) | (lower - 0x57);
    else return 0xfffd;
  }
  return n;
}

function putUtf8(dst: usize, c: i32): usize {
  if (c < 0x80) {
    store<u8>(dst, c);
    return 1;
  }
  if (c < 0x800) {
    store<u8>(dst, 0xc0 | (c >> 6));
    store<u8>(dst + 1, 0x80 | (c & 63));
    return 2;
  }
  if (c < 0x10000) {
    store<u8>(dst, 0xe0 | (c >> 12));
    store<u8>(dst + 1, 0x80 | ((c >> 6) & 63));
    store<u8>(dst + 2, 0x80 | (c & 63));
    return 3;
  }
  store<u8>(dst, 0xf0 | (c >> 18));
  store<u8>(dst + 1, 0x80 | ((c >> 12) & 63));
  store<u8>(dst + 2, 0x80 | ((c >> 6) & 63));
  store<u8>(dst + 3, 0x80 | (c & 63));
  return 4;
}

/** The bytes of a string without its escapes; half of a pair reads as U+FFFD. */
function unescape(p: usize, end: usize): Bytes {
  const start = heap.alloc(end - p + 4);
  let dst = start;
  while (p < end) {
    let c = <i32>load<u8>(p++);
    if (c != 0x5c || p >= end) {
      store<u8>(dst++, c);
      continue;
    }
    c = <i32>load<u8>(p++);
    switch (c) {
      case 0x62: c = 8; break;
      case 0x66: c = 12; break;
      case 0x6e: c = 10; break;
      case 0x72: c = 13; break;
      case 0x74: c = 9; break;
      case 0x75: {
        if (end - p < 4) {
          c = 0xfffd;
          p = end;
          break;
        }
        c = hex4(p);
        p += 4;
        if ((c & 0xfc00) == 0xd800 && end - p >= 6 && load<u16>(p) == 0x755c) {
          const low = hex4(p + 2);
          if ((low & 0xfc00) == 0xdc00) {
            c = 0x10000 + ((c & 0x3ff) << 10) + (low & 0x3ff);
            p += 6;
          }
        }
        if ((c & ~0x7ff) == 0xd800) c = 0xfffd;
        break;
      }
    }
    dst += putUtf8(dst, c);
  }
  return new Bytes(start, <i32>(dst - start));
}

/** A member of an object. */
export class Member {
  constructor(public name: string, public value: Json) {}
}

/**
 * One JSON value as it stands in a document: output it, and it passes byte for
 * byte. What is missing, malformed or of another type reads as missing.
 */
export class Json {
  constructor(private at: usize, private size: i32) {}

  static missing(): Json { return new Json(0, 0); }

  /** The value that bytes hold. */
  static parse(doc: Bytes): Json {
    const p = blank(doc.at, doc.at + doc.size), end = valueEnd(p, doc.at + doc.size);
    return end ? new Json(p, <i32>(end - p)) : Json.missing();
  }

  private get first(): u8 { return this.size ? load<u8>(this.at) : 0; }

  get isMissing(): bool { return this.size == 0; }
  /** Is it null, or not there at all? */
  get isNull(): bool { return this.size == 0 || this.first == 0x6e; }
  get isObject(): bool { return this.first == 0x7b; }
  get isList(): bool { return this.first == 0x5b; }
  get isText(): bool { return this.first == 0x22; }
  get isNumber(): bool { return this.first == 0x2d || (this.first >= 0x30 && this.first <= 0x39); }
  get isBool(): bool { return this.first == 0x74 || this.first == 0x66; }

  /** The value as it stands, byte for byte. */
  get raw(): Bytes { return new Bytes(this.at, this.size); }

  /** The member of an object, the last one of its name. */
  get(name: string): Json {
    let found = Json.missing();
    const want = Bytes.of(name);
    if (!this.isObject) return found;
    const walk = new Walk(this.at, this.size);
    while (walk.next()) {
      const key = walk.value;
      if (!walk.next()) break;
      const bytes = key.content();
      if (bytes.size == want.size && memory.compare(bytes.at, want.at, want.size) == 0) found = walk.value;
    }
    return found;
  }

  /** The elements of a list. */
  elements(): Json[] {
    const all = new Array<Json>();
    if (!this.isList) return all;
    const walk = new Walk(this.at, this.size);
    while (walk.next()) all.push(walk.value);
    return all;
  }

  /** The members of an object, in their order. */
  members(): Member[] {
    const all = new Array<Member>();
    if (!this.isObject) return all;
    const walk = new Walk(this.at, this.size);
    while (walk.next()) {
      const name = walk.value.text();
      if (!walk.next()) break;
      all.push(new Member(name, walk.value));
    }
    return all;
  }

  /** The UTF-8 of a string, in the document where it has no escapes. */
  content(): Bytes {
    if (!this.isText || this.size < 2) return new Bytes(this.at, 0);
    const start = this.at + 1, end = this.at + this.size - 1;
    for (let p = start; p < end; p++) if (load<u8>(p) == 0x5c) return unescape(start, end);
    return new Bytes(start, this.size - 2);
  }

  /** The text of a string. */
  text(other: string = ""): string { return this.isText ? this.content().text() : other; }

  /** A number. */
  number(other: f64 = NaN): f64 {
    if (!this.isNumber) return other;
    let mantissa: u64 = 0, exp = 0, digits = 0, point = false;
    const end = this.at + this.size;
    for (let p = this.at + <usize>(this.first == 0x2d); p < end; p++) {
      const c = load<u8>(p);
      if (c == 0x2e && !point) point = true;
      else if (c >= 0x30 && c <= 0x39 && digits < 16) {
        mantissa = mantissa * 10 + (c - 0x30);
        if (mantissa) digits++;
        if (point) exp++;
      } else return parseFloat(this.raw.text()); // long, or with an exponent
    }
    if (digits > 15 || exp > 22) return parseFloat(this.raw.text());
    let power: f64 = 1;
    while (exp--) power *= 10;
    const size = <f64>mantissa / power; // both are exact, so this is the nearest number
    return this.first == 0x2d ? -size : size;
  }

  /** A whole number of 64 bits, exactly. */
  integer(other: i64 = 0): i64 {
    const negative = this.first == 0x2d;
    const most: u64 = <u64>i64.MAX_VALUE + <u64>negative;
    let n: u64 = 0, p = this.at + <usize>negative;
    const end = this.at + this.size;
    if (p >= end) return other;
    for (; p < end; p++) {
      const digit = <u64>load<u8>(p) - 0x30;
      if (digit > 9 || n > (most - digit) / 10) return other;
      n = n * 10 + digit;
    }
    return negative ? -(<i64>n) : <i64>n;
  }

  /** true or false. */
  boolean(other: bool = false): bool { return this.isBool ? this.first == 0x74 : other; }
}

/** Walks through what stands between brackets. */
class Walk {
  value: Json = Json.missing();
  private p: usize;
  private end: usize;

  constructor(at: usize, size: i32) {
    this.p = at + 1;
    this.end = at + size - 1;
  }

  next(): bool {
    const start = blank(this.p, this.end), stop = valueEnd(start, this.end);
    if (!stop) return false;
    this.value = new Json(start, <i32>(stop - start));
    this.p = blank(stop, this.end);
    if (this.p < this.end && (load<u8>(this.p) == 0x2c || load<u8>(this.p) == 0x3a)) this.p++;
    return true;
  }
}

// ---- writing JSON ----

/** JSON that is being written: Doc.object().add("rows", 3).add("name", "x"). */
export class Doc {
  private at: usize = 0;
  private size: i32 = 0;
  private room: i32 = 0;

  constructor(private close: u8 = 0) {}

  static object(): Doc { return new Doc(0x7d).byte(0x7b); }
  static list(): Doc { return new Doc(0x5d).byte(0x5b); }

  /** One value alone. */
  static of<T>(value: T): Doc { return new Doc().put<T>(value); }

  /** Adds a member to an object. */
  add<T>(name: string, value: T): Doc { return this.separate().put<string>(name).byte(0x3a).put<T>(value); }

  /** Adds an element to a list. */
  push<T>(value: T): Doc { return this.separate().put<T>(value); }

  /** The document; nothing can be added afterwards. */
  finish(): Bytes {
    if (this.close) this.byte(this.close);
    this.close = 0;
    return new Bytes(this.at, this.size);
  }

  /** Puts a text, number, boolean, Json, Doc, list of these, or null. */
  put<T>(value: T): Doc {
    if (isNullable<T>()) {
      if (changetype<usize>(value) == 0) return this.raw("null");
    }
    if (isString<T>()) return this.text(Bytes.of(<string>value));
    if (isBoolean<T>()) return this.raw(value ? "true" : "false");
    if (isFloat<T>()) return isFinite<T>(value) ? this.raw(value.toString()) : this.raw("null");
    if (isInteger<T>()) return this.raw(value.toString());
    if (isArray<T>()) {
      const list = Doc.list();
      for (let i = 0; i < value.length; i++) list.push(value[i]);
      return this.bytes(list.finish());
    }
    if (value instanceof Json) return value.isMissing ? this.raw("null") : this.bytes(value.raw);
    if (value instanceof Doc) return this.bytes(value.finish());
    return ERROR<Doc>("this type cannot be written as JSON");
  }

  private separate(): Doc { return this.size > 1 ? this.byte(0x2c) : this; }

  private text(s: Bytes): Doc {
    this.byte(0x22);
    for (let i = 0; i < s.size; i++) {
      const c = load<u8>(s.at + i);
      if (c == 0x22 || c == 0x5c) this.byte(0x5c).byte(c);
      else if (c >= 0x20) this.byte(c);
      else this.raw("\\u00").byte(0x30 + (c >> 4)).byte((c & 15) + ((c & 15) < 10 ? 0x30 : 0x57));
    }
    return this.byte(0x22);
  }

  private raw(s: string): Doc { return this.bytes(Bytes.of(s)); }

  private bytes(b: Bytes): Doc {
    this.grow(b.size);
    memory.copy(this.at + this.size, b.at, b.size);
    this.size += b.size;
    return this;
  }

  private byte(c: u8): Doc {
    this.grow(1);
    store<u8>(this.at + this.size++, c);
    return this;
  }

  private grow(more: i32): void {
    if (this.size + more <= this.room) return;
    this.room = this.room * 2 + more + 64;
    const larger = heap.alloc(this.room);
    memory.copy(larger, this.at, this.size);
    this.at = larger;
  }
}

// ---- endings ----

/** How a step ends. */
export class Ending {
  /** Machine code of the plugin's own, may be empty. */
  code: string = "";
  /** Only of a retry: how long to wait; 0 leaves it to the step's policy. */
  afterMs: i64 = 0;

  constructor(public kind: Kind, public message: string) {}

  static ok(): Ending { return new Ending(Kind.Ok, ""); }

  /** There was nothing to do; outputs are kept. */
  static skip(why: string): Ending { return new Ending(Kind.Skip, why); }

  /** A failure; the step's retry policy decides. */
  static failed(why: string, code: string = ""): Ending { return new Ending(Kind.Failed, why).withCode(code); }

  /** A failure that trying again cannot heal. */
  static permanent(why: string, code: string = ""): Ending { return new Ending(Kind.Permanent, why).withCode(code); }

  /** A transient failure. */
  static retry(why: string, afterMs: i64 = 0): Ending {
    const ending = new Ending(Kind.Retry, why);
    ending.afterMs = afterMs;
    return ending;
  }

  withCode(code: string): Ending {
    this.code = code;
    return this;
  }

  /** Tells the host; returns what the entry returns. */
  report(): i32 {
    if (this.kind == Kind.Ok) return Kind.Ok;
    let text = Bytes.of(this.message).clip(MAX_MESSAGE);
    if (this.code.length || this.afterMs > 0 || this.message.startsWith("{")) {
      text = this.structured();
      while (text.size > MAX_MESSAGE) { // escapes take room
        this.message = Bytes.of(this.message).clip(this.message.length / 2).text();
        this.code = Bytes.of(this.code).clip(256).text();
        text = this.structured();
      }
    }
    host_fail(this.kind, text.at, text.size);
    return this.kind;
  }

  private structured(): Bytes {
    const doc = Doc.object();
    if (this.code.length) doc.add("code", this.code);
    doc.add("message", this.message);
    if (this.afterMs > 0) doc.add("retry_after_ms", this.afterMs);
    return doc.finish();
  }
}

/** Why a service said no. */
export class Refusal {
  code: string;
  message: string = "";
  /** What to do about it, may be empty. */
  hint: string = "";

  constructor(public op: string, public errno: Errno) { this.code = errnoName(errno); }

  /** How a step ends that lets it through: permanent where asking again cannot help. */
  ending(): Ending {
    const e = this.errno, name = errnoName(e);
    const useless = e == Errno.Denied || e == Errno.Invalid || e == Errno.UnknownOp;
    return new Ending(useless ? Kind.Permanent : Kind.Failed, this.op + ": " + (this.message.length ? this.message : name)).withCode(name);
  }
}

/** What a service answers, or its refusal. */
export class Result<T> {
  refusal: Refusal | null = null;

  constructor(public value: T) {}

  static refused<T>(value: T, why: Refusal): Result<T> {
    const result = new Result<T>(value);
    result.refusal = why;
    return result;
  }

  get refused(): bool { return this.refusal !== null; }

  /** How a step ends that lets the refusal through. */
  ending(): Ending {
    const refusal = this.refusal;
    return refusal ? refusal.ending() : Ending.ok();
  }
}

// ---- services ----

/** A request that the host makes, where a grant covers its method and URL. */
export class HttpRequest {
  method: string = "GET";
  headers: Doc = Doc.object();
  hasHeaders: bool = false;
  body: Bytes = new Bytes(0, 0);
  /** 0 for what the host allows. */
  timeoutMs: i64 = 0;
  /** Where set, the body of the response is stored as an artifact of this name. */
  artifact: string = "";

  constructor(public url: string, method: string = "GET") {
    if (method.length) this.method = method;
  }

  header(name: string, value: string): HttpRequest {
    this.headers.add(name, value);
    this.hasHeaders = true;
    return this;
  }

  text(body: string): HttpRequest {
    this.body = Bytes.of(body);
    return this;
  }
}

/** An answer; a status of 400 and more is one, too. */
export class HttpResponse {
  status: i32 = 0;
  /** Names in lower case; several values are joined by ", ". */
  headers: Json = Json.missing();
  body: Bytes = new Bytes(0, 0);
  /** The reference, where the request asked for one. */
  artifact: Json = Json.missing();

  header(name: string): string | null {
    const value = this.headers.get(name);
    return value.isText ? value.text() : null;
  }

  text(): string { return this.body.text(); }
  json(): Json { return Json.parse(this.body); }
}

function base64(text: Bytes): Bytes {
  const start = heap.alloc((text.size / 4) * 3 + 3);
  let dst = start, bits: u32 = 0, have = 0;
  for (let i = 0; i < text.size; i++) {
    const c = <u32>load<u8>(text.at + i);
    let six: u32 = 64;
    if (c >= 0x41 && c <= 0x5a) six = c - 0x41;
    else if (c >= 0x61 && c <= 0x7a) six = c - 0x61 + 26;
    else if (c >= 0x30 && c <= 0x39) six = c - 0x30 + 52;
    else if (c == 0x2b) six = 62;
    else if (c == 0x2f) six = 63;
    else break;
    bits = (bits << 6) | six;
    have += 6;
    if (have >= 8) {
      have -= 8;
      store<u8>(dst++, bits >> have);
    }
  }
  return new Bytes(start, <i32>(dst - start));
}

/** What a step knows, and how it answers. */
export class Step {
  private refusedOutput: Ending | null = null;

  /** document is the whole run context. */
  constructor(public document: Json) {}

  /** A text of the run context, as "run_id" or "deadline"; empty where there is none. */
  known(name: string): string { return this.document.get(name).text(); }

  get pipeline(): string { return this.known("pipeline"); }
  /** The name of the step. */
  get name(): string { return this.known("step"); }
  get runId(): string { return this.known("run_id"); }
  /** The same for every attempt of the step in its run. */
  get idempotencyKey(): string { return this.known("idempotency_key"); }
  get trigger(): string { return this.known("trigger"); }
  /** Counts from 1. */
  get attempt(): i32 { return <i32>this.document.get("attempt").integer(1); }
  get maxAttempts(): i32 { return <i32>this.document.get("max_attempts").integer(1); }
  /** What the caller gave the run. */
  get context(): Json { return this.document.get("context"); }
  /** The inputs of the step. */
  get inputs(): Json { return this.document.get("with"); }
  /** The element of a fan-out, and its place; missing and -1 outside of one. */
  get item(): Json { return this.document.get("item"); }
  get itemIndex(): i64 { return this.document.get("item_index").integer(-1); }

  /**
   * Sets a named output; the last one of a name wins. What the host refuses
   * fails the step in the end, so there is nothing to check here.
   */
  output<T>(name: string, value: T): void {
    const errno = rawOutput(name, Doc.of<T>(value).finish());
    if (errno == Errno.Ok) return;
    const why = "output " + name + ": " + errnoName(errno);
    const useless = errno == Errno.TooLarge || errno == Errno.Invalid;
    this.refusedOutput = useless ? Ending.permanent(why, errnoName(errno)) : Ending.failed(why, errnoName(errno));
  }

  debug(message: string): void { this.log(1, message); }
  info(message: string): void { this.log(2, message); }
  warn(message: string): void { this.log(3, message); }
  /** Logs an error; it does not end the step. */
  error(message: string): void { this.log(4, message); }

  private log(level: i32, message: string): void {
    const text = Bytes.of(message).clip(MAX_MESSAGE);
    host_log(level, text.at, text.size);
  }

  /** Says how far the step is, from 0 to 1; true when the attempt is being cancelled. */
  progress(part: f64, message: string): bool {
    const text = Bytes.of(message).clip(MAX_MESSAGE);
    return host_progress(part > 0 ? <i32>(min(part, 1.0) * 1000) : 0, text.at, text.size) == 1;
  }

  /** Asks any service; body is the part of the request that is not JSON. */
  call(op: string, request: Bytes, body: Bytes = new Bytes(0, 0)): Result<Bytes> {
    const name = Bytes.of(op), none = new Bytes(0, 0);
    let n = body.size ? host_call_write(body.at, body.size) : 0;
    if (n >= 0) n = host_call(name.at, name.size, request.at, request.size);
    if (n < 0) return Result.refused<Bytes>(none, explain(op, -n));
    const answer = new Bytes(heap.alloc(n), n);
    for (let done = 0; done < answer.size; done += n) {
      n = host_call_read(answer.at + done, done, answer.size - done);
      if (n < 0) return Result.refused<Bytes>(none, explain(op, -n));
      if (n == 0) break;
    }
    return new Result<Bytes>(answer);
  }

  private ask(op: string, request: Doc, body: Bytes = new Bytes(0, 0)): Result<Json> {
    const answer = this.call(op, request.finish(), body);
    const refusal = answer.refusal;
    if (refusal) return Result.refused<Json>(Json.missing(), refusal);
    return new Result<Json>(Json.parse(answer.value));
  }

  private askText(op: string, request: Doc, member: string): Result<string> {
    const answer = this.ask(op, request);
    const refusal = answer.refusal;
    return refusal ? Result.refused<string>("", refusal) : new Result<string>(answer.value.get(member).text());
  }

  http(r: HttpRequest): Result<HttpResponse> {
    const doc = Doc.object().add("method", r.method).add("url", r.url);
    if (r.hasHeaders) doc.add("headers", r.headers);
    if (r.timeoutMs > 0) doc.add("timeout_ms", r.timeoutMs);
    if (r.artifact.length) doc.add("artifact", r.artifact);
    const answer = this.ask("http.request", doc, r.body), got = new HttpResponse();
    const refusal = answer.refusal;
    if (refusal) return Result.refused<HttpResponse>(got, refusal);
    got.status = <i32>answer.value.get("status").integer();
    got.headers = answer.value.get("headers");
    got.artifact = answer.value.get("artifact");
    const encoded = answer.value.get("body_base64");
    got.body = encoded.isText ? base64(encoded.content()) : answer.value.get("body").content();
    return new Result<HttpResponse>(got);
  }

  /** What the pipeline keeps at a key; missing where there is nothing. */
  state(key: string): Result<Json> {
    const answer = this.ask("state.get", Doc.object().add("key", key));
    const refusal = answer.refusal;
    if (!refusal) return new Result<Json>(answer.value.get("value"));
    return refusal.errno == Errno.NotFound ? new Result<Json>(Json.missing()) : answer;
  }

  /** Keeps a value: later steps of the run see it at once, other runs when this one succeeds. */
  setState<T>(key: string, value: T): Result<Json> {
    return this.ask("state.set", Doc.object().add("key", key).add<T>("value", value));
  }

  /** Drops what is kept at a key, if anything is. */
  deleteState(key: string): Result<Json> { return this.ask("state.delete", Doc.object().add("key", key)); }

  /** The list of the keys that begin with a prefix, in order. */
  listState(prefix: string): Result<Json> {
    const answer = this.ask("state.list", Doc.object().add("prefix", prefix));
    return answer.refused ? answer : new Result<Json>(answer.value.get("keys"));
  }

  /** A secret that the manifest exposes to the plugin. */
  secret(name: string): Result<string> { return this.askText("secret.get", Doc.object().add("name", name), "value"); }

  /** Stores content, at most 8 MiB, and returns its reference, to be set as an output. */
  putArtifact(name: string, type: string, content: Bytes): Result<Json> {
    const doc = Doc.object().add("name", name);
    if (type.length) doc.add("type", type);
    return this.ask("artifact.put", doc, content);
  }

  /** The bytes of an artifact of at most 8 MiB. */
  getArtifact(ref: Json): Result<Bytes> { return this.call("artifact.get", ref.raw); }

  /** A slice of an artifact of any size. */
  readArtifact(ref: Json, offset: i64, length: i64): Result<Bytes> {
    const doc = Doc.object();
    const members = ref.members();
    for (let i = 0; i < members.length; i++) doc.add(members[i].name, members[i].value);
    return this.call("artifact.get", doc.add("offset", offset).add("length", length).finish());
  }

  /** Records an event, its type in reverse DNS, and returns its id. */
  emit<T>(type: string, subject: string, data: T): Result<string> {
    const doc = Doc.object().add("type", type);
    if (subject.length) doc.add("subject", subject);
    return this.askText("event.emit", doc.add<T>("data", data), "id");
  }

  /** What this host is and offers: version, abi, ops and limits. */
  hostInfo(): Result<Json> { return this.ask("host.info", Doc.object()); }

  /** How the step ends that returned an ending. */
  ended(ending: Ending): Ending {
    const refused = this.refusedOutput;
    return ending.kind == Kind.Ok && refused ? refused : ending;
  }
}

function explain(op: string, errno: i32): Refusal {
  const refusal = new Refusal(op, errno);
  const most = 3 * MAX_MESSAGE, at = heap.alloc(most);
  const size = host_call_read(at, 0, most);
  if (size <= 0) return refusal;
  const said = Json.parse(new Bytes(at, size));
  refusal.code = said.get("code").text(refusal.code);
  refusal.message = said.get("message").text();
  refusal.hint = said.get("hint").text();
  return refusal;
}

/** Sets an output to JSON as it stands; an error number. */
export function rawOutput(name: string, value: Bytes): i32 {
  const bytes = Bytes.of(name);
  return -min(host_output(bytes.at, bytes.size, value.at, value.size), 0);
}

/** Records an ending of any kind as it stands; an error number. */
export function rawFail(kind: i32, message: Bytes): i32 { return -min(host_fail(kind, message.at, message.size), 0); }

/** Runs a step and tells the host how it ended; an entry returns what this returns. */
export function handle(run: (step: Step) => Ending): i32 {
  const size = input_size(), at = heap.alloc(max(size, 1));
  if (size < 0 || input_read(at, 0, size) != size) return Ending.failed("cannot read the run context").report();
  const step = new Step(Json.parse(new Bytes(at, size)));
  if (!step.document.isObject) return Ending.failed("the run context is no JSON").report();
  return step.ended(run(step)).report();
}
