//! Rows of a CSV file, as `\copy ... to ... csv header` writes them.

use std::io::BufRead;

use csv::{Reader, ReaderBuilder, StringRecord};
use serde_json::Value;

use super::rows::{BadRow, SourceError};
use crate::record::Record;

/// The rows of a CSV file.
pub(super) struct Rows {
    reader: Reader<Box<dyn BufRead + Send>>,
    headings: StringRecord,
    row: StringRecord,
    number: u64,
}

impl Rows {
    pub(super) fn new(text: Box<dyn BufRead + Send>) -> Result<Self, SourceError> {
        let mut reader = ReaderBuilder::new().from_reader(text);
        let headings = reader.headers().map_err(|_| SourceError::Headings)?.clone();
        // Another separator makes one column of all.
        if headings.len() == 1 && headings.iter().any(|heading| heading.contains([';', '\t'])) {
            return Err(SourceError::Separator);
        }
        Ok(Self { reader, headings, row: StringRecord::new(), number: 0 })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn next(&mut self) -> Result<Option<Result<Record, BadRow>>, SourceError> {
        self.number += 1;
        match self.reader.read_record(&mut self.row) {
            Ok(false) => Ok(None),
            Ok(true) => {
                let pairs = self.headings.iter().zip(&self.row);
                let columns = pairs.map(|(name, value)| (name.to_owned(), Value::from(value)));
                Ok(Some(Ok(Record::new(columns.collect()))))
            }
            Err(error) => {
                if let csv::ErrorKind::Io(error) = error.into_kind() {
                    return Err(error.into());
                }
                // The library's own message would quote the row.
                let problem = "it is not UTF-8, or has not as many fields as there are headings";
                Ok(Some(Err(BadRow { number: self.number, problem })))
            }
        }
    }
}
