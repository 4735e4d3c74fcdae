//! Key managers and stores of secrets against their real peers. Without the peers' programs, which `scripts/test` installs, a test says that it
//! has not run; with `CI=true` it fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![cfg_attr(
    not(all(feature = "aws", feature = "transit")),
    allow(dead_code, reason = "not every peer needs all of it")
)]

mod logs;

mod stores;

#[cfg(feature = "aws")]
mod aws;

#[cfg(feature = "aws")]
mod aws_secrets;

#[cfg(feature = "google")]
mod google;

#[cfg(feature = "google")]
mod google_secrets;

#[cfg(feature = "transit")]
mod kv;

#[cfg(feature = "pkcs11")]
mod pkcs11;

#[cfg(feature = "transit")]
mod transit;

use credvault_crypto::{KeyManager, KeyManagerError, WrapPlace};

/// What all tests wrap: 32 bytes that no log line and no error may show.
const PLAIN: &[u8; 32] = b"CANARY-is-a-key-of-32-bytes-long";

/// The place that it belongs to.
const PLACE: WrapPlace<'_> = WrapPlace { class: "tenant_key", tenant: "acme", version: 1 };

/// The kind of an error, after a look at its text.
fn kind_of(error: &KeyManagerError) -> &'static str {
    logs::assert_no_canary(&format!("{error} {error:?}"));
    match error {
        KeyManagerError::Settings(_) => "settings",
        KeyManagerError::Unavailable(_) => "unavailable",
        KeyManagerError::Denied(_) => "denied",
        KeyManagerError::Key(_) => "key",
        KeyManagerError::Foreign => "foreign",
        _ => "other",
    }
}

async fn wrap(manager: &impl KeyManager) -> Vec<u8> {
    let wrapped = manager.wrap(&PLACE, PLAIN).await.unwrap();
    logs::assert_no_canary(&String::from_utf8_lossy(&wrapped));
    wrapped
}

async fn wrap_error(manager: &impl KeyManager) -> &'static str {
    kind_of(&manager.wrap(&PLACE, PLAIN).await.unwrap_err())
}

async fn assert_unwraps(manager: &impl KeyManager, wrapped: &[u8]) {
    assert_eq!(manager.unwrap(&PLACE, wrapped).await.unwrap().as_slice(), PLAIN);
}

async fn unwrap_error(manager: &impl KeyManager, place: &WrapPlace<'_>, wrapped: &[u8]) -> &'static str {
    kind_of(&manager.unwrap(place, wrapped).await.unwrap_err())
}

/// Whatever differs from what was wrapped, be it the place or a byte, does not unwrap.
async fn assert_only_as_wrapped(manager: &impl KeyManager, wrapped: &[u8]) {
    for place in [
        WrapPlace { class: "root_check", ..PLACE },
        WrapPlace { tenant: "globex", ..PLACE },
        WrapPlace { version: 2, ..PLACE },
    ] {
        assert_eq!(unwrap_error(manager, &place, wrapped).await, "foreign", "{place:?}");
    }
    let mut altered = wrapped.to_vec();
    let at = altered.len() - 8;
    altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
    assert_eq!(unwrap_error(manager, &PLACE, &altered).await, "foreign");
    for other in [&b""[..], b"vault", b"\xff\xff", &wrapped[..wrapped.len() - 4], &[b'A'; 9000]] {
        assert_eq!(unwrap_error(manager, &PLACE, other).await, "foreign");
    }
}
