// Runs scripts: finds and imports the script, calls its function, tells the host how it ended, and gives scripts what
// QuickJS has not. It is a part of the engine.
import * as host from "_uniflow";
import * as uniflow from "uniflow";

// ---- what scripts expect to be there ----

const line = (args) => args.map((a) => (typeof a === "string" ? a : a instanceof Error ? `${a}\n${a.stack ?? ""}` : show(a))).join(" ");

function show(value) {
  if (typeof value === "object" && value !== null) {
    try {
      return JSON.stringify(value, (_, v) => (typeof v === "bigint" ? `${v}n` : v));
    } catch {
      return String(value);
    }
  }
  return String(value);
}

class TextEncoder {
  get encoding() {
    return "utf-8";
  }
  encode(text = "") {
    return host.encode(String(text).toWellFormed());
  }
}

class TextDecoder {
  constructor(label = "utf-8") {
    if (!/^utf-?8$/i.test(label)) throw new RangeError(`the encoding ${label} is not supported`);
  }
  get encoding() {
    return "utf-8";
  }
  decode(bytes) {
    return bytes === undefined ? "" : host.decode(bytes);
  }
}

const crypto = {
  getRandomValues(array) {
    host.random(array);
    return array;
  },
  randomUUID() {
    const b = crypto.getRandomValues(new Uint8Array(16));
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    const hex = Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  },
};

// Math.random of the runtime has a seed that would be the same in every attempt.
const seed = new Uint32Array(4);
let seeded = false;

function random() {
  if (!seeded) {
    host.random(seed);
    seed[0] |= 1;
    seeded = true;
  }
  const next = () => {
    let t = seed[3];
    const s = seed[0];
    seed[3] = seed[2];
    seed[2] = seed[1];
    seed[1] = s;
    t ^= t << 11;
    t ^= t >>> 8;
    seed[0] = t ^ s ^ (s >>> 19);
    return seed[0];
  };
  return ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
}

// ---- timers ----

let timers = [];
let lastTimer = 0;

function setTimer(f, ms, every, args) {
  const wait = Math.max(0, Number(ms) || 0);
  timers.push({ id: ++lastTimer, at: Date.now() + wait, f, args, every: every ? Math.max(1, wait) : 0 });
  return lastTimer;
}

function clearTimer(id) {
  timers = timers.filter((t) => t.id !== id);
}

// wait lets the next timer fire; false when there is none.
export function wait() {
  if (timers.length === 0) return false;
  const next = timers.reduce((a, b) => (b.at < a.at ? b : a));
  const left = next.at - Date.now();
  if (left > 0) host.sleep(left);
  if (next.every) next.at = Date.now() + next.every;
  else clearTimer(next.id);
  next.f(...next.args);
  return true;
}

const own = {
  console: {
    log: (...a) => uniflow.log.info(line(a)),
    info: (...a) => uniflow.log.info(line(a)),
    debug: (...a) => uniflow.log.debug(line(a)),
    warn: (...a) => uniflow.log.warn(line(a)),
    error: (...a) => uniflow.log.error(line(a)),
  },
  TextEncoder,
  TextDecoder,
  crypto,
  btoa: (text) => uniflow.base64(Uint8Array.from(text, (c) => c.charCodeAt(0))),
  atob: (text) => Array.from(uniflow.unbase64(text), (b) => String.fromCharCode(b)).join(""),
  setTimeout: (f, ms, ...args) => setTimer(f, ms, false, args),
  setInterval: (f, ms, ...args) => setTimer(f, ms, true, args),
  clearTimeout: clearTimer,
  clearInterval: clearTimer,
  queueMicrotask: (f) => void Promise.resolve().then(f),
};
for (const [name, value] of Object.entries(own)) Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
Math.random = random;

// ---- modules ----

const exists = (path) => host.file(path) !== null;

function join(folder, name) {
  const parts = [];
  for (const part of (name.startsWith("/") ? name : `${folder}/${name}`).split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return "/" + parts.join("/");
}

const fileOf = (path) => [path, `${path}.js`, `${path}.mjs`, `${path}/index.js`].find(exists);

// exported picks what a package offers to importers of modules.
function exported(entry) {
  if (typeof entry === "string" || entry === undefined) return entry;
  if (Array.isArray(entry)) return exported(entry[0]);
  for (const condition of ["import", "module", "browser", "default"]) if (entry[condition]) return exported(entry[condition]);
  return undefined;
}

function packaged(folder, name) {
  const [, pkg, rest] = /^((?:@[^/]+\/)?[^/]+)(?:\/(.*))?$/.exec(name);
  for (let at = folder; ; at = at.slice(0, at.lastIndexOf("/"))) {
    const root = `${at}/node_modules/${pkg}`;
    const doc = host.file(`${root}/package.json`);
    if (doc !== null) {
      const about = JSON.parse(host.decode(doc));
      const all = about.exports;
      const entry = typeof all === "object" && all !== null && Object.keys(all).some((k) => k.startsWith(".")) ? all[rest ? `./${rest}` : "."] : rest ? undefined : all;
      return fileOf(join(root, exported(entry) ?? rest ?? about.module ?? about.main ?? "index.js"));
    }
    if (at === "") return undefined;
  }
}

// find returns the path of the module that a name means in a module.
export function find(base, name) {
  const folder = base.slice(0, base.lastIndexOf("/"));
  const path = /^[./]/.test(name) ? fileOf(join(folder, name)) : packaged(folder, name);
  if (path === undefined) throw new ReferenceError(`no module ${JSON.stringify(name)} is beside ${base}`);
  return path;
}

// ---- attempts ----

let script = null;

async function load() {
  if (script === null) {
    const path = host.env("UNIFLOW_SCRIPT");
    if (!path) throw new uniflow.Permanent("no script: UNIFLOW_SCRIPT is not set", { code: "config" });
    script = await import(path);
  }
  return script;
}

// warm imports the script before the state is kept that attempts start from.
export async function warm() {
  try {
    await load();
  } catch {
    // the attempt finds out
  }
  uniflow.warm();
  return 0;
}

// reseed renews randomness at the start of an attempt.
export async function reseed() {
  seeded = false;
  return 0;
}

function functionOf(module, name) {
  const wanted = name === "" || name === "uniflow_run" ? "run" : name;
  if (typeof module[wanted] === "function") return module[wanted];
  if (wanted === "run" && typeof module.default === "function") return module.default;
  const names = Object.keys(module).filter((k) => typeof module[k] === "function");
  const have = names.length ? `it exports ${names.sort().join(", ")}` : "it exports no function";
  throw new uniflow.Permanent(`the script exports no function "${wanted}"; ${have}`, { code: "no_function" });
}

// run is one attempt; it returns the kind of its ending.
export async function run() {
  try {
    const ctx = new uniflow.Context(host.input());
    const f = functionOf(await load(), ctx.function);
    uniflow.results(await f(ctx));
    return 0;
  } catch (error) {
    return failed(error);
  }
}

// failed tells the host why an attempt does not succeed; the stack is for the log.
function failed(error) {
  if (error instanceof uniflow.Return) return error.kind;
  if (error instanceof uniflow.Ending) {
    host.fail(error.kind, uniflow.ending(error.message, error.code, error.after));
    return error.kind;
  }
  const known = error instanceof Error;
  const trace = known ? `${error.name}: ${error.message}\n${error.stack ?? ""}` : `thrown: ${show(error)}`;
  const lines = trace.trimEnd().split("\n");
  for (const one of lines.filter((l) => !l.includes("(<driver>:")).slice(0, 100)) uniflow.log.error(one);
  if (error instanceof uniflow.CallError) {
    host.fail(error.kind, uniflow.ending(error.message, error.code));
    return error.kind;
  }
  host.fail(1, uniflow.ending(known ? `${error.name}: ${error.message}` : `thrown: ${show(error)}`));
  return 1;
}
