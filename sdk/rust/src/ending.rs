//! How a step ends, and why a service says no.

use crate::json::{Json, Mismatch};
use crate::raw;
use crate::write::{Object, ToJson};
use std::fmt;
use std::time::Duration;

/// How an attempt ends; the numbers of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Failed = 1,
    Skip = 2,
    Retry = 3,
    Permanent = 4,
}

/// An error that says how a step wants to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub kind: Kind,
    /// Machine code of the plugin's own, may be empty.
    pub code: String,
    /// Why, for people.
    pub message: String,
    /// Only for [`Kind::Retry`]: how long to wait; zero leaves it to the step's policy.
    pub after: Duration,
}

impl Ending {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Ending { kind, code: String::new(), message: message.into(), after: Duration::ZERO }
    }

    /// There was nothing to do; outputs are kept and the run can succeed.
    pub fn skip(why: impl Into<String>) -> Self {
        Self::new(Kind::Skip, why)
    }

    /// A failure; the step's retry policy decides.
    pub fn failed(why: impl Into<String>) -> Self {
        Self::new(Kind::Failed, why)
    }

    /// A transient failure, to be tried again after a wait.
    pub fn retry(why: impl Into<String>, after: Duration) -> Self {
        Ending { after, ..Self::new(Kind::Retry, why) }
    }

    /// A failure that trying again cannot heal.
    pub fn permanent(why: impl Into<String>) -> Self {
        Self::new(Kind::Permanent, why)
    }

    /// The same ending with a machine code.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = code.into();
        self
    }

    /// Tells the host; returns what the entry returns.
    pub(crate) fn report(mut self) -> i32 {
        if self.code.is_empty() && self.after.is_zero() && !self.message.starts_with('{') {
            raw::fail(self.kind as i32, raw::clip(&self.message, raw::MAX_MESSAGE));
            return self.kind as i32;
        }
        loop {
            let doc = self.document();
            if doc.len() <= raw::MAX_MESSAGE {
                raw::fail(self.kind as i32, &doc);
                return self.kind as i32;
            }
            self.message = half(&self.message);
            self.code = half(&self.code);
        }
    }

    fn document(&self) -> String {
        let mut doc = Object::new();
        if !self.code.is_empty() {
            doc.add("code", &self.code);
        }
        doc.add("message", &self.message);
        if !self.after.is_zero() {
            doc.add("retry_after_ms", &u64::try_from(self.after.as_millis()).unwrap_or(u64::MAX));
        }
        doc.to_json()
    }
}

/// Shortens a text that is too long to be sent; a short one it keeps.
fn half(s: &str) -> String {
    let most = if s.len() < 256 { s.len() } else { s.len() / 2 };
    raw::clip(s, most).to_owned()
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Ending {}

impl From<String> for Ending {
    fn from(why: String) -> Self {
        Ending::failed(why)
    }
}

impl From<&str> for Ending {
    fn from(why: &str) -> Self {
        Ending::failed(why)
    }
}

impl From<Mismatch> for Ending {
    fn from(m: Mismatch) -> Self {
        Ending::permanent(m.to_string())
    }
}

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Self {
        let useless = matches!(refusal.errno, Errno::Denied | Errno::Invalid | Errno::UnknownOp);
        let kind = if useless { Kind::Permanent } else { Kind::Failed };
        Ending::new(kind, refusal.to_string()).code(refusal.errno.name())
    }
}

/// The error numbers of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errno {
    /// No grant covers it.
    Denied = 1,
    /// There is no such thing.
    NotFound = 2,
    /// Over a limit; nothing was changed.
    TooLarge = 3,
    /// Not UTF-8, not JSON, nested too deep, or malformed.
    Invalid = 4,
    /// The service cannot answer now.
    Unavailable = 5,
    /// The attempt is being stopped.
    Cancelled = 6,
    /// A budget is used up.
    Quota = 7,
    /// This host does not know the operation.
    UnknownOp = 8,
    /// A pointer leads outside the memory of the plugin.
    Fault = 9,
}

const ERRNOS: [(Errno, &str); 9] = [
    (Errno::Denied, "denied"),
    (Errno::NotFound, "not_found"),
    (Errno::TooLarge, "too_large"),
    (Errno::Invalid, "invalid"),
    (Errno::Unavailable, "unavailable"),
    (Errno::Cancelled, "cancelled"),
    (Errno::Quota, "quota"),
    (Errno::UnknownOp, "unknown_op"),
    (Errno::Fault, "fault"),
];

impl Errno {
    /// The error of a negative result; an unknown number counts as [`Errno::Unavailable`].
    pub fn of(result: i32) -> Errno {
        let at = result.unsigned_abs().wrapping_sub(1) as usize;
        ERRNOS.get(at).map_or(Errno::Unavailable, |(errno, _)| *errno)
    }

    pub fn name(self) -> &'static str {
        ERRNOS[self as usize - 1].1
    }
}

/// The answer of a service that said no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub op: String,
    /// [`Errno::Denied`] without a grant, [`Errno::UnknownOp`] on a host that does not offer the service.
    pub errno: Errno,
    /// The name of the number, or a finer one.
    pub code: String,
    pub message: String,
    /// What to do about it, may be empty.
    pub hint: String,
}

impl Refusal {
    pub(crate) fn new(op: &str, errno: Errno, message: &str) -> Self {
        Refusal { op: op.into(), errno, code: errno.name().into(), message: message.into(), hint: String::new() }
    }

    /// What the host says about a failed call, as a refusal.
    pub(crate) fn explained(op: &str, errno: Errno, said: &[u8]) -> Self {
        let mut refusal = Refusal::new(op, errno, "");
        if let Some(doc) = std::str::from_utf8(said).ok().and_then(Json::parse) {
            let text = |name| doc.get(name).text().unwrap_or_default().into_owned();
            refusal.message = text("message");
            refusal.hint = text("hint");
            let code = text("code");
            if !code.is_empty() {
                refusal.code = code;
            }
        }
        refusal
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.op)?;
        f.write_str(": ")?;
        f.write_str(if self.message.is_empty() { self.errno.name() } else { &self.message })
    }
}

impl std::error::Error for Refusal {}
