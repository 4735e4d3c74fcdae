//! Where the value of a setting came from. A message names the flag, the variable or the line, and never the value.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::file::ConfigFile;
use super::value::SECRETS;

/// What the name of every variable with a setting begins with.
pub(super) const VARIABLES: &str = "CREDVAULT__";

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The flag `--set` of the command line.
    Flag,
    /// The environment variable of this name.
    Variable(String),
    /// The configuration file, with the line where the parser knows it.
    File {
        /// The file's path, as it was given.
        path: PathBuf,
        /// The line, counted from 1.
        line: Option<usize>,
    },
    /// No source gives the setting, so it has its default.
    Default,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag => f.write_str("--set"),
            Self::Variable(name) => f.write_str(name),
            Self::File { path, line: Some(line) } => write!(f, "{}, line {line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Every key that a source gives.
#[derive(Clone, Default, Debug)]
pub(super) struct Origins {
    flags: Vec<String>,
    /// The variable of each key.
    variables: BTreeMap<String, String>,
    file: Option<ConfigFile>,
}

impl Origins {
    /// The origins of flags (by key), of variables (by their names) and of a file.
    pub(super) fn new<'a>(
        flags: impl Iterator<Item = &'a str>,
        variables: impl Iterator<Item = &'a str>,
        file: Option<ConfigFile>,
    ) -> Self {
        let variables = variables.filter_map(|name| Some((key_of(name)?, name.to_owned()))).collect();
        Self { flags: flags.map(str::to_owned).collect(), variables, file }
    }

    /// Where the value of `key` came from: the strongest source that gives it, a part of it or a table around it.
    pub(super) fn of(&self, key: &str) -> Origin {
        let gives = |given: &str| is_within(given, key) || is_within(key, given);
        if self.flags.iter().any(|flag| gives(flag)) {
            return Origin::Flag;
        }
        if let Some((_, name)) = self.variables.iter().find(|(given, _)| gives(given)) {
            return Origin::Variable(name.clone());
        }
        match self.file.as_ref().and_then(|file| Some((file, file.line_of(key)?))) {
            Some((file, line)) => Origin::File { path: file.path().to_owned(), line },
            None => Origin::Default,
        }
    }

    /// Whether the file still holds what was read.
    pub(super) fn file_is_unchanged(&self) -> bool {
        self.file.as_ref().is_none_or(ConfigFile::is_unchanged)
    }

    /// The folder at which relative paths begin.
    pub(super) fn folder(&self) -> &Path {
        self.file.as_ref().and_then(|file| file.path().parent()).unwrap_or(Path::new(""))
    }
}

/// The key that a variable gives: `CREDVAULT__LIMITS__CALLS` gives `limits.calls`, and so does the same with `_FILE`
/// for a secret.
pub(super) fn key_of(variable: &str) -> Option<String> {
    let key = variable.strip_prefix(VARIABLES)?.to_lowercase().replace("__", ".");
    let secret = key.strip_suffix("_file").filter(|key| SECRETS.contains(key));
    Some(secret.map_or_else(|| key.clone(), str::to_owned))
}

/// The first of these variables, in the order of the alphabet, that gives a setting of one of the `sections`.
#[cfg(feature = "dev")]
pub(crate) fn first_variable_of(sections: &[&str], names: impl Iterator<Item = String>) -> Option<String> {
    let gives = |name: &String| {
        key_of(name).is_some_and(|key| sections.iter().any(|section| is_within(&key, section)))
    };
    names.filter(gives).min()
}

/// Whether `key` is `table`, or stands within it.
pub(super) fn is_within(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
