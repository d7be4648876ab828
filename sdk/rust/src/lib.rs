//! The Rust kit for steps of Uniflow: a step is a function of a [`Step`], and
//! this crate connects it to the host. It has no dependencies.
//!
//! ```ignore
//! use uniflow::{record, Ending, Step};
//!
//! record! {
//!     struct Inputs { name: String, excited: Option<bool> }
//! }
//!
//! fn greet(step: &mut Step) -> Result<(), Ending> {
//!     let inputs: Inputs = step.with.read()?;
//!     step.output("greeting", &format!("Hello, {}", inputs.name))
//! }
//!
//! uniflow::entry!(uniflow_run = greet);
//! ```
//!
//! Build it as a `cdylib` for `wasm32-unknown-unknown`. A step that returns an
//! error fails, or ends as its [`Ending`] says; a [`Refusal`] of a service
//! that `?` lets through is permanent where asking again cannot help.

mod ending;
mod json;
mod number;
pub mod raw;
mod service;
mod step;
mod write;

pub use ending::{Ending, Errno, Kind, Refusal};
pub use json::{FromJson, Json, Members, Mismatch};
pub use service::{Artifact, Event, HostInfo, HttpRequest, HttpResponse};
pub use step::{handle, Step};
pub use write::{List, Object, Raw, ToJson};

/// Exports entries: `entry!(name = function)` makes `function` what a manifest
/// calls by `function = "name"`; the default is `uniflow_run`. Once per plugin.
#[macro_export]
macro_rules! entry {
    ($($name:ident = $function:path),+ $(,)?) => {
        /// The mark of a reactor; never called.
        #[no_mangle]
        pub extern "C" fn uniflow_abi_v1() {}
        $(
            #[no_mangle]
            pub extern "C" fn $name() -> i32 {
                $crate::handle($function)
            }
        )+
    };
}

/// Defines a struct that is read from an object and written as one, member by
/// member of the same name. An `Option` may be missing or null.
#[macro_export]
macro_rules! record {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident : $kind:ty),* $(,)?
    }) => {
        $(#[$meta])*
        $vis struct $name { $($(#[$field_meta])* $field_vis $field: $kind),* }

        impl $crate::FromJson for $name {
            const WHAT: &'static str = "an object";
            fn from_json(json: $crate::Json) -> Result<Self, $crate::Mismatch> {
                json.object(Self::WHAT)?;
                Ok($name { $($field: json.member($crate::record!(@name $field))?),* })
            }
        }

        impl $crate::ToJson for $name {
            fn write(&self, out: &mut String) {
                let mut object = $crate::Object::new();
                $(object.add($crate::record!(@name $field), &self.$field);)*
                object.write(out);
            }
        }
    };
    (@name $field:ident) => {{
        // A raw identifier, as r#type, is a member without the mark.
        const NAME: &str = stringify!($field);
        $crate::raw::member_name(NAME)
    }};
}
