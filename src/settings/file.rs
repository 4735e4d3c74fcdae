//! The configuration file: its text, which keys stand in it and on which line. Parsers quote what they do not
//! understand, and that may be a secret, so a message names the file, the line and the rule only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::{File, FileFormat, FileSourceString, Source as _, Value, ValueKind};
use credvault_domain::rule_of;
use secrecy::{ExposeSecret as _, SecretString};
use toml::de::{DeTable, DeValue};

/// What a file that is not TOML usually has.
const TOML_ADVICE: &str = "TOML: look for a missing quote, and for a key that is there twice";
/// What a file that is not YAML usually has.
const YAML_ADVICE: &str =
    "YAML: look for a missing quote, the indentation, and for a key that is there twice";

/// A file that was read and can be parsed.
#[derive(Clone, Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    format: FileFormat,
    text: SecretString,
    /// Every key in the file, with its line where the parser tells it (TOML only).
    lines: BTreeMap<String, Option<usize>>,
}

impl ConfigFile {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// A sentence that names the file, and the line if the parser knows it.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let failed = |problem: &str| format!("{}: {problem}", path.display());
        let text = std::fs::read(path).map_err(|error| failed(&error.to_string()))?;
        let text = String::from_utf8(text).map_err(|_| failed("it is not UTF-8"))?;
        let format = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => FileFormat::Toml,
            Some("yaml" | "yml") => FileFormat::Yaml,
            _ => return Err(format!("{} is not named .toml, .yaml or .yml", path.display())),
        };
        let lines = keys(&text, format).map_err(|problem| format!("{}{problem}", path.display()))?;
        Ok(Self { path: path.to_owned(), format, text: text.into(), lines })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file still holds what was read.
    pub(super) fn is_unchanged(&self) -> bool {
        std::fs::read(&self.path).is_ok_and(|now| now == self.text.expose_secret().as_bytes())
    }

    /// The file as a source of settings.
    pub(super) fn source(&self) -> File<FileSourceString, FileFormat> {
        File::from_str(self.text.expose_secret(), self.format)
    }

    /// The line of a key: `None` if the file does not have the key, `Some(None)` if only the line is unknown.
    pub(super) fn line_of(&self, key: &str) -> Option<Option<usize>> {
        self.lines.get(key).copied()
    }
}

/// What is wrong with a text in TOML, as the end of a sentence about its file: the line and the rule, without values.
pub(crate) fn wrong_toml(text: &str, error: &toml::de::Error) -> String {
    let place =
        error.span().map_or_else(String::new, |span| format!(", line {},", line_at(text, span.start)));
    match toml::from_str::<toml::Table>(text) {
        Ok(_) => format!("{place} is wrong: {}", rule_of(error.message())),
        Err(_) => format!("{place} is not {TOML_ADVICE}"),
    }
}

/// Every key of a text with its line; or what is wrong with the text, as the end of a sentence about its file.
fn keys(text: &str, format: FileFormat) -> Result<BTreeMap<String, Option<usize>>, String> {
    let mut found = BTreeMap::new();
    let parsed = File::from_str(text, format).collect();
    match DeTable::parse(text) {
        _ if format != FileFormat::Toml => {}
        Err(error) => return Err(wrong_toml(text, &error)),
        Ok(table) => toml_lines(text, "", table.get_ref(), &mut found),
    }
    match parsed {
        Ok(values) => {
            values.iter().for_each(|(name, value)| value_keys(name, value, &mut found));
            Ok(found)
        }
        // What toml accepts and config does not is a value of a kind that no setting has.
        Err(_) if format == FileFormat::Toml => Err(format!(" is not {TOML_ADVICE}")),
        Err(error) => {
            let place =
                yaml_line(&error.to_string()).map_or_else(String::new, |line| format!(", line {line},"));
            Err(format!("{place} is not {YAML_ADVICE}"))
        }
    }
}

fn toml_lines(text: &str, table: &str, values: &DeTable<'_>, found: &mut BTreeMap<String, Option<usize>>) {
    for (name, value) in values {
        let key =
            if table.is_empty() { name.get_ref().to_string() } else { format!("{table}.{}", name.get_ref()) };
        found.insert(key.clone(), Some(line_at(text, name.span().start)));
        if let DeValue::Table(inner) = value.get_ref() {
            toml_lines(text, &key, inner, found);
        }
        let DeValue::Array(items) = value.get_ref() else { continue };
        for (index, item) in items.iter().enumerate() {
            let key = format!("{key}[{index}]");
            found.insert(key.clone(), Some(line_at(text, item.span().start)));
            if let DeValue::Table(inner) = item.get_ref() {
                toml_lines(text, &key, inner, found);
            }
        }
    }
}

fn value_keys(key: &str, value: &Value, found: &mut BTreeMap<String, Option<usize>>) {
    found.entry(key.to_owned()).or_insert(None);
    if let ValueKind::Table(inner) = &value.kind {
        inner.iter().for_each(|(name, value)| value_keys(&format!("{key}.{name}"), value, found));
    }
    if let ValueKind::Array(items) = &value.kind {
        let items = items.iter().enumerate();
        items.for_each(|(index, item)| value_keys(&format!("{key}[{index}]"), item, found));
    }
}

/// The line of an offset, counted from 1.
fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The number of the line that the YAML parser ends its message with.
fn yaml_line(message: &str) -> Option<u32> {
    let (_, end) = message.rsplit_once(" line ")?;
    let digits = end.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}
