## The Nim kit for steps of Uniflow, in one file beside its `nim.cfg`.
##
## .. code-block:: nim
##   import uniflow
##
##   type Inputs = object
##     name: string
##
##   proc greet(step: Step) =
##     let inputs = step.read(Inputs)
##     step.output("greeting", inputs.name)
##
##   entry(uniflow_run, greet)
##
## A step that raises fails, or ends as the `Ending` says that it raises. A
## service that says no raises a `Refusal`; let through, it is permanent where
## asking again cannot help.

import std/[base64, options, parseutils, strutils, unicode]

# ---- the host ----

{.emit: """/*INCLUDESECTION*/
#include <stdint.h>
#define UF(name) __attribute__((import_module("uniflow"), import_name(#name)))
UF(input_size) int32_t uf_input_size(void);
UF(input_read) int32_t uf_input_read(void *dst, int32_t off, int32_t len);
UF(output) int32_t uf_output(void *name, int32_t name_len, void *value, int32_t len);
UF(log) void uf_log(int32_t level, void *msg, int32_t len);
UF(fail) int32_t uf_fail(int32_t kind, void *msg, int32_t len);
UF(progress) int32_t uf_progress(int32_t permille, void *msg, int32_t len);
UF(call) int32_t uf_call(void *op, int32_t op_len, void *req, int32_t len);
UF(call_read) int32_t uf_call_read(void *dst, int32_t off, int32_t len);
UF(call_write) int32_t uf_call_write(void *src, int32_t len);
__attribute__((export_name("uniflow_abi_v1"))) void uf_marker(void) {}
""".}

proc hostInputSize(): int32 {.importc: "uf_input_size", nodecl.}
proc hostInputRead(dst: pointer, off, len: int32): int32 {.importc: "uf_input_read", nodecl.}
proc hostOutput(name: pointer, nameLen: int32, value: pointer, len: int32): int32 {.importc: "uf_output", nodecl.}
proc hostLog(level: int32, msg: pointer, len: int32) {.importc: "uf_log", nodecl.}
proc hostFail(kind: int32, msg: pointer, len: int32): int32 {.importc: "uf_fail", nodecl.}
proc hostProgress(permille: int32, msg: pointer, len: int32): int32 {.importc: "uf_progress", nodecl.}
proc hostCall(op: pointer, opLen: int32, req: pointer, len: int32): int32 {.importc: "uf_call", nodecl.}
proc hostCallRead(dst: pointer, off, len: int32): int32 {.importc: "uf_call_read", nodecl.}
proc hostCallWrite(src: pointer, len: int32): int32 {.importc: "uf_call_write", nodecl.}

proc at(s: string): pointer =
  if s.len > 0: unsafeAddr s[0] else: nil

proc size(s: string): int32 = int32(s.len)

type
  Kind* = enum ## How a step ends; the numbers of the contract.
    kOk, kFailed, kSkip, kRetry, kPermanent

  Errno* = enum ## The error numbers of the contract.
    eOk = "ok", eDenied = "denied", eNotFound = "not_found", eTooLarge = "too_large", eInvalid = "invalid",
    eUnavailable = "unavailable", eCancelled = "cancelled", eQuota = "quota", eUnknownOp = "unknown_op", eFault = "fault"

  Ending* = object of CatchableError ## How a step wants to end.
    kind*: Kind
    code*: string  ## the plugin's own, may be empty
    afterMs*: int64 ## only of a retry; 0 leaves the wait to the step's policy

  Refusal* = object of CatchableError ## Why a service said no.
    op*: string
    errno*: Errno  ## denied without a grant, unknown_op where the host does not offer the service
    code*, message*, hint*: string

const
  maxDepth = 66 # 64 of a value, and 2 of the run context around it
  maxMessage = 16384

proc errnoOf*(answer: int32): Errno =
  ## The error of what a function of the host returned.
  if answer >= 0: eOk
  elif answer >= -9: Errno(-answer)
  else: eUnavailable

proc ending*(kind: Kind, why: string, code = "", afterMs = 0'i64): ref Ending =
  (ref Ending)(msg: why, kind: kind, code: code, afterMs: afterMs)

proc skip*(why: string): ref Ending = ending(kSkip, why)
  ## There was nothing to do; outputs are kept.
proc failed*(why: string, code = ""): ref Ending = ending(kFailed, why, code)
  ## A failure; the step's retry policy decides.
proc retry*(why: string, afterMs = 0'i64): ref Ending = ending(kRetry, why, "", afterMs)
  ## A transient failure.
proc permanent*(why: string, code = ""): ref Ending = ending(kPermanent, why, code)
  ## A failure that trying again cannot heal.

# ---- reading JSON ----

type Json* = object
  ## One JSON value as it stands in a document: output it, and it passes byte
  ## for byte. What is missing, malformed or of another type reads as missing.
  raw*: string

proc blank(s: string, start: int): int =
  result = start
  while result < s.len and s[result] in {' ', '\t', '\r', '\n'}: inc result

proc stringEnd(s: string, start: int): int =
  var i = start + 1
  while i < s.len:
    if s[i] == '"': return i + 1
    if s[i] == '\\': inc i
    inc i
  -1

proc valueEnd(s: string, start: int): int =
  ## The end of the value that starts there, or -1.
  if start >= s.len: return -1
  if s[start] == '"': return stringEnd(s, start)
  var i = start
  if s[i] notin {'{', '['}:
    while i < s.len and s[i] notin {' ', '\t', '\r', '\n', ',', ':', ']', '}'}: inc i
    return if i > start: i else: -1
  var depth = 0
  while i < s.len:
    case s[i]
    of '"':
      i = stringEnd(s, i)
      if i < 0: return -1
      continue
    of '{', '[':
      inc depth
      if depth > maxDepth: return -1
    of '}', ']':
      dec depth
      if depth == 0: return i + 1
    else: discard
    inc i
  -1

proc parseJson*(document: string): Json =
  ## The value that a text holds.
  let start = blank(document, 0)
  let stop = valueEnd(document, start)
  if stop > 0: Json(raw: document[start ..< stop]) else: Json()

proc isMissing*(json: Json): bool = json.raw.len == 0
proc isNull*(json: Json): bool = json.raw.len == 0 or json.raw[0] == 'n'
  ## Is it null, or not there at all?
proc isObject*(json: Json): bool = json.raw.len > 1 and json.raw[0] == '{'
proc isList*(json: Json): bool = json.raw.len > 1 and json.raw[0] == '['
proc isText*(json: Json): bool = json.raw.len > 1 and json.raw[0] == '"'

proc unicodeAt(s: string, i: var int): Rune =
  ## The character whose hex digits start there, and the other half of its pair.
  const lost = Rune(0xfffd)
  var high, low = 0
  if parseHex(s, high, i, 4) != 4: return lost
  i += 4
  if (high and 0xfc00) == 0xd800 and i + 6 <= s.len and s[i] == '\\' and s[i + 1] == 'u' and parseHex(s, low, i + 2, 4) == 4 and
      (low and 0xfc00) == 0xdc00:
    i += 6
    return Rune(0x10000 + ((high and 0x3ff) shl 10) + (low and 0x3ff))
  if (high and 0xf800) == 0xd800: lost else: Rune(high)

proc text*(json: Json, other = ""): string =
  ## The text of a string.
  if not json.isText: return other
  let stop = json.raw.len - 1
  var i = 1
  while i < stop:
    let c = json.raw[i]
    inc i
    if c != '\\' or i >= stop:
      result.add c
      continue
    let escape = json.raw[i]
    inc i
    case escape
    of 'b': result.add '\b'
    of 'f': result.add '\f'
    of 'n': result.add '\n'
    of 'r': result.add '\r'
    of 't': result.add '\t'
    of 'u': result.add unicodeAt(json.raw, i).toUTF8
    else: result.add escape

iterator parts(json: Json): Json =
  ## What stands between the brackets of a value.
  let inside = if json.raw.len > 1: json.raw[1 ..< json.raw.len - 1] else: ""
  var i = blank(inside, 0)
  while i < inside.len:
    let stop = valueEnd(inside, i)
    if stop < 0: break
    yield Json(raw: inside[i ..< stop])
    i = blank(inside, stop)
    if i < inside.len and inside[i] in {',', ':'}: i = blank(inside, i + 1)

iterator elements*(json: Json): Json =
  ## The elements of a list.
  if json.isList:
    for part in json.parts: yield part

iterator members*(json: Json): (string, Json) =
  ## The members of an object.
  if json.isObject:
    var name: Json
    for part in json.parts:
      if name.isMissing: name = part
      else:
        yield (name.text, part)
        name = Json()

proc `[]`*(json: Json, name: string): Json =
  ## The member of an object, the last one of its name.
  for key, value in json.members:
    if key == name: result = value

proc mismatch(path, want: string): ref Ending =
  permanent((if path.len > 0: path else: "the value") & " must be " & want)

proc wholeNumber(s: string, n: var BiggestInt): int =
  ## The length of a whole number of 64 bits, or 0.
  if '_' in s: return 0
  try: parseBiggestInt(s, n)
  except ValueError: 0

proc read*[T](json: Json, kind: typedesc[T], path = ""): T =
  ## Reads the value as a T: an object by its fields, `Option`, `seq`, text,
  ## number, boolean, or Json as it stands. What does not fit is a permanent failure.
  when T is Json: result = json
  elif T is Option:
    if not json.isNull: result = some(read(json, typeof(result.get), path))
  elif T is string:
    if not json.isText: raise mismatch(path, "a text")
    result = json.text
  elif T is bool:
    if json.raw notin ["true", "false"]: raise mismatch(path, "true or false")
    result = json.raw == "true"
  elif T is SomeInteger:
    var n: BiggestInt
    let digits = if json.raw.len > 0 and json.raw[0] in {'-', '0' .. '9'}: wholeNumber(json.raw, n) else: 0
    if digits != json.raw.len or digits == 0 or n < BiggestInt(low(T)) or (T isnot uint64 and n > BiggestInt(high(T))):
      raise mismatch(path, "a whole number")
    result = T(n)
  elif T is SomeFloat:
    var n: BiggestFloat
    let number = json.raw.len > 0 and json.raw[0] in {'-', '0' .. '9'} and '_' notin json.raw
    if not number or parseBiggestFloat(json.raw, n) != json.raw.len: raise mismatch(path, "a number")
    result = T(n)
  elif T is seq:
    if not json.isList: raise mismatch(path, "a list")
    for element in json.elements: result.add read(element, typeof(result[0]), path & "[" & $result.len & "]")
  elif T is object:
    if not json.isObject: raise mismatch(path, "an object")
    for name, value in result.fieldPairs:
      value = read(json[name], typeof(value), if path.len > 0: path & "." & name else: name)
  else: {.error: "a step cannot read this type".}

# ---- writing JSON ----

proc toJson*(json: Json): Json = (if json.isMissing: Json(raw: "null") else: json)
proc toJson*(yes: bool): Json = Json(raw: $yes)
proc toJson*(n: SomeInteger): Json = Json(raw: $n)
proc toJson*(n: SomeFloat): Json =
  ## The shortest text that reads as the same number; null where it is not finite.
  Json(raw: if n - n == 0: $n else: "null")

proc toJson*(text: string): Json =
  result.raw = newStringOfCap(text.len + 2)
  result.raw.add '"'
  for c in text:
    case c
    of '"', '\\':
      result.raw.add '\\'
      result.raw.add c
    of '\0' .. '\31': result.raw.add "\\u" & toHex(ord(c), 4)
    else: result.raw.add c
  result.raw.add '"'

proc toJson*[T](value: Option[T]): Json = (if value.isSome: toJson(value.get) else: Json(raw: "null"))

proc toJson*[T](list: openArray[T]): Json =
  result.raw = "["
  for i, element in list:
    if i > 0: result.raw.add ','
    result.raw.add toJson(element).raw
  result.raw.add ']'

proc add*(json: var Json, name: string, value: Json) =
  ## Adds a member to an object that was made by `obj` or `toJson`.
  json.raw.setLen(json.raw.len - 1)
  if json.raw.len > 1: json.raw.add ','
  json.raw.add toJson(name).raw & ":" & toJson(value).raw & "}"

proc obj*(members: openArray[(string, Json)] = []): Json =
  ## An object: `obj({"rows": toJson(3), "name": toJson("x")})`.
  result.raw = "{}"
  for (name, value) in members: result.add(name, value)

proc toJson*[T: object](value: T): Json =
  ## An object of the fields.
  result = obj()
  for name, field in value.fieldPairs: result.add(name, toJson(field))

# ---- the step ----

type
  Step* = ref object ## A step at work: what it knows, and its way to the host.
    document*: Json ## the whole run context, for members that are not listed here
    pipeline*, name*, runId*, trigger*, idempotencyKey*: string
    attempt*, maxAttempts*: int
    context*, inputs*, item*: Json
    itemIndex*: int ## -1 outside a fan-out

  HttpResponse* = object ## An answer; a status of 400 and more is one, too.
    status*: int
    headers*: Json  ## names in lower case, several values joined by ", "
    body*: string
    artifact*: Json ## the reference, where the request asked for one

  HostInfo* = object ## What this host is and offers.
    version*, abi*: string
    ops*: seq[string]
    limits*: Json

proc newStep*(document: Json): Step =
  ## Reads a run context, as the host hands it over or a test writes it.
  result = Step(document: document, attempt: 1, maxAttempts: 1, itemIndex: -1)
  for key, value in document.members:
    case key
    of "pipeline": result.pipeline = value.text
    of "step": result.name = value.text
    of "run_id": result.runId = value.text
    of "trigger": result.trigger = value.text
    of "idempotency_key": result.idempotencyKey = value.text
    of "attempt": result.attempt = value.read(int)
    of "max_attempts": result.maxAttempts = value.read(int)
    of "context": result.context = value
    of "with": result.inputs = value
    of "item": result.item = value
    of "item_index":
      if not value.isNull: result.itemIndex = value.read(int)
    else: discard

proc read*[T](step: Step, kind: typedesc[T]): T = step.inputs.read(kind)
  ## Reads the inputs of the step.

proc clip(s: string, most: int): string =
  var stop = min(s.len, most)
  while stop > 0 and stop < s.len and (ord(s[stop]) and 0xc0) == 0x80: dec stop
  s[0 ..< stop]

proc rawOutput*(name, value: string): Errno = errnoOf hostOutput(name.at, name.size, value.at, value.size)
  ## Sets an output to JSON as it stands.
proc rawFail*(kind: int32, message: string): Errno = errnoOf hostFail(kind, message.at, message.size)
  ## Records an ending of any kind as it stands.

proc output*[T](step: Step, name: string, value: T) =
  ## Sets a named output; the last one of a name wins.
  let errno = rawOutput(name, toJson(value).raw)
  if errno != eOk:
    raise ending(if errno in {eTooLarge, eInvalid}: kPermanent else: kFailed, "output " & name & ": " & $errno, $errno)

proc log(level: int32, message: string) =
  let text = clip(message, maxMessage)
  hostLog(level, text.at, text.size)

proc debug*(step: Step, message: string) = log(1, message)
proc info*(step: Step, message: string) = log(2, message)
proc warn*(step: Step, message: string) = log(3, message)
proc error*(step: Step, message: string) = log(4, message)
  ## Logs an error; it does not end the step.

proc progress*(step: Step, part: float, message: string): bool =
  ## Says how far the step is, from 0 to 1; true when the attempt is being cancelled.
  let text = clip(message, maxMessage)
  hostProgress(if part > 0: int32(min(part, 1) * 1000) else: 0, text.at, text.size) == 1

proc refusal(op: string, errno: Errno): ref Refusal =
  result = (ref Refusal)(op: op, errno: errno, code: $errno)
  var said = newString(3 * maxMessage)
  let n = hostCallRead(said.at, 0, said.size)
  said.setLen(max(n, 0))
  let doc = parseJson(said)
  result.code = doc["code"].text($errno)
  result.message = doc["message"].text
  result.hint = doc["hint"].text
  result.msg = op & ": " & (if result.message.len > 0: result.message else: $errno)

proc call*(step: Step, op, request: string, body = ""): string =
  ## Asks any service; body is the part of the request that is not JSON.
  var n = if body.len > 0: hostCallWrite(body.at, body.size) else: 0
  if n >= 0: n = hostCall(op.at, op.size, request.at, request.size)
  if n < 0: raise refusal(op, errnoOf n)
  result = newString(n)
  var done = 0'i32
  while done < result.size:
    n = hostCallRead(addr result[done], done, result.size - done)
    if n < 0: raise refusal(op, errnoOf n)
    if n == 0: break
    done += n
  result.setLen(done)

proc ask(step: Step, op: string, request: Json, body = ""): Json = parseJson(step.call(op, request.raw, body))

proc http*(step: Step, url: string, `method` = "GET", headers: openArray[(string, string)] = [], body = "", timeoutMs = 0,
    artifact = ""): HttpResponse =
  ## Makes a request, where a grant covers its method and URL. With `artifact`
  ## the body of the response is stored as an artifact of that name.
  var request = obj({"method": toJson(`method`), "url": toJson(url)})
  var named = obj()
  for (name, value) in headers: named.add(name, toJson(value))
  if headers.len > 0: request.add("headers", named)
  if timeoutMs > 0: request.add("timeout_ms", toJson(timeoutMs))
  if artifact.len > 0: request.add("artifact", toJson(artifact))
  let got = step.ask("http.request", request, body)
  let encoded = got["body_base64"]
  HttpResponse(status: got["status"].read(int, "status"), headers: got["headers"], artifact: got["artifact"],
    body: if encoded.isText: decode(encoded.text) else: got["body"].text)

proc state*[T](step: Step, kind: typedesc[T], key: string): Option[T] =
  ## What the pipeline keeps at a key; none where there is nothing.
  try: some(step.ask("state.get", obj({"key": toJson(key)}))["value"].read(kind, "state " & key))
  except Refusal as refusal:
    if refusal.errno != eNotFound: raise
    none(T)

proc setState*[T](step: Step, key: string, value: T) =
  ## Keeps a value: later steps see it at once, other runs when this one succeeds.
  discard step.ask("state.set", obj({"key": toJson(key), "value": toJson(value)}))

proc deleteState*(step: Step, key: string) = discard step.ask("state.delete", obj({"key": toJson(key)}))
  ## Drops what is kept at a key, if anything is.

proc listState*(step: Step, prefix = ""): seq[string] = step.ask("state.list", obj({"prefix": toJson(prefix)}))["keys"].read(seq[string])
  ## The keys that begin with a prefix, in order.

proc secret*(step: Step, name: string): string = step.ask("secret.get", obj({"name": toJson(name)}))["value"].text
  ## A secret that the manifest exposes to the plugin.

proc putArtifact*(step: Step, name, mediaType, content: string): Json =
  ## Stores content, at most 8 MiB, and returns its reference, to be set as an output.
  var request = obj({"name": toJson(name)})
  if mediaType.len > 0: request.add("type", toJson(mediaType))
  step.ask("artifact.put", request, content)

proc getArtifact*(step: Step, reference: Json): string = step.call("artifact.get", reference.raw)
  ## The bytes of an artifact of at most 8 MiB.

proc readArtifact*(step: Step, reference: Json, offset, length: int64): string =
  ## A slice of an artifact of any size.
  var request = obj()
  for name, value in reference.members: request.add(name, value)
  request.add("offset", toJson(offset))
  request.add("length", toJson(length))
  step.call("artifact.get", request.raw)

proc emit*[T](step: Step, eventType, subject: string, data: T): string =
  ## Records an event, its type in reverse DNS, and returns its id.
  var event = obj({"type": toJson(eventType)})
  if subject.len > 0: event.add("subject", toJson(subject))
  event.add("data", toJson(data))
  step.ask("event.emit", event)["id"].text

proc hostInfo*(step: Step): HostInfo = step.ask("host.info", obj()).read(HostInfo)
  ## What this host is and offers.

proc report(e: ref Ending): int32 =
  if e.kind == kOk: e.kind = kFailed # an error never ends a step well
  let kind = int32(ord e.kind)
  var message = clip(e.msg, maxMessage)
  if e.code.len > 0 or e.afterMs > 0 or message.startsWith("{"):
    var code = e.code
    let text = message
    var most = text.len
    while true:
      var doc = obj()
      if code.len > 0: doc.add("code", toJson(code))
      doc.add("message", toJson(clip(text, most)))
      if e.afterMs > 0: doc.add("retry_after_ms", toJson(e.afterMs))
      message = doc.raw
      if message.len <= maxMessage: break
      most = most div 2 # escapes take room
      code = clip(code, max(code.len div 2, 64))
  discard rawFail(kind, message)
  kind

proc nimMain() {.importc: "NimMain".}

var ready {.noinit.}: bool

proc handle*(run: proc (step: Step)): int32 =
  ## Runs a step and tells the host how it ended; `entry` calls it.
  if not ready:
    nimMain()
    ready = true
  try:
    var input = newString(max(hostInputSize(), 0))
    if input.len == 0 or hostInputRead(input.at, 0, input.size) != input.size: raise failed("cannot read the run context")
    run(newStep(parseJson(input)))
  except Ending as e: return report(e)
  except Refusal as e:
    let useless = e.errno in {eDenied, eInvalid, eUnknownOp}
    return report(ending(if useless: kPermanent else: kFailed, e.msg, $e.errno))
  except CatchableError as e: return report(failed(e.msg))

template entry*(name: untyped, run: proc (step: Step)) =
  ## Exports what a manifest calls by `function = "name"`; the default is `uniflow_run`.
  proc name(): int32 {.exportc, codegenDecl: "__attribute__((export_name(\"" & astToStr(name) & "\"))) $# $#$#".} = handle(run)
