//! Rotation as the store does it: what is destroyed and when, what counts of a killed process, uses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use credvault_crypto::{
    KeyManager, KeyManagerError, Opened, Reply, RootKeySource, SystemRandom, Versioning, WrapPlace,
};
use credvault_domain::{Action, Clock as _, Config, TenantId, TenantScope};
use credvault_store::{
    ConnectionPatch, Error, Recorded, RootRotation, RotationKind, Store, TenantRotation, Urgency,
};

use sea_orm::{ConnectionTrait as _, TransactionTrait as _};

use crate::fixture::{Fixture, repeatable, root_key, scope, write};
use crate::on_both;

const AT_ONCE: TenantRotation = TenantRotation { records_per_second: 0, retire_after: Duration::ZERO };

on_both![
    a_replaced_key_is_destroyed_once_nothing_is_under_it,
    a_key_that_something_is_under_is_kept,
    old_keys_are_rotated_by_themselves,
    uses_are_counted_and_a_worn_key_is_named,
    a_slow_rotation_holds_none_up_that_has_to_be_over_soon,
    no_key_is_made_for_a_request_that_is_repeated_or_refused,
    older_versions_are_destroyed_only_once_nothing_is_under_them,
    a_version_whose_rotation_does_not_begin_is_let_go_at_once,
    a_tenant_with_many_rows_is_gone_through_in_pages,
];

async fn a_replaced_key_is_destroyed_once_nothing_is_under_it(fixture: &Fixture) {
    let (store, scope) = (&fixture.store, fixture.tenant("acme").await);
    let connection = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, connection, "CANARY secret").await;
    let later = TenantRotation { retire_after: Duration::from_secs(3600), ..AT_ONCE };
    let begin = write(&scope, Action::RotateTenantKey);
    let _ = store.keys().begin_tenant_rotation(&scope, later, &begin).await.unwrap();
    while store.keys().work(Urgency::Usual).await.unwrap() > 0 {}
    for named in ["keys: 1 -> 2", "rotation.ended"] {
        assert_eq!(recorded(fixture, "RotateTenantKey", named).await, 1, "{named}");
    }
    assert_eq!(recorded(fixture, "RotateTenantKey", "retire_at_once").await, 0);
    assert_eq!(store.keys().destroy_retired().await.unwrap(), 0, "its time is not over");
    fixture.clock.advance(Duration::from_secs(3601));
    assert_eq!(store.keys().destroy_retired().await.unwrap(), 1);
    assert_eq!(store.keys().destroy_retired().await.unwrap(), 0);
    let status = store.keys().status(&scope).await.unwrap();
    assert_eq!(status.keys.iter().map(|key| key.version).collect::<Vec<_>>(), [2]);
    assert_eq!(fixture.fetch(&scope, connection).await.unwrap(), "CANARY secret");
    assert_eq!(status.rotation.unwrap().retire_time, None);
}

/// How many records of an action name this.
async fn recorded(fixture: &Fixture, action: &str, named: &str) -> i64 {
    let named = format!("CAST(changed AS TEXT) LIKE '%{named}%'");
    fixture.count(&format!("audit_events WHERE action = '{action}' AND {named}")).await
}

async fn a_key_that_something_is_under_is_kept(fixture: &Fixture) {
    let (store, scope) = (&fixture.store, fixture.tenant("acme").await);
    let connection = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, connection, "CANARY first").await;
    fixture.put(&scope, connection, "CANARY second").await;
    // One that does not open stays under the first key.
    fixture.execute("UPDATE credential_versions SET schema = 9 WHERE version = 1").await;
    let begin = write(&scope, Action::RotateTenantKey);
    let _ = store.keys().begin_tenant_rotation(&scope, AT_ONCE, &begin).await.unwrap();
    while store.keys().work(Urgency::AtOnce).await.unwrap() > 0 {}
    let rotation = store.keys().rotation(scope.tenant(), RotationKind::Tenant).await.unwrap().unwrap();
    // The tenant's audit key is sealed anew, too.
    assert_eq!((rotation.running, rotation.done, rotation.failed), (false, 2, 1));
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(store.keys().destroy_retired().await.unwrap(), 0);
    assert_eq!(store.keys().status(&scope).await.unwrap().keys.len(), 2);
    // It is not looked at all the time, so that others have their turn.
    let rotation = store.keys().rotation(scope.tenant(), RotationKind::Tenant).await.unwrap().unwrap();
    assert!(rotation.retire_time.unwrap() > fixture.clock.now());
}

async fn old_keys_are_rotated_by_themselves(fixture: &Fixture) {
    let (store, scope) = (&fixture.store, fixture.tenant("acme").await);
    let age = Duration::from_secs(90 * 24 * 3600);
    assert_eq!(store.keys().rotate_aged(age, AT_ONCE).await.unwrap(), 0);
    fixture.clock.advance(age + Duration::from_secs(1));
    // The tenant's, and the platform's own.
    assert_eq!(store.keys().rotate_aged(age, AT_ONCE).await.unwrap(), 2);
    while store.keys().work(Urgency::AtOnce).await.unwrap() > 0 {}
    assert_eq!(store.keys().rotate_aged(age, AT_ONCE).await.unwrap(), 0);
    let status = store.keys().status(&scope).await.unwrap();
    assert_eq!(
        status.keys.iter().map(|key| (key.version, key.active)).collect::<Vec<_>>(),
        [(2, true), (1, false)]
    );
}

async fn uses_are_counted_and_a_worn_key_is_named(fixture: &Fixture) {
    let (store, scope) = (&fixture.store, fixture.tenant("acme").await);
    let connection = fixture.connection(&scope, "a").await.id;
    for _ in 0..3 {
        fixture.put(&scope, connection, "CANARY secret").await;
    }
    assert_eq!(store.keys().write_uses(0).await, []);
    let uses = store.keys().status(&scope).await.unwrap().keys[0].uses;
    assert!(uses >= 3, "{uses}");
    fixture.put(&scope, connection, "CANARY secret").await;
    let worn = store.keys().write_uses(uses.unsigned_abs() + 1).await;
    assert_eq!((worn.len(), worn[0].tenant.as_str()), (1, "acme"));
}

/// One record a second, and a turn of some seconds at it.
async fn a_slow_rotation_holds_none_up_that_has_to_be_over_soon(fixture: &Fixture) {
    let (store, slow) = (&fixture.store, fixture.tenant("slow").await);
    let urgent = fixture.tenant("urgent").await;
    for scope in [&slow, &urgent] {
        let connection = fixture.connection(scope, "a").await.id;
        for _ in 0..20 {
            fixture.put(scope, connection, "CANARY secret").await;
        }
    }
    let usual = TenantRotation { records_per_second: 1, retire_after: Duration::from_secs(3600) };
    for (scope, how) in [(&slow, usual), (&urgent, AT_ONCE)] {
        let begin = write(scope, Action::RotateTenantKey);
        let _ = store.keys().begin_tenant_rotation(scope, how, &begin).await.unwrap();
    }
    let working = store.clone();
    let working = tokio::spawn(async move { working.keys().work(Urgency::Usual).await });
    while store.keys().work(Urgency::AtOnce).await.unwrap() > 0 {}
    let running = async |scope: &TenantScope| {
        store.keys().rotation(scope.tenant(), RotationKind::Tenant).await.unwrap().unwrap().running
    };
    assert_eq!((running(&urgent).await, running(&slow).await), (false, true));
    working.abort();
}

/// A root key in a key manager of the tests, which counts what it wraps.
#[derive(Default, Debug)]
struct Counting {
    wrapped: AtomicUsize,
    destroyed: AtomicUsize,
    /// Whether it makes versions without an answer.
    is_silent: AtomicBool,
}

impl KeyManager for Counting {
    fn kind(&self) -> &'static str {
        "counting"
    }

    fn key_name(&self) -> &str {
        "a key"
    }

    fn wrap<'a>(&'a self, _: &'a WrapPlace<'a>, plain: &'a [u8]) -> Reply<'a, Vec<u8>> {
        self.wrapped.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Ok(plain.iter().map(|byte| !byte).chain([0; 164]).collect())))
    }

    fn unwrap<'a>(&'a self, _: &'a WrapPlace<'a>, wrapped: &'a [u8]) -> Reply<'a, Opened> {
        Box::pin(std::future::ready(Ok(Opened::new(
            wrapped.iter().take(wrapped.len() - 164).map(|byte| !byte).collect(),
        ))))
    }

    fn add_version(&self) -> Reply<'_, Versioning> {
        let answer = match self.is_silent.load(Ordering::SeqCst) {
            true => Err(KeyManagerError::Unavailable("it has not answered in time".to_owned())),
            false => Ok(Versioning::Done),
        };
        Box::pin(std::future::ready(answer))
    }

    fn destroy_older_versions(&self) -> Reply<'_, Versioning> {
        self.destroyed.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Ok(Versioning::Done)))
    }
}

/// A replica that has the root key of the tests and one in a key manager.
async fn managed(fixture: &Fixture) -> (Store, Arc<Counting>) {
    let manager = Arc::new(Counting::default());
    let sources = credvault_crypto::RootKeySources {
        other: Some(RootKeySource::Managed(manager.clone())),
        ..RootKeySource::File(root_key(&fixture.folder, "01")).into()
    };
    let clock = Arc::new(fixture.clock.clone());
    let store = Store::open(fixture.settings.clone(), &sources, clock, Arc::new(SystemRandom)).await.unwrap();
    (store, manager)
}

const MOVE_ON: RootRotation = RootRotation { target: None, new_version: false, records_per_second: 0 };

async fn older_versions_are_destroyed_only_once_nothing_is_under_them(fixture: &Fixture) {
    let (platform, _) = (scope(TenantId::PLATFORM, None), fixture.tenant("acme").await);
    let (store, manager) = managed(fixture).await;
    let fixture = &fixture.seen_by(&store);
    let destroy = async |confirmed: bool| {
        let write = write(&platform, Action::DestroyOlderRootKeyVersions);
        store.keys().destroy_older_versions(&platform, confirmed, &write).await.map(Recorded::into_inner)
    };
    assert!(matches!(destroy(true).await, Err(Error::ByHand(_))), "a file has no versions");
    let begin = write(&platform, Action::RotateRootKey);
    let _ = store.keys().begin_root_rotation(&platform, MOVE_ON, &begin).await.unwrap();
    let early = destroy(true).await;
    assert_eq!(recorded(fixture, "RotateRootKey", "root_keys: ").await, 1);
    assert!(matches!(early, Err(Error::State(_) | Error::RotationRunning)), "{early:?}");
    while store.keys().work(Urgency::Usual).await.unwrap() > 0 {}
    let shown = destroy(false).await.unwrap();
    assert_eq!(recorded(fixture, "RotateRootKey", &format!(" -> {:08x}", shown.root)).await, 1);
    assert_eq!(recorded(fixture, "RotateRootKey", ".retired").await, 1);
    assert_eq!((shown.destroyed, shown.name.as_str(), shown.newest_backup), (false, "a key", None));
    // One that did not unwrap.
    fixture.execute("UPDATE tenant_keys SET generation = generation - 1 WHERE tenant_id = 'acme'").await;
    assert!(matches!(destroy(true).await, Err(Error::State(_))));
    fixture.execute("UPDATE tenant_keys SET generation = generation + 1 WHERE tenant_id = 'acme'").await;
    // A new version is being made at this moment.
    let held = "UPDATE rotations SET lease_time = 9000000000000000 WHERE kind = 'ROOT'";
    fixture.execute(held).await;
    assert!(matches!(destroy(true).await, Err(Error::RotationRunning)));
    let next = RootRotation { target: Some(shown.root), new_version: true, ..MOVE_ON };
    let begun = store.keys().begin_root_rotation(&platform, next, &begin).await;
    assert!(matches!(begun, Err(Error::RotationRunning)), "{begun:?}");
    fixture.execute("UPDATE rotations SET lease_time = NULL WHERE kind = 'ROOT'").await;
    assert_eq!(manager.destroyed.load(Ordering::SeqCst), 0);
    assert!(destroy(true).await.unwrap().destroyed);
    assert_eq!(manager.destroyed.load(Ordering::SeqCst), 1);
    let by_the_vault = "audit_events WHERE action = 'DestroyOlderRootKeyVersions' AND service = 'vault'";
    assert_eq!(fixture.count(by_the_vault).await, 1);
    // A version was made, and its rotation did not begin: nothing is under it, so the one before must stay.
    manager.is_silent.store(true, Ordering::SeqCst);
    assert!(store.keys().begin_root_rotation(&platform, next, &begin).await.is_err());
    manager.is_silent.store(false, Ordering::SeqCst);
    assert!(matches!(destroy(true).await, Err(Error::State(_))));
    assert_eq!(manager.destroyed.load(Ordering::SeqCst), 1);
    // A new version can be made again.
    let _ = store.keys().begin_root_rotation(&platform, next, &begin).await.unwrap();
    store.close().await;
}

/// More rows than a batch looks at, so that pages end between rows that are under the older key, and between others.
async fn a_tenant_with_many_rows_is_gone_through_in_pages(fixture: &Fixture) {
    let (store, scope) = (&fixture.store, fixture.tenant("acme").await);
    let connection = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, connection, "CANARY first").await;
    fixture.put(&scope, connection, "CANARY second").await;
    // A row by any other number opens only if it is destroyed.
    fixture.execute("UPDATE credential_versions SET sealed = NULL, destroy_time = 1 WHERE version = 1").await;
    let columns = "tenant_id, connection_id, schema, key_version, hints, create_time, destroy_time";
    let copies = format!(
        "WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < 10502)
         INSERT INTO credential_versions ({columns}, version)
         SELECT {columns}, i FROM credential_versions, n WHERE version = 1"
    );
    assert_eq!(fixture.execute(&copies).await, 10_500);
    let begin = write(&scope, Action::RotateTenantKey);
    let _ = store.keys().begin_tenant_rotation(&scope, AT_ONCE, &begin).await.unwrap();
    while store.keys().work(Urgency::AtOnce).await.unwrap() > 0 {}
    let latest = store.keys().rotation(scope.tenant(), RotationKind::Tenant).await.unwrap().unwrap();
    assert_eq!(
        (latest.running, latest.done, latest.total, latest.failed),
        (false, 10_503, 10_503, 0),
        "with the audit key"
    );
    assert_eq!(fixture.count("credential_versions WHERE key_version = 1").await, 0);
}

async fn a_version_whose_rotation_does_not_begin_is_let_go_at_once(fixture: &Fixture) {
    let platform = scope(TenantId::PLATFORM, None);
    let (store, _) = managed(fixture).await;
    let begin = write(&platform, Action::RotateRootKey);
    let _ = store.keys().begin_root_rotation(&platform, MOVE_ON, &begin).await.unwrap();
    while store.keys().work(Urgency::Usual).await.unwrap() > 0 {}
    let target = store.keys().status(&platform).await.unwrap().roots[0].id;
    let next = RootRotation { target: Some(target), new_version: true, ..MOVE_ON };
    fixture.refuse_updates("root_keys").await;
    let refused = store.keys().begin_root_rotation(&platform, next, &begin).await;
    assert!(refused.is_err() && !matches!(refused, Err(Error::RotationRunning)), "{refused:?}");
    fixture.permit_updates("root_keys").await;
    let _ = store.keys().begin_root_rotation(&platform, next, &begin).await.unwrap();
    store.close().await;
}

/// A rotation that does not get on, and whose row cannot be written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_cannot_be_let_go_keeps_no_other_from_its_turn() {
    let fixture = &Fixture::sqlite().await;
    let (store, broken, sound) = (&fixture.store, fixture.tenant("a").await, fixture.tenant("b").await);
    for scope in [&broken, &sound] {
        let begin = write(scope, Action::RotateTenantKey);
        let _ = store.keys().begin_tenant_rotation(scope, AT_ONCE, &begin).await.unwrap();
    }
    fixture
        .execute("UPDATE rotations SET target = 9, begin_time = 0, retire_time = 0 WHERE tenant_id = 'a'")
        .await;
    let refuse =
        "CREATE TRIGGER held BEFORE UPDATE ON rotations WHEN NEW.tenant_id = 'a' AND NEW.trouble IS NOT NULL
        BEGIN SELECT RAISE(ABORT, 'held'); END";
    fixture.execute(refuse).await;
    while store.keys().work(Urgency::AtOnce).await.unwrap() > 0 {}
    let latest = store.keys().rotation(sound.tenant(), RotationKind::Tenant).await.unwrap();
    assert!(!latest.unwrap().running);
}

async fn no_key_is_made_for_a_request_that_is_repeated_or_refused(fixture: &Fixture) {
    let platform = scope(TenantId::PLATFORM, None);
    let (store, manager) = managed(fixture).await;
    let move_on = write(&platform, Action::RotateRootKey);
    let _ = store.keys().begin_root_rotation(&platform, MOVE_ON, &move_on).await.unwrap();
    while store.keys().work(Urgency::Usual).await.unwrap() > 0 {}

    let begin = repeatable(&platform, Action::RotateTenantKey, uuid::Uuid::from_u128(1), "r");
    let first = store.keys().begin_tenant_rotation(&platform, AT_ONCE, &begin).await.unwrap().into_inner();
    let wrapped = manager.wrapped.load(Ordering::SeqCst);
    let again = store.keys().begin_tenant_rotation(&platform, AT_ONCE, &begin).await.unwrap().into_inner();
    assert_eq!(first, again);
    let other = write(&platform, Action::RotateTenantKey);
    let refused = store.keys().begin_tenant_rotation(&platform, AT_ONCE, &other).await;
    assert!(matches!(refused, Err(Error::RotationRunning)), "{refused:?}");
    assert_eq!(manager.wrapped.load(Ordering::SeqCst), wrapped, "the key manager was not asked");
    store.close().await;
}

/// A replica that was not given the root key that is asked for keeps it from becoming the active one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_key_that_not_all_replicas_have_is_refused() {
    let fixture = Fixture::postgres().await;
    let platform = scope(TenantId::PLATFORM, None);
    let sources = credvault_crypto::RootKeySources {
        other: Some(RootKeySource::File(root_key(&fixture.folder, "02"))),
        ..RootKeySource::File(root_key(&fixture.folder, "01")).into()
    };
    let clock = Arc::new(fixture.clock.clone());
    let second =
        Store::open(fixture.settings.clone(), &sources, clock, Arc::new(SystemRandom)).await.unwrap();
    fixture.store.keys().keep_up().await.unwrap();
    second.keys().keep_up().await.unwrap();
    let asked = RootRotation { target: None, new_version: false, records_per_second: 0 };
    let begin = write(&platform, Action::RotateRootKey);
    let refused = second.keys().begin_root_rotation(&platform, asked, &begin).await.unwrap_err();
    assert!(refused.to_string().contains("1 other processes"), "{refused}");
    second.close().await;
}

/// A change that waited for the row while a rotation made a newer key and sealed the row anew neither loses the value nor
/// leaves it bound to what it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_a_rotation_overtakes_is_made_anew() {
    let fixture = Fixture::postgres().await;
    let (store, scope) = (&fixture.store, fixture.tenant("acme").await);
    let connection = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, connection, "CANARY secret").await;
    let held = fixture.admin_connection().await.begin().await.unwrap();
    held.execute_unprepared("SELECT 1 FROM connections FOR UPDATE").await.unwrap();
    let config = Config::new([("note".to_owned(), "other".into())].into_iter().collect()).unwrap();
    let patch = ConnectionPatch { config: Some(config), ..ConnectionPatch::default() };
    let update = write(&scope, Action::UpdateConnection);
    let rotating = async {
        // The change has read the tenant's keys and waits for the row; then the rotation waits for the change.
        fixture.waits_for_locks(1).await;
        let begin = write(&scope, Action::RotateTenantKey);
        let _ = store.keys().begin_tenant_rotation(&scope, AT_ONCE, &begin).await.unwrap();
        let working = tokio::spawn({
            let store = store.clone();
            async move { while store.keys().work(Urgency::AtOnce).await.unwrap() > 0 {} }
        });
        fixture.waits_for_locks(2).await;
        held.rollback().await.unwrap();
        working.await.unwrap();
    };
    let connections = store.connections();
    let (updated, ()) = tokio::join!(connections.update(&scope, connection, None, &patch, &update), rotating);
    let _ = updated.unwrap();
    assert_eq!(fixture.fetch(&scope, connection).await.unwrap(), "CANARY secret");
    let status = store.keys().status(&scope).await.unwrap();
    assert_eq!(
        status.keys.iter().map(|key| key.sealed_records).collect::<Vec<_>>(),
        [2, 0],
        "with the audit key"
    );
}
