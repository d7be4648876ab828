"""The program that the vectors of sdk/abi/testdata/conformance.json are run with."""
import _uniflow
import uniflow

ERRORS = ["ok", "denied", "not_found", "too_large", "invalid", "unavailable", "cancelled", "quota", "unknown_op", "fault"]


def run(ctx):
    case = ctx.inputs["case"]
    if case not in CASES:
        raise uniflow.Permanent(f'unknown case "{case}"')
    return CASES[case](ctx, ctx.inputs)


def echo(ctx, _):
    uniflow.output_raw("document", ctx.raw_input("document"))


def values(ctx, given):
    numbers, text, flag = given.get("numbers"), given.get("text"), given.get("flag")
    if not (isinstance(numbers, list) and isinstance(text, str) and isinstance(flag, bool)):
        raise uniflow.Permanent("numbers is no list, text no text or flag no boolean", code="bad_input")
    return {"sum": sum(numbers), "count": len(numbers), "text": text, "flag": flag}


def context(ctx, _):
    return {
        "pipeline": ctx.pipeline, "step": ctx.step, "attempt": ctx.attempt, "trigger": ctx.trigger,
        "station": ctx.context.get("station"),
    }


def item(ctx, _):
    return {"item": ctx.item, "index": ctx.item_index}


def log(ctx, _):
    uniflow.log.debug("one")
    uniflow.log.info("two")
    uniflow.log.warn("three: %s", "ü")
    uniflow.log.error("four")
    return {"cancelled": uniflow.progress(0.5, "half")}


def http(ctx, given):
    headers = {"content-type": given["header"]} if "header" in given else None
    answer = uniflow.http.request(given["method"], given["url"], headers, given.get("body"))
    return {"status": answer.status, "type": answer.headers.get("content-type"), "body": answer.text}


def secret(ctx, given):
    return {"value": uniflow.secret(given["name"])}


def state(ctx, given):
    n = uniflow.state.get(given["key"], 0) + 1
    uniflow.state[given["key"]] = n
    uniflow.state.delete("old")
    return {"n": n, "keys": uniflow.state.list()}


def artifact(ctx, given):
    ref = uniflow.artifact.put(given["name"], given["text"] * given["times"], "text/plain")
    content = uniflow.artifact.get(ref)
    if len(content) <= 1000:
        uniflow.output("text", content.decode())
    return {"ref": ref, "size": len(content)}


def event(ctx, given):
    return {"id": uniflow.emit(given["type"], given["data"], given["subject"])}


def unknown(ctx, _):
    try:
        uniflow.call("no.such")
    except uniflow.CallError as error:
        return {"code": error.code, "message": error.message, "hint": error.hint}
    raise uniflow.Failed("no.such is not refused")


def fail(ctx, given):
    uniflow.output("before", 1)
    message, code = given["message"], given["code"]
    if given["kind"] == "skip":
        raise uniflow.Skip(message, code)
    if given["kind"] == "permanent":
        raise uniflow.Permanent(message, code)
    if given["kind"] == "retry":
        raise uniflow.Retry(message, code, after=given["after_ms"] / 1000)
    raise uniflow.Failed(message, code)


def attempt(ctx, given):
    """Makes raw calls, and returns a raw number."""
    names = []
    for call in given["calls"]:
        if call["do"] == "fail":
            errno = _uniflow.fail(call.get("kind", 0), call.get("text", ""))
        else:
            errno = _uniflow.output(call.get("key", ""), call.get("value", ""))
        names.append(ERRORS[-errno])
    uniflow.log.info(" ".join(names))
    raise uniflow._Return(given["return"])


CASES = {
    f.__name__: f
    for f in (echo, values, context, item, log, http, secret, state, artifact, event, unknown, fail, attempt)
}
