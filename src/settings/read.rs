//! Reading the configuration without repeating it: parsers quote what they do not understand, and that may be a secret.
//! So a message names the file, the line, the key and the rule, and of what was given only names that look like keys.

use std::path::{Path, PathBuf};

use config::{ConfigError, File, FileFormat};
use credvault_domain::{is_key, rule_of};

use super::SettingsError;

/// What a text that cannot be parsed is not.
const TOML: &str = "TOML: look for a missing quote, and for a key that is there twice";

/// The file that settings came from, so that one that is being written is noticed.
#[derive(Clone, Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    text: secrecy::SecretString,
}

impl ConfigFile {
    pub(super) fn read(path: &Path) -> Result<Self, SettingsError> {
        let failed = |problem: &str| SettingsError::Wrong(format!("{}: {problem}", path.display()));
        let text = std::fs::read(path).map_err(|error| failed(&error.to_string()))?;
        let text = String::from_utf8(text).map_err(|_| failed("it is not UTF-8"))?;
        Ok(Self { path: path.to_owned(), text: text.into() })
    }

    /// Whether the file still holds what was read.
    pub(super) fn is_unchanged(&self) -> bool {
        use secrecy::ExposeSecret as _;
        std::fs::read(&self.path).is_ok_and(|now| now == self.text.expose_secret().as_bytes())
    }

    /// The file as a source of settings, if it can be parsed.
    pub(super) fn source(&self) -> Result<impl config::Source + Send + Sync + 'static, SettingsError> {
        use secrecy::ExposeSecret as _;
        let text = self.text.expose_secret();
        let wrong = |place: String, kind: &str| {
            SettingsError::Wrong(format!("{}{place} is not {kind}", self.path.display()))
        };
        let format = match self.path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => FileFormat::Toml,
            Some("yaml" | "yml") => FileFormat::Yaml,
            _ => return Err(wrong(String::new(), "named .toml, .yaml or .yml")),
        };
        let source = File::from_str(text, format);
        match config::Source::collect(&source) {
            Ok(_) => Ok(source),
            Err(error) if format == FileFormat::Toml => {
                let span = toml::from_str::<toml::Table>(text).err().and_then(|error| error.span());
                let place = span.map_or_else(String::new, |span| line_of(text, span.start));
                // What toml accepts and config does not is a value of a kind that no setting has.
                drop(error);
                Err(wrong(place, TOML))
            }
            Err(error) => {
                let place = marked_line(&error.to_string())
                    .map_or_else(String::new, |line| format!(", line {line},"));
                Err(wrong(
                    place,
                    "YAML: look for a missing quote, the indentation, and for a key that is there twice",
                ))
            }
        }
    }
}

/// What is wrong with a text in TOML, as the end of a sentence about its file: the line and the rule, without values.
pub(crate) fn wrong_toml(text: &str, error: &toml::de::Error) -> String {
    let place = error.span().map_or_else(String::new, |span| line_of(text, span.start));
    match toml::from_str::<toml::Table>(text) {
        Ok(_) => format!("{place} is wrong: {}", rule_of(error.message())),
        Err(_) => format!("{place} is not {TOML}"),
    }
}

/// `, line N,` of a place in a text.
fn line_of(text: &str, offset: usize) -> String {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    format!(", line {},", before.iter().filter(|byte| **byte == b'\n').count() + 1)
}

/// The number of the line that the YAML parser ends its message with.
fn marked_line(message: &str) -> Option<u32> {
    let (_, end) = message.rsplit_once(" line ")?;
    let digits = end.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// What is wrong with a setting, without its value.
pub(super) fn wrong(error: &ConfigError) -> SettingsError {
    SettingsError::Wrong(rule(error))
}

fn rule(error: &ConfigError) -> String {
    let of_key = |key: &Option<String>, rule: String| match key.as_deref().filter(|key| is_key(key)) {
        Some(key) => format!("{key}: {rule}"),
        None => rule,
    };
    match error {
        ConfigError::At { error, key, .. } => of_key(key, rule(error)),
        ConfigError::Type { expected, key, .. } => of_key(key, format!("must be {expected}")),
        ConfigError::Message(text) => rule_of(text),
        ConfigError::NotFound(key) => of_key(&Some(key.clone()), "is missing".to_owned()),
        _ => "the configuration is not understood".to_owned(),
    }
}
