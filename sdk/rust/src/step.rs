//! What a step knows, and how it answers.

use crate::json::{FromJson, Json};
use crate::raw;
use crate::{Ending, Errno, ToJson};

/// What a step knows: the run context, and its way to the host. Texts are
/// empty where there is nothing to say.
pub struct Step<'a> {
    pub tenant: String,
    pub project: String,
    pub pipeline: String,
    /// The digest of the plan and its plugins.
    pub version: String,
    pub label: String,
    pub run_id: String,
    /// The name of the step.
    pub name: String,
    pub function: String,
    /// Counts from 1.
    pub attempt: u32,
    pub max_attempts: u32,
    /// The same for every attempt of the step in its run.
    pub idempotency_key: String,
    pub trigger: String,
    pub schedule: String,
    // Instants are RFC 3339 in UTC.
    pub scheduled_at: String,
    pub interval_start: String,
    pub interval_end: String,
    pub started_at: String,
    pub deadline: String,
    pub last_success_at: String,
    /// What the caller gave the run.
    pub context: Json<'a>,
    /// The inputs of the step.
    pub with: Json<'a>,
    /// The element of a fan-out, and its place; null and none outside of one.
    pub item: Json<'a>,
    pub item_index: Option<u64>,
    /// The services that the host offers.
    pub features: Json<'a>,
    /// The whole run context, for members that are not listed here.
    pub document: Json<'a>,
}

impl<'a> Step<'a> {
    /// Reads a run context, as the host hands it over or a test writes it.
    pub fn new(document: Json<'a>) -> Self {
        let mut step = Step::empty(document);
        for (name, value) in document.members() {
            step.set(&name, value);
        }
        step
    }

    fn set(&mut self, name: &str, value: Json<'a>) {
        let text = match name {
            "tenant" => &mut self.tenant,
            "project" => &mut self.project,
            "pipeline" => &mut self.pipeline,
            "version" => &mut self.version,
            "label" => &mut self.label,
            "run_id" => &mut self.run_id,
            "step" => &mut self.name,
            "function" => &mut self.function,
            "idempotency_key" => &mut self.idempotency_key,
            "trigger" => &mut self.trigger,
            "schedule" => &mut self.schedule,
            "scheduled_at" => &mut self.scheduled_at,
            "interval_start" => &mut self.interval_start,
            "interval_end" => &mut self.interval_end,
            "started_at" => &mut self.started_at,
            "deadline" => &mut self.deadline,
            "last_success_at" => &mut self.last_success_at,
            _ => return self.set_value(name, value),
        };
        *text = value.text().unwrap_or_default().into_owned();
    }

    fn set_value(&mut self, name: &str, value: Json<'a>) {
        match name {
            "context" => self.context = value,
            "with" => self.with = value,
            "item" => self.item = value,
            "features" => self.features = value,
            "item_index" => self.item_index = value.read().ok(),
            "attempt" => self.attempt = value.read().unwrap_or(1),
            "max_attempts" => self.max_attempts = value.read().unwrap_or(1),
            _ => {}
        }
    }

    fn empty(document: Json<'a>) -> Self {
        let text = String::new;
        Step {
            tenant: text(),
            project: text(),
            pipeline: text(),
            version: text(),
            label: text(),
            run_id: text(),
            name: text(),
            function: text(),
            attempt: 1,
            max_attempts: 1,
            idempotency_key: text(),
            trigger: text(),
            schedule: text(),
            scheduled_at: text(),
            interval_start: text(),
            interval_end: text(),
            started_at: text(),
            deadline: text(),
            last_success_at: text(),
            context: Json::NULL,
            with: Json::NULL,
            item: Json::NULL,
            item_index: None,
            features: Json::NULL,
            document,
        }
    }

    /// Reads an input of the step, a member of `with`.
    pub fn input<T: FromJson>(&self, name: &str) -> Result<T, Ending> {
        Ok(self.with.member(name)?)
    }

    /// Sets a named output; the last one of a name wins.
    pub fn output<T: ToJson + ?Sized>(&self, name: &str, value: &T) -> Result<(), Ending> {
        let doc = value.to_json();
        raw::output(name, &doc).map_err(|errno| {
            let why = ["output ", name, " of ", &doc.len().to_json(), " bytes: ", errno.name()].concat();
            match errno {
                Errno::TooLarge | Errno::Invalid => Ending::permanent(why),
                _ => Ending::failed(why),
            }
            .code(errno.name())
        })
    }

    pub fn debug(&self, message: &str) {
        raw::log(1, message);
    }

    pub fn info(&self, message: &str) {
        raw::log(2, message);
    }

    pub fn warn(&self, message: &str) {
        raw::log(3, message);
    }

    /// Logs an error; it does not end the step: return one for that.
    pub fn error(&self, message: &str) {
        raw::log(4, message);
    }

    /// Says how far the step is, from 0 to 1; true when the attempt is being
    /// cancelled. A long step calls it now and then, and returns then.
    pub fn progress(&self, part: f64, message: &str) -> bool {
        raw::progress((part.clamp(0.0, 1.0) * 1000.0) as i32, message)
    }
}

/// Runs a step and tells the host how it ended; [`entry!`](crate::entry) calls it.
pub fn handle<E: Into<Ending>>(run: impl FnOnce(&mut Step) -> Result<(), E>) -> i32 {
    let ended = match raw::input().map(String::from_utf8) {
        Ok(Ok(text)) => match Json::parse(&text) {
            Some(document) => run(&mut Step::new(document)).map_err(Into::into),
            None => Err(Ending::failed("the run context is no JSON")),
        },
        _ => Err(Ending::failed("cannot read the run context")),
    };
    match ended {
        Ok(()) => 0,
        Err(ending) => ending.report(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::record! {
        #[derive(Debug, PartialEq)]
        struct Inputs { rows: Vec<f64>, r#type: Option<String> }
    }

    #[test]
    fn a_run_context_is_read() {
        let doc = r#"{"step":"sum","attempt":2,"with":{"rows":[1,2.5],"type":"x"},"item":null,"new":{}}"#;
        let step = Step::new(Json::parse(doc).unwrap());
        assert_eq!((step.name.as_str(), step.attempt, step.item_index), ("sum", 2, None));
        let inputs: Inputs = step.with.read().unwrap();
        assert_eq!(inputs, Inputs { rows: vec![1.0, 2.5], r#type: Some("x".into()) });
        assert_eq!(inputs.to_json(), r#"{"rows":[1,2.5],"type":"x"}"#);
        assert_eq!(step.input::<String>("rows").unwrap_err(), Ending::permanent("rows must be a text"));
    }

    #[test]
    fn refusals_end_a_step() {
        let refused = Step::new(Json::NULL).secret("A").unwrap_err();
        let ending = Ending::from(refused);
        assert_eq!(ending, Ending::permanent("secret.get: unknown_op").code("unknown_op"));
        assert_eq!(ending.report(), 4);
        assert_eq!(Ending::failed("\u{1}".repeat(40000)).code("x").report(), 1);
    }
}
