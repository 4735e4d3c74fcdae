//! Where rows come from: CSV, JSON lines, or PostgreSQL. One row after the other, so memory stays flat however many there
//! are.

mod rows;

mod delimited;
mod lines;
mod postgres;

use std::collections::VecDeque;
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
    Given(VecDeque<Result<Record, BadRow>>),
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

    /// One row that is there already, after what stands beside it and cannot be read.
    pub fn one(record: Record, bad: Vec<BadRow>) -> Self {
        Self(Rows::Given(bad.into_iter().map(Err).chain([Ok(record)]).collect()))
    }

    /// The number of the row that was read last, counted as in [`BadRow`].
    pub fn number(&self) -> u64 {
        match &self.0 {
            Rows::Csv(rows) => rows.number(),
            Rows::JsonLines(rows) => rows.number(),
            Rows::Postgres(rows) => rows.number(),
            Rows::Given(_) => 1,
        }
    }

    /// About how many rows there are, if that is known: a database's own estimate.
    pub fn expected(&self) -> Option<u64> {
        match &self.0 {
            Rows::Postgres(rows) => rows.expected(),
            Rows::Csv(_) | Rows::JsonLines(_) | Rows::Given(_) => None,
        }
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
            Rows::Given(rows) => Ok(rows.pop_front()),
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}
