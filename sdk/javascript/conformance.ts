// The program that the vectors of sdk/abi/testdata/conformance.json are run with, in TypeScript: its inputs are checked
// where they come in, and typed from there on.
import * as uniflow from "uniflow";
import type { Context, Json } from "uniflow";
// @ts-expect-error the raw functions are for this program alone, and have no types
import * as raw from "_uniflow";

type Outputs = Record<string, unknown> | undefined;
type Inputs = Record<string, Json>;

const errors = ["ok", "denied", "not_found", "too_large", "invalid", "unavailable", "cancelled", "quota", "unknown_op", "fault"];

function text(value: Json | undefined, name: string): string {
  if (typeof value !== "string") throw new uniflow.Permanent(`${name} is no text`, { code: "bad_input" });
  return value;
}

function optional(value: Json | undefined, name: string): string | undefined {
  return value === undefined ? undefined : text(value, name);
}

function values(inputs: Inputs): Outputs {
  const numbers = inputs.numbers;
  const isNumber = (n: Json): n is number => typeof n === "number";
  if (!Array.isArray(numbers) || !numbers.every(isNumber) || typeof inputs.flag !== "boolean") {
    throw new uniflow.Permanent("numbers is no list of numbers, or flag no boolean", { code: "bad_input" });
  }
  return { sum: numbers.reduce((a: number, b: number) => a + b, 0), count: numbers.length, text: text(inputs.text, "text"), flag: inputs.flag };
}

async function http(inputs: Inputs): Promise<Outputs> {
  const type = optional(inputs.header, "header");
  const answer = uniflow.http.request(text(inputs.method, "method"), text(inputs.url, "url"), {
    headers: type === undefined ? undefined : { "content-type": type },
    body: optional(inputs.body, "body"),
  });
  return { status: answer.status, type: answer.headers["content-type"] ?? null, body: answer.text };
}

function state(inputs: Inputs): Outputs {
  const key = text(inputs.key, "key");
  const n = Number(uniflow.state.get(key, 0)) + 1;
  uniflow.state.set(key, n);
  uniflow.state.delete("old");
  return { n, keys: uniflow.state.list() };
}

function artifact(inputs: Inputs): Outputs {
  const ref = uniflow.artifact.put(text(inputs.name, "name"), text(inputs.text, "text").repeat(Number(inputs.times)), "text/plain");
  const content = uniflow.artifact.get(ref);
  if (content.length <= 1000) uniflow.output("text", new TextDecoder().decode(content));
  return { ref, size: content.length };
}

function unknown(): Outputs {
  try {
    uniflow.call("no.such");
  } catch (error) {
    if (!(error instanceof uniflow.CallError)) throw error;
    return { code: error.code, message: error.reason, hint: error.hint };
  }
  throw new uniflow.Failed("no.such is not refused");
}

function fail(inputs: Inputs): never {
  uniflow.output("before", 1);
  const message = text(inputs.message, "message");
  const code = text(inputs.code, "code");
  switch (inputs.kind) {
    case "skip":
      throw new uniflow.Skip(message, { code });
    case "permanent":
      throw new uniflow.Permanent(message, { code });
    case "retry":
      throw new uniflow.Retry(message, { code, after: Number(inputs.after_ms) / 1000 });
  }
  throw new uniflow.Failed(message, { code });
}

interface RawCall {
  do: string;
  key?: string;
  value?: string;
  kind?: number;
  text?: string;
}

// attempt makes raw calls, and returns a raw number.
function attempt(inputs: Inputs): never {
  const names = (inputs.calls as unknown as RawCall[]).map((c) =>
    errors[-(c.do === "fail" ? raw.fail(c.kind ?? 0, c.text ?? "") : raw.output(c.key ?? "", c.value ?? ""))]);
  uniflow.log.info(names.join(" "));
  const { Return } = uniflow as unknown as { Return: new (n: number) => Error };
  throw new Return(Number(inputs.return));
}

function log(): Outputs {
  uniflow.log.debug("one");
  uniflow.log.info("two");
  uniflow.log.warn("three: ü");
  uniflow.log.error("four");
  return { cancelled: uniflow.progress(0.5, "half") };
}

export function run(ctx: Context<Inputs, { station?: string }>): Outputs | Promise<Outputs> {
  const { inputs } = ctx;
  const { pipeline, step, trigger, context } = ctx;
  switch (inputs.case) {
    case "echo":
      return void uniflow.outputRaw("document", ctx.rawInput("document") ?? "null");
    case "values":
      return values(inputs);
    case "context":
      return { pipeline, step, attempt: ctx.attempt, trigger, station: context.station ?? null };
    case "item":
      return { item: ctx.item, index: ctx.item_index };
    case "log":
      return log();
    case "http":
      return http(inputs);
    case "secret":
      return { value: uniflow.secret(text(inputs.name, "name")) };
    case "state":
      return state(inputs);
    case "artifact":
      return artifact(inputs);
    case "event":
      return { id: uniflow.emit(text(inputs.type, "type"), inputs.data, text(inputs.subject, "subject")) };
    case "unknown":
      return unknown();
    case "fail":
      return fail(inputs);
    case "attempt":
      return attempt(inputs);
  }
  throw new uniflow.Permanent(`unknown case "${String(inputs.case)}"`);
}
