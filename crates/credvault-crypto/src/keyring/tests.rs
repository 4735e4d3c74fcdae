//! What the keyring asks a key manager for, and for how long it does without.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::{KeyManager, KeyManagerError, Opened, Reply, SystemRandom, Versioning, WrapPlace};

/// A key manager that counts its calls, takes its time, and can be away.
#[derive(Debug, Default)]
struct Counting {
    unwrapped: AtomicUsize,
    away: AtomicBool,
}

impl KeyManager for Counting {
    fn kind(&self) -> &'static str {
        "counting"
    }

    fn key_name(&self) -> &str {
        "key"
    }

    fn wrap<'a>(&'a self, _: &'a WrapPlace<'a>, plain: &'a [u8]) -> Reply<'a, Vec<u8>> {
        Box::pin(async move { Ok(plain.to_vec()) })
    }

    fn unwrap<'a>(&'a self, _: &'a WrapPlace<'a>, wrapped: &'a [u8]) -> Reply<'a, Opened> {
        Box::pin(async move {
            self.unwrapped.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
            if self.away.load(Ordering::Relaxed) {
                return Err(KeyManagerError::Unavailable("no answer".to_owned()));
            }
            Ok(wrapped.to_vec().into())
        })
    }

    fn add_version(&self) -> Reply<'_, Versioning> {
        Box::pin(async { Ok(Versioning::Done) })
    }

    fn destroy_older_versions(&self) -> Reply<'_, Versioning> {
        Box::pin(async { Ok(Versioning::Done) })
    }
}

fn acme() -> TenantId {
    TenantId::parse("acme").expect("id")
}

fn keyring(manager: &Arc<Counting>, lifetime: Duration) -> Keyring {
    let root = RootKey::managed(Arc::clone(manager) as Arc<dyn KeyManager>);
    Keyring::new(root, Arc::new(SystemRandom)).with_lifetime(lifetime)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_for_one_key_make_one_call() {
    let manager = Arc::new(Counting::default());
    let keyring = keyring(&manager, Duration::from_secs(60));
    let wrapped = keyring.generate(&acme(), 1).await.expect("key").bytes;
    let acme = acme();
    let all = (0..100).map(|_| keyring.unwrap(&acme, 1, &wrapped));
    for outcome in futures::future::join_all(all).await {
        assert_eq!(outcome.expect("unwrapped").version(), 1);
    }
    assert_eq!(manager.unwrapped.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_first_caller_that_goes_away_leaves_the_call_to_the_next() {
    let manager = Arc::new(Counting::default());
    let keyring = keyring(&manager, Duration::from_secs(60));
    let (acme, wrapped) = (acme(), keyring.generate(&acme(), 1).await.expect("key").bytes);
    let first = tokio::time::timeout(Duration::from_millis(5), keyring.unwrap(&acme, 1, &wrapped));
    let (first, second) = tokio::join!(first, keyring.unwrap(&acme, 1, &wrapped));
    assert!(first.is_err() && second.is_ok());
}

#[tokio::test(start_paused = true)]
async fn without_its_key_manager_a_key_is_used_until_its_lifetime_is_over() {
    let manager = Arc::new(Counting::default());
    let keyring = keyring(&manager, Duration::from_millis(400));
    let (acme, wrapped) = (acme(), keyring.generate(&acme(), 1).await.expect("key").bytes);
    keyring.unwrap(&acme, 1, &wrapped).await.expect("unwrapped");
    manager.away.store(true, Ordering::Relaxed);
    assert!(keyring.unwrap(&acme, 1, &wrapped).await.is_ok());
    tokio::time::advance(Duration::from_millis(320)).await;
    assert_eq!(keyring.renew().await, 1, "it is tried and fails");
    tokio::time::advance(Duration::from_millis(120)).await;
    let error = keyring.unwrap(&acme, 1, &wrapped).await.expect_err("too old");
    assert!(matches!(error, Error::KeyManager { .. }), "{error}");
    manager.away.store(false, Ordering::Relaxed);
    assert!(keyring.unwrap(&acme, 1, &wrapped).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_key_in_use_is_renewed_before_its_lifetime_is_over() {
    let manager = Arc::new(Counting::default());
    let keyring = keyring(&manager, Duration::from_millis(400));
    let (acme, wrapped) = (acme(), keyring.generate(&acme(), 1).await.expect("key").bytes);
    keyring.unwrap(&acme, 1, &wrapped).await.expect("unwrapped");
    keyring.unwrap(&acme, 1, &wrapped).await.expect("used");
    tokio::time::advance(Duration::from_millis(320)).await;
    assert_eq!(keyring.renew().await, 0);
    tokio::time::advance(Duration::from_millis(120)).await;
    assert!(keyring.remembered(&acme, 1, &wrapped).is_some());
    assert_eq!(manager.unwrapped.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_wrapped_anew_by_the_active_root_key_and_stays_the_same() {
    let random = Arc::new(SystemRandom);
    let local = RootKey::local(Box::new(Zeroizing::new([3; 32])), "file");
    let manager = Arc::new(Counting::default());
    let managed = RootKey::managed(manager as Arc<dyn KeyManager>);
    let managed_id = managed.id();
    let keyring = Keyring::new(local, random.clone()).with_other(managed);
    let acme = acme();
    let old = keyring.generate(&acme, 1).await.expect("key");
    let sealed_by = keyring.unwrap(&acme, 1, &old.bytes).await.expect("old");
    keyring.activate(managed_id).expect("it is there");
    let new = keyring.rewrap(&acme, 1, &old.bytes).await.expect("wrapped anew");
    assert_eq!(new.root_id, managed_id);
    assert_eq!(keyring.unwrap(&acme, 1, &new.bytes).await.expect("new").bytes(), sealed_by.bytes());

    let alone = Keyring::new(RootKey::local(Box::new(Zeroizing::new([3; 32])), "file"), random);
    assert!(matches!(alone.unwrap(&acme, 1, &new.bytes).await, Err(Error::Integrity)), "an unknown id");
    alone.register(managed_id, "counting");
    let missing = alone.unwrap(&acme, 1, &new.bytes).await.expect_err("not configured").to_string();
    assert!(missing.contains("counting") && missing.contains("other_root_key"), "{missing}");
    assert!(!alone.lacks_active() && alone.activate(managed_id).is_err() && alone.lacks_active());
}

#[tokio::test(start_paused = true)]
async fn the_uses_of_a_key_are_counted_once() {
    let manager = Arc::new(Counting::default());
    let keyring = keyring(&manager, Duration::from_secs(60));
    let (acme, wrapped) = (acme(), keyring.generate(&acme(), 1).await.expect("key").bytes);
    let key = keyring.unwrap(&acme, 1, &wrapped).await.expect("key");
    for _ in 0..3 {
        key.seal(&crate::Context::callback(&acme), b"value", &SystemRandom).expect("sealed");
    }
    assert_eq!(keyring.take_uses(), [KeyUse { tenant: acme.clone(), version: 1, uses: 3 }]);
    assert_eq!(keyring.take_uses(), []);
    keyring.forget(&acme);
    assert!(keyring.remembered(&acme, 1, &wrapped).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_key_of_a_backup_unwraps_under_its_root_key_and_as_nothing_else() {
    let random = Arc::new(SystemRandom);
    let local = |byte: u8| RootKey::local(Box::new(Zeroizing::new([byte; 32])), "file");
    let managed = RootKey::managed(Arc::new(Counting::default()));
    let managed_id = managed.id();
    let keyring = Keyring::new(local(3), random.clone()).with_other(managed);
    for root_id in [keyring.active().id(), managed_id] {
        keyring.activate(root_id).expect("it is there");
        let (key, wrapped) = keyring.wrap_backup_key().await.expect("wrapped");
        assert_eq!(wrapped.root_id, root_id);
        assert_eq!(keyring.unwrap_backup_key(&wrapped).await.expect("unwrapped").bytes(), key.bytes());
        let platform = TenantId::platform();
        assert!(matches!(keyring.unwrap(&platform, 0, &wrapped.bytes).await, Err(Error::Integrity)));
        let of_tenant = keyring.generate(&platform, 0).await.expect("key");
        let of_tenant = WrappedBackupKey { root_id, bytes: of_tenant.bytes };
        assert!(matches!(keyring.unwrap_backup_key(&of_tenant).await, Err(Error::Integrity)));
        let other = Keyring::new(local(4), random.clone());
        assert!(matches!(other.unwrap_backup_key(&wrapped).await, Err(Error::Integrity)));
    }
}
