//! Where root keys come from, and which are refused.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use credvault_domain::TenantId;

use crate::{Keyring, SystemRandom};

/// A key in hexadecimal.
const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010102";

fn key_file(content: &[u8], mode: u32) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("temporary file");
    file.write_all(content).expect("write");
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).expect("chmod");
    file
}

fn load(file: &tempfile::NamedTempFile) -> Result<RootKey, Error> {
    RootKeySource::File(file.path().to_owned()).load(None, &SystemRandom).map(|(key, _)| key)
}

#[test]
fn a_key_is_32_bytes_in_base64_or_hexadecimal() {
    let base64 = load(&key_file(b"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQI=\n", 0o600)).expect("base64");
    let hex = load(&key_file(KEY.as_bytes(), 0o400)).expect("hexadecimal");
    assert_eq!(base64.id(), hex.id());
    for content in ["", "AQEB", &"zz".repeat(32), &"01".repeat(33), &"A".repeat(44)] {
        let error = load(&key_file(content.as_bytes(), 0o600)).expect_err(content);
        assert!(matches!(error, Error::RootKeyFormat { .. }), "{error}");
        assert!(content.is_empty() || !error.to_string().contains(content), "{error}");
    }
}

#[test]
fn a_byte_that_is_repeated_is_no_key() {
    for byte in 0..=u8::MAX {
        let error = load(&key_file(format!("{byte:02x}").repeat(32).as_bytes(), 0o600)).expect_err("trivial");
        assert!(matches!(error, Error::RootKeyTrivial { .. }), "{error}");
    }
}

#[test]
fn a_file_that_others_may_read_or_anybody_else_may_write_is_refused() {
    let content = KEY;
    for mode in [0o604, 0o644, 0o620, 0o602, 0o666, 0o601] {
        let error = load(&key_file(content.as_bytes(), mode)).expect_err("too open");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    assert!(load(&key_file(content.as_bytes(), 0o440)).is_ok(), "as Kubernetes mounts it");
}

#[test]
fn a_file_that_is_too_large_for_a_key_is_not_read_to_its_end() {
    let whole = key_file(format!("{KEY}{}", " ".repeat(64 * 1024 - KEY.len())).as_bytes(), 0o600);
    assert!(load(&whole).is_ok());
    let error = load(&key_file(&[b' '; 64 * 1024 + 1], 0o600)).expect_err("too large");
    assert!(error.to_string().contains("larger than 64 KiB"), "{error}");
}

#[test]
fn a_missing_variable_and_a_short_passphrase_are_named() {
    let random = SystemRandom;
    let missing = RootKeySource::Environment("CREDVAULT_TEST_NO_SUCH_VARIABLE".into()).load(None, &random);
    assert!(missing.expect_err("not set").to_string().contains("CREDVAULT_TEST_NO_SUCH_VARIABLE"));
    let short = RootKeySource::Passphrase("CANARY short".into(), PassphraseKdf::Argon2id).load(None, &random);
    assert!(!short.expect_err("short").to_string().contains("CANARY"));
}

#[tokio::test]
async fn a_passphrase_gives_the_same_key_with_the_stored_parameters_only() {
    let random = SystemRandom;
    for kdf in [PassphraseKdf::Argon2id, PassphraseKdf::Pbkdf2] {
        let source = RootKeySource::Passphrase("CANARY correct horse battery".into(), kdf);
        let (first, parameters) = source.load(None, &random).expect("new");
        let check = first.check_value(&random).await.expect("check value");
        let (again, _) = source.load(parameters.as_ref(), &random).expect("stored");
        assert!(again.prove(&check).await.is_ok());
        let (other_salt, _) = source.load(None, &random).expect("new");
        assert!(matches!(other_salt.prove(&check).await, Err(Error::RootKeyMismatch)));
    }
}

#[tokio::test]
async fn another_root_key_neither_proves_itself_nor_unwraps() {
    let random = Arc::new(SystemRandom);
    let root = |byte: &str| load(&key_file(format!("{}ff", byte.repeat(31)).as_bytes(), 0o600)).expect("key");
    let check = root("01").check_value(&*random).await.expect("check value");
    assert!(root("01").prove(&check).await.is_ok());
    assert!(matches!(root("02").prove(&check).await, Err(Error::RootKeyMismatch)));

    let acme = TenantId::parse("acme").expect("id");
    let other = TenantId::parse("other").expect("id");
    let keyring = Keyring::new(root("01"), random.clone());
    let wrapped = keyring.generate(&acme, 1).await.expect("key").bytes;
    assert_eq!(keyring.unwrap(&acme, 1, &wrapped).await.expect("own").version(), 1);
    assert!(keyring.unwrap(&other, 1, &wrapped).await.is_err(), "another tenant's");
    assert!(keyring.unwrap(&acme, 2, &wrapped).await.is_err(), "another version's");
    assert!(Keyring::new(root("02"), random).unwrap(&acme, 1, &wrapped).await.is_err(), "another root's");
}

#[tokio::test]
async fn a_remembered_key_is_not_used_for_other_wrapped_bytes() {
    let keyring = Keyring::new(load(&key_file(KEY.as_bytes(), 0o600)).expect("key"), Arc::new(SystemRandom));
    let acme = TenantId::parse("acme").expect("id");
    let wrapped = keyring.generate(&acme, 1).await.expect("key").bytes;
    keyring.unwrap(&acme, 1, &wrapped).await.expect("remembered");
    let mut altered = wrapped.clone();
    *altered.last_mut().expect("not empty") ^= 1;
    assert!(matches!(keyring.unwrap(&acme, 1, &altered).await, Err(Error::Integrity)));
    assert!(keyring.unwrap(&acme, 1, &wrapped).await.is_ok());
}
