//! What is wrong with a configuration: every problem at once, each with its key, the rule that the value breaks and the
//! value's origin. No message repeats a value, which may be a secret.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::origin::{Origin, Origins, is_within};

/// Something that is wrong with a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// The configuration file cannot be read or parsed. The sentence names the file, and the line if it is known.
    File(String),
    /// The value of a setting is missing or wrong.
    Setting {
        /// The setting's key, such as `limits.calls`.
        key: String,
        /// The rule that it breaks, such as "must be between 1 and 60".
        rule: String,
        /// Where its value came from.
        origin: Origin,
    },
}

impl Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(text) => f.write_str(text),
            Self::Setting { key, rule, origin: Origin::Default } => write!(f, "{key}: {rule} (not given)"),
            Self::Setting { key, rule, origin } => write!(f, "{key}: {rule} (given by {origin})"),
        }
    }
}

/// Why a configuration is unusable: at least one problem.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct SettingsError(Vec<Problem>);

impl SettingsError {
    /// The problems, in the order in which they were found.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

/// Collects problems, the first of each key: what follows from a value that could not be read says nothing new. Entries
/// of a list, and keys that no message shows, count each for itself.
#[derive(Clone, Default, Debug)]
pub(crate) struct Problems {
    origins: Origins,
    /// The defaults by section and name, for messages.
    defaults: serde_json::Value,
    found: Vec<Found>,
}

/// A problem with the key that it is about, which its message may not show.
#[derive(Clone, Debug)]
struct Found {
    /// `None` for the configuration file as a whole.
    key: Option<String>,
    problem: Problem,
}

impl Problems {
    pub(super) fn new(origins: Origins, defaults: serde_json::Value) -> Self {
        Self { origins, defaults, found: Vec::new() }
    }

    pub(super) fn origins(&self) -> &Origins {
        &self.origins
    }

    /// Adds that the file cannot be read or parsed.
    pub(super) fn refuse_file(&mut self, text: String) {
        self.found.push(Found { key: None, problem: Problem::File(text) });
    }

    /// Adds that the value of `key` breaks `rule`.
    pub(crate) fn refuse(&mut self, key: &str, rule: impl Into<String>) {
        self.refuse_as(key, key, rule);
    }

    /// The same for a key that messages show as `shown`.
    pub(super) fn refuse_as(&mut self, key: &str, shown: &str, rule: impl Into<String>) {
        if !self.found.iter().any(|found| found.key.as_deref() == Some(key)) {
            let origin = self.origins.of(key);
            let problem = Problem::Setting { key: shown.to_owned(), rule: rule.into(), origin };
            self.found.push(Found { key: Some(key.to_owned()), problem });
        }
    }

    /// The value of `result`; `None` if it is an error, which becomes a problem of `key`.
    pub(crate) fn take<T, E: Display>(&mut self, key: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|rule| self.refuse(key, rule.to_string())).ok()
    }

    /// The same for a key within `table`, unless something within the table is wrong already: then the value may only
    /// stand in for it.
    pub(crate) fn take_within<T, E: Display>(
        &mut self,
        table: &str,
        key: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        let within = |found: &Found| found.key.as_deref().is_some_and(|key| is_within(key, table));
        if self.found.iter().any(within) { result.ok() } else { self.take(key, result) }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// A number within its bounds. One outside of them is a problem; the lower bound then stands in for it, so that the
    /// other settings can be checked, too.
    pub(super) fn number<N: Copy + PartialOrd + Display>(
        &mut self,
        key: &str,
        value: N,
        bounds: RangeInclusive<N>,
    ) -> N {
        if bounds.contains(&value) {
            return value;
        }
        let default =
            self.default_of(key).map_or_else(String::new, |default| format!("; the default is {default}"));
        self.refuse(key, format!("must be between {} and {}{default}", bounds.start(), bounds.end()));
        *bounds.start()
    }

    fn default_of(&self, key: &str) -> Option<u64> {
        key.split('.').try_fold(&self.defaults, |value, name| value.get(name))?.as_u64()
    }

    /// A number of seconds within its bounds.
    pub(super) fn seconds(&mut self, key: &str, value: u64, bounds: RangeInclusive<u64>) -> Duration {
        Duration::from_secs(self.number(key, value, bounds))
    }

    /// A number of milliseconds within its bounds.
    pub(super) fn milliseconds(&mut self, key: &str, value: u64, bounds: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(key, value, bounds))
    }

    /// Whether the configuration file could not be read, so that everything in it seems to be missing.
    pub(super) fn lack_the_file(&self) -> bool {
        self.found.iter().any(|found| found.key.is_none())
    }

    /// `Ok` if there are none.
    ///
    /// # Errors
    /// All problems.
    pub(crate) fn into_result(self) -> Result<(), SettingsError> {
        if self.found.is_empty() { Ok(()) } else { Err(self.into_error()) }
    }

    /// All problems as an error.
    pub(crate) fn into_error(self) -> SettingsError {
        SettingsError(self.found.into_iter().map(|found| found.problem).collect())
    }
}
