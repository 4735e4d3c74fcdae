//! Every way to tamper with a log or its export, and the record that the verifier names for it.

use credvault_audit::{
    Checkpoint, CheckpointError, Fault, Hash, SignedCheckpoint, TileId, TrustError, Verifier,
};

use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::{Log, origin, record, signer, trust, verify};

/// What the verifier finds: the first bad record and the fault.
fn found(lines: &[String]) -> (Option<u64>, Fault) {
    let finding = verify(lines, &[]).expect_err("something is wrong");
    (finding.first_bad, finding.fault)
}

/// The place of a record's line.
fn at(lines: &[String], index: u64) -> usize {
    let start = format!("{{\"record\":{{\"index\":{index},");
    lines.iter().position(|line| line.starts_with(&start)).expect("the record")
}

fn tile_at(lines: &[String], level: u8, index: u64) -> usize {
    let start = format!("{{\"tile\":{{\"level\":{level},\"index\":{index},");
    lines.iter().position(|line| line.starts_with(&start)).expect("the tile")
}

#[test]
fn every_altered_field_of_a_record_is_found() {
    let log = Log::of(700);
    let whole = log.whole();
    for (from, to) in [
        ("0193a5b2-7c40-7cc1-9d3e-", "0193a5b2-7c40-7cc1-9d3f-"),
        ("\"time\":\"2025-", "\"time\":\"2026-"),
        (".308308Z", ".308309Z"),
        ("\"tenant_id\":\"acme\"", "\"tenant_id\":\"evil\""),
        ("\"token\"", "\"header\""),
        ("example.org/sync", "example.org/sink"),
        ("user_2abC", "user_2abD"),
        ("FetchCredential", "ListConnections"),
        ("000000000007\"", "000000000008\""),
        ("shopify", "spotify"),
        ("\"version\":3", "\"version\":4"),
        ("nightly", "yearly"),
        ("DENIED", "OK"),
        (",\"reason\":\"POLICY_DENIED\"", ""),
        ("\"trace_id\":\"4b", "\"trace_id\":\"4c"),
        ("192.0.2.7", "192.0.2.8"),
        ("[\"refresh_token\"]", "[]"),
        ("sync-reads", "sync-write"),
    ] {
        let mut lines = whole.clone();
        let place = at(&lines, 308);
        assert_ne!(lines[place].replacen(from, to, 1), lines[place], "{from} is in the record");
        lines[place] = lines[place].replacen(from, to, 1);
        assert_eq!(found(&lines), (Some(308), Fault::Altered), "{from} to {to}");
    }
    let mut lines = whole;
    let place = at(&lines, 308);
    let blinding =
        lines[at(&lines, 309)].split("\"blinding\":\"").nth(1).expect("a blinding")[..44].to_owned();
    let own = lines[place].split("\"blinding\":\"").nth(1).expect("a blinding")[..44].to_owned();
    lines[place] = lines[place].replace(&own, &blinding);
    assert_eq!(found(&lines), (Some(308), Fault::Altered));
}

#[test]
fn a_value_in_a_second_spelling_is_found() {
    let log = Log::of(400);
    for (from, to) in [
        (".308308Z", ".308308+00:00"),
        (".308308Z", ".3083080Z"),
        ("0193a5b2", "0193A5B2"),
        ("\"192.0.2.7\"", "\"::ffff:192.0.2.7\""),
        ("\"trace_id\":\"4b4b", "\"trace_id\":\"4B4b"),
    ] {
        let mut lines = log.whole();
        let place = at(&lines, 308);
        assert_ne!(lines[place].replacen(from, to, 1), lines[place], "{from}");
        lines[place] = lines[place].replacen(from, to, 1);
        assert_eq!(found(&lines), (Some(308), Fault::Altered), "{from} to {to}");
    }
}

#[test]
fn what_the_format_does_not_know_is_refused() {
    let log = Log::of(400);
    for (from, to) in [
        ("{\"index\":308,", "{\"index\":308,\"note\":\"approved by security\","),
        ("\"event\":{", "\"event\":{\"approved\":true,"),
        ("\"event\":{", "\"event\":{\"action\":\"FetchCredential\","),
        ("{\"record\":", "{\"seen\":true,\"record\":"),
        ("\"version\":3", "\"version\":3.0"),
    ] {
        let mut lines = log.whole();
        let place = at(&lines, 308);
        lines[place] = lines[place].replacen(from, to, 1);
        assert_eq!(found(&lines), (Some(308), Fault::Line), "{to}");
    }
    let mut lines = log.whole();
    let place = at(&lines, 308);
    lines.insert(place, String::new());
    assert_eq!(found(&lines), (Some(308), Fault::Line), "an empty line");
    lines[place] = format!("{{\"end\":{{\"records\":308}}}}{}", " ".repeat(credvault_audit::MAX_LINE_BYTES));
    assert_eq!(found(&lines), (Some(308), Fault::Line), "a line that is too long");
}

#[test]
fn removed_added_and_moved_records_are_found() {
    let log = Log::of(700);
    let whole = log.whole();
    for index in [0, 255, 256, 400] {
        let mut lines = whole.clone();
        lines.remove(at(&lines, index));
        assert_eq!(found(&lines), (Some(index), Fault::Missing { found: index + 1 }), "{index} removed");

        let mut lines = whole.clone();
        let twice = lines[at(&lines, index)].clone();
        lines.insert(at(&whole, index), twice);
        assert_eq!(found(&lines), (Some(index + 1), Fault::Misplaced { found: index }), "{index} doubled");
    }
    let mut lines = whole.clone();
    let (first, second) = (at(&lines, 300), at(&lines, 301));
    lines.swap(first, second);
    assert_eq!(found(&lines), (Some(300), Fault::Missing { found: 301 }), "two lines swapped");

    // Swapped with their numbers: each stands where the other belongs.
    lines[first] = lines[first].replace("\"index\":301", "\"index\":300");
    lines[second] = lines[second].replace("\"index\":300", "\"index\":301");
    assert_eq!(found(&lines), (Some(300), Fault::Altered), "two records swapped");

    let mut lines = whole;
    let last = lines.len() - 1;
    let forged = lines[at(&lines, 699)].replace("\"index\":699", "\"index\":700");
    lines.insert(last, forged);
    assert_eq!(found(&lines), (Some(700), Fault::Misplaced { found: 700 }), "one added at the end");
}

#[test]
fn a_cut_export_is_found() {
    let log = Log::of(700);
    let whole = log.whole();
    for keep in 0..whole.len() {
        let (first_bad, fault) = found(&whole[..keep]);
        assert_eq!(fault, Fault::CutOff, "{keep} lines");
        let records = whole[..keep].iter().filter(|line| line.starts_with("{\"record\"")).count() as u64;
        assert_eq!(first_bad, (keep > 0 && records < 700).then_some(records), "{keep} lines");
    }
    let mut lines = whole.clone();
    let cut = at(&lines, 690);
    lines.drain(cut..lines.len() - 1);
    assert_eq!(found(&lines), (Some(690), Fault::CutOff), "the end line says 700");
    let last = lines.len() - 1;
    lines[last] = lines[last].replace("700", "690");
    assert_eq!(found(&lines), (Some(690), Fault::CutOff), "the header says 700");
    let mut lines = whole.clone();
    lines.push(whole[0].clone());
    assert_eq!(found(&lines), (None, Fault::CutOff), "a second export behind the first");
}

#[test]
fn a_header_that_claims_less_is_seen_in_what_was_verified() {
    let log = Log::of(700);
    let mut lines = log.whole();
    lines[0] = lines[0].replace("\"end\":700", "\"end\":690");
    let (cut, last) = (at(&lines, 690), lines.len() - 1);
    lines[last] = lines[last].replace("700", "690");
    lines.drain(cut..last);
    let verified = verify(&lines, &[]).expect("a right export of less");
    assert_eq!((verified.is_whole(), verified.range), (false, 0..690));

    let mut lines = log.whole();
    lines[0] = lines[0].replace("\"complete\":true", "\"complete\":false");
    assert!(!verify(&lines, &[]).expect("right").is_whole());
    for (from, to) in [("\"end\":700", "\"end\":701"), ("\"start\":0", "\"start\":701")] {
        let mut lines = log.whole();
        lines[0] = lines[0].replace(from, to);
        assert_eq!(found(&lines), (None, Fault::Range));
    }
}

#[test]
fn an_altered_hash_is_found_where_records_contradict_it() {
    let log = Log::of(66_500);
    // Every third hash begins with a character of its own.
    let alter = |line: &mut String, hash: usize| {
        let start = line.find("hashes\":\"").expect("hashes") + 9 + hash / 3 * 128;
        let other = if line[start..].starts_with('A') { "B" } else { "A" };
        line.replace_range(start..=start, other);
    };
    for (level, index, hash, first_bad, fault) in [
        (0, 3, 0, 768_u64, Fault::Tile(TileId { level: 0, index: 3 })),
        (0, 3, 45, 768 + 45, Fault::Tile(TileId { level: 0, index: 3 })),
        (1, 0, 0, 0, Fault::Tile(TileId { level: 1, index: 0 })),
        (1, 0, 12, 12 * 256, Fault::Tile(TileId { level: 1, index: 0 })),
        (2, 0, 0, 0, Fault::Edge),
        (1, 1, 0, 65_536, Fault::Edge),
        (0, 259, 30, 259 * 256 + 30, Fault::Edge),
    ] {
        let range = first_bad.saturating_sub(300)..(first_bad + 300).min(66_500);
        let mut lines = log.part(66_500, range, &[]);
        let place = tile_at(&lines, level, index);
        alter(&mut lines[place], hash);
        let finding = verify(&lines, &[]).expect_err("something is wrong");
        assert_eq!(
            (finding.first_bad, finding.fault),
            (Some(first_bad), fault),
            "tile {index} of level {level}"
        );
    }
    for (level, index, fault) in [(2, 0, Fault::Edge), (0, 3, Fault::NoTile)] {
        let mut lines = log.part(66_500, 768..1_000, &[]);
        lines.remove(tile_at(&lines, level, index));
        assert_eq!(found(&lines), (Some(768), fault), "without tile {index} of level {level}");
    }
}

#[test]
fn a_record_and_its_hash_altered_together_are_found_by_the_hashes_above() {
    let mut log = Log::of(700);
    let forged = credvault_audit::Entry {
        record: credvault_audit::Record { action: "Nothing".into(), ..record(300) }.encode().expect("short"),
        ..log.entry(300)
    };
    let checkpoint = log.checkpoint(700);
    let tile = log.tiles.get_mut(&TileId { level: 0, index: 1 }).expect("a tile");
    tile[(300 - 256) * 32..][..32].copy_from_slice(&forged.leaf().to_bytes());
    let mut lines = log.whole();
    assert_eq!(checkpoint, log.checkpoint(700), "the tiles above are as they were");
    let place = at(&lines, 300);
    lines[place] = lines[place].replace("FetchCredential", "Nothing");
    assert_eq!(found(&lines), (Some(256), Fault::Tile(TileId { level: 0, index: 1 })));
}

#[test]
fn a_tile_from_elsewhere_is_found() {
    let log = Log::of(1_000);
    let whole = log.whole();
    let place = tile_at(&whole, 0, 1);
    for (level, index) in [(0, 2), (0, 3), (0, 9), (1, 0), (1, 1), (5, 0), (6, 0), (255, u64::MAX)] {
        let mut lines = whole.clone();
        lines[place] = lines[place]
            .replace("\"level\":0,\"index\":1,", &format!("\"level\":{level},\"index\":{index},"));
        let (first_bad, fault) = found(&lines);
        assert_eq!((first_bad, fault), (Some(256), Fault::Tile(TileId { level, index })));
    }
}

#[test]
fn a_rewritten_or_rolled_back_log_is_found_by_an_earlier_checkpoint() {
    let mut log = Log::of(600);
    let kept = [log.checkpoint(300), log.checkpoint(600)];
    // The vault's operator, with all keys: a copy of the log from before, and other records from there on.
    let mut other = Log::of(350);
    other.append((350..900).map(|index| record(index + 1)));
    let honest = |log: &Log| verify(&log.whole(), &kept[..1]).map(|verified| verified.continues);
    assert_eq!(honest(&other), Ok(Vec::from([300])), "the first 300 are the same");
    let finding = verify(&other.whole(), &kept).expect_err("rewritten");
    assert_eq!((finding.first_bad, finding.fault), (None, Fault::Rewritten { size: 600 }));
    let finding = verify(&Log::of(350).whole(), &kept).expect_err("rolled back");
    assert_eq!((finding.line, finding.fault), (1, Fault::Later { size: 600 }));
    log.append((600..900).map(record));
    assert_eq!(verify(&log.whole(), &kept).expect("as it was").continues, [300, 600]);
}

#[test]
fn a_checkpoint_that_is_not_to_be_believed_ends_the_verification() {
    let log = Log::of(300);
    let other = SignedCheckpoint::sign(log.checkpoint(300).unverified().clone(), &[&signer(2)]);
    let with = |checkpoint: &str| {
        let mut lines = log.whole();
        let text = |text: &str| text.replace('\n', "\\n");
        lines[0] = lines[0].replace(&text(&log.checkpoint(300).to_string()), &text(checkpoint));
        found(&lines)
    };
    assert_eq!(with(&other.to_string()), (None, Fault::Trust(TrustError::NoSignature)));
    assert_eq!(
        with("x"),
        (None, Fault::Checkpoint(CheckpointError::Note(credvault_audit::NoteError::Layout)))
    );
    let smaller = log.checkpoint(300).to_string().replace("\n300\n", "\n299\n");
    assert_eq!(with(&smaller), (None, Fault::Trust(TrustError::BadSignature { name: origin() })));
    let forged = Checkpoint { root: Hash::of_empty_tree(), ..log.checkpoint(300).unverified().clone() };
    let forged = SignedCheckpoint::sign(forged, &[&signer(1)]);
    assert_eq!(with(&forged.to_string()), (Some(0), Fault::Edge), "signed, but of another tree");
    assert!(Verifier::new(trust(), &[other]).is_err(), "nor is a given one");
}

#[test]
fn a_finding_says_where_and_stays() {
    let log = Log::of(300);
    let mut lines = log.whole();
    lines.remove(at(&lines, 7));
    let mut verifier = Verifier::new(trust(), &[]).expect("no checkpoints");
    let first = lines.iter().find_map(|line| verifier.line(line).err()).expect("something is wrong");
    assert_eq!(first.to_string(), "line 12: record 7: the record is missing: the next one has the index 8");
    for line in &log.whole() {
        assert_eq!(verifier.line(line), Err(first.clone()), "no later line is believed");
    }
    assert_eq!(verifier.finish(), Err(first));
}

/// What an attacker does to an export, at random places.
#[derive(Clone, Debug)]
enum Attack {
    Remove(Index),
    Double(Index),
    Swap(Index, Index),
    Move(Index, Index),
    Replace(Index, Index, char),
}

fn attack() -> impl Strategy<Value = Attack> {
    let (at, to) = (any::<Index>, any::<Index>);
    prop_oneof![
        at().prop_map(Attack::Remove),
        at().prop_map(Attack::Double),
        (at(), to()).prop_map(|(one, other)| Attack::Swap(one, other)),
        (at(), to()).prop_map(|(from, to)| Attack::Move(from, to)),
        (at(), to(), prop::char::range('!', '~')).prop_map(|(at, to, with)| Attack::Replace(at, to, with)),
    ]
}

fn attacked(lines: &[String], attacks: &[Attack]) -> Vec<String> {
    let mut lines = lines.to_vec();
    for attack in attacks {
        let count = lines.len();
        match attack {
            Attack::Remove(at) => drop(lines.remove(at.index(count))),
            Attack::Double(at) => {
                let line = lines[at.index(count)].clone();
                lines.insert(at.index(count), line);
            }
            Attack::Swap(one, other) => lines.swap(one.index(count), other.index(count)),
            Attack::Move(from, to) => {
                let line = lines.remove(from.index(count));
                lines.insert(to.index(count), line);
            }
            Attack::Replace(at, place, with) => {
                let line = &mut lines[at.index(count)];
                let mut letters: Vec<char> = line.chars().collect();
                let place = place.index(letters.len());
                letters[place] = *with;
                *line = letters.into_iter().collect();
            }
        }
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Only the export itself verifies as the whole log, and no record before the named one differs from the log's.
    #[test]
    fn no_attack_goes_unnoticed(attacks in prop::collection::vec(attack(), 1..4)) {
        let log = Log::of(530);
        let whole = log.whole();
        let lines = attacked(&whole, &attacks);
        match verify(&lines, &[log.checkpoint(530)]) {
            Ok(_) => prop_assert_eq!(lines, whole),
            Err(finding) => {
                prop_assert!(lines != whole);
                let contradicts = matches!(finding.fault, Fault::Tile(_) | Fault::Edge);
                let before = usize::try_from(finding.line - 1).expect("small");
                let records = |lines: &[String]| -> Vec<String> {
                    lines.iter().filter(|line| line.starts_with("{\"record\"")).cloned().collect()
                };
                prop_assert!(records(&whole).starts_with(&records(&lines[..before])), "{}", finding);
                let index = finding.first_bad.unwrap_or(0);
                for right in (0..index).map(|index| &whole[at(&whole, index)]) {
                    prop_assert!(contradicts || lines.contains(right), "{}", finding);
                }
            }
        }
    }
}
