//! The file of a signed statement, two lines of JSON: the statement, byte for byte as it was signed, and the signature. It is
//! verified with the public key alone, without the vault.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credvault_crypto::{signing_key_id, verify_statement};
use credvault_store::ERASURE_STATEMENT;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::failure::Failure;
use credvault_proto::v1;

/// The second line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    signing_key: String,
    /// The signature in Base64.
    signature: String,
}

/// Refuses a file that exists: a statement must not take the place of another.
pub(super) fn check_new(path: Option<&Path>) -> Result<(), Failure> {
    match path.filter(|path| path.exists()) {
        Some(path) => Err(Failure::Usage(format!("{} exists; name a new file", path.display()))),
        None => Ok(()),
    }
}

/// Writes the statement of a finished erasure into a new file.
pub(super) fn write(path: &Path, erasure: &v1::Erasure) -> Result<(), Failure> {
    let seal =
        Seal { signing_key: erasure.signing_key_id.clone(), signature: STANDARD.encode(&erasure.signature) };
    let seal = serde_json::to_string(&seal).map_err(|error| Failure::Unexpected(error.into()))?;
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(format!("{}\n{seal}\n", erasure.statement).as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| {
        let why = if error.kind() == ErrorKind::AlreadyExists { "it exists".to_owned() } else { error.to_string() };
        Failure::Usage(format!(
            "{} cannot be written: {why}; `credvault tenants erasures TENANT_ID --statement FILE` writes the statement to \
             another file",
            path.display()
        ))
    })
}

/// A public key as `keys signing-key` prints it.
pub(super) fn public_key(text: &str) -> Result<[u8; 32], Failure> {
    let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
    let rule = "--public-key must be 32 bytes in Base64, as `credvault keys signing-key` prints them";
    bytes.ok_or_else(|| Failure::Usage(rule.to_owned()))
}

/// The statement in the text of a file, if it is exactly what the owner of `key` has signed.
pub(super) fn verified(text: &str, key: &[u8; 32]) -> Result<Value, Failure> {
    let invalid = |why: &str| Failure::Invalid(format!("the statement is not valid: {why}"));
    let (statement, seal) = text
        .split_once('\n')
        .ok_or_else(|| invalid("its file must have two lines, the statement and its signature"))?;
    let shape =
        "its second line must have signing_key and signature, as it was written, and nothing may follow";
    let line = seal.strip_suffix('\n').ok_or_else(|| invalid(shape))?;
    let seal: Seal = serde_json::from_str(line).map_err(|_| invalid(shape))?;
    // The signature does not cover this line, so it must have the one form that it can be written in.
    if serde_json::to_string(&seal).ok().as_deref() != Some(line) {
        return Err(invalid(shape));
    }
    if seal.signing_key != signing_key_id(key) {
        return Err(invalid("it names another signing key than the one behind --public-key"));
    }
    let signature = STANDARD.decode(seal.signature).map_err(|_| invalid("the signature is not Base64"))?;
    if !verify_statement(key, ERASURE_STATEMENT, statement.as_bytes(), &signature) {
        return Err(invalid("the signature is of another text or by another key"));
    }
    serde_json::from_str(statement).map_err(|_| invalid("it is not JSON"))
}

#[cfg(test)]
mod tests {
    use credvault_crypto::{SystemRandom, VaultSigner};

    use super::*;

    fn signed(signer: &VaultSigner, statement: &str) -> v1::Erasure {
        v1::Erasure {
            statement: statement.to_owned(),
            signature: signer.sign(ERASURE_STATEMENT, statement.as_bytes()).to_vec(),
            signing_key_id: signer.key_id().to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn what_was_written_verifies_and_no_changed_byte_does() {
        let (signer, _) = VaultSigner::generate(&SystemRandom).expect("randomness");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("statement.json");
        write(&path, &signed(&signer, r#"{"tenant":"acme"}"#)).expect("written");
        assert!(write(&path, &signed(&signer, "{}")).is_err(), "it exists");
        assert!(check_new(Some(&path)).is_err() && check_new(None).is_ok());
        let (text, key) = (std::fs::read_to_string(&path).expect("a text"), signer.public_key());
        assert_eq!(verified(&text, &key).expect("valid")["tenant"], "acme");
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1;
            let Ok(altered) = String::from_utf8(bytes) else { continue };
            assert!(matches!(verified(&altered, &key), Err(Failure::Invalid(_))), "byte {place}");
        }
        let cut = text.trim_end();
        for altered in [format!("{text} "), format!("{text}\n"), format!("{cut} \n"), cut.to_owned()] {
            assert!(matches!(verified(&altered, &key), Err(Failure::Invalid(_))), "{altered:?}");
        }
        let (other, _) = VaultSigner::generate(&SystemRandom).expect("randomness");
        assert!(verified(&text, &other.public_key()).is_err());
        assert!(verified("", &key).is_err());
        assert_eq!(public_key(&STANDARD.encode(key)).expect("a key"), key);
        for wrong in ["", "CANARY", &STANDARD.encode([0_u8; 31])] {
            assert!(matches!(public_key(wrong), Err(Failure::Usage(_))), "{wrong}");
        }
    }
}
