//! Where the rows are: what stands after `--from`, opened.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use credvault_import::{Converter, Format, Source, SourceError, System, Where};

use super::arguments::{FormatName, ImportArgs};
use super::files::{read, unreadable};
use crate::cli::failure::Failure;

/// The variable that may name the source.
const FROM: &str = "CREDVAULT_IMPORT_FROM";

/// How much there is to read.
#[derive(Clone, Debug)]
pub(super) enum Size {
    /// The bytes of a file, and how many of them are read.
    Bytes { whole: u64, read: Arc<AtomicU64> },
    /// About this many rows.
    Rows(u64),
}

/// What stands after `--from`.
#[derive(PartialEq, Eq, Debug)]
enum Origin<'a> {
    /// The address of a database. It may have a password, so no message repeats it.
    Address(&'a str),
    /// Standard input as a stream of rows.
    Input,
    File(&'a Path),
}

impl<'a> Origin<'a> {
    /// An address is what has `://`, also within blanks and quotes that a shell or a `.env` file left there.
    fn of(text: &'a str) -> Self {
        if text.contains("://") {
            return Self::Address(text.trim().trim_matches(['"', '\'']).trim());
        }
        if text == "-" { Self::Input } else { Self::File(Path::new(text)) }
    }
}

/// The rows, and how far they are read where that can be said.
pub(super) async fn open(
    arguments: &ImportArgs,
    converter: &Converter,
) -> Result<(Source, Option<Size>), Failure> {
    let origin = arguments.from.as_deref().map(Origin::of);
    if matches!(converter.system, System::Env) {
        return Ok((variables(arguments, origin)?, None));
    }
    match origin {
        None => {
            Err(Failure::Usage("--from must name a file or a PostgreSQL address with the rows".to_owned()))
        }
        Some(Origin::Address(address)) => {
            let source = database(arguments, converter, address).await?;
            let size = source.expected().map(Size::Rows);
            Ok((source, size))
        }
        Some(Origin::Input) => {
            let input = Box::new(BufReader::new(std::io::stdin()));
            Ok((Source::file(input, format(arguments, Path::new("-"))?).map_err(failed)?, None))
        }
        Some(Origin::File(path)) => {
            let format = format(arguments, path)?;
            let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
            let (whole, file) = opened.map_err(|error| unreadable(path, &error))?;
            let read = Arc::<AtomicU64>::default();
            let counted = BufReader::new(Counted { file, read: Arc::clone(&read) });
            Ok((Source::file(Box::new(counted), format).map_err(failed)?, Some(Size::Bytes { whole, read })))
        }
    }
}

/// The variables of a file, or of the environment.
fn variables(arguments: &ImportArgs, origin: Option<Origin<'_>>) -> Result<Source, Failure> {
    let path = match origin {
        Some(Origin::File(path)) => Some(path),
        Some(Origin::Input) => Some(Path::new("-")),
        // An address in the variable is for imports of other systems.
        Some(Origin::Address(_)) if std::env::var(FROM).ok() == arguments.from => None,
        Some(Origin::Address(_)) => {
            let rule = "import env reads a .env file or the environment, and no database";
            return Err(Failure::Usage(rule.to_owned()));
        }
        None => None,
    };
    let (record, bad) = match path {
        Some(path) => System::variables(&read(path)?),
        None => {
            let all = std::env::vars_os().filter_map(|(name, value)| {
                Some((name.into_string().ok()?, serde_json::Value::from(value.into_string().ok()?)))
            });
            (credvault_import::Record::new(all.collect()), Vec::new())
        }
    };
    Ok(Source::one(record, bad))
}

async fn database(arguments: &ImportArgs, converter: &Converter, address: &str) -> Result<Source, Failure> {
    let scheme = address.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !matches!(scheme.as_deref(), Some("postgres" | "postgresql")) {
        return Err(failed(SourceError::Address));
    }
    let rows = match (&arguments.query, arguments.table.as_ref().or(converter.map.table.as_ref())) {
        // It becomes a part of other statements.
        (Some(query), _) => Where::Query(query.trim_end_matches([';', ' ', '\t', '\r', '\n']).to_owned()),
        (None, Some(table)) => Where::Table(table.clone()),
        (None, None) => return Err(Failure::Usage("--table or --query must be given".to_owned())),
    };
    Source::postgres(address, &rows).await.map_err(failed)
}

fn format(arguments: &ImportArgs, path: &Path) -> Result<Format, Failure> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    match (arguments.format, extension) {
        (Some(FormatName::Csv), _) | (None, Some("csv")) => Ok(Format::Csv),
        (Some(FormatName::Jsonl), _) | (None, Some("jsonl" | "ndjson")) => Ok(Format::JsonLines),
        (None, _) => Err(Failure::Usage("--format must say whether the file is csv or jsonl".to_owned())),
    }
}

fn failed(error: SourceError) -> Failure {
    Failure::Usage(error.to_string())
}

/// A file that counts what is read of it.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_in_any_spelling() {
        for text in
            ["postgres://a:b@c/d", " postgres://a:b@c/d", "\"postgres://a:b@c/d\"", "' postgres://a:b@c/d'"]
        {
            assert_eq!(Origin::of(text), Origin::Address("postgres://a:b@c/d"), "{text}");
        }
        assert_eq!(Origin::of("POSTGRES://c"), Origin::Address("POSTGRES://c"));
        assert_eq!(Origin::of("-"), Origin::Input);
        assert_eq!(Origin::of("a/rows.csv"), Origin::File(Path::new("a/rows.csv")));
    }
}
