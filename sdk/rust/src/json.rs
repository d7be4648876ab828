//! Reading JSON: a view of a document that was checked once, bounded in depth.

use crate::{number, ToJson};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Nesting that is read: 64 of a value, and 2 of the run context around it.
const MAX_DEPTH: u32 = 66;

/// One JSON value as it stands in the document: output it, and it passes byte
/// for byte. A missing value reads as null.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

/// An input that is not what was expected. Let through, it is a permanent
/// failure: the same input cannot fit better the next time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Where, as `with.rows[3].date`; empty for the value itself.
    pub path: String,
    /// What was expected there.
    pub want: &'static str,
}

impl Mismatch {
    fn under(mut self, before: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = [before, dot, &self.path].concat();
        self
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the value" } else { &self.path };
        f.write_str(path)?;
        f.write_str(" must be ")?;
        f.write_str(self.want)
    }
}

impl std::error::Error for Mismatch {}

impl<'a> Json<'a> {
    /// What is not there.
    pub const NULL: Json<'static> = Json("null");

    /// Checks a document and returns its value; none when it is malformed or
    /// nested too deep.
    pub fn parse(document: &'a str) -> Option<Json<'a>> {
        let bytes = document.as_bytes();
        let start = blank(bytes, 0);
        let end = value_end(bytes, start, 0)?;
        if blank(bytes, end) != bytes.len() {
            return None;
        }
        Some(Json(&document[start..end]))
    }

    /// The text of the value, byte for byte.
    pub fn raw(self) -> &'a str {
        self.0
    }

    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// The member of an object, the last one of its name; null where there is none.
    pub fn get(self, name: &str) -> Json<'a> {
        self.members().filter(|(key, _)| key == name).last().map_or(Json::NULL, |(_, value)| value)
    }

    /// The members of an object; none of another type.
    pub fn members(self) -> Members<'a> {
        Members(self.inside('{'))
    }

    /// The elements of a list; none of another type.
    pub fn elements(self) -> impl Iterator<Item = Json<'a>> {
        let mut rest = self.inside('[');
        std::iter::from_fn(move || take(&mut rest))
    }

    /// The text of a string; borrowed where it has no escapes.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let inside = self.0.strip_prefix('"')?.strip_suffix('"')?;
        Some(if inside.contains('\\') { Cow::Owned(unescape(inside)) } else { Cow::Borrowed(inside) })
    }

    /// Reads the value as what the caller wants.
    pub fn read<T: FromJson>(self) -> Result<T, Mismatch> {
        T::from_json(self)
    }

    /// Reads the member of an object as what the caller wants.
    pub fn member<T: FromJson>(self, name: &str) -> Result<T, Mismatch> {
        self.get(name).read().map_err(|m: Mismatch| m.under(name))
    }

    /// Is it an object?
    pub fn object(self, want: &'static str) -> Result<(), Mismatch> {
        if self.0.starts_with('{') {
            Ok(())
        } else {
            mismatch(want)
        }
    }

    /// What stands between the brackets of a value.
    fn inside(self, open: char) -> &'a str {
        if self.0.starts_with(open) {
            &self.0[1..self.0.len() - 1]
        } else {
            ""
        }
    }

    fn is_number(self) -> bool {
        self.0.starts_with(|c: char| c == '-' || c.is_ascii_digit())
    }
}

impl fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Walks through the members of an object.
pub struct Members<'a>(&'a str);

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Json<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let name = take(&mut self.0)?.text()?;
        Some((name, take(&mut self.0)?))
    }
}

/// Takes the first value off what stands between brackets, with the comma or
/// colon behind it.
fn take<'a>(rest: &mut &'a str) -> Option<Json<'a>> {
    let bytes = rest.as_bytes();
    let start = blank(bytes, 0);
    let end = value_end(bytes, start, 0)?;
    let value = &rest[start..end];
    let next = blank(bytes, end);
    *rest = rest.get(next + 1..).unwrap_or("");
    Some(Json(value))
}

fn blank(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The end of the value that starts at `at`, inside `depth` others.
fn value_end(bytes: &[u8], at: usize, depth: u32) -> Option<usize> {
    match bytes.get(at)? {
        b'{' | b'[' if depth >= MAX_DEPTH => None,
        b'{' => list_end(bytes, at, b'}', |at| {
            let colon = blank(bytes, string_end(bytes, at)?);
            if bytes.get(colon) != Some(&b':') {
                return None;
            }
            value_end(bytes, blank(bytes, colon + 1), depth + 1)
        }),
        b'[' => list_end(bytes, at, b']', |at| value_end(bytes, at, depth + 1)),
        b'"' => string_end(bytes, at),
        b't' => word_end(bytes, at, b"true"),
        b'f' => word_end(bytes, at, b"false"),
        b'n' => word_end(bytes, at, b"null"),
        _ => number_end(bytes, at),
    }
}

/// The end of what a bracket opened, whose parts end where `part` says.
fn list_end(bytes: &[u8], at: usize, close: u8, part: impl Fn(usize) -> Option<usize>) -> Option<usize> {
    let mut at = blank(bytes, at + 1);
    if bytes.get(at) == Some(&close) {
        return Some(at + 1);
    }
    loop {
        at = blank(bytes, part(at)?);
        match bytes.get(at)? {
            b',' => at = blank(bytes, at + 1),
            c if *c == close => return Some(at + 1),
            _ => return None,
        }
    }
}

fn word_end(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    bytes[at..].starts_with(word).then(|| at + word.len())
}

fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    loop {
        at += 1;
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => {
                at += 1;
                match bytes.get(at)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' if bytes.get(at + 1..at + 5)?.iter().all(u8::is_ascii_hexdigit) => at += 4,
                    _ => return None,
                }
            }
            0..=0x1f => return None,
            _ => {}
        }
    }
}

fn number_end(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = |at: usize| {
        let n = bytes[at..].iter().take_while(|c| c.is_ascii_digit()).count();
        if n > 0 {
            Some(at + n)
        } else {
            None
        }
    };
    let at = at + usize::from(bytes[at] == b'-');
    let mut end = if bytes.get(at)? == &b'0' { at + 1 } else { digits(at)? };
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign)?;
    }
    Some(end)
}

/// Replaces the escapes of a string that was checked. A half of a pair without
/// the other reads as U+FFFD.
fn unescape(inside: &str) -> String {
    let mut out = String::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let c = rest.as_bytes().get(at + 1).copied().unwrap_or(0);
        rest = rest.get(at + 2..).unwrap_or("");
        out.push(match c {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => unicode(&mut rest),
            c => char::from(c),
        });
    }
    out.push_str(rest);
    out
}

/// The character of the four hex digits that `rest` begins with, and of the
/// other half of a pair behind them.
fn unicode(rest: &mut &str) -> char {
    let high = hex4(rest);
    *rest = rest.get(4..).unwrap_or("");
    if (0xd800..0xdc00).contains(&high) {
        let low = rest.strip_prefix("\\u").map_or(0, hex4);
        if (0xdc00..0xe000).contains(&low) {
            *rest = rest.get(6..).unwrap_or("");
            return char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).unwrap_or('\u{fffd}');
        }
    }
    char::from_u32(high).unwrap_or('\u{fffd}')
}

fn hex4(s: &str) -> u32 {
    s.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0xfffd)
}

fn mismatch<T>(want: &'static str) -> Result<T, Mismatch> {
    Err(Mismatch { path: String::new(), want })
}

/// What can be read from JSON.
pub trait FromJson: Sized {
    /// What it reads, for messages: "a text".
    const WHAT: &'static str;
    fn from_json(json: Json) -> Result<Self, Mismatch>;
}

impl FromJson for String {
    const WHAT: &'static str = "a text";
    fn from_json(json: Json) -> Result<Self, Mismatch> {
        json.text().map_or_else(|| mismatch(Self::WHAT), |text| Ok(text.into_owned()))
    }
}

impl FromJson for bool {
    const WHAT: &'static str = "true or false";
    fn from_json(json: Json) -> Result<Self, Mismatch> {
        match json.raw() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => mismatch(Self::WHAT),
        }
    }
}

impl FromJson for f64 {
    const WHAT: &'static str = "a number";
    fn from_json(json: Json) -> Result<Self, Mismatch> {
        let number = if json.is_number() { number::parse(json.raw()) } else { None };
        number.map_or_else(|| mismatch(Self::WHAT), Ok)
    }
}

macro_rules! whole_numbers {
    ($($kind:ty: $what:literal),+ $(,)?) => { $(
        impl FromJson for $kind {
            const WHAT: &'static str = $what;
            fn from_json(json: Json) -> Result<Self, Mismatch> {
                json.raw().parse().or_else(|_| mismatch(Self::WHAT))
            }
        }
    )+ };
}

whole_numbers! {
    i32: "a whole number of 32 bits", i64: "a whole number of 64 bits",
    u32: "a whole number of 32 bits from 0", u64: "a whole number of 64 bits from 0",
    usize: "a whole number from 0",
}

impl<T: FromJson> FromJson for Option<T> {
    const WHAT: &'static str = T::WHAT;
    fn from_json(json: Json) -> Result<Self, Mismatch> {
        if json.is_null() {
            Ok(None)
        } else {
            T::from_json(json).map(Some)
        }
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    const WHAT: &'static str = "a list";
    fn from_json(json: Json) -> Result<Self, Mismatch> {
        if !json.raw().starts_with('[') {
            return mismatch(Self::WHAT);
        }
        let one = |(i, e): (usize, Json)| e.read().map_err(|m: Mismatch| m.under(&["[", &i.to_json(), "]"].concat()));
        json.elements().enumerate().map(one).collect()
    }
}

impl<T: FromJson> FromJson for BTreeMap<String, T> {
    const WHAT: &'static str = "an object";
    fn from_json(json: Json) -> Result<Self, Mismatch> {
        json.object(Self::WHAT)?;
        json.members().map(|(name, v)| v.read().map_err(|m: Mismatch| m.under(&name)).map(|v| (name.into_owned(), v))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_of_a_document_is_read() {
        let docs = [
            r#"{"a":[1,2.5e-3,{"b":"x\ud83d\ude00\u00e9\n"}],"a":null,"c":true}"#,
            r#"{"a\"#,
            r#""\u12"#,
            r#""\ud800\u"#,
            r#""\ud800\udc"#,
            "[}",
            "{]",
            r#"{"a"}"#,
            "{:}",
            "[,]",
            "[1,]",
            "-",
            "1e",
            "1e+",
            "--1",
            r#""\x""#,
            "[1 2]",
            r#"{"a" 1}"#,
            "nul",
            "01",
            "1.",
            "+1",
            "\"\u{1}\"",
            "\"grüße",
        ];
        for doc in docs {
            for (end, _) in doc.char_indices() {
                if let Some(json) = Json::parse(&doc[..end]) {
                    walk(json);
                }
            }
        }
        for doc in &docs[1..] {
            assert!(Json::parse(doc).is_none(), "{doc}");
        }
        walk(Json::parse(docs[0]).unwrap());
    }

    fn walk(json: Json) {
        let _ = (json.text(), json.read::<f64>(), json.read::<i64>(), json.get("a"));
        json.elements().for_each(walk);
        json.members().for_each(|(_, v)| walk(v));
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(Json::parse(&deep(66)).is_some());
        assert!(Json::parse(&deep(67)).is_none());
        assert!(Json::parse(&"[".repeat(1 << 20)).is_none());
    }

    #[test]
    fn values_keep_their_text() {
        let doc = Json::parse(" { \"a\" : [ 1 , 2.50 ], \"a\": { \"b\" : -0.0 } } ").unwrap();
        assert_eq!(doc.get("a").raw(), "{ \"b\" : -0.0 }");
        assert_eq!(doc.get("a").get("b").raw(), "-0.0");
        assert!(doc.get("none").is_null());
    }

    #[test]
    fn escapes_are_read() {
        let text = |s| Json::parse(s).unwrap().text().unwrap().into_owned();
        assert_eq!(text(r#""\ud83d\ude00\ud83d!\udc00\"\\\/\u0041""#), "😀\u{fffd}!\u{fffd}\"\\/A");
        assert_eq!(text(r#""\ud83d\u0041""#), "\u{fffd}A");
    }

    #[test]
    fn mismatches_say_where() {
        let doc = Json::parse(r#"{"rows":[{"n":1},{"n":"x"}],"big":18446744073709551615}"#).unwrap();
        let rows = doc.member::<Vec<BTreeMap<String, i64>>>("rows").unwrap_err();
        assert_eq!(rows.to_string(), "rows[1].n must be a whole number of 64 bits");
        assert_eq!(doc.member::<u64>("big"), Ok(u64::MAX));
        assert_eq!(doc.member::<Option<i64>>("none"), Ok(None));
        assert!(doc.member::<i64>("big").is_err());
    }
}
