//! What the commands print: tables and blocks for people, JSON and YAML for programs. It prints what it is given; the
//! commands decide where a secret may appear.

mod encoding;
mod layout;

use std::io::{self, Write};

use clap::builder::styling::Style;
use prost::Message;
use serde::Serialize;

use super::terminal;
use encoding::{Answer, List, descriptor};

/// For whom a command prints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// Tables and blocks, for people.
    Table,
    /// The messages of the API in protobuf's JSON, or the same as YAML, for programs.
    Json,
}

impl Format {
    /// The words that `--output` takes.
    pub(crate) const WORDS: [&'static str; 3] = ["table", "json", "yaml"];
    /// The word with which programs' form is YAML.
    pub(crate) const YAML: &'static str = Self::WORDS[2];

    /// The format behind one of the words.
    pub(crate) fn of(word: &str) -> Self {
        if word == Self::WORDS[0] { Self::Table } else { Self::Json }
    }
}

/// Where the lines of an answer go.
enum Sink {
    /// Each at once to a stream.
    Stream(Box<dyn Write + Send>),
    /// To a text, each with a line feed at its end.
    Text(String),
}

/// What a command prints to.
pub(crate) struct Output {
    sink: Sink,
    /// Programs get YAML instead of JSON.
    yaml: bool,
    /// How wide a line may be, where that is known.
    width: Option<usize>,
    heading: Style,
}

impl Output {
    pub(crate) fn stdout() -> Self {
        let heading = terminal::style(&io::stdout(), Style::new().bold());
        Self { sink: Sink::Stream(Box::new(io::stdout())), yaml: false, width: terminal::width(), heading }
    }

    /// An output like this one that keeps what is printed, and prints a JSON document in one line. It fits the terminal as
    /// wide as that is now.
    pub(crate) fn keeping(&self) -> Self {
        let Self { sink: _, yaml, width: _, heading } = *self;
        Self { sink: Sink::Text(String::new()), yaml, width: terminal::width(), heading }
    }

    /// What was kept; nothing if this output prints to a stream.
    pub(crate) fn into_text(self) -> String {
        match self.sink {
            Sink::Stream(_) => String::new(),
            Sink::Text(text) => text,
        }
    }

    /// Prints YAML where a command prints for programs.
    pub(crate) fn in_yaml(&mut self, yaml: bool) {
        self.yaml = yaml;
    }

    /// Prints a line and flushes it.
    pub(crate) fn line<E: From<io::Error>>(&mut self, text: &str) -> Result<(), E> {
        match &mut self.sink {
            Sink::Stream(out) => writeln!(out, "{text}").and_then(|()| out.flush()).map_err(E::from),
            Sink::Text(kept) => {
                kept.push_str(text);
                kept.push('\n');
                Ok(())
            }
        }
    }

    /// Prints rows under their headings in aligned columns, or as blocks where the terminal is too narrow.
    pub(crate) fn table<E: From<io::Error>>(
        &mut self,
        headings: &[&str],
        rows: &[Vec<String>],
    ) -> Result<(), E> {
        self.table_with_spare(headings, 0, rows)
    }

    /// The same, but leaves out the last `spare` columns, one after the other, before it prints blocks.
    pub(crate) fn table_with_spare<E: From<io::Error>>(
        &mut self,
        headings: &[&str],
        spare: usize,
        rows: &[Vec<String>],
    ) -> Result<(), E> {
        if rows.is_empty() {
            return self.line("none");
        }
        let layout::Table { heading, lines, left_out } = layout::table(headings, spare, rows, self.width);
        let style = self.heading;
        heading.into_iter().try_for_each(|heading| self.line::<E>(&format!("{style}{heading}{style:#}")))?;
        lines.iter().try_for_each(|line| self.line::<E>(line))?;
        if left_out.is_empty() {
            return Ok(());
        }
        let more = format!("(a wider terminal shows {}, too)", left_out.join(", "));
        layout::wrapped(&more, self.width).iter().try_for_each(|line| self.line(line))
    }

    /// Prints one thing: a name and a value in each line. Pairs with an empty value are left out.
    pub(crate) fn block<E: From<io::Error>>(&mut self, pairs: &[(String, String)]) -> Result<(), E> {
        layout::block(pairs, self.width).iter().try_for_each(|line| self.line(line))
    }

    /// Prints a message of the API for programs. `kind` is the name of its type in the protos.
    pub(crate) fn json<E: From<io::Error> + From<anyhow::Error>>(
        &mut self,
        kind: &str,
        message: &impl Message,
    ) -> Result<(), E> {
        self.value(&Answer::new(&descriptor(kind)?, message)?)
    }

    /// Prints a whole list of messages of the API for programs.
    pub(crate) fn json_list<E: From<io::Error> + From<anyhow::Error>>(
        &mut self,
        kind: &str,
        messages: &[impl Message],
    ) -> Result<(), E> {
        self.json_page(kind, messages, "")
    }

    /// Prints a page of messages of the API for programs, and the token of the next page.
    pub(crate) fn json_page<E: From<io::Error> + From<anyhow::Error>>(
        &mut self,
        kind: &str,
        messages: &[impl Message],
        next_page_token: &str,
    ) -> Result<(), E> {
        let descriptor = descriptor(kind)?;
        let items = messages.iter().map(|message| Answer::new(&descriptor, message));
        let items = items.collect::<anyhow::Result<Vec<_>>>()?;
        self.value(&List { items: &items, next_page_token })
    }

    /// Prints a whole list of values that are no messages of the API for programs.
    pub(crate) fn values<E: From<io::Error> + From<anyhow::Error>>(
        &mut self,
        items: &[impl Serialize],
    ) -> Result<(), E> {
        self.value(&List { items, next_page_token: "" })
    }

    /// Prints a value for programs.
    pub(crate) fn value<E: From<io::Error> + From<anyhow::Error>>(
        &mut self,
        value: &impl Serialize,
    ) -> Result<(), E> {
        let text = match (&self.sink, self.yaml) {
            (_, true) => encoding::yaml(value)?,
            (Sink::Stream(_), false) => encoding::json(value)?,
            (Sink::Text(_), false) => encoding::json_line(value)?,
        };
        self.line(&text)
    }
}
