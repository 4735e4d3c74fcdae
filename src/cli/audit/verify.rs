//! `audit verify` and `audit verify-record`: what a file proves, found without the vault. Exit code 0 if the file proves it, 5 if
//! it does not, 2 if the command line is wrong.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use credvault_audit::{
    Cosigner, MAX_LINE_BYTES, Record, RecordProof, VerifiedCheckpoint, VerifiedExport, VerifiedRecord,
    Verifier,
};
use credvault_domain::Timestamp;

use super::report::Report;
use super::trusted::{TrustArgs, checkpoint};
use crate::cli::args::OutputArgs;
use crate::cli::backup::file::is_stream;
use crate::cli::client::unreadable;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

#[derive(Args, Debug)]
pub(in crate::cli) struct VerifyArgs {
    /// The exported file; `-` is standard input.
    file: PathBuf,
    /// A checkpoint that the export must be of, in a file.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// A checkpoint that you kept, in a file: the log must continue it. The export must lead to its size. Repeatable.
    #[arg(long, value_name = "FILE")]
    earlier: Vec<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct VerifyRecordArgs {
    /// The proof of the record, a C2SP tlog-proof; `-` is standard input.
    file: PathBuf,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn export(arguments: &VerifyArgs, output: &mut Output) -> Result<(), Failure> {
    let trust = arguments.trust.trust()?;
    let paths = arguments.checkpoint.iter().chain(&arguments.earlier);
    let given = paths.map(|path| checkpoint(path)).collect::<Result<Vec<_>, _>>()?;
    let verifier = Verifier::new(trust, &given)
        .map_err(|error| Failure::Invalid(format!("a given checkpoint is not to be believed: {error}")))?;
    let verified = read(verifier, open(&arguments.file)?)?;
    if arguments.checkpoint.is_some()
        && let Some(given) = given.first()
        && given.unverified() != verified.checkpoint.checkpoint()
    {
        let size = verified.checkpoint.checkpoint().size;
        return Err(Failure::Invalid(format!(
            "the export is of another checkpoint, of size {size}, than --checkpoint: if that one is earlier, give it as --earlier"
        )));
    }
    report(&verified).print(arguments.output.output, output)
}

pub(super) fn record(arguments: &VerifyRecordArgs, output: &mut Output) -> Result<(), Failure> {
    let trust = arguments.trust.trust()?;
    let mut text = String::new();
    let mut file = open(&arguments.file)?.take(MAX_LINE_BYTES as u64);
    file.read_to_string(&mut text).map_err(|error| unreadable(&arguments.file, &error))?;
    let proof = RecordProof::parse(&text).and_then(|proof| proof.verify(&trust));
    let verified = proof.map_err(|error| Failure::Invalid(error.to_string()))?;
    record_report(&verified).print(arguments.output.output, output)
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if is_stream(path) {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok(Box::new(BufReader::new(file)))
}

/// Reads the lines of an export, one at a time.
fn read(mut verifier: Verifier, mut file: Box<dyn BufRead>) -> Result<VerifiedExport, Failure> {
    let invalid = |finding: credvault_audit::Finding| Failure::Invalid(finding.to_string());
    let mut line = Vec::new();
    loop {
        line.clear();
        // A longer line is refused by what is read of it.
        let most = MAX_LINE_BYTES as u64 + 2;
        let read = file.by_ref().take(most).read_until(b'\n', &mut line);
        if read.context("the export cannot be read")? == 0 {
            return verifier.finish().map_err(invalid);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        // Bytes that are no text are no line.
        verifier.line(std::str::from_utf8(&line).unwrap_or_default()).map_err(invalid)?;
    }
}

/// What the export proves.
fn report(verified: &VerifiedExport) -> Report {
    let mut report = Report::default();
    report.add("proved", "each record in the file is in the log at its index, as it was written");
    report.add("records", verified.records);
    report.add("first_index", verified.range.start);
    report.add("end_index", verified.range.end);
    report.add("complete", verified.is_complete);
    report.add("whole_log", verified.is_whole());
    if !verified.is_complete {
        report.add("not_proved", "that no record of this part is missing: the export has a selection");
    }
    checkpoint_lines(&mut report, &verified.checkpoint);
    report.add_some("continues_sizes", Some(verified.continues.clone()).filter(|sizes| !sizes.is_empty()));
    report
}

/// What the proof of a record proves.
fn record_report(verified: &VerifiedRecord) -> Report {
    let mut report = Report::default();
    report.add("proved", "the record is in the log at its index, as it was written");
    report.add("index", verified.index);
    // One of a later release is proved, and cannot be shown.
    if let Ok(record) = Record::decode(&verified.record) {
        report.add("id", record.id.to_string());
        report.add("time", time(Timestamp::from_micros(record.time)));
        report.add("tenant_id", record.tenant.into_owned());
        report.add_some("service", record.service.map(String::from));
        report.add_some("user_id", record.user.map(String::from));
        report.add("action", record.action.into_owned());
        report.add("outcome", record.outcome.into_owned());
        report.add_some("reason", record.reason.map(String::from));
        report.add_some("connection_id", record.connection.map(|id| id.to_string()));
        report.add_some("provider", record.provider.map(String::from));
        report.add_some("purpose", record.purpose.map(String::from));
        report.add("trace_id", credvault_domain::TraceId::from_bytes(record.trace).to_string());
    }
    checkpoint_lines(&mut report, &verified.checkpoint);
    report
}

fn checkpoint_lines(report: &mut Report, verified: &VerifiedCheckpoint) {
    let checkpoint = verified.checkpoint();
    report.add("log", checkpoint.origin.to_string());
    report.add("size", checkpoint.size);
    report.add("root", checkpoint.root.to_string());
    let cosigned = |Cosigner { name, time: seconds }: &Cosigner| {
        let micros = i64::try_from(*seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        format!("{name} at {}", time(Timestamp::from_micros(micros)))
    };
    let cosigners: Vec<String> = verified.cosigners().iter().map(cosigned).collect();
    report.add_some("cosigned_by", Some(cosigners).filter(|cosigners| !cosigners.is_empty()));
}

fn time(time: Timestamp) -> String {
    let nanos = time.subsecond_nanos();
    prost_types::Timestamp { seconds: time.seconds(), nanos }.to_string()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::cli::output::Format;

    const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/credvault-audit/tests/vectors");

    fn path(name: &str) -> PathBuf {
        Path::new(VECTORS).join(name)
    }

    #[derive(clap::Parser, Debug)]
    struct Parsed {
        #[command(flatten)]
        verify: VerifyArgs,
    }

    fn verified(more: &[&str], text: &str) -> Result<String, Failure> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("export.jsonl");
        std::fs::write(&file, text).expect("written");
        let file = file.display().to_string();
        let arguments = ["verify", file.as_str()].into_iter().chain(more.iter().copied());
        let parsed = <Parsed as clap::Parser>::try_parse_from(arguments).expect("arguments");
        let mut output = Output::stdout().keeping();
        export(&parsed.verify, &mut output).map(|()| output.into_text())
    }

    fn given() -> [String; 6] {
        let path = |name| path(name).display().to_string();
        [
            "--key".into(),
            path("log.key"),
            "--witness".into(),
            path("witness.key"),
            "--earlier".into(),
            path("earlier.checkpoint"),
        ]
    }

    #[test]
    fn a_frozen_export_is_verified_and_an_altered_one_is_named() {
        let (text, given) = (std::fs::read_to_string(path("export.jsonl")).expect("a vector"), given());
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        let said = verified(&given, &text).expect("verified");
        for part in
            ["records", "16", "500", "516", "700", "continues sizes", "300", "cosigned by", "2025-11-27"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        let altered = text.replacen("\"outcome\":\"OK\"", "\"outcome\":\"DENIED\"", 1);
        let failure = verified(&given, &altered).expect_err("altered");
        assert!(matches!(&failure, Failure::Invalid(text) if text.contains("record 500")), "{failure}");
        let endless = "x".repeat(MAX_LINE_BYTES + 10);
        assert!(matches!(verified(&given, &endless), Err(Failure::Invalid(text)) if text.contains("line 1")));
        let other = [given.as_slice(), &["--checkpoint", given[5]]].concat();
        assert!(matches!(verified(&other, &text), Err(Failure::Invalid(text)) if text.contains("--earlier")));
    }

    #[test]
    fn a_frozen_proof_of_a_record_is_verified() {
        let text = std::fs::read_to_string(path("record.tlog-proof")).expect("a vector");
        let read =
            |name| std::fs::read_to_string(path(name)).expect("a vector").trim().parse().expect("a key");
        let trust = credvault_audit::Trust::new(vec![read("log.key"), read("witness.key")], 1);
        let verified = RecordProof::parse(&text).expect("a proof").verify(&trust).expect("right");
        let mut output = Output::stdout().keeping();
        record_report(&verified).print(Format::Json, &mut output).expect("printed");
        let json: serde_json::Value = serde_json::from_str(&output.into_text()).expect("JSON");
        assert_eq!((&json["index"], &json["size"]), (&301.into(), &700.into()));
    }

    #[test]
    fn bytes_that_are_no_text_are_no_line() {
        let trust = credvault_audit::Trust::new(Vec::new(), 0);
        let verifier = Verifier::new(trust, &[]).expect("nothing is given");
        let failure = read(verifier, Box::new(Cursor::new(vec![0xff, b'\n']))).expect_err("no export");
        assert!(matches!(failure, Failure::Invalid(text) if text.contains("line 1")));
    }
}
