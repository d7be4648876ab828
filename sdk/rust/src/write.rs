//! Writing JSON.

use crate::{number, Json};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What can be written as JSON.
pub trait ToJson {
    /// Appends the value to a document.
    fn write(&self, out: &mut String);

    /// The value as a document.
    fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }
}

/// A text that is JSON already and is written as it stands.
pub struct Raw<'a>(pub &'a str);

impl ToJson for Raw<'_> {
    fn write(&self, out: &mut String) {
        out.push_str(self.0);
    }
}

impl ToJson for Json<'_> {
    fn write(&self, out: &mut String) {
        out.push_str(self.raw());
    }
}

impl ToJson for str {
    fn write(&self, out: &mut String) {
        out.push('"');
        let mut plain = 0;
        for (i, c) in self.bytes().enumerate() {
            if c >= 0x20 && c != b'"' && c != b'\\' {
                continue;
            }
            out.push_str(&self[plain..i]);
            plain = i + 1;
            match c {
                b'\n' => out.push_str("\\n"),
                b'\r' => out.push_str("\\r"),
                b'\t' => out.push_str("\\t"),
                b'"' | b'\\' => out.extend(['\\', char::from(c)]),
                _ => {
                    let digit = |n: u8| char::from(b"0123456789abcdef"[usize::from(n)]);
                    out.push_str("\\u00");
                    out.extend([digit(c >> 4), digit(c & 15)]);
                }
            }
        }
        out.push_str(&self[plain..]);
        out.push('"');
    }
}

impl ToJson for String {
    fn write(&self, out: &mut String) {
        self.as_str().write(out);
    }
}

impl ToJson for Cow<'_, str> {
    fn write(&self, out: &mut String) {
        self.as_ref().write(out);
    }
}

impl ToJson for bool {
    fn write(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
}

macro_rules! whole_numbers {
    ($($kind:ty: $write:ident as $wide:ty),+ $(,)?) => { $(
        impl ToJson for $kind {
            fn write(&self, out: &mut String) {
                number::$write(*self as $wide, out);
            }
        }
    )+ };
}

whole_numbers!(i32: signed as i64, i64: signed as i64, u32: whole as u64, u64: whole as u64, usize: whole as u64);

impl ToJson for f64 {
    /// The shortest text that reads as the same number; null where it is not finite.
    fn write(&self, out: &mut String) {
        number::write(*self, out);
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn write(&self, out: &mut String) {
        match self {
            Some(v) => v.write(out),
            None => out.push_str("null"),
        }
    }
}

impl<T: ToJson> ToJson for [T] {
    fn write(&self, out: &mut String) {
        out.push('[');
        for (i, v) in self.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            v.write(out);
        }
        out.push(']');
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn write(&self, out: &mut String) {
        self.as_slice().write(out);
    }
}

impl<T: ToJson> ToJson for BTreeMap<String, T> {
    fn write(&self, out: &mut String) {
        let mut object = Object::new();
        for (name, v) in self {
            object.add(name, v);
        }
        object.write(out);
    }
}

impl<T: ToJson + ?Sized> ToJson for &T {
    fn write(&self, out: &mut String) {
        (**self).write(out);
    }
}

/// An object that is being written.
#[derive(Default)]
pub struct Object(String);

impl Object {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member.
    pub fn add<T: ToJson + ?Sized>(&mut self, name: &str, value: &T) -> &mut Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        name.write(&mut self.0);
        self.0.push(':');
        value.write(&mut self.0);
        self
    }

    /// Adds a member, and returns the object.
    #[must_use]
    pub fn with<T: ToJson + ?Sized>(mut self, name: &str, value: &T) -> Self {
        self.add(name, value);
        self
    }
}

impl ToJson for Object {
    fn write(&self, out: &mut String) {
        out.push_str(if self.0.is_empty() { "{" } else { &self.0 });
        out.push('}');
    }
}

/// A list that is being written, of elements of any type.
#[derive(Default)]
pub struct List(String);

impl List {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an element.
    pub fn add<T: ToJson + ?Sized>(&mut self, value: &T) -> &mut Self {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        value.write(&mut self.0);
        self
    }
}

impl ToJson for List {
    fn write(&self, out: &mut String) {
        out.push_str(if self.0.is_empty() { "[" } else { &self.0 });
        out.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written() {
        let doc = Object::new().with("a\"\n\u{1}", &vec![1.5, 100.0, 1e300, f64::NAN]).with("n", &None::<bool>);
        let doc = doc.with("l", List::new().add("grüße").add(&u64::MAX)).with("o", &Object::new());
        assert_eq!(doc.to_json(), r#"{"a\"\n\u0001":[1.5,100,1e300,null],"n":null,"l":["grüße",18446744073709551615],"o":{}}"#);
        assert!(Json::parse(&doc.to_json()).is_some());
    }

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for v in [0.1, -0.0, 5e-324, f64::MAX, 1e21, 1e-7, 9007199254740993.0, 123456.789] {
            assert_eq!(Json::parse(&v.to_json()).unwrap().read::<f64>().unwrap().to_bits(), f64::to_bits(v), "{}", v.to_json());
        }
    }
}
