//! Frames open in their order in their own backup, and nowhere else; and their bytes are frozen.

use super::*;
use crate::SystemRandom;

const HEADER: &[u8] = b"header";

/// A key with the bytes 0 to 31.
fn known_key() -> BackupKey {
    let bytes: Vec<u8> = (0..32).collect();
    BackupKey::from_unwrapped(&bytes).expect("32 bytes")
}

/// The frames of these parts; the last part is in the last frame.
fn sealed(key: &BackupKey, header: &[u8], parts: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut sealer = BackupSealer::new(key, header);
    let frame = |(number, part): (usize, &&[u8])| {
        let mut frame = Vec::new();
        sealer.seal(part, number + 1 == parts.len(), &mut frame).expect("sealed");
        frame
    };
    parts.iter().enumerate().map(frame).collect()
}

/// What frames hold, with whether the last of them was the last of the backup.
fn opened(
    key: &BackupKey,
    header: &[u8],
    frames: &[Vec<u8>],
) -> Result<(Vec<Vec<u8>>, bool), BackupStreamError> {
    let mut opener = BackupOpener::new(key, header);
    let (mut parts, mut ended) = (Vec::new(), false);
    for frame in frames {
        let (head, body) = frame.split_first_chunk::<FRAME_HEAD_BYTES>().expect("a length");
        assert_eq!(BackupOpener::body_bytes(*head)?, body.len());
        let mut body = body.to_vec();
        ended = opener.open(*head, &mut body)?;
        parts.push(body);
    }
    Ok((parts, ended))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Made by another implementation of AES-GCM (Python's cryptography 48).
#[test]
fn frames_are_frozen() {
    let frames = sealed(&known_key(), HEADER, &[b"one", b"two"]);
    assert_eq!(hex(&frames[0]), "0000001361d2d08c8efa6d9ef04c9c5f5d7bb7c1febf97");
    assert_eq!(hex(&frames[1]), "800000131c7aefca3e149f56da82eaf1efe764ac6ae044");
}

#[test]
fn what_was_sealed_opens_in_order() {
    let key = BackupKey::generate(&SystemRandom).expect("random");
    let full = vec![7; FRAME_BYTES];
    let cases: [&[&[u8]]; 3] = [&[b""], &[b"one", b"two"], &[&full, b"", b"end"]];
    for parts in cases {
        let (found, ended) = opened(&key, HEADER, &sealed(&key, HEADER, parts)).expect("opens");
        assert_eq!(found, parts);
        assert!(ended);
    }
}

#[test]
fn a_backup_without_its_last_frame_has_no_end() {
    let key = known_key();
    let frames = sealed(&key, HEADER, &[b"one", b"two", b"three"]);
    let (_, ended) = opened(&key, HEADER, &frames[..2]).expect("the rest opens");
    assert!(!ended);
}

#[test]
fn every_flipped_bit_of_a_frame_is_noticed() {
    let key = known_key();
    let frames = sealed(&key, HEADER, &[b"one"]);
    for bit in 0..frames[0].len() * 8 {
        let mut altered = frames[0].clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let (head, body) = altered.split_first_chunk::<FRAME_HEAD_BYTES>().expect("a length");
        let mut opener = BackupOpener::new(&key, HEADER);
        let refused = opener.open(*head, &mut body.to_vec());
        assert_eq!(refused, Err(BackupStreamError::Altered), "bit {bit}");
    }
}

#[test]
fn frames_that_are_moved_left_out_or_doubled_do_not_open() {
    let key = known_key();
    let frames = sealed(&key, HEADER, &[b"one", b"two", b"three"]);
    let of = |numbers: &[usize]| numbers.iter().map(|number| frames[*number].clone()).collect::<Vec<_>>();
    for wrong in [&[1][..], &[2], &[0, 0], &[0, 2], &[1, 0, 2], &[0, 1, 2, 2], &[0, 1, 2, 0]] {
        assert_eq!(opened(&key, HEADER, &of(wrong)), Err(BackupStreamError::Altered), "{wrong:?}");
    }
}

#[test]
fn frames_of_another_key_or_header_do_not_open() {
    let key = known_key();
    let frames = sealed(&key, HEADER, &[b"one"]);
    let other = BackupKey::generate(&SystemRandom).expect("random");
    assert_eq!(opened(&other, HEADER, &frames), Err(BackupStreamError::Altered));
    assert_eq!(opened(&key, b"headen", &frames), Err(BackupStreamError::Altered));
}

#[test]
fn nothing_is_sealed_behind_the_last_frame_or_beyond_the_size_of_one() {
    let mut sealer = BackupSealer::new(&known_key(), HEADER);
    let mut frame = Vec::new();
    let large = vec![0; FRAME_BYTES + 1];
    assert_eq!(sealer.seal(&large, false, &mut frame), Err(BackupStreamError::TooLarge));
    sealer.seal(b"end", true, &mut frame).expect("sealed");
    assert_eq!(sealer.seal(b"more", false, &mut frame), Err(BackupStreamError::Altered));
    for length in [0_u32, 15, 256 * 1024 + 17, (1 << 31) - 1, u32::MAX] {
        assert!(BackupOpener::body_bytes(length.to_be_bytes()).is_err(), "{length}");
    }
}

#[test]
fn a_running_hash_is_the_hash_of_all() {
    let mut running = RunningSha256::new();
    running.update(b"one");
    running.update(b"two");
    assert_eq!(running.finish(), sha256(&[b"onetwo"]));
}

#[test]
fn debug_shows_no_key() {
    assert_eq!(format!("{:?}", known_key()), "BackupKey");
}
