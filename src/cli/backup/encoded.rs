//! How the commands write bytes and instants, and read a public key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An instant in microseconds since 1970, as RFC 3339 writes it.
pub(super) fn time(micros: i64) -> String {
    let instant = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000);
    instant.ok().and_then(|instant| instant.format(&Rfc3339).ok()).unwrap_or_default()
}

/// A vault's public key: 32 bytes in base64.
pub(super) fn public_key(text: &str) -> Result<[u8; 32], String> {
    let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| {
        "must be 32 bytes in base64: the public_key of a manifest, or of GetSigningKey".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_bytes_and_keys_have_their_usual_forms() {
        assert_eq!(time(1_800_000_000_000_000), "2027-01-15T08:00:00Z");
        assert_eq!(hex(&[0, 0xab]), "00ab");
        assert_eq!(public_key(&STANDARD.encode([7; 32])), Ok([7; 32]));
        for wrong in ["", "AAAA", "no base64"] {
            assert!(public_key(wrong).is_err(), "{wrong}");
        }
    }
}
