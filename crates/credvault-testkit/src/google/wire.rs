//! Messages of the server that plays Google Cloud KMS: bytes in base64, checksums as decimal text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::fault::GoogleFault;
use super::keys::Keys;

pub(super) fn encrypt(
    keys: &Keys,
    key: &str,
    body: &Value,
    fault: Option<GoogleFault>,
) -> Result<Value, Refusal> {
    let plain = field(body, "plaintext", fault)?;
    let aad = field(body, "additionalAuthenticatedData", None)?;
    let (name, ciphertext) = keys.encrypt(key, &plain.bytes, &aad.bytes)?;
    Ok(json!({
        "name": name,
        "ciphertext": STANDARD.encode(sent(&ciphertext, fault)),
        "ciphertextCrc32c": crc32c(&ciphertext).to_string(),
        "verifiedPlaintextCrc32c": plain.verified,
        "verifiedAdditionalAuthenticatedDataCrc32c": aad.verified,
        "protectionLevel": "SOFTWARE",
    }))
}

pub(super) fn decrypt(
    keys: &Keys,
    key: &str,
    body: &Value,
    fault: Option<GoogleFault>,
) -> Result<Value, Refusal> {
    let ciphertext = field(body, "ciphertext", fault)?;
    let aad = field(body, "additionalAuthenticatedData", None)?;
    let plain = keys.decrypt(key, &ciphertext.bytes, &aad.bytes)?;
    Ok(json!({
        "plaintext": STANDARD.encode(sent(&plain, fault)),
        "plaintextCrc32c": crc32c(&plain).to_string(),
        "usedPrimary": true,
        "protectionLevel": "SOFTWARE",
    }))
}

struct Field {
    bytes: Vec<u8>,
    verified: bool,
}

/// A field of bytes, compared with its checksum, which stands beside it.
fn field(body: &Value, name: &str, fault: Option<GoogleFault>) -> Result<Field, Refusal> {
    let mut bytes = STANDARD.decode(body[name].as_str().unwrap_or_default()).unwrap();
    if fault == Some(GoogleFault::CorruptRequest) {
        bytes[0] ^= 1;
    }
    let checksum = body[format!("{name}Crc32c")].as_str().and_then(|text| text.parse::<u32>().ok());
    let Some(checksum) = checksum.filter(|_| fault != Some(GoogleFault::LostChecksum)) else {
        return Ok(Field { bytes, verified: false });
    };
    if checksum != crc32c(&bytes) {
        let message = format!("The checksum in field {name}_crc32c did not match the data in field {name}.");
        return Err(Refusal::new(400, "INVALID_ARGUMENT", &message));
    }
    Ok(Field { bytes, verified: true })
}

/// Bytes of an answer, as they arrive.
fn sent(bytes: &[u8], fault: Option<GoogleFault>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if fault == Some(GoogleFault::CorruptAnswer) {
        bytes[0] ^= 1;
    }
    bytes
}

/// CRC32C bit by bit, so that it shares nothing with the code that it checks.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        assert_eq!(super::crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(super::crc32c(b"123456789"), 0xE306_9283);
    }
}
