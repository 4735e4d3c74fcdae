//! Where rows come from: CSV, JSON lines, or PostgreSQL. One row after the other, so memory stays flat however many there
//! are.

mod rows;

mod delimited;
mod lines;
mod postgres;

use std::io::BufRead;

use crate::record::Record;

pub use rows::{BadRow, SourceError, Where};

/// The form of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Comma-separated values (RFC 4180) with a line of headings.
    Csv,
    /// A JSON object on each line.
    JsonLines,
}

enum Rows {
    Csv(delimited::Rows),
    JsonLines(lines::Rows),
    Postgres(Box<postgres::Rows>),
    One(Option<Record>),
}

/// A source of rows.
pub struct Source(Rows);

impl Source {
    /// The rows of a file.
    ///
    /// # Errors
    /// It is CSV, and its headings cannot be read.
    pub fn file(text: Box<dyn BufRead + Send>, format: Format) -> Result<Self, SourceError> {
        Ok(Self(match format {
            Format::Csv => Rows::Csv(delimited::Rows::new(text)?),
            Format::JsonLines => Rows::JsonLines(lines::Rows::new(text)),
        }))
    }

    /// The rows of a PostgreSQL database, all of one moment.
    ///
    /// # Errors
    /// The address or the table is wrong, or the database refuses.
    pub async fn postgres(url: &str, rows: &Where) -> Result<Self, SourceError> {
        Ok(Self(Rows::Postgres(Box::new(postgres::Rows::open(url, rows).await?))))
    }

    /// One row that is there already.
    pub fn one(record: Record) -> Self {
        Self(Rows::One(Some(record)))
    }

    /// The next row; `None` after the last one.
    ///
    /// # Errors
    /// The source cannot be read on.
    pub async fn next(&mut self) -> Result<Option<Result<Record, BadRow>>, SourceError> {
        match &mut self.0 {
            Rows::Csv(rows) => rows.next(),
            Rows::JsonLines(rows) => rows.next(),
            Rows::Postgres(rows) => rows.next().await,
            Rows::One(record) => Ok(record.take().map(Ok)),
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}
