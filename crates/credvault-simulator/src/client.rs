//! Clients that have registered themselves (RFC 7591), and what each of them may show.

/// A client that has registered itself.
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret: Option<String>,
    /// How it authenticates, by the name in RFC 7591.
    pub(crate) method: String,
    pub(crate) redirect_uris: Vec<String>,
}

impl Client {
    pub(crate) fn is_public(&self) -> bool {
        self.method == "none"
    }

    pub(crate) fn has_secret(&self, secret: &str) -> bool {
        self.secret.as_deref() == Some(secret)
    }
}
