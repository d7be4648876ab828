//! The conformance program of the Rust kit; sdk/abi/testdata/README.md says what it does.

use std::cell::Cell;
use std::time::Duration;
use uniflow::{raw, record, Ending, Errno, Event, HttpRequest, Kind, Object, Step, ToJson};

type Ended = Result<(), Ending>;

thread_local! {
    /// What a vector of attempt.json returns, past the kit.
    static RETURNED: Cell<i32> = Cell::new(0);
}

#[no_mangle]
pub extern "C" fn uniflow_abi_v1() {}

#[no_mangle]
pub extern "C" fn uniflow_run() -> i32 {
    let end = uniflow::handle(run);
    match RETURNED.with(Cell::get) {
        0 => end,
        returned => returned,
    }
}

fn run(step: &mut Step) -> Ended {
    let case: String = step.input("case")?;
    match case.as_str() {
        "echo" => step.output("document", &step.with.get("document")),
        "values" => values(step),
        "context" => context(step),
        "item" => item(step),
        "log" => logs(step),
        "http" => http(step),
        "secret" => secret(step),
        "state" => state(step),
        "artifact" => artifact(step),
        "event" => event(step),
        "unknown" => unknown(step),
        "fail" => fail(step),
        "attempt" => attempt(step),
        _ => Err(Ending::permanent(["unknown case ", &case.to_json()].concat())),
    }
}

record! {
    struct Values { numbers: Vec<f64>, text: String, flag: bool }
}

fn values(step: &mut Step) -> Ended {
    let inputs: Values = step.with.read()?;
    step.output("sum", &inputs.numbers.iter().sum::<f64>())?;
    step.output("count", &inputs.numbers.len())?;
    step.output("text", &inputs.text)?;
    step.output("flag", &inputs.flag)
}

fn context(step: &mut Step) -> Ended {
    let station: Option<String> = step.context.member("station")?;
    step.output("pipeline", &step.pipeline)?;
    step.output("step", &step.name)?;
    step.output("attempt", &step.attempt)?;
    step.output("trigger", &step.trigger)?;
    step.output("station", &station)
}

fn item(step: &mut Step) -> Ended {
    step.output("item", &step.item)?;
    step.output("index", &step.item_index)
}

fn logs(step: &mut Step) -> Ended {
    step.debug("one");
    step.info("two");
    step.warn("three: ü");
    step.error("four");
    let cancelled = step.progress(0.5, "half");
    step.output("cancelled", &cancelled)
}

record! {
    struct Request { method: String, url: String, header: Option<String>, body: Option<String> }
}

fn http(step: &mut Step) -> Ended {
    let inputs: Request = step.with.read()?;
    let headers: Vec<_> = inputs.header.iter().map(|value| ("content-type", value.as_str())).collect();
    let body = inputs.body.unwrap_or_default();
    let got = step.http(&HttpRequest {
        method: &inputs.method,
        url: &inputs.url,
        headers: &headers,
        body: body.as_bytes(),
        ..HttpRequest::default()
    })?;
    step.output("status", &got.status)?;
    step.output("type", &got.header("content-type"))?;
    step.output("body", &String::from_utf8_lossy(&got.body))
}

fn secret(step: &mut Step) -> Ended {
    let value = step.secret(&step.input::<String>("name")?)?;
    step.output("value", &value)
}

fn state(step: &mut Step) -> Ended {
    let key: String = step.input("key")?;
    let n = step.state::<i64>(&key)?.unwrap_or(0) + 1;
    step.set_state(&key, &n)?;
    step.delete_state("old")?;
    let keys = step.list_state("")?;
    step.output("n", &n)?;
    step.output("keys", &keys)
}

fn artifact(step: &mut Step) -> Ended {
    let (name, text): (String, String) = (step.input("name")?, step.input("text")?);
    let content = text.repeat(step.input("times")?);
    let put = step.put_artifact(&name, "text/plain", content.as_bytes())?;
    let got = step.get_artifact(&put)?;
    step.output("ref", &put)?;
    step.output("size", &got.len())?;
    if got.len() > 1000 {
        return Ok(());
    }
    step.output("text", &String::from_utf8_lossy(&got))
}

fn event(step: &mut Step) -> Ended {
    let (kind, subject): (String, String) = (step.input("type")?, step.input("subject")?);
    let id = step.emit(&Event { kind: &kind, subject: &subject }, &step.with.get("data"))?;
    step.output("id", &id)
}

fn unknown(step: &mut Step) -> Ended {
    match step.call("no.such", &Object::new().to_json(), &[]) {
        Ok(_) => Err("no.such is not refused".into()),
        Err(refusal) => {
            step.output("code", &refusal.code)?;
            step.output("message", &refusal.message)?;
            step.output("hint", &refusal.hint)
        }
    }
}

record! {
    struct Failure { kind: String, code: String, message: String, after_ms: Option<u64> }
}

fn fail(step: &mut Step) -> Ended {
    let inputs: Failure = step.with.read()?;
    step.output("before", &1)?;
    let kind = match inputs.kind.as_str() {
        "skip" => Kind::Skip,
        "retry" => Kind::Retry,
        "permanent" => Kind::Permanent,
        _ => Kind::Failed,
    };
    let after = Duration::from_millis(inputs.after_ms.unwrap_or(0));
    Err(Ending { kind, code: inputs.code, message: inputs.message, after })
}

record! {
    struct Attempt { calls: Vec<Call>, r#return: i32 }
}

record! {
    struct Call { r#do: String, key: Option<String>, value: Option<String>, kind: Option<i32>, text: Option<String> }
}

/// Makes the calls of a vector of attempt.json.
fn attempt(step: &mut Step) -> Ended {
    let inputs: Attempt = step.with.read()?;
    let name = |result: Result<(), Errno>| result.map_or_else(Errno::name, |()| "ok");
    let names: Vec<_> = inputs.calls.iter().map(|call| name(make(call))).collect();
    step.info(&names.join(" "));
    RETURNED.with(|returned| returned.set(inputs.r#return));
    Ok(())
}

fn make(call: &Call) -> Result<(), Errno> {
    let text = |member: &Option<String>| member.clone().unwrap_or_default();
    if call.r#do == "fail" {
        return match raw::fail(call.kind.unwrap_or(0), &text(&call.text)) {
            n if n < 0 => Err(Errno::of(n)),
            _ => Ok(()),
        };
    }
    raw::output(&text(&call.key), &text(&call.value))
}
