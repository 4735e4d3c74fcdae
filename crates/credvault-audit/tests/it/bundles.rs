//! Bundles and the log that fills them.

use credvault_audit::{Bundle, BundleError, BundleSeed, Frontier, TenantLog};
use credvault_domain::{Exhausted, Random};

use crate::support::{Counting, Log, record};

#[test]
fn a_log_has_the_records_in_their_order_however_they_arrive() {
    let log = Log::of(1_000);
    assert_eq!(log.bundles.len(), 4);
    for index in 0..1_000 {
        assert_eq!(log.entry(index).record, record(index).encode().expect("short"), "record {index}");
    }
    assert_eq!(log.bundles[&3].end(), 1_000 - 3 * 256);
    assert_eq!(log.bundles[&3].entry(1_000 - 3 * 256), None);
    assert_ne!(log.bundles[&0].seed(), log.bundles[&1].seed(), "each bundle has its own");
    // The leaves do not depend on how the records arrived, only on the seeds.
    let leaves = (0..1_000).map(|index| log.entry(index).leaf());
    let mut frontier = Frontier::default();
    frontier.extend(leaves);
    assert_eq!(&frontier, log.log.frontier());
}

#[test]
fn blindings_differ_from_record_to_record() {
    let log = Log::of(600);
    let mut blindings: Vec<_> = (0..600).map(|index| log.entry(index).blinding.to_bytes()).collect();
    blindings.sort_unstable();
    blindings.dedup();
    assert_eq!(blindings.len(), 600);
}

#[test]
fn a_state_without_its_seed_is_refused() {
    let seed = BundleSeed::generate(&Counting::default()).expect("randomness");
    let log = Log::of(300);
    let frontier = || log.log.frontier().clone();
    assert!(TenantLog::resume(frontier(), None).is_none(), "the last bundle is partial");
    assert!(TenantLog::resume(frontier(), Some(seed.clone())).is_some());
    assert!(TenantLog::resume(Frontier::default(), Some(seed.clone())).is_none());
    assert!(TenantLog::resume(Log::of(512).log.frontier().clone(), Some(seed)).is_none());
}

#[test]
fn without_randomness_nothing_is_appended() {
    struct Empty;
    impl Random for Empty {
        fn fill(&self, _: &mut [u8]) -> Result<(), Exhausted> {
            Err(Exhausted)
        }
    }
    let mut log = Log::of(250).log;
    let before = log.frontier().clone();
    let records = |range: std::ops::Range<u64>| range.map(|index| record(index).encode().expect("short"));
    assert!(log.append(records(250..260), &Empty).is_err(), "the second bundle needs a seed");
    assert_eq!(log.frontier(), &before);
    assert!(log.append(records(250..256), &Empty).is_ok(), "the first bundle has its seed");
}

#[test]
fn pieces_fit_in_one_way_only() {
    let seed = || BundleSeed::generate(&Counting::default()).expect("randomness");
    let piece = |start: u8, count: u64| {
        let mut piece = Bundle::begin(seed(), start);
        for index in 0..count {
            piece.push(record(index).encode().expect("short")).expect("room");
        }
        piece
    };
    let mut first = piece(0, 3);
    assert_eq!(first.join(piece(4, 1)), Err(BundleError::Piece), "one is missing");
    assert_eq!(first.join(piece(2, 1)), Err(BundleError::Piece), "one is there twice");
    let other = Counting::default();
    BundleSeed::generate(&other).expect("randomness");
    let stranger = Bundle::begin(BundleSeed::generate(&other).expect("randomness"), 3);
    assert_eq!(first.join(stranger), Err(BundleError::Piece), "another bundle");
    assert_eq!(first.join(piece(3, 2)), Ok(()));
    assert_eq!((first.start(), first.end(), first.records().len()), (0, 5, 5));
    let mut last = piece(255, 1);
    assert_eq!(last.push(record(9).encode().expect("short")), None, "the bundle is full");
}

#[test]
fn other_bytes_are_no_bundle() {
    let bytes = Log::of(5).bundles[&0].encode();
    assert_eq!(Bundle::decode(&bytes).expect("a bundle"), Log::of(5).bundles[&0]);
    for length in 0..bytes.len() {
        assert_eq!(Bundle::decode(&bytes[..length]), Err(BundleError::Layout), "{length} bytes");
    }
    assert_eq!(Bundle::decode(&[bytes.as_slice(), &[0]].concat()), Err(BundleError::Layout));
    let mut later = bytes.to_vec();
    later[0] = 2;
    assert_eq!(Bundle::decode(&later), Err(BundleError::Version));
    let mut beyond = bytes.to_vec();
    beyond[33] = 252;
    assert_eq!(Bundle::decode(&beyond), Err(BundleError::Layout), "252 and 5 are more than 256");
    assert!(!format!("{:?}", Bundle::decode(&bytes)).contains("seed: ["), "seeds are not printed");
}
