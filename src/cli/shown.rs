//! What the vault answered, in the form that the caller asked for: JSON for scripts, a table for people.

use prost::Message;

use super::failure::Failure;
use super::lookup::print_next;
use super::output::{Format, Output};
use super::whose::Whose;

/// Prints one message: as JSON for scripts, or as `for_people` prints it. `kind` is the name of its type in the protos.
pub(super) fn one<M: Message>(
    kind: &str,
    message: &M,
    format: Format,
    output: &mut Output,
    for_people: impl FnOnce(&mut Output) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match format {
        Format::Json => output.json(kind, message),
        Format::Table => for_people(output),
    }
}

/// Prints messages of one type: as JSON for scripts, or as a table with a row for each.
pub(super) fn list<M: Message>(
    kind: &str,
    messages: &[M],
    format: Format,
    output: &mut Output,
    headings: &[&str],
    row: impl Fn(&M) -> Vec<String>,
) -> Result<(), Failure> {
    match format {
        Format::Json => output.json_list(kind, messages),
        Format::Table => output.table(headings, &messages.iter().map(row).collect::<Vec<_>>()),
    }
}

/// The same of one owner, whom a table names first.
pub(super) fn list_of<M: Message>(
    whose: &Whose,
    kind: &str,
    messages: &[M],
    format: Format,
    output: &mut Output,
    headings: &[&str],
    row: impl Fn(&M) -> Vec<String>,
) -> Result<(), Failure> {
    page_of(whose, kind, (messages, ""), format, output, (headings, 0), row)
}

/// Prints names with their values, one pair a line. A pair without a value is left out.
pub(super) fn facts(pairs: &[(&str, String)], output: &mut Output) -> Result<(), Failure> {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    output.block(&pairs)
}

/// Prints one page of messages of one type: for scripts with the token of the next page, or as a table with a row for each.
pub(super) fn page<M: Message>(
    kind: &str,
    (messages, next_page_token): (&[M], &str),
    format: Format,
    output: &mut Output,
    headings: &[&str],
    row: impl Fn(&M) -> Vec<String>,
) -> Result<(), Failure> {
    match format {
        Format::Json => output.json_page(kind, messages, next_page_token),
        Format::Table => {
            output.table::<Failure>(headings, &messages.iter().map(row).collect::<Vec<_>>())?;
            print_next(next_page_token, output)
        }
    }
}

/// The same of one owner, whom a table names first. Of the headings, a narrow terminal leaves out as many as the number says.
pub(super) fn page_of<M: Message>(
    whose: &Whose,
    kind: &str,
    (messages, next_page_token): (&[M], &str),
    format: Format,
    output: &mut Output,
    (headings, spare): (&[&str], usize),
    row: impl Fn(&M) -> Vec<String>,
) -> Result<(), Failure> {
    match format {
        Format::Json => output.json_page(kind, messages, next_page_token),
        Format::Table if messages.is_empty() && next_page_token.is_empty() => output.line(&whose.none()),
        Format::Table => {
            output.line::<Failure>(&whose.title())?;
            let rows: Vec<_> = messages.iter().map(row).collect();
            output.table_with_spare::<Failure>(headings, spare, &rows)?;
            print_next(next_page_token, output)
        }
    }
}
