//! Requests that look like webhook deliveries and are none: with them a provider tests an endpoint.

use serde_json::Value;

use crate::call::Method;
use crate::condition::{Condition, any_holds};
use crate::path::Path;
use crate::webhook::keys::KeyPlace;

/// A request by which a provider tests an endpoint. It delivers nothing.
#[derive(Debug)]
pub struct Handshake {
    /// The HTTP method. The conditions are about the query of a GET, and about the body otherwise.
    pub method: Method,
    /// Whether the request is signed like a delivery.
    pub signed: bool,
    pub(crate) when: Vec<Condition>,
    pub(crate) token: Option<(Path, KeyPlace)>,
    /// How the receiver must answer, as a sentence.
    pub instructions: String,
}

impl Handshake {
    /// Whether a request with this body or query is such a request.
    pub fn is(&self, content: &Value) -> bool {
        self.when.iter().all(|condition| any_holds(std::slice::from_ref(condition), 200, content))
    }

    /// Where the vault has the secret that the request must repeat, and what the request repeats.
    pub fn token(&self, content: &Value) -> Option<(&KeyPlace, Option<String>)> {
        self.token.as_ref().map(|(path, key)| (key, path.text(content)))
    }
}
