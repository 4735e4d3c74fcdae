//! How fast a log grows, and what a proof costs in a tree of 10,000,000 leaves: `cargo bench -p credvault-audit`. One thread.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use credvault_audit::{
    Checkpoint, Entry, ExportWriter, Frontier, Hash, KeyKind, Origin, Plan, Record, RecordBytes, Selection,
    SignedCheckpoint, SigningKey, TenantLog, TileId, Tiles, Trust, Verifier, verify_consistency,
    verify_inclusion,
};
use credvault_domain::{Exhausted, Random};
use uuid::Uuid;

const LARGE_TREE: u64 = 10_000_000;
const APPENDED: u64 = 200_000;

struct Fixed;

impl Random for Fixed {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Exhausted> {
        buffer.fill(7);
        Ok(())
    }
}

fn main() {
    println!("| what | time |\n|---|---|");
    let encoded = records();
    appends(&encoded, 1);
    appends(&encoded, 5_000);
    leaves(&encoded);
    exports(&encoded);
    proofs();
    signatures();
}

fn row(what: &str, count: u64, elapsed: Duration) {
    let each = elapsed.as_secs_f64() * 1e6 / count as f64;
    println!("| {what} | {each:.2} us each, {:.0} a second |", 1e6 / each);
}

fn record(index: u64) -> Record<'static> {
    Record {
        id: Uuid::from_u128(u128::from(index)),
        time: 1_764_230_400_000_000 + i64::try_from(index).unwrap_or(0),
        trace: [9; 16],
        tenant: "acme".into(),
        tenant_source: "token".into(),
        action: "FetchCredential".into(),
        outcome: "OK".into(),
        service: Some("spiffe://example.org/ns/prod/sa/sync".into()),
        user: Some("user_2abC".into()),
        connection: Some(Uuid::from_u128(5)),
        owner_user: None,
        provider: Some("shopify".into()),
        version: Some(3),
        purpose: Some("nightly sync".into()),
        reason: None,
        source_address: Some([192, 0, 2, 7].into()),
        changed: Vec::new(),
        released: Vec::new(),
        policies: Vec::from(["sync-reads".into()]),
    }
}

fn records() -> Vec<RecordBytes> {
    let begun = Instant::now();
    let records = (0..APPENDED).filter_map(|index| record(index).encode().ok()).collect();
    row("a record made and encoded", APPENDED, begun.elapsed());
    records
}

/// Appends all records, spread over logs, as a sequencer does that works through its logs once a second: 20,000 a round.
fn appends(records: &[RecordBytes], logs: usize) {
    let mut all: Vec<TenantLog> = (0..logs).map(|_| TenantLog::begin()).collect();
    let begun = Instant::now();
    let mut bytes = 0;
    for round in records.chunks(20_000) {
        for (log, batch) in all.iter_mut().zip(round.chunks(round.len().div_ceil(logs))) {
            let appended = log.append(batch.iter().cloned(), &Fixed).expect("randomness");
            bytes += appended.pieces.iter().map(|(_, piece)| piece.encode().len()).sum::<usize>();
            bytes += appended.tiles.iter().map(|growth| growth.bytes().len()).sum::<usize>();
        }
    }
    assert!(bytes > 0);
    row(&format!("a record appended, {logs} logs, with its bundle and tiles"), APPENDED, begun.elapsed());
}

fn leaves(records: &[RecordBytes]) {
    let begun = Instant::now();
    let blinding = credvault_audit::Blinding::from_bytes([7; 32]);
    let mut frontier = Frontier::default();
    let entries = records.iter().map(|record| Entry { blinding, record: record.clone() }.leaf());
    frontier.extend(entries);
    row("a leaf hashed and added to the root", APPENDED, begun.elapsed());
    assert_eq!(frontier.size(), APPENDED);
}

/// Writes an export of some records and verifies it.
fn exports(records: &[RecordBytes]) {
    let records = &records[..50_000];
    let mut log = TenantLog::begin();
    let appended = log.append(records.iter().cloned(), &Fixed).expect("randomness");
    let mut tiles = Tiles::default();
    for growth in &appended.tiles {
        tiles.insert(growth.tile, &growth.bytes()).expect("a tile");
    }
    let key = SigningKey::from_seed(&[1; 32]).expect("32 bytes");
    let origin = Origin::parse("credvault/eu-1/tenants/acme").expect("an origin");
    let trust = Trust::new(Vec::from([key.verifier(origin.clone(), KeyKind::Log)]), 0);
    let size = log.frontier().size();
    let checkpoint = Checkpoint { origin, size, root: log.frontier().root() };
    let selection = Selection { range: 0..size, is_complete: true };
    let checkpoint = SignedCheckpoint::sign(checkpoint, &[&key]);
    let begun = Instant::now();
    let mut writer = ExportWriter::begin(checkpoint, selection, Vec::new()).expect("inside of the tree");
    let mut lines = Vec::from([writer.header_line()]);
    let mut wanted = writer.edge();
    for (number, piece) in &appended.pieces {
        for place in 0..piece.end() {
            let index = number * 256 + place as u64;
            wanted.extend(writer.before(index));
            lines.extend(wanted.drain(..).map(|tile| writer.tile_line(tile, &tiles).expect("a tile")));
            let entry = piece.entry(place).expect("an entry");
            lines.push(writer.record_line(index, &entry).expect("a record"));
        }
    }
    lines.push(writer.end_line());
    row("a record exported", size, begun.elapsed());
    let begun = Instant::now();
    let mut verifier = Verifier::new(trust, &[]).expect("no checkpoints");
    lines.iter().for_each(|line| verifier.line(line).expect("a right line"));
    assert!(verifier.finish().expect("a right export").is_whole());
    row("an exported record verified", size, begun.elapsed());
}

fn proofs() {
    let indexes = [0, 1, 4_999_999, 8_388_608, 9_999_999];
    let earlier = [1, 255, 4_999_999, 8_388_608, 9_999_999];
    let plans: Vec<Plan> = indexes
        .iter()
        .filter_map(|index| Plan::inclusion(*index, LARGE_TREE))
        .chain(earlier.iter().filter_map(|size| Plan::consistency(*size, LARGE_TREE)))
        .chain(earlier.map(Plan::root))
        .collect();
    let mut kept: BTreeMap<TileId, Vec<u8>> =
        plans.iter().flat_map(Plan::tiles).map(|tile| (tile, Vec::new())).collect();
    let leaf = |index: u64| Hash::of_leaf(&[&index.to_be_bytes()]);
    let mut frontier = Frontier::default();
    for start in (0..LARGE_TREE).step_by(10_000) {
        for growth in frontier.extend((start..start + 10_000).map(leaf)) {
            kept.entry(growth.tile).and_modify(|tile| tile.extend(growth.bytes()));
        }
    }
    let mut worst = Duration::ZERO;
    let begun = Instant::now();
    let mut made = Vec::new();
    for plan in &plans {
        let begun = Instant::now();
        let wanted = plan.tiles();
        let mut tiles = Tiles::default();
        for tile in &wanted {
            tiles.insert(*tile, &kept[tile]).expect("a tile");
        }
        made.push(plan.hashes(&tiles).expect("all tiles"));
        worst = worst.max(begun.elapsed());
    }
    row("a proof or root in 10,000,000 leaves, from its tiles", plans.len() as u64, begun.elapsed());
    println!("| the slowest of them | {:.3} ms |", worst.as_secs_f64() * 1e3);
    let most = plans.iter().map(|plan| plan.tiles().len()).max().unwrap_or(0);
    println!("| tiles that a proof needs | at most {most} |");
    let begun = Instant::now();
    for (at, index) in indexes.into_iter().enumerate() {
        assert_eq!(verify_inclusion(leaf(index), index, LARGE_TREE, &made[at], frontier.root()), Ok(()));
        let tree = (earlier[at], made[10 + at][0]);
        assert_eq!(verify_consistency(tree, (LARGE_TREE, frontier.root()), &made[5 + at]), Ok(()));
    }
    row("a proof verified", 10, begun.elapsed());
}

fn signatures() {
    let key = SigningKey::from_seed(&[1; 32]).expect("32 bytes");
    let origin = Origin::parse("credvault/eu-1/tenants/acme").expect("an origin");
    let checkpoint = Checkpoint { origin: origin.clone(), size: 1, root: Hash::of_leaf(&[]) };
    let begun = Instant::now();
    let signed: Vec<_> =
        (0..2_000).map(|_| SignedCheckpoint::sign(checkpoint.clone(), &[&key]).to_string()).collect();
    row("a checkpoint signed", 2_000, begun.elapsed());
    let trust = Trust::new(Vec::from([key.verifier(origin, KeyKind::Log)]), 0);
    let begun = Instant::now();
    for text in &signed {
        trust.verify(&SignedCheckpoint::parse(text).expect("a checkpoint")).expect("signed");
    }
    row("a checkpoint parsed and verified", 2_000, begun.elapsed());
}
