## The conformance program of the Nim kit; sdk/abi/testdata/README.md says what it does.

import std/[options, strutils]
import ../uniflow

var returned: int32 # what a vector of attempt.json returns, past the kit

proc values(step: Step) =
  type Inputs = object
    numbers: seq[float]
    text: string
    flag: bool
  let inputs = step.read(Inputs)
  var sum = 0.0
  for n in inputs.numbers: sum += n
  step.output("sum", sum)
  step.output("count", inputs.numbers.len)
  step.output("text", inputs.text)
  step.output("flag", inputs.flag)

proc context(step: Step) =
  step.output("pipeline", step.pipeline)
  step.output("step", step.name)
  step.output("attempt", step.attempt)
  step.output("trigger", step.trigger)
  step.output("station", step.context["station"])

proc item(step: Step) =
  step.output("item", step.item)
  step.output("index", if step.itemIndex < 0: none(int) else: some(step.itemIndex))

proc logs(step: Step) =
  step.debug("one")
  step.info("two")
  step.warn("three: ü")
  step.error("four")
  step.output("cancelled", step.progress(0.5, "half"))

proc http(step: Step) =
  type Inputs = object
    `method`, url: string
    header, body: Option[string]
  let inputs = step.read(Inputs)
  var headers: seq[(string, string)]
  if inputs.header.isSome: headers.add ("content-type", inputs.header.get)
  let got = step.http(inputs.url, inputs.`method`, headers, inputs.body.get(""))
  step.output("status", got.status)
  step.output("type", got.headers["content-type"])
  step.output("body", got.body)

proc secret(step: Step) = step.output("value", step.secret(step.inputs["name"].text))

proc state(step: Step) =
  let key = step.inputs["key"].text
  let n = step.state(int, key).get(0) + 1
  step.setState(key, n)
  step.deleteState("old")
  step.output("keys", step.listState())
  step.output("n", n)

proc artifact(step: Step) =
  let content = step.inputs["text"].text.repeat(step.inputs["times"].read(int))
  let reference = step.putArtifact(step.inputs["name"].text, "text/plain", content)
  let got = step.getArtifact(reference)
  step.output("ref", reference)
  step.output("size", got.len)
  if got.len <= 1000: step.output("text", got)

proc event(step: Step) =
  step.output("id", step.emit(step.inputs["type"].text, step.inputs["subject"].text, step.inputs["data"]))

proc unknown(step: Step) =
  try:
    discard step.call("no.such", "{}")
  except Refusal as refusal:
    step.output("code", refusal.code)
    step.output("message", refusal.message)
    step.output("hint", refusal.hint)
    return
  raise failed("no.such is not refused")

proc fail(step: Step) =
  step.output("before", 1)
  let kind = case step.inputs["kind"].text
    of "skip": kSkip
    of "retry": kRetry
    of "permanent": kPermanent
    else: kFailed
  let after = step.inputs["after_ms"].read(Option[int64]).get(0)
  raise ending(kind, step.inputs["message"].text, step.inputs["code"].text, after)

proc attempt(step: Step) =
  ## Makes the calls of a vector of attempt.json.
  var names: seq[string]
  for call in step.inputs["calls"].elements:
    let errno = if call["do"].text == "fail": rawFail(call["kind"].read(Option[int32]).get(0), call["text"].text)
                else: rawOutput(call["key"].text, call["value"].text)
    names.add $errno
  step.info(names.join(" "))
  returned = step.inputs["return"].read(int32)

proc run(step: Step) =
  let name = step.inputs["case"].text
  case name
  of "echo": step.output("document", step.inputs["document"])
  of "values": values(step)
  of "context": context(step)
  of "item": item(step)
  of "log": logs(step)
  of "http": http(step)
  of "secret": secret(step)
  of "state": state(step)
  of "artifact": artifact(step)
  of "event": event(step)
  of "unknown": unknown(step)
  of "fail": fail(step)
  of "attempt": attempt(step)
  else: raise permanent("unknown case " & toJson(name).raw)

proc conformance(): int32 {.exportc, codegenDecl: "__attribute__((export_name(\"uniflow_run\"))) $# $#$#".} =
  result = handle(run)
  if returned != 0: result = returned
