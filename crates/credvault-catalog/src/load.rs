//! Loading: from provider files, embedded and of the operator's folder, to a checked catalog. A broken file is an error
//! that names the file, the line and the key; no message repeats a value of a file.

mod file;

mod problem;

mod locate;

mod field;

mod conditions;

mod stage;

mod names;

mod urls;

mod carried;

mod request;

mod response;

mod consent;

mod acquisition;

mod rotation;

mod assertion;

mod webhook;

mod mode;

mod provider;

mod embedded;

use std::collections::BTreeMap;
use std::path::Path;

use credvault_domain::rule_of;

use crate::catalog::Catalog;
use crate::folder::{TomlFile, UnreadableFile, toml_files};
use crate::provider::Provider;
use crate::shown::shown_key;

use embedded::EMBEDDED;
use file::ProviderFile;
use locate::{key_at, line_of_key, line_of_offset};

/// Why a catalog cannot be loaded. The program does not start without a sound catalog.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder or a file in it cannot be read.
    #[error("the provider catalog {0}")]
    Unreadable(UnreadableFile),
    /// A file breaks a rule of the format.
    #[error("provider file {file}, line {line}: {key} {problem}")]
    Broken {
        /// The name or path of the file.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// The dotted key, or `the file` if the problem has no key.
        key: String,
        /// What is wrong, as the end of a sentence about the key.
        problem: String,
    },
}

impl Catalog {
    /// Loads the embedded providers and those of `folder`. A file there replaces the embedded provider with the same
    /// id.
    ///
    /// # Errors
    /// The folder cannot be read, or one of its files is broken.
    pub fn load(folder: Option<&Path>) -> Result<Self, LoadError> {
        let mut providers = BTreeMap::new();
        for (name, text) in EMBEDDED {
            let provider = parse(name, text)?;
            providers.insert(provider.id.clone(), provider);
        }
        let files = folder.map(toml_files).transpose().map_err(LoadError::Unreadable)?;
        for TomlFile { path, text } in files.unwrap_or_default() {
            let provider = parse(&path.display().to_string(), &text)?;
            providers.insert(provider.id.clone(), provider);
        }
        Ok(Self { providers })
    }
}

/// Parses and checks the provider file `text`. `file` is its name or path.
fn parse(file: &str, text: &str) -> Result<Provider, LoadError> {
    let parsed: ProviderFile = toml::from_str(text).map_err(|error| unparsable(file, text, &error))?;
    provider::provider(file, parsed).map_err(|problem| LoadError::Broken {
        file: file.to_owned(),
        line: line_of_key(text, &problem.key),
        key: shown_key(&problem.key),
        problem: problem.text,
    })
}

/// The error for a text that is not TOML, or has other keys and types than a provider file.
fn unparsable(file: &str, text: &str, error: &toml::de::Error) -> LoadError {
    let start = error.span().map_or(0, |span| span.start);
    let (key, problem) = match toml::from_str::<toml::Table>(text) {
        Ok(_) => (key_at(text, start), format!("is wrong: {}", rule_of(error.message()))),
        Err(_) => {
            (None, "is not TOML: look for a missing quote, and for a key that is there twice".to_owned())
        }
    };
    let key = key.unwrap_or("the file").to_owned();
    LoadError::Broken { file: file.to_owned(), line: line_of_offset(text, start), key, problem }
}

#[cfg(test)]
mod tests;
