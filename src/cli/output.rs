//! What the commands print: tables for people, JSON for scripts. It prints what it is given; the commands decide where
//! a secret may appear.

use std::io::{self, Write};

use anyhow::Context as _;
use clap::ValueEnum;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use tabwriter::TabWriter;

/// The form in which a command prints.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// Aligned columns, for people.
    Table,
    /// The messages of the API in protobuf's JSON, for scripts.
    Json,
}

/// The stream that a command prints to.
pub(crate) struct Output(Box<dyn Write + Send>);

impl Output {
    pub(crate) fn stdout() -> Self {
        Self(Box::new(io::stdout()))
    }

    /// Prints a line and flushes it.
    pub(crate) fn line<E: From<io::Error>>(&mut self, text: &str) -> Result<(), E> {
        writeln!(self.0, "{text}").and_then(|()| self.0.flush()).map_err(E::from)
    }

    /// Prints rows under their headings, with columns aligned and no blanks at the end of a line.
    pub(crate) fn table<E: From<io::Error>>(
        &mut self,
        headings: &[&str],
        rows: &[Vec<String>],
    ) -> Result<(), E> {
        let mut aligned = TabWriter::new(Vec::new()).minwidth(0);
        writeln!(aligned, "{}", headings.join("\t"))?;
        for row in rows {
            writeln!(aligned, "{}", row.join("\t"))?;
        }
        let table = aligned.into_inner().map_err(|error| io::Error::from(error.error().kind()))?;
        String::from_utf8_lossy(&table).lines().try_for_each(|line| self.line(line.trim_end()))
    }

    /// Prints a message of the API as JSON. `kind` is the name of its type in the protos.
    pub(crate) fn json<E: From<io::Error> + From<anyhow::Error>>(
        &mut self,
        kind: &str,
        message: &impl Message,
    ) -> Result<(), E> {
        let text = serde_json::to_string_pretty(&dynamic(descriptor(kind)?, message)?)
            .context("the answer cannot be printed as JSON")?;
        self.line(&text)
    }

    /// Prints messages of the API as a JSON array.
    pub(crate) fn json_list<E: From<io::Error> + From<anyhow::Error>>(
        &mut self,
        kind: &str,
        messages: &[impl Message],
    ) -> Result<(), E> {
        let descriptor = descriptor(kind)?;
        let all = messages.iter().map(|message| dynamic(descriptor.clone(), message));
        let all = all.collect::<anyhow::Result<Vec<_>>>()?;
        let text = serde_json::to_string_pretty(&all).context("the answer cannot be printed as JSON")?;
        self.line(&text)
    }
}

/// The descriptor of a type of the API. Each call decodes all of them anew.
fn descriptor(kind: &str) -> anyhow::Result<MessageDescriptor> {
    let pool = DescriptorPool::decode(credvault_proto::DESCRIPTORS)?;
    pool.get_message_by_name(&format!("credvault.v1.{kind}")).context("a message without a descriptor")
}

/// A generated message with its descriptor, from which protobuf's JSON follows.
fn dynamic(descriptor: MessageDescriptor, message: &impl Message) -> anyhow::Result<DynamicMessage> {
    Ok(DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?)
}
