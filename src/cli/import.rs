//! `import`: reads what another system has stored, and has the vault store it, through the public API. It prints sources and
//! reasons, and never a value of a row.

mod arguments;
mod items;
mod journal;
mod progress;
mod report;
mod sender;

use std::collections::BTreeMap;

use credvault_import::{Converted, Converter, Holder, Source};
use prost::Message as _;

use super::failure::Failure;
use super::output::Output;
use super::serve::run as run_on;
use credvault_proto::v1;

pub(super) use arguments::ImportArgs;

use items::{app, item};
use report::{Outcome, Report};
use sender::{Sender, Target};

/// How many bytes of items go into one request; the vault takes 256 KiB.
const BATCH_BYTES: usize = 160 * 1024;
/// How many items wait at most until there are enough for a batch of their tenant.
const WAITING: usize = 20_000;

/// Items of one target that wait to be sent.
#[derive(Default)]
struct Batch {
    items: Vec<v1::ImportItem>,
    bytes: usize,
}

pub(super) fn run(arguments: ImportArgs, output: &mut Output) -> Result<(), Failure> {
    let converter = arguments.converter()?;
    run_on(None, async {
        let (mut source, size) = arguments.source(&converter).await?;
        let client = arguments.client.connect().await?;
        let mut report = Report::open(&arguments, &converter, size)?;
        let sender = Sender::new(client, &arguments);
        let mut import = Import { arguments: &arguments, waiting: BTreeMap::new(), sender };
        let ended = import.all(&converter, &mut source, &mut report).await;
        // What was sent before a failure is in the journal, too.
        let settled = import.sender.settle(0, &mut report).await;
        report.end()?;
        ended.and(settled)?;
        report.print(arguments.output.output, output)
    })
}

/// An import in progress.
struct Import<'a> {
    arguments: &'a ImportArgs,
    waiting: BTreeMap<Target, Batch>,
    sender: Sender,
}

impl Import<'_> {
    async fn all(
        &mut self,
        converter: &Converter,
        source: &mut Source,
        report: &mut Report,
    ) -> Result<(), Failure> {
        while let Some(row) = source.next().await.map_err(|error| Failure::Usage(error.to_string()))? {
            report.read_one();
            match row {
                Ok(record) => {
                    for converted in converter.convert(&record) {
                        self.take(converted, report).await?;
                    }
                }
                Err(bad) => {
                    let source = format!("{}/row {}", converter.system.name(), bad.number);
                    report.note(&source, Outcome::Refused, "", bad.problem)?;
                }
            }
        }
        let targets: Vec<Target> = self.waiting.keys().cloned().collect();
        for target in targets {
            self.send(&target, report).await?;
        }
        Ok(())
    }

    async fn take(&mut self, converted: Converted, report: &mut Report) -> Result<(), Failure> {
        match converted {
            Converted::Refused(row) => report.note(&row.source, Outcome::Refused, "", &row.problem),
            Converted::LeftOut(row) => report.note(&row.source, Outcome::LeftOut, "", &row.problem),
            Converted::App(found) => {
                let (source, request) = app(found, self.arguments);
                self.sender.put_app(&source, request, report).await
            }
            Converted::Entry(entry) if report.has_done(&entry.source) => Ok(()),
            Converted::Entry(entry) => {
                let target = match (&entry.holder, &entry.tenant) {
                    (Holder::Platform, _) => Target::Platform,
                    (Holder::User(_) | Holder::Tenant, Some(tenant)) => Target::Tenant(tenant.clone()),
                    (Holder::User(_) | Holder::Tenant, None) => Target::Profile,
                };
                self.wait(target, item(*entry), report).await
            }
        }
    }

    /// Adds an item to those of its target, and sends them where they fill a batch.
    async fn wait(
        &mut self,
        target: Target,
        item: v1::ImportItem,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let bytes = item.encoded_len() + 8;
        if self.waiting.get(&target).is_some_and(|batch| batch.bytes + bytes > BATCH_BYTES) {
            self.send(&target, report).await?;
        }
        let batch = self.waiting.entry(target.clone()).or_default();
        batch.items.push(item);
        batch.bytes += bytes;
        if batch.items.len() >= self.arguments.batch() {
            return self.send(&target, report).await;
        }
        if self.waiting.values().map(|batch| batch.items.len()).sum::<usize>() > WAITING {
            let largest = self.waiting.iter().max_by_key(|(_, batch)| batch.items.len());
            if let Some(target) = largest.map(|(target, _)| target.clone()) {
                return self.send(&target, report).await;
            }
        }
        Ok(())
    }

    async fn send(&mut self, target: &Target, report: &mut Report) -> Result<(), Failure> {
        match self.waiting.remove(target) {
            Some(batch) => self.sender.send(target, batch.items, report).await,
            None => Ok(()),
        }
    }
}
