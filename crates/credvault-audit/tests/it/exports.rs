//! Exports that are as they should be, whole and in part, and what they prove about earlier checkpoints.

use credvault_audit::{Fault, Selection};

use crate::support::{Log, verify};

#[test]
fn whole_logs_of_many_sizes_verify() {
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 1_000] {
        let log = Log::of(size);
        let verified = verify(&log.whole(), &[log.checkpoint(size)]).expect("nothing is wrong");
        assert!(verified.is_whole(), "{size} records");
        assert_eq!((verified.records, verified.range.clone()), (size, 0..size));
        assert_eq!(verified.continues, [size]);
        assert_eq!(verified.origin().as_str(), "credvault/eu-1/tenants/acme");
        assert!(verified.cosigners().is_empty());
    }
}

#[test]
fn a_log_of_three_levels_verifies_and_is_followed_to_earlier_checkpoints() {
    let log = Log::of(66_500);
    let sizes = [0, 1, 300, 40_000, 65_535, 65_536, 65_537, 66_499, 66_500];
    let given: Vec<_> = sizes.iter().map(|size| log.checkpoint(*size)).collect();
    let verified = verify(&log.whole(), &given).expect("nothing is wrong");
    assert_eq!(verified.continues, sizes);
    // A short part of it needs few lines, whatever it must lead to.
    let part = log.part(66_500, 50_000..50_010, &sizes);
    assert!(part.len() < 40, "{} lines", part.len());
    let verified = verify(&part, &given).expect("nothing is wrong");
    assert_eq!(
        (verified.continues.as_slice(), verified.records, verified.is_whole()),
        (&sizes[..], 10, false)
    );
    // After retention up to 49,920, neither records nor tiles from before are needed.
    let mut log = log;
    log.tiles.retain(|tile, _| tile.end() > 49_920);
    log.bundles.retain(|bundle, _| *bundle >= 195);
    let rest = log.part(66_500, 49_920..66_500, &[49_920, 65_536]);
    let verified = verify(&rest, &given[5..6]).expect("nothing is wrong");
    assert_eq!((verified.records, verified.continues), (16_580, Vec::from([65_536])));
    let part = log.part(66_500, 50_000..50_010, &[]);
    let lines = part.iter().filter(|line| line.starts_with("{\"tile\"")).count();
    assert_eq!(lines, 3 + 2, "the edge, and the path to the one bundle");
}

#[test]
fn parts_of_a_log_verify() {
    let log = Log::of(1_000);
    for range in [0..0, 0..1, 3..900, 256..512, 511..513, 999..1_000, 1_000..1_000, 0..1_000] {
        let verified = verify(&log.part(1_000, range.clone(), &[]), &[]).expect("nothing is wrong");
        assert_eq!((verified.records, verified.range.clone()), (range.end - range.start, range.clone()));
        assert_eq!(verified.is_whole(), range == (0..1_000));
    }
}

#[test]
fn an_export_of_an_earlier_checkpoint_verifies_although_the_log_has_grown() {
    let log = Log::of(1_000);
    for size in [0, 1, 256, 700] {
        let verified = verify(&log.part(size, 0..size, &[]), &[]).expect("nothing is wrong");
        assert!(verified.is_whole(), "{size} records");
        assert_eq!(verified.checkpoint.checkpoint().size, size);
    }
}

#[test]
fn records_that_match_a_filter_verify_and_are_not_called_complete() {
    let log = Log::of(1_000);
    let filtered = Selection { range: 0..1_000, is_complete: false };
    let indexes: Vec<u64> = (0..1_000).filter(|index| index % 97 == 5).collect();
    let verified =
        verify(&log.export(1_000, &indexes, filtered, &[600]), &[log.checkpoint(600)]).expect("right");
    assert_eq!(
        (verified.records, verified.is_complete, verified.is_whole()),
        (indexes.len() as u64, false, false)
    );
    assert_eq!(verified.continues, [600]);
}

#[test]
fn an_export_that_does_not_lead_to_a_given_checkpoint_is_refused() {
    let log = Log::of(1_000);
    let part = log.part(1_000, 600..700, &[]);
    let finding = verify(&part, &[log.checkpoint(100)]).expect_err("no hashes for it");
    assert_eq!((finding.first_bad, finding.fault), (None, Fault::NotCovered { size: 100 }));
    // At the end of a bundle the hashes of whole bundles are enough.
    assert_eq!(verify(&part, &[log.checkpoint(256)]).expect("covered").continues, [256]);
    let part = log.part(1_000, 600..700, &[100]);
    assert_eq!(verify(&part, &[log.checkpoint(100)]).expect("covered").continues, [100]);
}

#[test]
fn what_is_outside_of_the_tree_is_not_exported() {
    let log = Log::of(10);
    for (range, earlier) in [(0..11, Vec::new()), (0..10, Vec::from([11]))] {
        let selection = Selection { range, is_complete: true };
        let checkpoint = log.checkpoint(10);
        assert!(credvault_audit::ExportWriter::begin(checkpoint, selection, earlier).is_none());
    }
}
