//! Exports with proofs: verified without the vault, by two implementations, and tampered with line by line.

use std::process::Command;

use credvault_audit::{Fault, Finding, SignedCheckpoint, Trust, VerifiedExport, Verifier, VerifierKey};
use credvault_domain::{Action, TenantScope};
use credvault_store::{AuditFilter, Error, ExportScope, Unproved};

use crate::audit::record;
use crate::fixture::Fixture;
use crate::on_both;

on_both![
    exports_verify_and_lead_to_what_was_signed_before,
    every_tampering_of_a_file_is_named_at_its_index,
    what_a_log_does_not_have_is_not_exported,
];

/// What is exported from an index on, and whether all of it.
pub fn part(scope: &TenantScope, start: Option<u64>, filter: Option<AuditFilter>) -> ExportScope {
    let is_complete = filter.is_none();
    let filter = filter.unwrap_or_default();
    ExportScope { scope: scope.clone(), filter, start, end: None, is_complete }
}

/// The lines of an export.
pub async fn exported(fixture: &Fixture, what: ExportScope, earlier: Vec<u64>) -> Result<Vec<String>, Error> {
    let mut export = fixture.store.audit().proved_export(what, earlier, false).await?;
    let mut lines = export.first_lines().await?;
    while let Some(entries) = export.read().await? {
        lines.extend(export.lines(&entries).await?);
    }
    lines.extend(export.last_lines().await?);
    Ok(lines)
}

/// The keys of a tenant's log, and its newest checkpoint.
pub async fn signed(fixture: &Fixture, scope: &TenantScope) -> (Vec<VerifierKey>, SignedCheckpoint) {
    let found = fixture.store.audit().checkpoint(scope).await.unwrap();
    (found.keys, found.newest.signed)
}

pub fn verify(
    lines: &[String],
    keys: &[VerifierKey],
    given: &[SignedCheckpoint],
) -> Result<VerifiedExport, Finding> {
    let mut verifier = Verifier::new(Trust::new(keys.to_vec(), 0), given).unwrap();
    lines.iter().try_for_each(|line| verifier.line(line))?;
    verifier.finish()
}

async fn exports_verify_and_lead_to_what_was_signed_before(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let mut kept = Vec::new();
    for count in [3, 252, 300, 257] {
        record(fixture, &acme, count).await;
        fixture.sequence().await;
        let (keys, checkpoint) = signed(fixture, &acme).await;
        kept.push(checkpoint);
        let sizes: Vec<u64> = kept.iter().map(|checkpoint| checkpoint.unverified().size).collect();
        let lines = exported(fixture, part(&acme, None, None), sizes.clone()).await.unwrap();
        let verified = verify(&lines, &keys, &kept).unwrap();
        assert!(verified.is_whole() && verified.records == sizes[sizes.len() - 1], "{verified:?}");
        assert_eq!(verified.continues, sizes);
    }
    let (keys, checkpoint) = signed(fixture, &acme).await;
    assert_eq!(checkpoint.unverified().size, 813);

    let folder = tempfile::tempdir().unwrap();
    let (export, key) = (folder.path().join("export.jsonl"), folder.path().join("log.key"));
    std::fs::write(&key, keys[0].to_string()).unwrap();
    let python = |lines: &[String]| {
        std::fs::write(&export, lines.join("\n")).unwrap();
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../credvault-audit/tests/independent.py");
        let output = Command::new("python3").args(["-B", program]).args([&export, &key]).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let lines = exported(fixture, part(&acme, None, None), Vec::new()).await.unwrap();
    assert_eq!(python(&lines), (true, "all right\n".to_owned()));
    let altered: Vec<_> = lines.iter().map(|line| line.replace("FetchCredential", "PutCredential")).collect();
    assert!(!python(&altered).0);

    // From the middle, and with a filter.
    let lines = exported(fixture, part(&acme, Some(500), None), Vec::new()).await.unwrap();
    let verified = verify(&lines, &keys, &[]).unwrap();
    assert_eq!((verified.range.clone(), verified.is_complete, verified.records), (500..813, true, 313));
    let filter = AuditFilter { action: Some(Action::CreateTenant), ..AuditFilter::default() };
    let lines = exported(fixture, part(&acme, None, Some(filter)), Vec::new()).await.unwrap();
    let verified = verify(&lines, &keys, &[]).unwrap();
    assert_eq!((verified.is_complete, verified.records), (false, 1));
}

async fn every_tampering_of_a_file_is_named_at_its_index(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    record(fixture, &acme, 599).await;
    fixture.sequence().await;
    let (keys, _) = signed(fixture, &acme).await;
    let lines = exported(fixture, part(&acme, None, None), Vec::new()).await.unwrap();
    assert!(verify(&lines, &keys, &[]).is_ok());
    let at = |index: u64| {
        let begin = format!("{{\"record\":{{\"index\":{index},");
        lines.iter().position(|line| line.starts_with(&begin)).unwrap()
    };
    // Places all over the file, with both ends and both sides of the ends of bundles.
    let places = (0..30).map(|number| (number * 197 + 1) % 599).chain([1, 254, 256, 511, 512, 598]);
    for index in places.map(|place: u64| place.max(1)) {
        let line = at(index);
        let named = |lines: &[String], what: &str| {
            let finding = verify(lines, &keys, &[]).expect_err(what);
            (finding.first_bad, finding.fault)
        };
        let replaced = |from: &str, to: &str| {
            let mut altered = lines.clone();
            altered[line] = altered[line].replacen(from, to, 1);
            assert_ne!(altered[line], lines[line], "{from} is in {}", lines[line]);
            named(&altered, from)
        };
        assert_eq!(replaced("FetchCredential", "PutCredential"), (Some(index), Fault::Altered));
        assert_eq!(replaced("\"time\":\"2", "\"time\":\"1"), (Some(index), Fault::Altered));
        let mut removed = lines.clone();
        removed.remove(line);
        assert_eq!(named(&removed, "removed").0, Some(index), "removed");
        let mut added = lines.clone();
        added.insert(line, lines[at(index - 1)].clone());
        assert_eq!(named(&added, "added"), (Some(index), Fault::Misplaced { found: index - 1 }));
        if lines[line + 1].starts_with("{\"record\"") {
            let mut swapped = lines.clone();
            swapped.swap(line, line + 1);
            assert_eq!(named(&swapped, "swapped"), (Some(index), Fault::Missing { found: index + 1 }));
        }
        let cut = &lines[..line];
        assert_eq!(named(cut, "cut"), (Some(index), Fault::CutOff));
    }
}

async fn what_a_log_does_not_have_is_not_exported(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    record(fixture, &acme, 599).await;
    fixture.sequence().await;
    let (keys, checkpoint) = signed(fixture, &acme).await;
    let refused = |result: Result<Vec<String>, Error>| {
        assert!(matches!(result, Err(Error::Unproved(Unproved::Position { .. }))), "{result:?}");
    };
    refused(exported(fixture, part(&acme, Some(601), None), Vec::new()).await);
    refused(exported(fixture, ExportScope { end: Some(601), ..part(&acme, None, None) }, Vec::new()).await);
    let turned = ExportScope { end: Some(3), ..part(&acme, Some(4), None) };
    refused(exported(fixture, turned, Vec::new()).await);
    refused(exported(fixture, part(&acme, None, None), vec![601]).await);
    let none = fixture.store.audit().proved_export(part(&acme, None, None), Vec::new(), true).await;
    assert!(matches!(none, Err(Error::State(_))), "no witness is configured");

    // As retention does: the hashes above what is left stay.
    fixture.execute("DELETE FROM audit_bundles WHERE tenant_id = 'acme' AND start = 0").await;
    refused(exported(fixture, part(&acme, Some(0), None), Vec::new()).await);
    refused(exported(fixture, part(&acme, None, None), vec![200]).await);
    let lines = exported(fixture, part(&acme, None, None), vec![256, 600]).await.unwrap();
    let verified = verify(&lines, &keys, std::slice::from_ref(&checkpoint)).unwrap();
    assert_eq!((verified.range, verified.records, verified.continues), (256..600, 344, vec![600]));
}
