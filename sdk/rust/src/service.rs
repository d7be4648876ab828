//! The services of a host, by typed methods of a step.

use crate::json::{FromJson, Json, Mismatch};
use crate::raw;
use crate::write::{Object, ToJson};
use crate::{Errno, Refusal, Step};
use std::time::Duration;

/// A request that the host makes, where a grant covers its method and URL, at
/// every redirect anew.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest<'a> {
    /// Empty for GET.
    pub method: &'a str,
    pub url: &'a str,
    /// The host fills in secrets and what the protocol needs.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
    /// Zero for what the host allows.
    pub timeout: Duration,
    /// Where it is set, the body of the response is stored as an artifact of this name.
    pub artifact: &'a str,
}

/// An answer; a status of 400 and more is one, too.
#[derive(Clone, Debug, Default)]
pub struct HttpResponse {
    pub status: u32,
    /// Names in lower case with values; several of a name are joined by ", ".
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Where the request asked for one.
    pub artifact: Option<Artifact>,
}

impl HttpResponse {
    /// The header of a name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as text; none when it is no UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Json<'_> {
        self.text().and_then(Json::parse).unwrap_or(Json::NULL)
    }
}

/// A reference that stands in JSON for bytes which are too large for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// As `sha256:…`.
    pub digest: String,
    pub size: u64,
    pub media_type: String,
}

impl FromJson for Artifact {
    const WHAT: &'static str = "a reference to an artifact";
    fn from_json(json: Json) -> Result<Self, Mismatch> {
        let lost = |_| Mismatch { path: String::new(), want: Self::WHAT };
        Ok(Artifact {
            digest: json.member("$artifact").map_err(lost)?,
            size: json.member("size").map_err(lost)?,
            media_type: json.member::<Option<String>>("type").map_err(lost)?.unwrap_or_default(),
        })
    }
}

impl Artifact {
    fn object(&self) -> Object {
        let mut doc = Object::new().with("$artifact", &self.digest).with("size", &self.size);
        if !self.media_type.is_empty() {
            doc.add("type", &self.media_type);
        }
        doc
    }
}

impl ToJson for Artifact {
    fn write(&self, out: &mut String) {
        self.object().write(out);
    }
}

/// Something that happened, for whoever reads the ledger.
#[derive(Clone, Debug, Default)]
pub struct Event<'a> {
    /// In reverse DNS, "com.example.report.done".
    pub kind: &'a str,
    pub subject: &'a str,
}

/// What this host is and offers.
#[derive(Clone, Debug, Default)]
pub struct HostInfo {
    pub version: String,
    pub abi: String,
    pub ops: Vec<String>,
    /// Limits in force, in bytes, by name.
    pub limits: Vec<(String, u64)>,
}

impl Step<'_> {
    /// Asks any service; body is the part of the request that is not JSON.
    pub fn call(&self, op: &str, request: &str, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        raw::call(op, request, body).map_err(|(errno, said)| Refusal::explained(op, errno, &said))
    }

    fn ask<T>(
        &self,
        op: &str,
        request: &Object,
        body: &[u8],
        read: impl FnOnce(Json) -> Result<T, Mismatch>,
    ) -> Result<T, Refusal> {
        let answer = self.call(op, &request.to_json(), body)?;
        let doc = std::str::from_utf8(&answer).ok().and_then(Json::parse).unwrap_or(Json::NULL);
        read(doc).map_err(|m| Refusal::new(op, Errno::Unavailable, &["response: ", &m.to_string()].concat()))
    }

    /// Makes a request.
    pub fn http(&self, r: &HttpRequest) -> Result<HttpResponse, Refusal> {
        let method = if r.method.is_empty() { "GET" } else { r.method };
        let mut doc = Object::new().with("method", method).with("url", r.url);
        if !r.headers.is_empty() {
            let mut headers = Object::new();
            r.headers.iter().for_each(|(name, value)| {
                headers.add(name, value);
            });
            doc.add("headers", &headers);
        }
        if !r.timeout.is_zero() {
            doc.add("timeout_ms", &u64::try_from(r.timeout.as_millis()).unwrap_or(u64::MAX));
        }
        if !r.artifact.is_empty() {
            doc.add("artifact", r.artifact);
        }
        self.ask("http.request", &doc, r.body, |answer| {
            let body = match answer.member::<Option<String>>("body_base64")? {
                Some(text) => base64(&text).ok_or(Mismatch { path: "body_base64".into(), want: "base64" })?,
                None => answer.member::<Option<String>>("body")?.unwrap_or_default().into_bytes(),
            };
            Ok(HttpResponse {
                status: answer.member("status")?,
                headers: named(answer.get("headers")),
                body,
                artifact: answer.member("artifact")?,
            })
        })
    }

    /// What the pipeline keeps at a key; none where there is nothing.
    pub fn state<T: FromJson>(&self, key: &str) -> Result<Option<T>, Refusal> {
        match self.ask("state.get", &Object::new().with("key", key), &[], |answer| answer.member("value")) {
            Err(refusal) if refusal.errno == Errno::NotFound => Ok(None),
            answer => answer,
        }
    }

    /// Keeps a value: later steps of the run see it at once, other runs when
    /// this one succeeds.
    pub fn set_state<T: ToJson + ?Sized>(&self, key: &str, value: &T) -> Result<(), Refusal> {
        self.ask("state.set", &Object::new().with("key", key).with("value", value), &[], |_| Ok(()))
    }

    /// Drops what is kept at a key, if anything is.
    pub fn delete_state(&self, key: &str) -> Result<(), Refusal> {
        self.ask("state.delete", &Object::new().with("key", key), &[], |_| Ok(()))
    }

    /// The keys that begin with a prefix, in order.
    pub fn list_state(&self, prefix: &str) -> Result<Vec<String>, Refusal> {
        self.ask("state.list", &Object::new().with("prefix", prefix), &[], |answer| answer.member("keys"))
    }

    /// A secret that the manifest exposes to the plugin. Any other is filled
    /// in by the host and cannot be read.
    pub fn secret(&self, name: &str) -> Result<String, Refusal> {
        self.ask("secret.get", &Object::new().with("name", name), &[], |answer| answer.member("value"))
    }

    /// Stores content, at most 8 MiB, and returns its reference, to be set as
    /// an output.
    pub fn put_artifact(&self, name: &str, media_type: &str, content: &[u8]) -> Result<Artifact, Refusal> {
        let mut doc = Object::new().with("name", name);
        if !media_type.is_empty() {
            doc.add("type", media_type);
        }
        self.ask("artifact.put", &doc, content, |answer| answer.read())
    }

    /// The bytes of an artifact of at most 8 MiB.
    pub fn get_artifact(&self, artifact: &Artifact) -> Result<Vec<u8>, Refusal> {
        self.call("artifact.get", &artifact.to_json(), &[])
    }

    /// A slice of an artifact of any size; shorter at its end, empty beyond it.
    pub fn read_artifact(&self, artifact: &Artifact, offset: u64, length: u64) -> Result<Vec<u8>, Refusal> {
        self.call("artifact.get", &artifact.object().with("offset", &offset).with("length", &length).to_json(), &[])
    }

    /// Records an event and returns its id.
    pub fn emit<T: ToJson + ?Sized>(&self, event: &Event, data: &T) -> Result<String, Refusal> {
        let mut doc = Object::new().with("type", event.kind);
        if !event.subject.is_empty() {
            doc.add("subject", event.subject);
        }
        self.ask("event.emit", &doc.with("data", data), &[], |answer| answer.member("id"))
    }

    /// What this host is and offers.
    pub fn host_info(&self) -> Result<HostInfo, Refusal> {
        self.ask("host.info", &Object::new(), &[], |answer| {
            Ok(HostInfo {
                version: answer.member("version")?,
                abi: answer.member("abi")?,
                ops: answer.member("ops")?,
                limits: named(answer.get("limits")),
            })
        })
    }
}

/// The members of an object that can be read.
fn named<T: FromJson>(object: Json) -> Vec<(String, T)> {
    object.members().filter_map(|(name, value)| Some((name.into_owned(), value.read().ok()?))).collect()
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut have) = (0u32, 0);
    for c in text.trim_end_matches('=').bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have & 0xff) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read() {
        assert_eq!(base64("aGVsbG8=").unwrap(), b"hello");
        assert_eq!(base64("//79").unwrap(), [255, 254, 253]);
        assert_eq!((base64("").unwrap().len(), base64("=A=A"), base64("a\u{e9}")), (0, None, None));
    }

    #[test]
    fn references_are_read_and_written() {
        let doc = r#"{"$artifact":"sha256:aa","size":3,"type":"text/csv"}"#;
        let artifact: Artifact = Json::parse(doc).unwrap().read().unwrap();
        assert_eq!(artifact.to_json(), doc);
        assert!(Json::parse("{}").unwrap().read::<Artifact>().is_err());
    }
}
