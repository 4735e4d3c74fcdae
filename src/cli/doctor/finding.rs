//! What a check has found, and what to do about it.

use serde::Serialize;

/// How a check has ended.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Good,
    Wrong,
    /// The check needs something that is wrong itself.
    Skipped,
}

impl State {
    /// The word in front of a line.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Wrong => "WRONG",
            Self::Skipped => "skipped",
        }
    }
}

/// What one check has found. No text of it holds a secret.
#[derive(Serialize, Debug)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) state: State,
    /// What the check has found.
    pub(super) text: String,
    /// What to do; empty where there is nothing to do.
    pub(super) advice: String,
}

impl Finding {
    pub(super) fn good(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, state: State::Good, text: text.into(), advice: String::new() }
    }

    pub(super) fn wrong(check: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, state: State::Wrong, text: text.into(), advice: advice.into() }
    }

    pub(super) fn skipped(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, state: State::Skipped, text: text.into(), advice: String::new() }
    }
}
