//! Where rows come from: CSV, JSON lines, or PostgreSQL. One row after the other, so memory stays flat however many there
//! are.

mod delimited;
mod lines;
mod postgres;

use std::io::BufRead;

use crate::record::Record;

/// The form of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Comma-separated values (RFC 4180) with a line of headings.
    Csv,
    /// A JSON object on each line.
    JsonLines,
}

/// Which rows of a database are read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Where {
    /// All of a table: its name, with its schema if it has one.
    Table(String),
    /// Those of a query.
    Query(String),
}

/// A source cannot be read. Without a value of a row, and without the address of a database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A file cannot be read.
    #[error("the file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// The headings of a CSV file cannot be read.
    #[error("the first line of the file must be the names of its columns, in UTF-8")]
    Headings,
    /// The name of the table is none.
    #[error("the table must be a name, with its schema if it has one, such as public.credentials")]
    Table,
    /// The address is none of PostgreSQL.
    #[error("the address must be like postgres://user@host/database")]
    Address,
    /// The database refuses or fails.
    #[error("the database does not give the rows: {0}")]
    Database(String),
}

/// A row that cannot be read; those after it can.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadRow {
    /// Its number, from 1; in a file with headings, the line of the headings is not counted.
    pub number: u64,
    /// What is wrong with it.
    pub problem: &'static str,
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

    /// One row.
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
