//! Streams of the audit log: tails that lose and repeat nothing, and exports that are verified without the vault.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use credvault_audit::{SignedCheckpoint, Trust, Verifier, VerifierKey};
use credvault_proto::v1;
use rustix::process::Signal;
use serde_json::Value;
use tonic::{Status, Streaming};
use tonic_types::StatusExt as _;

use crate::harness::{Client, Process, TestVault, VaultBuilder, by_id, eventually, generic, refusal};
use crate::on_both;

on_both![
    a_tail_has_each_record_once_soon_and_ends_when_it_must,
    exports_are_of_one_tenant_and_of_their_format,
];

async fn tail(
    client: &Client,
    start_index: Option<i64>,
    action: &str,
) -> Result<Streaming<v1::TailAuditEventsResponse>, Status> {
    let filter = Some(v1::AuditFilter { action: action.to_owned(), ..Default::default() });
    let request = v1::TailAuditEventsRequest { filter, start_index };
    Ok(client.audit().tail_audit_events(request).await?.into_inner())
}

/// The next response, which comes within this time.
async fn next(
    stream: &mut Streaming<v1::TailAuditEventsResponse>,
    seconds: u64,
) -> Result<Option<v1::TailAuditEventsResponse>, Status> {
    let waiting = tokio::time::timeout(Duration::from_secs(seconds), stream.message());
    waiting.await.expect("the stream is silent")
}

/// The records of a log up to the one of a trace.
async fn read_until(
    stream: &mut Streaming<v1::TailAuditEventsResponse>,
    trace: &str,
) -> Vec<v1::IndexedAuditEvent> {
    let mut all = Vec::new();
    loop {
        all.extend(next(stream, 20).await.unwrap().expect("the stream goes on").events);
        let is_last = |one: &v1::IndexedAuditEvent| one.event.as_ref().unwrap().trace_id == trace;
        if all.iter().any(is_last) {
            return all;
        }
    }
}

/// Fetches, and gives the trace of the call.
async fn fetch(client: &Client, id: &str) -> String {
    let answer = client.vault().fetch_credential(by_id(id)).await.unwrap();
    answer.metadata().get("x-trace-id").unwrap().to_str().unwrap().to_owned()
}

async fn a_tail_has_each_record_once_soon_and_ends_when_it_must(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    let (app, other) = (vault.app("acme").await, vault.app("beta").await);
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let theirs = other.create(generic("main", "CANARY")).await.unwrap().id;

    let mut from_now = tail(&app, None, "").await.unwrap();
    let first = next(&mut from_now, 5).await.unwrap().unwrap();
    assert!(first.events.is_empty() && first.next_index <= first.log_size, "{first:?}");
    fetch(&other, &theirs).await;
    let began = Instant::now();
    let trace = fetch(&app, &id).await;
    let new = read_until(&mut from_now, &trace).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let start = first.next_index;
    let indexes: Vec<i64> = new.iter().map(|one| one.index).collect();
    assert_eq!(indexes, (start..start + i64::try_from(new.len()).unwrap()).collect::<Vec<_>>());
    assert!(new.iter().all(|one| one.event.as_ref().unwrap().connection_id != theirs));

    // From the beginning, the same records have the same places, and lists have them, too.
    let mut from_begin = tail(&app, Some(0), "").await.unwrap();
    let all = read_until(&mut from_begin, &trace).await;
    assert_eq!(all[0].index, 0);
    assert!(new.iter().all(|one| all.contains(one)));
    let listed = app.events().await;
    assert!(all.iter().all(|one| listed.contains(one.event.as_ref().unwrap())));
    // The stream itself is on record once.
    let tails = listed.iter().filter(|event| event.action == "TailAuditEvents").count();
    assert_eq!(tails, 2);

    // A filter that nothing matches says how far it has come nevertheless.
    let mut silent = tail(&app, Some(0), "PurgeConnection").await.unwrap();
    next(&mut silent, 5).await.unwrap();
    let progress = next(&mut silent, 15).await.unwrap().unwrap();
    assert!(progress.events.is_empty() && progress.next_index >= start, "{progress:?}");

    let beyond = tail(&app, Some(1_000_000), "").await.unwrap_err();
    assert_eq!(refusal(&beyond), "OutOfRange AUDIT_POSITION_INVALID");
    let metadata = &beyond.get_error_details().error_info().unwrap().metadata.clone();
    assert_eq!(metadata["first_index"], "0");
    assert_eq!(refusal(&tail(&app, Some(-1), "").await.unwrap_err()), "InvalidArgument FIELDS_INVALID");

    it_ends_when_it_must(&mut vault, &app, &other, from_now).await;
}

/// A suspended tenant's stream ends, and none begins. Another tenant's stays, until the vault stops.
async fn it_ends_when_it_must(
    vault: &mut TestVault,
    app: &Client,
    other: &Client,
    mut from_now: Streaming<v1::TailAuditEventsResponse>,
) {
    let mut theirs = tail(other, None, "").await.unwrap();
    let operator = vault.client("operator").await;
    let suspend = v1::SuspendTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    operator.admin().suspend_tenant(suspend).await.unwrap();
    let ended = loop {
        match next(&mut from_now, 15).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended well"),
            Err(status) => break status,
        }
    };
    assert_eq!(refusal(&ended), "FailedPrecondition TENANT_SUSPENDED");
    assert_eq!(refusal(&tail(app, None, "").await.unwrap_err()), "FailedPrecondition TENANT_SUSPENDED");
    next(&mut theirs, 5).await.unwrap().expect("it goes on");

    // A vault that stops ends its streams, and does not wait for their clients.
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = theirs.message().await {} });
    let stopping = Instant::now();
    vault.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(15), "{:?}", stopping.elapsed());
    reading.await.unwrap();
}

/// An export, as text, with what the vault says of it.
async fn export(
    client: &Client,
    request: v1::ExportAuditEventsRequest,
) -> Result<(String, v1::AuditExportSummary, i64), Status> {
    let mut stream = client.audit().export_audit_events(request).await?.into_inner();
    let (mut bytes, mut summary, mut end) = (Vec::new(), None, None);
    while let Some(part) = stream.message().await? {
        assert!(end.is_none(), "nothing follows the end");
        bytes.extend(part.lines);
        summary = summary.or(part.summary);
        end = part.end;
    }
    Ok((String::from_utf8(bytes).unwrap(), summary.unwrap(), end.unwrap().record_count))
}

fn of_format(format: v1::AuditExportFormat) -> v1::ExportAuditEventsRequest {
    v1::ExportAuditEventsRequest { format: format.into(), ..Default::default() }
}

async fn exports_are_of_one_tenant_and_of_their_format(builder: VaultBuilder) {
    let vault = builder.start().await;
    let (app, other) = (vault.app("acme").await, vault.app("beta").await);
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let theirs = other.create(generic("main", "CANARY")).await.unwrap().id;
    for _ in 0..300 {
        app.token(by_id(&id)).await.unwrap();
    }
    let trace = fetch(&app, &id).await;

    let proved = || of_format(v1::AuditExportFormat::ProvedJsonLines);
    let first = app.audit().get_checkpoint(v1::GetCheckpointRequest {}).await.unwrap().into_inner();
    let kept = first.checkpoint.unwrap();
    let request = v1::ExportAuditEventsRequest { earlier_sizes: vec![kept.size], ..proved() };
    let (text, summary, count) = export(&app, request).await.unwrap();
    assert!(summary.complete && summary.start_index == 0 && summary.end_index == count, "{summary:?}");
    let key: VerifierKey = first.verifier_keys[0].parse().unwrap();
    let kept = SignedCheckpoint::parse(&kept.note).unwrap();
    let mut verifier = Verifier::new(Trust::new(vec![key], 0), &[kept]).unwrap();
    text.lines().for_each(|line| verifier.line(line).unwrap());
    let verified = verifier.finish().unwrap();
    assert!(verified.is_whole() && i64::try_from(verified.records) == Ok(count), "{verified:?}");
    assert!(text.contains(&trace) && !text.contains(&theirs) && !text.contains("CANARY"));

    let (text, _, count) = export(&app, of_format(v1::AuditExportFormat::JsonLines)).await.unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(i64::try_from(lines.len()), Ok(count));
    assert!(lines.iter().enumerate().all(|(place, line)| line["index"].as_u64() == Some(place as u64)));
    assert_eq!(lines[0]["event"]["action"], "CreateTenant");

    let filter = v1::AuditFilter { action: "FetchCredential".into(), ..Default::default() };
    let fetches =
        v1::ExportAuditEventsRequest { filter: Some(filter), ..of_format(v1::AuditExportFormat::Ocsf) };
    let (text, summary, count) = export(&app, fetches.clone()).await.unwrap();
    assert_eq!((summary.complete, count), (false, 301));
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["class_uid"], &line["type_uid"]), (&6003.into(), &600_302.into()));
        assert_eq!(line["metadata"]["tenant_uid"], "acme");
        assert!(line["time"].is_u64() && line["actor"]["app_uid"].is_string(), "{line}");
        assert!(line["src_endpoint"]["ip"].is_string() && line["metadata"]["product"].is_object());
    }

    // Each caller exports what it reaches: a complete export needs all users.
    let portal = vault.client("portal").await.acting_for("acme", Some("u1"));
    let (text, summary, _) = export(&portal, of_format(v1::AuditExportFormat::JsonLines)).await.unwrap();
    assert!(!summary.complete && !text.contains(&trace));
    let beyond = v1::ExportAuditEventsRequest { end_index: 1_000_000, ..proved() };
    assert_eq!(refusal(&export(&app, beyond).await.unwrap_err()), "OutOfRange AUDIT_POSITION_INVALID");
    let unspecified = v1::ExportAuditEventsRequest::default();
    assert_eq!(refusal(&export(&app, unspecified).await.unwrap_err()), "InvalidArgument FIELDS_INVALID");
    let witness = v1::ExportAuditEventsRequest { cosigned: true, ..proved() };
    assert_eq!(refusal(&export(&app, witness).await.unwrap_err()), "FailedPrecondition STATE_INVALID");
    // A suspended tenant's log can be exported, as it can be listed.
    let operator = vault.client("operator").await;
    let suspend = v1::SuspendTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    operator.admin().suspend_tenant(suspend).await.unwrap();
    assert_eq!(export(&app, fetches).await.unwrap().2, 301);
}

/// How often the replica is killed under a tail.
const ROUNDS: u64 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_goes_on_over_replicas_that_are_killed() {
    let vault = VaultBuilder::sqlite().prepare().await;
    let folder = vault.folder.path();
    let connect = async |process: &Process, service: &str| {
        let leaf = vault.authority.service(&format!("spiffe://test.local/{service}"));
        Client::connect(process.address, vault.authority.pem(), Some(&leaf)).await.unwrap()
    };
    let (mut id, mut answered, mut index) = (String::new(), Vec::new(), 0);
    let mut read = BTreeMap::new();
    for round in 0..ROUNDS {
        let process = Process::serve(folder, &[]).unwrap();
        let app = connect(&process, "app").await.acting_for("acme", None);
        if id.is_empty() {
            let create = v1::CreateTenantRequest { tenant_id: "acme".into(), ..Default::default() };
            connect(&process, "operator").await.admin().create_tenant(create).await.unwrap();
            id = app.create(generic("main", "CANARY")).await.unwrap().id;
        }
        let (caller, id) = (app.clone(), id.clone());
        let calls = tokio::spawn(async move {
            let mut traces = Vec::new();
            while let Ok(answer) = caller.vault().fetch_credential(by_id(&id)).await {
                traces.push(answer.metadata().get("x-trace-id").unwrap().to_str().unwrap().to_owned());
            }
            traces
        });
        let mut stream = tail(&app, Some(index), "").await.unwrap();
        let killing = tokio::time::sleep(Duration::from_millis(1500 + round * 131));
        tokio::pin!(killing);
        loop {
            tokio::select! {
                part = stream.message() => match part {
                    Ok(Some(part)) => {
                        take(&mut read, &part);
                        index = part.next_index;
                    }
                    Ok(None) | Err(_) => break,
                },
                () = &mut killing => break,
            }
        }
        process.signal(Signal::KILL);
        answered.extend(calls.await.unwrap());
    }
    let process = Process::serve(folder, &[]).unwrap();
    let app = connect(&process, "app").await.acting_for("acme", None);
    let last = fetch(&app, &id).await;
    let mut stream = tail(&app, Some(index), "").await.unwrap();
    while !read.values().any(|trace| *trace == last) {
        take(&mut read, &next(&mut stream, 20).await.unwrap().unwrap());
    }
    assert!(answered.len() > 50, "{} calls were answered", answered.len());
    let indexes: Vec<i64> = read.keys().copied().collect();
    assert_eq!(indexes, (0..i64::try_from(read.len()).unwrap()).collect::<Vec<_>>(), "a record is missing");
    let mut times: BTreeMap<&String, usize> = BTreeMap::new();
    read.values().for_each(|trace| *times.entry(trace).or_default() += 1);
    for trace in &answered {
        assert_eq!(times.get(trace), Some(&1), "{trace}");
    }
}

/// Notes the traces of records by their indexes: none comes twice.
fn take(read: &mut BTreeMap<i64, String>, part: &v1::TailAuditEventsResponse) {
    for one in &part.events {
        let trace = one.event.as_ref().unwrap().trace_id.clone();
        assert!(one.index < part.next_index, "{one:?}");
        assert!(read.insert(one.index, trace).is_none(), "the record {} came twice", one.index);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_some_streams_and_gets_another_when_one_ends() {
    let vault = VaultBuilder::sqlite().start().await;
    let (app, other) = (vault.app("acme").await, vault.app("beta").await);
    let mut streams = Vec::new();
    for _ in 0..32 {
        streams.push(tail(&app, None, "").await.unwrap());
    }
    assert_eq!(refusal(&tail(&app, None, "").await.unwrap_err()), "ResourceExhausted RATE_LIMITED");
    assert!(tail(&other, None, "").await.is_ok(), "another tenant has its own");
    streams.pop();
    eventually("the place is free again", || async { tail(&app, None, "").await.is_ok() }).await;
}
