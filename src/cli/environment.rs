//! Variables of the environment that stand in for options. An empty one counts as unset: scripts and service files clear
//! variables that way.

use std::ffi::OsString;
use std::path::PathBuf;

/// The value of a variable, unless it is empty.
pub(super) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The path in an option, or else in the variable.
pub(super) fn path(option: Option<&PathBuf>, name: &str) -> Option<PathBuf> {
    option.cloned().or_else(|| variable(name).map(PathBuf::from))
}

/// The text in an option, or else in the variable. The error says by its name that a variable is not UTF-8.
pub(super) fn text(option: Option<&String>, name: &str) -> Result<Option<String>, String> {
    if let Some(given) = option {
        return Ok(Some(given.clone()));
    }
    let refused = |_| format!("the variable {name} must be UTF-8; unset it, or correct it");
    variable(name).map(|value| value.into_string().map_err(refused)).transpose()
}
