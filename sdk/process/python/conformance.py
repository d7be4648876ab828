"""The conformance program of the Python kit for processes; sdk/abi/testdata/README.md says what it does."""
from uniflow_process import CallError, Context, Failed, Permanent, Retry, Skip, serve, step


@step
def run(ctx: Context):
    """Does what the vectors of the contract ask."""
    case = ctx.inputs["case"]
    if case not in CASES:
        raise Permanent(f'unknown case "{case}"')
    return CASES[case](ctx, ctx.inputs)


def echo(ctx, _):
    ctx.output_raw("document", ctx.raw_input("document"))


def values(_, given):
    numbers, text, flag = given.get("numbers"), given.get("text"), given.get("flag")
    if not (isinstance(numbers, list) and isinstance(text, str) and isinstance(flag, bool)):
        raise Permanent("numbers is no list, text no text or flag no boolean", code="bad_input")
    return {"sum": sum(numbers), "count": len(numbers), "text": text, "flag": flag}


def context(ctx, _):
    return {
        "pipeline": ctx.pipeline, "step": ctx.step, "attempt": ctx.attempt, "trigger": ctx.trigger,
        "station": ctx.context.get("station"),
    }


def item(ctx, _):
    return {"item": ctx.item, "index": ctx.item_index}


def log(ctx, _):
    ctx.log.debug("one")
    ctx.log.info("two")
    ctx.log.warn("three: %s", "ü")
    ctx.log.error("four")
    return {"cancelled": ctx.progress(0.5, "half")}


def http(ctx, given):
    headers = {"content-type": given["header"]} if "header" in given else None
    answer = ctx.http.request(given["method"], given["url"], headers, given.get("body"))
    return {"status": answer.status, "type": answer.headers.get("content-type"), "body": answer.text}


def secret(ctx, given):
    return {"value": ctx.secret(given["name"])}


def state(ctx, given):
    n = ctx.state.get(given["key"], 0) + 1
    ctx.state[given["key"]] = n
    ctx.state.delete("old")
    return {"n": n, "keys": ctx.state.list()}


def artifact(ctx, given):
    ref = ctx.artifact.put(given["name"], given["text"] * given["times"], "text/plain")
    content = ctx.artifact.get(ref)
    if len(content) <= 1000:
        ctx.output("text", content.decode())
    return {"ref": ref, "size": len(content)}


def event(ctx, given):
    return {"id": ctx.emit(given["type"], given["data"], given["subject"])}


def unknown(ctx, _):
    try:
        ctx.call("no.such")
    except CallError as error:
        return {"code": error.code, "message": error.message, "hint": error.hint}
    raise Failed("no.such is not refused")


def fail(ctx, given):
    ctx.output("before", 1)
    message, code = given["message"], given["code"]
    if given["kind"] == "skip":
        raise Skip(message, code)
    if given["kind"] == "permanent":
        raise Permanent(message, code)
    if given["kind"] == "retry":
        raise Retry(message, code, after=given["after_ms"] / 1000)
    raise Failed(message, code)


def attempt(ctx, given):
    """Sets outputs. A process ends by one word, so there is no other call."""
    names = []
    for call in given["calls"]:
        try:
            ctx.output_raw(call.get("key", ""), call.get("value", ""))
            names.append("ok")
        except CallError as error:
            names.append(error.code)
    ctx.log.info(" ".join(names))


CASES = {
    f.__name__: f
    for f in (echo, values, context, item, log, http, secret, state, artifact, event, unknown, fail, attempt)
}

# Beyond the vectors: what becomes of a process whose step does this.


@step
def life(ctx: Context):
    """Misbehaves as ``with.do`` says."""
    do = ctx.inputs["do"]
    if do == "print":
        print("printed")
        import os
        os.system("echo by a child")
        return {"pid": os.getpid()}
    if do == "raise":
        raise ValueError("a bug")
    if do == "exit":
        raise SystemExit("enough")
    if do == "crash":
        import os
        os._exit(3)
    if do == "wait":
        ctx.progress(0, "waiting")
        stopped = ctx.sleep(60)
        ctx.log.info("stopped: %s", stopped)
        return None
    if do == "save":
        ctx.save("big.bin", (b"0123456789" * 100_000 for _ in range(ctx.inputs["millions"])), "application/octet-stream")
        return None
    raise Permanent(f'unknown deed "{do}"')


if __name__ == "__main__":
    serve(name="conformance", version="1.0.0")
