//! What the commands print: tables for people, JSON for scripts. Secrets only where they are asked for.

use std::io::{self, Write};

use anyhow::Context as _;
use clap::ValueEnum;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

use crate::proto;

/// How to print.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For scripts: the messages of the API in protobuf's JSON.
    Json,
}

/// Where commands print.
pub(crate) struct Output(Box<dyn Write + Send>);

impl Output {
    pub(crate) fn stdout() -> Self {
        Self(Box::new(io::stdout()))
    }

    /// Prints a line.
    pub(crate) fn line<E: From<io::Error>>(&mut self, text: &str) -> Result<(), E> {
        writeln!(self.0, "{text}").and_then(|()| self.0.flush()).map_err(E::from)
    }

    /// Prints rows under their headings, columns aligned.
    pub(crate) fn table<E: From<io::Error>>(
        &mut self,
        headings: &[&str],
        rows: &[Vec<String>],
    ) -> Result<(), E> {
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([headings[column].len()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..headings.len()).map(width).collect();
        let line = |cells: Vec<&str>| {
            let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.line(&line(headings.to_vec()))?;
        rows.iter().try_for_each(|row| self.line(&line(row.iter().map(String::as_str).collect())))
    }

    /// Prints a message of the API, of the kind named, as JSON.
    pub(crate) fn json<E: From<io::Error> + From<anyhow::Error>>(
        &mut self,
        kind: &str,
        message: &impl Message,
    ) -> Result<(), E> {
        let text = serde_json::to_string_pretty(&dynamic(kind, message)?)
            .context("the answer cannot be printed as JSON")?;
        self.line(&text)
    }

    /// Prints messages of the API as a JSON array.
    pub(crate) fn json_list<E: From<io::Error> + From<anyhow::Error>>(
        &mut self,
        kind: &str,
        messages: &[impl Message],
    ) -> Result<(), E> {
        let all =
            messages.iter().map(|message| dynamic(kind, message)).collect::<anyhow::Result<Vec<_>>>()?;
        let text = serde_json::to_string_pretty(&all).context("the answer cannot be printed as JSON")?;
        self.line(&text)
    }
}

/// A generated message with its descriptor, which knows how protobuf's JSON looks.
fn dynamic(kind: &str, message: &impl Message) -> anyhow::Result<DynamicMessage> {
    let pool = DescriptorPool::decode(proto::DESCRIPTORS)?;
    let descriptor = pool
        .get_message_by_name(&format!("credvault.v1.{kind}"))
        .context("a message without a descriptor")?;
    Ok(DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?)
}
