//! `import`: reads what another system has stored, and has the vault store it, through the public API. It prints sources and
//! reasons, and never a value of a row.

mod files;

mod arguments;
mod items;
mod journal;
mod names;
mod origin;
mod progress;
mod report;
mod sender;

use std::collections::BTreeMap;

use credvault_domain::TenantId;
use credvault_import::{Converted, Converter, Holder, Source};
use prost::Message as _;

use super::failure::Failure;
use super::output::Output;
use super::profile::Profile;
use super::serve::run as run_on;
use credvault_proto::v1;

pub(super) use arguments::ImportArgs;

use items::{app, item};
use journal::Heading;
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
    arguments.check_files()?;
    let mut converter = arguments.converter()?;
    run_on(None, async {
        let (mut source, size) = origin::open(&arguments, &converter).await?;
        let profile = arguments.client.read()?;
        // A token names its own tenant.
        let has_tenant = profile.tenant.is_some() || profile.token_file.is_some();
        if !has_tenant && !arguments.is_for_the_platform() && converter.map.columns.tenant.is_empty() {
            return Err(Failure::Usage("the profile names no tenant; give --tenant".to_owned()));
        }
        let heading = heading(&arguments, &converter, &profile);
        let client = arguments.client.connect().await?;
        let mut report = Report::open(&arguments, &heading, size)?;
        let tenant_columns = converter.map.columns.tenant.join(" or ");
        let sender = Sender::new(client, &arguments, profile.tenant.clone(), tenant_columns.clone());
        let mut import = Import { arguments: &arguments, tenant_columns, waiting: BTreeMap::new(), sender };
        let ended = import.all(&mut converter, &mut source, &mut report).await;
        // What was sent before a failure is in the journal and in the counts, too.
        let settled = import.sender.settle(0, &mut report).await;
        report.end()?;
        if let Err(failure) = ended.and(settled) {
            report.print_sums(arguments.output.output, output)?;
            return Err(failure);
        }
        report.print(arguments.output.output, output)
    })
}

/// What the journal is about. The same row of another tenant or owner is another connection.
fn heading(arguments: &ImportArgs, converter: &Converter, profile: &Profile) -> Heading {
    let tenant = profile.tenant.clone().unwrap_or_default();
    let columns = &converter.map.columns.tenant;
    Heading {
        system: converter.system.name().to_owned(),
        vault: profile.address.clone(),
        tenant: if columns.is_empty() || converter.only_tenant.is_some() {
            tenant
        } else {
            format!("of {}", columns.join(" or "))
        },
        owner: arguments.owner().to_owned(),
    }
}

/// An import in progress.
struct Import<'a> {
    arguments: &'a ImportArgs,
    /// The columns that name the tenant of a row, for messages.
    tenant_columns: String,
    waiting: BTreeMap<Target, Batch>,
    sender: Sender,
}

impl Import<'_> {
    async fn all(
        &mut self,
        converter: &mut Converter,
        source: &mut Source,
        report: &mut Report,
    ) -> Result<(), Failure> {
        while let Some(row) = source.next().await.map_err(|error| Failure::Usage(error.to_string()))? {
            report.read_one();
            // Converting a row waits for nothing, so the batches on their way get their turn here.
            tokio::task::coop::consume_budget().await;
            self.sender.note_answers(report)?;
            match row {
                Ok(record) => {
                    for converted in converter.convert(source.number(), &record) {
                        self.take(converted, report).await?;
                    }
                }
                Err(bad) => {
                    let row = format!("{}/row {}", converter.system.name(), bad.number);
                    report.note(&row, Outcome::Refused, "", bad.problem)?;
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
                    (Holder::User(_) | Holder::Tenant, Some(tenant)) if TenantId::parse(tenant).is_err() => {
                        let rule = format!(
                            "the column {} names no tenant as tenants are called here, by 1 to 64 of A-Z a-z 0-9 _ -; \
                             derive such an id in --query and name its column with --tenant-column",
                            self.tenant_columns
                        );
                        return report.note(&entry.source, Outcome::Refused, "", &rule);
                    }
                    (Holder::User(_) | Holder::Tenant, Some(tenant)) => Target::Tenant(tenant.clone()),
                    (Holder::User(_) | Holder::Tenant, None) => Target::Profile,
                };
                if entry.secrets.is_empty() {
                    report.lacks_credential();
                }
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
