// The conformance program of the Node kit for processes; sdk/abi/testdata/README.md says what it does.
import { spawnSync } from "node:child_process";
import { CallError, Failed, Permanent, Retry, serve, Skip } from "./index.js";

const cases = {
  echo(ctx) {
    ctx.outputRaw("document", ctx.rawInput("document"));
  },

  values({ inputs: { numbers, text, flag } }) {
    if (!Array.isArray(numbers) || typeof text !== "string" || typeof flag !== "boolean") {
      throw new Permanent("numbers is no list, text no text or flag no boolean", { code: "bad_input" });
    }
    return { sum: numbers.reduce((a, b) => a + b, 0), count: numbers.length, text, flag };
  },

  context({ pipeline, step, attempt, trigger, context }) {
    return { pipeline, step, attempt, trigger, station: context.station ?? null };
  },

  item: (ctx) => ({ item: ctx.item, index: ctx.item_index }),

  log(ctx) {
    ctx.log.debug("one");
    ctx.log.info("two");
    ctx.log.warn("three: ü");
    ctx.log.error("four");
    return { cancelled: ctx.progress(0.5, "half") };
  },

  async http(ctx) {
    const { method, url, header, body } = ctx.inputs;
    const headers = header === undefined ? undefined : { "content-type": header };
    const answer = await ctx.http.request(method, url, { headers, body });
    return { status: answer.status, type: answer.headers["content-type"] ?? null, body: answer.text };
  },

  async secret(ctx) {
    return { value: await ctx.secret(ctx.inputs.name) };
  },

  async state(ctx) {
    const { key } = ctx.inputs;
    const n = (await ctx.state.get(key, 0)) + 1;
    await ctx.state.set(key, n);
    await ctx.state.delete("old");
    return { n, keys: await ctx.state.list() };
  },

  async artifact(ctx) {
    const { name, text, times } = ctx.inputs;
    const ref = await ctx.artifact.put(name, text.repeat(times), "text/plain");
    const content = await ctx.artifact.get(ref);
    if (content.length <= 1000) ctx.output("text", content.toString());
    return { ref, size: content.length };
  },

  async event(ctx) {
    const { type, subject, data } = ctx.inputs;
    return { id: await ctx.emit(type, data, subject) };
  },

  async unknown(ctx) {
    try {
      await ctx.call("no.such");
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      return { code: error.code, message: error.reason, hint: error.hint };
    }
    throw new Failed("no.such is not refused");
  },

  fail(ctx) {
    const { kind, code, message, after_ms } = ctx.inputs;
    ctx.output("before", 1);
    if (kind === "skip") throw new Skip(message, { code });
    if (kind === "permanent") throw new Permanent(message, { code });
    if (kind === "retry") throw new Retry(message, { code, after: after_ms / 1000 });
    throw new Failed(message, { code });
  },

  // Sets outputs. A process ends by one word, so there is no other call.
  attempt(ctx) {
    const names = ctx.inputs.calls.map(({ key = "", value = "" }) => {
      try {
        ctx.outputRaw(key, value);
        return "ok";
      } catch (error) {
        return error.code;
      }
    });
    ctx.log.info(names.join(" "));
  },
};

function run(ctx) {
  const name = ctx.inputs.case;
  if (!Object.hasOwn(cases, name)) throw new Permanent(`unknown case "${name}"`);
  return cases[name](ctx);
}

// Beyond the vectors: what becomes of a process whose step does this.
async function life(ctx) {
  switch (ctx.inputs.do) {
    case "print":
      console.log("printed");
      spawnSync("/bin/echo", ["by a child"], { stdio: ["ignore", 2, 2] });
      return { pid: process.pid };
    case "raise":
      throw new TypeError("a bug");
    case "exit":
      setTimeout(() => {
        throw new Error("of nobody");
      }, 1);
      return new Promise(() => {});
    case "crash":
      return process.exit(3);
    case "wait":
      ctx.progress(0, "waiting");
      ctx.log.info(`stopped: ${await ctx.sleep(60)}`);
      return undefined;
    case "save": {
      const million = "0123456789".repeat(100_000);
      const pieces = Array.from({ length: ctx.inputs.millions }, () => million);
      return ctx.save("big.bin", pieces);
    }
  }
  throw new Permanent(`unknown deed "${ctx.inputs.do}"`);
}

serve({ run, life }, { name: "conformance", version: "1.0.0" });
