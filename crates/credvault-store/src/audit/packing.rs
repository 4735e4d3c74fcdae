//! Bytes made smaller before they are sealed, for sealed bytes do not compress.
//!
//! ```text
//! packed = 0 (1) || bytes, or 1 (1) || the bytes, compressed with DEFLATE
//! ```

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use zeroize::Zeroizing;

const PLAIN: u8 = 0;
const DEFLATED: u8 = 1;
/// Fewer bytes are not worth the memory that compression has to prepare.
const MIN_COMPRESSED_BYTES: usize = 2048;
/// The most bytes of what is packed: 256 of the largest records, with what stands between them.
pub(super) const MAX_PLAIN_BYTES: usize = 17 * 1024 * 1024 - 4096;

/// Packs bytes in the smaller of the two ways.
pub(super) fn pack(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let deflated = Some(bytes).filter(|bytes| bytes.len() >= MIN_COMPRESSED_BYTES).and_then(deflated);
    deflated.filter(|deflated| deflated.len() <= bytes.len()).unwrap_or_else(|| {
        let mut plain = Zeroizing::new(Vec::with_capacity(1 + bytes.len()));
        plain.push(PLAIN);
        plain.extend_from_slice(bytes);
        plain
    })
}

fn deflated(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut encoder = DeflateEncoder::new(vec![DEFLATED], Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Zeroizing::new)
}

/// Unpacks what [`pack`] made; `None` for anything else.
pub(super) fn unpack(packed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (way, rest) = packed.split_first()?;
    match *way {
        PLAIN => Some(Zeroizing::new(rest.to_vec())),
        DEFLATED => {
            let mut bytes = Zeroizing::new(Vec::new());
            let most = u64::try_from(MAX_PLAIN_BYTES).ok()?;
            DeflateDecoder::new(rest).take(most + 1).read_to_end(&mut bytes).ok()?;
            Some(bytes).filter(|bytes| bytes.len() <= MAX_PLAIN_BYTES)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_records_that_are_alike_take_little() {
        for length in [0, 1, MIN_COMPRESSED_BYTES, 100_000] {
            let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 200).expect("a byte")).collect();
            let packed = pack(&bytes);
            assert_eq!(unpack(&packed).expect("unpacks").as_slice(), bytes);
            assert!(length < MIN_COMPRESSED_BYTES || packed.len() < length / 4, "{length}: {}", packed.len());
        }
    }

    #[test]
    fn what_was_not_packed_is_refused() {
        for packed in [&[][..], &[2, 0], &[DEFLATED, 0xff, 0xff]] {
            assert!(unpack(packed).is_none(), "{packed:?}");
        }
        let bomb = deflated(&vec![0; MAX_PLAIN_BYTES + 1]).expect("compresses");
        assert!(unpack(&bomb).is_none(), "{} bytes", bomb.len());
    }
}
