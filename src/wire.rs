//! Between the wire and the domain: the codec, requests into domain types, domain types into responses, and errors into
//! statuses. No other module looks into a message.

mod codec;
mod json;
mod page;
mod parse;
mod refusal;
mod render;

pub(crate) use codec::Codec;
pub(crate) use json::{struct_of, value_of};
pub(crate) use page::page;
pub(crate) use parse::*;
pub(crate) use refusal::{Refusal, code_name, reason_of};
pub(crate) use render::*;
