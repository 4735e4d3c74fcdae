//! What became of the rows: counts, the journal of those that are done, and the file of those that are not and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use serde_json::json;

use super::arguments::ImportArgs;
use super::files::named;
use super::journal::{Heading, Journal};
use super::origin::Size;
use super::progress::Progress;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use credvault_proto::v1;

/// How many refused rows are printed; the report has them all.
const PRINTED: usize = 20;

/// Reasons that are no fault of a row: the same command helps once the tenant is there and has room.
pub(super) const OF_THE_TENANT: [&str; 3] = ["TENANT_NOT_FOUND", "TENANT_SUSPENDED", "QUOTA_EXCEEDED"];

/// What is wrong where a provider has no app. It is a warning, for the rows move in nevertheless.
const WITHOUT_APP: &str = "neither the platform nor the tenant has an OAuth app at this provider, so tokens of it are not \
                           renewed, and where requests name the app, as at Amazon Ads, none is served; store the app with \
                           `credvault apps put` before that";

/// What became of a row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Outcome {
    Created,
    Replaced,
    Unchanged,
    /// The journal of an earlier import has it.
    DoneBefore,
    LeftOut,
    Refused,
}

impl Outcome {
    const ALL: [Self; 6] =
        [Self::Created, Self::Replaced, Self::Unchanged, Self::DoneBefore, Self::LeftOut, Self::Refused];

    fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Replaced => "replaced",
            Self::Unchanged => "unchanged",
            Self::DoneBefore => "done before",
            Self::LeftOut => "left out",
            Self::Refused => "refused",
        }
    }
}

impl From<v1::ImportOutcome> for Outcome {
    fn from(outcome: v1::ImportOutcome) -> Self {
        match outcome {
            v1::ImportOutcome::Created => Self::Created,
            v1::ImportOutcome::Unchanged => Self::Unchanged,
            v1::ImportOutcome::Replaced => Self::Replaced,
            v1::ImportOutcome::Unspecified | v1::ImportOutcome::Refused => Self::Refused,
        }
    }
}

/// What became of the rows so far.
pub(super) struct Report {
    dry_run: bool,
    read: u64,
    counts: BTreeMap<Outcome, u64>,
    /// The first that were refused.
    refused: Vec<String>,
    /// How many were refused for their tenant only.
    of_the_tenant: u64,
    /// How many rows had no credential.
    without_credential: u64,
    /// The providers that have no app.
    without_app: BTreeSet<String>,
    journal: Option<Journal>,
    file: Option<(BufWriter<File>, bool)>,
    /// The name of that file in messages.
    file_name: Option<String>,
    progress: Progress,
}

impl Report {
    pub(super) fn open(
        arguments: &ImportArgs,
        heading: &Heading,
        size: Option<Size>,
    ) -> Result<Self, Failure> {
        // A row that is done there may have changed, and a dry run does nothing that is worth a journal.
        let journal = arguments.journal.as_ref().filter(|_| !arguments.dry_run);
        let journal = journal.map(|path| Journal::open(path, heading)).transpose()?;
        let file = arguments.report.as_ref().map(|path| begin(path)).transpose()?;
        let journal = if arguments.update { journal.map(Journal::forgetting) } else { journal };
        Ok(Self {
            dry_run: arguments.dry_run,
            read: 0,
            counts: BTreeMap::new(),
            refused: Vec::new(),
            of_the_tenant: 0,
            without_credential: 0,
            without_app: BTreeSet::new(),
            journal,
            file,
            file_name: arguments.report.as_deref().map(named),
            progress: Progress::new(size),
        })
    }

    /// Counts a row that was read.
    pub(super) fn read_one(&mut self) {
        self.read += 1;
        let refused = self.count(Outcome::Refused);
        self.progress.draw(self.read, refused);
    }

    /// Whether an earlier import has done the row. Counts it then.
    pub(super) fn has_done(&mut self, source: &str) -> bool {
        let has = self.journal.as_ref().is_some_and(|journal| journal.has(source));
        if has {
            *self.counts.entry(Outcome::DoneBefore).or_default() += 1;
        }
        has
    }

    /// Notes what the vault answered to a batch.
    pub(super) fn answered(&mut self, results: &[v1::ImportResult]) -> Result<(), Failure> {
        for result in results {
            let error = result.error.clone().unwrap_or_default();
            self.note(&result.source, result.outcome().into(), &error.reason, &error.message)?;
        }
        let done = results.iter().filter(|result| result.error.is_none());
        let done = done.map(|result| {
            (result.source.as_str(), Outcome::from(result.outcome()).name(), result.connection_id.as_str())
        });
        match &mut self.journal {
            Some(journal) => journal.add(done),
            None => Ok(()),
        }
    }

    /// Counts a row that has no credential.
    pub(super) fn lacks_credential(&mut self) {
        self.without_credential += 1;
    }

    /// Notes providers that have no app to refresh tokens with. Each is warned of once.
    pub(super) fn lack_apps(&mut self, providers: Vec<String>) {
        self.without_app.extend(providers);
    }

    /// Notes what became of one row. `reason` is the vault's, if it was the vault that refused.
    pub(super) fn note(
        &mut self,
        source: &str,
        outcome: Outcome,
        reason: &str,
        message: &str,
    ) -> Result<(), Failure> {
        *self.counts.entry(outcome).or_default() += 1;
        if !matches!(outcome, Outcome::Refused | Outcome::LeftOut) {
            return Ok(());
        }
        if outcome == Outcome::Refused && OF_THE_TENANT.contains(&reason) {
            self.of_the_tenant += 1;
        }
        if outcome == Outcome::Refused && self.refused.len() < PRINTED {
            let gap = if reason.is_empty() { "" } else { " " };
            self.refused.push(format!("{source}: {reason}{gap}{message}"));
        }
        match &mut self.file {
            Some(file) => write_line(file, [source, outcome.name(), reason, message]),
            None => Ok(()),
        }
    }

    /// Completes the file of refused rows, with the warnings at its end.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        self.progress.clear();
        let Some(file) = &mut self.file else { return Ok(()) };
        for provider in &self.without_app {
            write_line(file, [provider.as_str(), "warning", "", WITHOUT_APP])?;
        }
        Ok(file.0.flush()?)
    }

    /// Prints the counts. If rows were refused, the command ends as one that is done in part.
    pub(super) fn print(&self, format: Format, output: &mut Output) -> Result<(), Failure> {
        if self.counts.is_empty() {
            writeln!(std::io::stderr(), "the source has no rows")?;
        }
        self.print_sums(format, output)?;
        let refused = self.count(Outcome::Refused);
        if refused == 0 {
            return Ok(());
        }
        let rows = if refused == 1 { "row was" } else { "rows were" };
        let file = self.file_name.as_deref().unwrap_or("--report FILE");
        let again = if refused == self.of_the_tenant {
            "; the same command imports them once the tenant is there and has room"
        } else {
            ""
        };
        Err(Failure::Partly(format!("{refused} {rows} refused; {file} says which and why{again}")))
    }

    /// Prints the first rows that were refused, the warnings, and the counts so far.
    pub(super) fn print_sums(&self, format: Format, output: &mut Output) -> Result<(), Failure> {
        for refused in &self.refused {
            writeln!(std::io::stderr(), "refused {refused}")?;
        }
        for provider in &self.without_app {
            writeln!(std::io::stderr(), "warning: {provider}: {WITHOUT_APP}")?;
        }
        if self.without_credential > 0 {
            writeln!(
                std::io::stderr(),
                "rows without a credential: {}; their connections are DISCONNECTED until their accounts are connected",
                self.without_credential
            )?;
        }
        match format {
            Format::Json => {
                let counts = Outcome::ALL
                    .map(|outcome| (outcome.name().replace(' ', "_"), self.count(outcome).into()));
                let mut counts: serde_json::Map<_, _> = counts.into_iter().collect();
                counts.insert("dry_run".to_owned(), self.dry_run.into());
                counts.insert("without_credential".to_owned(), self.without_credential.into());
                counts.insert("providers_without_app".to_owned(), json!(self.without_app));
                output.value::<Failure>(&counts)?;
            }
            Format::Table => {
                let rows = Outcome::ALL
                    .map(|outcome| vec![outcome.name().to_owned(), self.count(outcome).to_string()]);
                let heading = if self.dry_run { "WOULD BE" } else { "OUTCOME" };
                output.table::<Failure>(&[heading, "ROWS"], &rows)?;
            }
        }
        Ok(())
    }

    fn count(&self, outcome: Outcome) -> u64 {
        self.counts.get(&outcome).copied().unwrap_or_default()
    }
}

/// Begins the file, and says whether it is CSV.
fn begin(path: &Path) -> Result<(BufWriter<File>, bool), Failure> {
    let failed = |error: std::io::Error| {
        Failure::Usage(format!("the report {} cannot be written: {error}", named(path)))
    };
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    let csv = path.extension().is_some_and(|extension| extension == "csv");
    if csv {
        writeln!(file, "source,outcome,reason,message").map_err(failed)?;
    }
    Ok((file, csv))
}

/// Writes a line of the file: source, outcome, reason and message.
fn write_line(
    (file, csv): &mut (BufWriter<File>, bool),
    [source, outcome, reason, message]: [&str; 4],
) -> Result<(), Failure> {
    if *csv {
        writeln!(file, "{}", [source, outcome, reason, message].map(quoted).join(","))?;
    } else {
        let line = json!({ "source": source, "outcome": outcome, "reason": reason, "message": message });
        writeln!(file, "{line}")?;
    }
    Ok(())
}

/// A field of CSV (RFC 4180). A text that a spreadsheet would take for a formula begins with an apostrophe.
fn quoted(text: &str) -> String {
    let formula = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    format!("\"{formula}{}\"", text.replace('"', "\"\""))
}
