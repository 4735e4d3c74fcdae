//! What is wrong with a provider file, and at which key. It carries the rule and never a value of the file.

/// A problem at a key of a provider file.
#[derive(Debug)]
pub(super) struct Problem {
    /// The dotted key, as in `modes.oauth2_code.refresh`.
    pub(super) key: String,
    /// What is wrong, as the end of a sentence that begins with the key.
    pub(super) text: String,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self { key: key.into(), text: text.into() }
    }
}
