// The program that the vectors of sdk/abi/testdata/conformance.json are run with.
import * as host from "_uniflow";
import * as uniflow from "uniflow";

const errors = ["ok", "denied", "not_found", "too_large", "invalid", "unavailable", "cancelled", "quota", "unknown_op", "fault"];

export function run(ctx) {
  const name = ctx.inputs.case;
  if (!Object.hasOwn(cases, name)) throw new uniflow.Permanent(`unknown case "${name}"`);
  return cases[name](ctx, ctx.inputs);
}

const cases = {
  echo(ctx) {
    uniflow.outputRaw("document", ctx.rawInput("document"));
  },

  values(_, { numbers, text, flag }) {
    if (!Array.isArray(numbers) || typeof text !== "string" || typeof flag !== "boolean") {
      throw new uniflow.Permanent("numbers is no list, text no text or flag no boolean", { code: "bad_input" });
    }
    return { sum: numbers.reduce((a, b) => a + b, 0), count: numbers.length, text, flag };
  },

  context({ pipeline, step, attempt, trigger, context }) {
    return { pipeline, step, attempt, trigger, station: context.station ?? null };
  },

  item: (ctx) => ({ item: ctx.item, index: ctx.item_index }),

  log() {
    uniflow.log.debug("one");
    uniflow.log.info("two");
    uniflow.log.warn("three: ü");
    uniflow.log.error("four");
    return { cancelled: uniflow.progress(0.5, "half") };
  },

  // An async function waits for nothing here, but is drained all the same.
  async http(_, { method, url, header, body }) {
    const headers = header === undefined ? undefined : { "content-type": header };
    const answer = await uniflow.http.request(method, url, { headers, body });
    return { status: answer.status, type: answer.headers["content-type"] ?? null, body: answer.text };
  },

  secret: (_, { name }) => ({ value: uniflow.secret(name) }),

  state(_, { key }) {
    const n = uniflow.state.get(key, 0) + 1;
    uniflow.state.set(key, n);
    uniflow.state.delete("old");
    return { n, keys: uniflow.state.list() };
  },

  artifact(_, { name, text, times }) {
    const ref = uniflow.artifact.put(name, text.repeat(times), "text/plain");
    const content = uniflow.artifact.get(ref);
    if (content.length <= 1000) uniflow.output("text", new TextDecoder().decode(content));
    return { ref, size: content.length };
  },

  event: (_, { type, subject, data }) => ({ id: uniflow.emit(type, data, subject) }),

  unknown() {
    try {
      uniflow.call("no.such");
    } catch (error) {
      if (!(error instanceof uniflow.CallError)) throw error;
      return { code: error.code, message: error.reason, hint: error.hint };
    }
    throw new uniflow.Failed("no.such is not refused");
  },

  fail(_, { kind, code, message, after_ms }) {
    uniflow.output("before", 1);
    if (kind === "skip") throw new uniflow.Skip(message, { code });
    if (kind === "permanent") throw new uniflow.Permanent(message, { code });
    if (kind === "retry") throw new uniflow.Retry(message, { code, after: after_ms / 1000 });
    throw new uniflow.Failed(message, { code });
  },

  // attempt makes raw calls, and returns a raw number.
  attempt(_, { calls, return: number }) {
    const names = calls.map((c) => errors[-(c.do === "fail" ? host.fail(c.kind ?? 0, c.text ?? "") : host.output(c.key ?? "", c.value ?? ""))]);
    uniflow.log.info(names.join(" "));
    throw new uniflow.Return(number);
  },
};
