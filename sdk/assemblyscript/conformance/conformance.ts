// The conformance program of the AssemblyScript kit; sdk/abi/testdata/README.md says what it does.
import { Bytes, Doc, Ending, HttpRequest, Json, Kind, Step, errnoName, handle, rawFail, rawOutput } from "../uniflow";
export { uniflow_abi_v1 } from "../uniflow";

let returned: i32 = 0; // what a vector of attempt.json returns, past the kit

export function uniflow_run(): i32 {
  const end = handle(run);
  return returned ? returned : end;
}

function run(step: Step): Ending {
  const name = step.inputs.get("case").text();
  if (name == "echo") {
    step.output("document", step.inputs.get("document"));
    return Ending.ok();
  }
  if (name == "values") return values(step);
  if (name == "context") return context(step);
  if (name == "item") return item(step);
  if (name == "log") return logs(step);
  if (name == "http") return http(step);
  if (name == "secret") return secret(step);
  if (name == "state") return state(step);
  if (name == "artifact") return artifact(step);
  if (name == "event") return event(step);
  if (name == "unknown") return unknown(step);
  if (name == "fail") return fail(step);
  if (name == "attempt") return attempt(step);
  return Ending.permanent("unknown case " + Doc.of(name).finish().text());
}

function values(step: Step): Ending {
  const numbers = step.inputs.get("numbers"), text = step.inputs.get("text"), flag = step.inputs.get("flag");
  if (!numbers.isList || !text.isText || !flag.isBool) return Ending.permanent("with needs numbers, text and flag");
  const all = numbers.elements();
  let sum: f64 = 0;
  for (let i = 0; i < all.length; i++) {
    if (!all[i].isNumber) return Ending.permanent("numbers must hold numbers");
    sum += all[i].number();
  }
  step.output("sum", sum);
  step.output("count", all.length);
  step.output("text", text.text());
  step.output("flag", flag.boolean());
  return Ending.ok();
}

function context(step: Step): Ending {
  step.output("pipeline", step.pipeline);
  step.output("step", step.name);
  step.output("attempt", step.attempt);
  step.output("trigger", step.trigger);
  step.output("station", step.context.get("station"));
  return Ending.ok();
}

function item(step: Step): Ending {
  step.output("item", step.item);
  if (step.itemIndex < 0) step.output("index", Json.missing());
  else step.output("index", step.itemIndex);
  return Ending.ok();
}

function logs(step: Step): Ending {
  step.debug("one");
  step.info("two");
  step.warn("three: ü");
  step.error("four");
  step.output("cancelled", step.progress(0.5, "half"));
  return Ending.ok();
}

function http(step: Step): Ending {
  const request = new HttpRequest(step.inputs.get("url").text(), step.inputs.get("method").text());
  const header = step.inputs.get("header"), body = step.inputs.get("body");
  if (header.isText) request.header("content-type", header.text());
  if (body.isText) request.text(body.text());
  const got = step.http(request);
  if (got.refused) return got.ending();
  step.output("status", got.value.status);
  step.output("type", got.value.header("content-type"));
  step.output("body", got.value.text());
  return Ending.ok();
}

function secret(step: Step): Ending {
  const value = step.secret(step.inputs.get("name").text());
  if (value.refused) return value.ending();
  step.output("value", value.value);
  return Ending.ok();
}

function state(step: Step): Ending {
  const key = step.inputs.get("key").text();
  const before = step.state(key);
  if (before.refused) return before.ending();
  const n = before.value.integer(0) + 1;
  const set = step.setState(key, n);
  if (set.refused) return set.ending();
  const gone = step.deleteState("old");
  if (gone.refused) return gone.ending();
  const keys = step.listState("");
  if (keys.refused) return keys.ending();
  const names = new Array<string>();
  const all = keys.value.elements();
  for (let i = 0; i < all.length; i++) names.push(all[i].text());
  step.output("n", n);
  step.output("keys", names);
  return Ending.ok();
}

function artifact(step: Step): Ending {
  const content = step.inputs.get("text").text().repeat(<i32>step.inputs.get("times").integer());
  const ref = step.putArtifact(step.inputs.get("name").text(), "text/plain", Bytes.of(content));
  if (ref.refused) return ref.ending();
  const got = step.getArtifact(ref.value);
  if (got.refused) return got.ending();
  step.output("ref", ref.value);
  step.output("size", got.value.size);
  if (got.value.size <= 1000) step.output("text", got.value.text());
  return Ending.ok();
}

function event(step: Step): Ending {
  const id = step.emit(step.inputs.get("type").text(), step.inputs.get("subject").text(), step.inputs.get("data"));
  if (id.refused) return id.ending();
  step.output("id", id.value);
  return Ending.ok();
}

function unknown(step: Step): Ending {
  const refusal = step.call("no.such", Doc.object().finish()).refusal;
  if (!refusal) return Ending.failed("no.such is not refused");
  step.output("code", refusal.code);
  step.output("message", refusal.message);
  step.output("hint", refusal.hint);
  return Ending.ok();
}

function fail(step: Step): Ending {
  const kind = step.inputs.get("kind").text();
  step.output("before", 1);
  let number = Kind.Failed;
  if (kind == "skip") number = Kind.Skip;
  if (kind == "retry") number = Kind.Retry;
  if (kind == "permanent") number = Kind.Permanent;
  const ending = new Ending(number, step.inputs.get("message").text()).withCode(step.inputs.get("code").text());
  ending.afterMs = step.inputs.get("after_ms").integer();
  return ending;
}

// attempt makes the calls of a vector of attempt.json.
function attempt(step: Step): Ending {
  const calls = step.inputs.get("calls").elements(), names = new Array<string>();
  for (let i = 0; i < calls.length; i++) {
    const call = calls[i];
    const errno = call.get("do").text() == "fail"
      ? rawFail(<i32>call.get("kind").integer(), call.get("text").content())
      : rawOutput(call.get("key").text(), call.get("value").content());
    names.push(errnoName(errno));
  }
  step.info(names.join(" "));
  returned = <i32>step.inputs.get("return").integer();
  return Ending.ok();
}
