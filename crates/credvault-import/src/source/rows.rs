//! What every source has: which rows it reads, and why it, or one of its rows, cannot be read.

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
    /// The columns of a CSV file are not separated by commas.
    #[error("the first line of the file has one column only: the separator must be a comma")]
    Separator,
    /// The file is one JSON array.
    #[error("the file is a JSON array; write one object a line")]
    Array,
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
