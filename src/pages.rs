//! The design that all pages for people share: the frame around a page, the parts that it is made of, the operator's
//! brand, the languages, and the files that browsers load. It serves nothing: the ports do, with headers of their own.
//!
//! A page has no code and no style within its text, and loads nothing from another server, so it works under a content
//! security policy that permits neither. `maud` escapes all text.

mod colour;
mod palette;

mod asset;

pub(crate) mod texts;

mod language;

mod brand;
mod design;

mod frame;

pub mod parts;

pub(crate) use asset::Asset;
pub use brand::{Brand, Link};
pub use colour::Colour;
pub(crate) use design::{Design, Pictures};
pub(crate) use frame::Frame;
pub(crate) use language::{Language, LanguageError, Languages};
pub use palette::{Flaw, Palette, Part, Scheme, Shades};
