//! Which rows are done: a line of JSON for each, without a secret. An import with the journal of an earlier one skips them.
//! It is a shortcut: the vault itself recognises a repeated row by its source.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::named;
use crate::cli::failure::Failure;

/// The first line: of which system, and for which vault, tenant and owner the journal is.
#[derive(Serialize, Deserialize, PartialEq, Eq, Debug)]
pub(super) struct Heading {
    pub(super) system: String,
    pub(super) vault: String,
    /// How rows get their tenant.
    pub(super) tenant: String,
    /// The owner of everything; empty where rows say it.
    pub(super) owner: String,
}

/// A row that is done.
#[derive(Serialize, Deserialize, Debug)]
struct Line {
    source: String,
    outcome: String,
    connection_id: String,
}

/// A journal that is open.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    /// Hashes of the sources that are done: eight bytes for each row. A row is taken for another one once in 10^7 journals
    /// of a million rows.
    done: HashSet<u64>,
}

impl Journal {
    /// Opens the journal, or begins one.
    pub(super) fn open(path: &Path, heading: &Heading) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::Usage(format!("the journal {} cannot be used: {error}", named(path)))
        };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        let mut done = HashSet::new();
        let (mut first, mut whole) = (None, true);
        let mut reader = BufReader::new(&file);
        let mut line = String::new();
        while reader.read_line(&mut line).map_err(failed)? > 0 {
            if first.is_none() {
                first = Some(serde_json::from_str::<Heading>(&line).ok());
            } else if let Ok(line) = serde_json::from_str::<Line>(&line) {
                done.insert(hash(&line.source));
            }
            whole = line.ends_with('\n');
            line.clear();
        }
        match first {
            None => write_line(&mut file, heading).map_err(failed)?,
            Some(Some(of)) if of == *heading => {}
            Some(_) => {
                return Err(Failure::Usage(format!(
                    "the journal {} is of another system, vault, tenant or owner; name another file",
                    named(path)
                )));
            }
        }
        // What a killed import was writing is no line, and must not become a part of the next one.
        if !whole {
            file.write_all(b"\n").map_err(failed)?;
        }
        Ok(Self { file, path: path.to_owned(), done })
    }

    /// The same journal, to be added to and not to skip rows by.
    pub(super) fn forgetting(mut self) -> Self {
        self.done.clear();
        self
    }

    /// Whether a row is done.
    pub(super) fn has(&self, source: &str) -> bool {
        self.done.contains(&hash(source))
    }

    /// Notes rows that are done: their sources, outcomes and connections.
    pub(super) fn add<'a>(
        &mut self,
        rows: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
    ) -> Result<(), Failure> {
        let mut text = Vec::new();
        for (source, outcome, connection_id) in rows {
            let line = Line {
                source: source.to_owned(),
                outcome: outcome.to_owned(),
                connection_id: connection_id.to_owned(),
            };
            write_line(&mut text, &line)?;
        }
        self.file.write_all(&text).map_err(|error| {
            Failure::Unexpected(anyhow::anyhow!(
                "the journal {} cannot be written: {error}",
                named(&self.path)
            ))
        })
    }
}

fn write_line(to: &mut impl std::io::Write, line: &impl Serialize) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    to.write_all(&text)
}

fn hash(source: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    source.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_continues_after_a_torn_line_and_is_of_one_vault_tenant_and_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let of = |vault: &str, tenant: &str, owner: &str| Heading {
            system: "pixelpim".to_owned(),
            vault: vault.to_owned(),
            tenant: tenant.to_owned(),
            owner: owner.to_owned(),
        };
        let heading = |vault: &str| of(vault, "acme", "");
        let mut journal = Journal::open(&path, &heading("one")).expect("a journal");
        journal.add([("pixelpim/1", "created", "id")].into_iter()).expect("written");
        journal.file.write_all(b"{\"source\":\"pixelpim/2\",\"outc").expect("torn");
        let mut journal = Journal::open(&path, &heading("one")).expect("a journal");
        assert!(journal.has("pixelpim/1") && !journal.has("pixelpim/2"));
        journal.add([("pixelpim/3", "created", "id")].into_iter()).expect("written");
        assert!(Journal::open(&path, &heading("one")).expect("a journal").has("pixelpim/3"));
        for other in [heading("two"), of("one", "beta", ""), of("one", "acme", "tenant")] {
            assert!(Journal::open(&path, &other).is_err(), "{other:?}");
        }
    }
}
