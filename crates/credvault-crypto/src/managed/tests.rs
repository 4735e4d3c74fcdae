//! The frame around what a key manager wraps: what it binds by itself.

use std::sync::Arc;

use credvault_domain::TenantId;

use super::*;
use crate::{KeyManager, Reply, RootKey, SystemRandom, TenantKey, Versioning, WrapPlace};

/// A key manager that binds nothing: it turns every byte around.
#[derive(Debug)]
struct Careless;

impl KeyManager for Careless {
    fn kind(&self) -> &'static str {
        "careless"
    }

    fn key_name(&self) -> &str {
        "the only one"
    }

    fn wrap<'a>(&'a self, _: &'a WrapPlace<'a>, plain: &'a [u8]) -> Reply<'a, Vec<u8>> {
        Box::pin(async move { Ok(plain.iter().map(|byte| !byte).collect()) })
    }

    fn unwrap<'a>(&'a self, _: &'a WrapPlace<'a>, wrapped: &'a [u8]) -> Reply<'a, Opened> {
        Box::pin(async move { Ok(wrapped.iter().map(|byte| !byte).collect::<Vec<_>>().into()) })
    }

    fn add_version(&self) -> Reply<'_, Versioning> {
        Box::pin(async { Ok(Versioning::Done) })
    }

    fn destroy_older_versions(&self) -> Reply<'_, Versioning> {
        Box::pin(async { Ok(Versioning::Done) })
    }
}

fn tenant_key(byte: u8) -> TenantKey {
    TenantKey::new(1, Box::new(Zeroizing::new([byte; 32])))
}

#[tokio::test]
async fn a_wrapped_key_opens_in_its_place_only_whatever_the_key_manager_binds() {
    let root = RootKey::managed(Arc::new(Careless));
    let (acme, other) = (TenantId::parse("acme").expect("id"), TenantId::parse("other").expect("id"));
    let wrapped = root.wrap(&acme, &tenant_key(7), &SystemRandom).await.expect("wrapped");
    assert_eq!(root.unwrap(&acme, 1, &wrapped).await.expect("own").bytes(), &[7; 32]);
    assert!(matches!(root.unwrap(&other, 1, &wrapped).await, Err(Error::Integrity)), "another tenant's");
    assert!(matches!(root.unwrap(&acme, 2, &wrapped).await, Err(Error::Integrity)), "another version's");
    // The key of one wrapped blob under the head of another.
    let another = root.wrap(&acme, &tenant_key(8), &SystemRandom).await.expect("wrapped");
    let mixed = [&wrapped[..HEADER_BYTES], &another[HEADER_BYTES..]].concat();
    assert!(matches!(root.unwrap(&acme, 1, &mixed).await, Err(Error::Integrity)), "another key");
}

#[tokio::test]
async fn no_altered_byte_is_overlooked() {
    let root = RootKey::managed(Arc::new(Careless));
    let acme = TenantId::parse("acme").expect("id");
    let wrapped = root.wrap(&acme, &tenant_key(7), &SystemRandom).await.expect("wrapped");
    for place in 0..wrapped.len() {
        let mut altered = wrapped.clone();
        altered[place] ^= 1;
        assert!(matches!(root.unwrap(&acme, 1, &altered).await, Err(Error::Integrity)), "byte {place}");
        assert!(root.unwrap(&acme, 1, &wrapped[..place]).await.is_err(), "the first {place} bytes");
    }
    let check = root.check_value(&SystemRandom).await.expect("check value");
    assert!(root.prove(&check).await.is_ok());
    assert!(matches!(root.prove(&wrapped).await, Err(Error::RootKeyMismatch)));
}
