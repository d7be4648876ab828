// Serves steps to a host by the protocol of go-plugin.
import { writeSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { makeCertificate } from "./certificate.js";
import { CallError, clip, Context, Ending, errno, Permanent } from "./context.js";
import { Client, listen, Status, status } from "./grpc.js";
import { Fields, message, nested } from "./wire.js";

const levels = ["trace", "debug", "info", "warn", "error"];

/** Serves steps, by name, as long as the host wants them. */
export function serve(functions, { name, version, description, descriptor } = {}) {
  if (process.env.UNIFLOW_PLUGIN !== "uniflow.plugin.v1") {
    console.error(
      "This program is a Uniflow plugin and is started by the host. Name it in uniflow.toml:\n\n" +
        `  [plugins.${name ?? "name"}]\n  process = ${JSON.stringify(process.argv[1])}`,
    );
    process.exit(1);
  }
  const said = { name, version, description, functions: Object.fromEntries(Object.keys(functions).map((f) => [f, {}])), ...descriptor };
  said.name ??= path.parse(process.argv[1]).name;
  new Plugin(functions, said).run();
}

class Plugin {
  #functions;
  #descriptor;
  #credentials;
  #host;
  #offers = new Map();
  #running = new Set();

  constructor(functions, descriptor) {
    this.#functions = functions;
    this.#descriptor = Buffer.from(JSON.stringify(descriptor));
  }

  async run() {
    const leave = () => process.exit(0); // the host is gone, or wants this process no more
    let certificate = "";
    if (process.env.PLUGIN_CLIENT_CERT) {
      const made = makeCertificate();
      this.#credentials = { cert: made.cert, key: made.key, ca: process.env.PLUGIN_CLIENT_CERT };
      certificate = made.der.toString("base64").replace(/=+$/, "");
    }
    const socket = path.join(process.env.PLUGIN_UNIX_SOCKET_DIR || os.tmpdir(), `p${process.pid}`);
    const handlers = {
      "/uniflow.plugin.v1.Plugin/Describe": async (call) => void (await call.send(message([1, this.#descriptor]))),
      "/uniflow.plugin.v1.Plugin/Run": (call) => this.#attempt(call),
      "/plugin.GRPCBroker/StartStream": (call) => this.#hearBroker(call),
      "/plugin.GRPCStdio/StreamStdio": (call) => this.#staySilent(call),
      "/plugin.GRPCController/Shutdown": async (call) => {
        await call.send(Buffer.alloc(0));
        setTimeout(leave, 100);
      },
      "/grpc.health.v1.Health/Check": async (call) => void (await call.send(message([1, 1]))),
    };
    await listen(socket, this.#credentials, handlers, leave);
    writeSync(1, `1|1|unix|${socket}|grpc|${certificate}\n`);
    process.stdout.write = process.stderr.write.bind(process.stderr); // in order with standard error
    for (const event of ["uncaughtException", "unhandledRejection"]) {
      process.on(event, (error) => this.#panic(error));
    }
  }

  /** Ends the attempts of a program of which nobody knows what state it is in; the host replaces it. */
  #panic(error) {
    console.error(error);
    if (this.#running.size === 0) process.exit(1);
    for (const attempt of this.#running) attempt.end(message([1, 1], [3, clip(error?.message ?? error)], [5, true]));
  }

  /** What the program prints goes to its standard error, which the host reads. */
  #staySilent(call) {
    call.begin();
    return new Promise((resolve) => call.signal.addEventListener("abort", resolve));
  }

  /** Takes the addresses at which the host serves. */
  async #hearBroker(call) {
    call.begin();
    for await (const data of call.messages()) {
      const offer = new Fields(data);
      this.#offer(offer.number(1)).resolve(offer.text(3));
    }
  }

  #offer(number) {
    let offer = this.#offers.get(number);
    if (!offer) {
      offer = {};
      offer.address = new Promise((resolve) => (offer.resolve = resolve));
      this.#offers.set(number, offer);
    }
    return offer;
  }

  /** Returns the connection to the host's services, made once in the life of the process. */
  async #connect(number) {
    if (!this.#host || this.#host.lost) {
      const late = new Promise((_, reject) => {
        setTimeout(() => reject(new Status(status.unavailable, "the host does not say where its services are")), 5000).unref();
      });
      this.#host = await Client.connect(await Promise.race([this.#offer(number).address, late]), this.#credentials);
    }
    return this.#host;
  }

  async #attempt(call) {
    const request = new Fields(await call.receive());
    const attempt = new Attempt(call, await this.#connect(request.number(3)), request.text(2));
    this.#running.add(attempt);
    try {
      attempt.end(await attempt.execute(this.#functions, request.bytes(1).toString(), request.number(5)));
    } finally {
      this.#running.delete(attempt);
    }
  }
}

/** One attempt: the side of a Context that speaks to the host. */
class Attempt {
  #call;
  #host;
  #id;
  #open = true;

  constructor(call, host, id) {
    this.#call = call;
    this.#host = host;
    this.#id = id;
    call.begin();
  }

  get signal() {
    return this.#call.signal;
  }

  /** Calls the step and returns how it ended. */
  async execute(functions, document, outputBytes) {
    try {
      const ctx = new Context(document, this, outputBytes);
      const result = await find(functions, ctx.function)(ctx);
      if (result !== undefined && result !== null) {
        const outputs = typeof result === "object" && !Array.isArray(result) ? result : { result };
        for (const [name, value] of Object.entries(outputs)) if (value !== undefined) ctx.output(name, value);
      }
      return Buffer.alloc(0);
    } catch (error) {
      return ended(error);
    }
  }

  /** Says how the attempt ended. */
  end(done) {
    if (!this.#open) return;
    this.#open = false;
    try {
      writeSync(2, `\nuniflow:end:${this.#id}\n`);
      done = Buffer.concat([done, message([6, true])]);
    } catch {
      // the host reads what there is
    }
    this.#call.send(nested(5, done));
    this.#call.finish();
  }

  #send(number, event) {
    return this.#open && this.#call.send(nested(number, event));
  }

  log(level, text) {
    if (!this.#send(1, message([1, level], [2, text]))) process.stderr.write(`${levels[level]}: ${text}\n`);
  }

  progress(permille, text) {
    this.#send(2, message([1, permille], [2, text]));
  }

  output(name, value) {
    if (!this.#send(3, message([1, name], [2, value]))) throw new CallError(errno.cancelled, { op: "output" });
  }

  async artifact(name, media, data, end, abort) {
    const sent = this.#send(4, message([1, name], [2, media], [3, data], [4, end], [5, abort]));
    if (!sent && !abort) throw new CallError(errno.cancelled, { op: "artifact" });
    await sent;
  }

  async call(op, request, body) {
    if (!this.#open || this.signal.aborted) throw new CallError(errno.cancelled, { op });
    let answer;
    try {
      answer = new Fields(await this.#host.call("/uniflow.plugin.v1.Host/Call", message([1, this.#id], [2, op], [3, request], [4, body])));
    } catch (error) {
      const known = { [status.permissionDenied]: errno.denied, [status.resourceExhausted]: errno.tooLarge }[error.code];
      throw new CallError(this.signal.aborted ? errno.cancelled : (known ?? errno.unavailable), { reason: error.message, op });
    }
    const number = answer.number(2);
    if (number !== 0) throw new CallError(number, { code: answer.text(3), reason: answer.text(4), hint: answer.text(5), op });
    return answer.bytes(1);
  }
}

function find(functions, name) {
  const names = Object.keys(functions);
  const wanted = name || (names.length === 1 ? names[0] : "run");
  if (!Object.hasOwn(functions, wanted)) {
    throw new Permanent(`the plugin has no function "${wanted}"; it has: ${names.sort().join(", ")}`, { code: "unknown_function" });
  }
  return functions[wanted];
}

/** Returns the last event for what a step has thrown. */
function ended(error) {
  if (error instanceof Ending) {
    const after = Math.max(0, Math.min(86_400_000, Math.round((error.after ?? 0) * 1000)));
    return message([1, error.kind], [2, clip(error.code)], [3, clip(error.message)], [4, after]);
  }
  if (error instanceof CallError) {
    const permanent = [errno.denied, errno.invalid, errno.unknownOp].includes(error.errno);
    return message([1, permanent ? 4 : 1], [2, error.code], [3, clip(error.message)]);
  }
  console.error(error);
  return message([1, 1], [2, clip(error?.name ?? "")], [3, clip(error?.message ?? error)]);
}
