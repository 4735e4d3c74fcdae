//! What administrators do while the key manager is away, in a process that remembers no key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use credvault_crypto::{
    KeyManager, KeyManagerError, Opened, Reply, RootKeySource, RootKeySources, SystemRandom, Versioning,
    WrapPlace,
};
use credvault_domain::{Action, SourceRules, TenantId, TenantScope, TenantState};
use credvault_store::{Error, Page, Recorded, RootRotation, RotationKind, Store, Urgency};
use uuid::Uuid;

use crate::fixture::{Fixture, repeatable, root_key, scope, write};
use crate::on_both;

on_both![administrators_read_and_contain_while_the_key_manager_is_away];

/// A key manager that can be away.
#[derive(Default, Debug)]
struct Absent(AtomicBool);

impl Absent {
    fn answer<T: Send + 'static>(&self, answer: T) -> Reply<'_, T> {
        let answer = match self.0.load(Ordering::SeqCst) {
            true => Err(KeyManagerError::Unavailable("it is away".to_owned())),
            false => Ok(answer),
        };
        Box::pin(std::future::ready(answer))
    }
}

impl KeyManager for Absent {
    fn kind(&self) -> &'static str {
        "absent"
    }

    fn key_name(&self) -> &str {
        "a key"
    }

    fn wrap<'a>(&'a self, _: &'a WrapPlace<'a>, plain: &'a [u8]) -> Reply<'a, Vec<u8>> {
        self.answer(plain.iter().map(|byte| !byte).chain([0; 164]).collect())
    }

    fn unwrap<'a>(&'a self, _: &'a WrapPlace<'a>, wrapped: &'a [u8]) -> Reply<'a, Opened> {
        self.answer(Opened::new(wrapped.iter().take(wrapped.len() - 164).map(|byte| !byte).collect()))
    }

    fn add_version(&self) -> Reply<'_, Versioning> {
        self.answer(Versioning::Done)
    }

    fn destroy_older_versions(&self) -> Reply<'_, Versioning> {
        self.answer(Versioning::Done)
    }
}

/// A replica whose keys are all under a key manager, and used for an instant only.
async fn managed(fixture: &Fixture) -> (Store, Arc<Absent>) {
    let manager = Arc::new(Absent::default());
    let sources = RootKeySources {
        other: Some(RootKeySource::Managed(manager.clone())),
        lifetime: Duration::from_millis(1),
        ..RootKeySource::File(root_key(&fixture.folder, "01")).into()
    };
    let clock = Arc::new(fixture.clock.clone());
    let store = Store::open(fixture.settings.clone(), &sources, clock, Arc::new(SystemRandom)).await.unwrap();
    let platform = scope(TenantId::PLATFORM, None);
    let begin = write(&platform, Action::RotateRootKey);
    let how = RootRotation { target: None, new_version: false, records_per_second: 0 };
    let _ = store.keys().begin_root_rotation(&platform, how, &begin).await.unwrap();
    while store.keys().work(Urgency::Usual).await.unwrap() > 0 {}
    (store, manager)
}

fn page(size: u32, token: &str) -> Page {
    Page { size, token: token.to_owned(), query: b"tenants".to_vec() }
}

async fn administrators_read_and_contain_while_the_key_manager_is_away(fixture: &Fixture) {
    let platform = scope(TenantId::PLATFORM, None);
    let (acme, _) = (fixture.tenant("acme").await, fixture.tenant("other").await);
    let (store, manager) = managed(fixture).await;
    let list = async |size: u32, token: &str| store.tenants().list(&platform, None, &page(size, token)).await;
    let second = list(1, "").await.unwrap().next_page_token;
    manager.0.store(true, Ordering::SeqCst);
    // What is remembered of the key ends. The token of a page takes a key.
    while !matches!(list(1, "").await, Err(Error::Key(_))) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let nothing = credvault_domain::ConnectionId::from_uuid(Uuid::nil());
    assert!(matches!(store.connections().get(&acme, nothing).await, Err(Error::Key(_))));

    assert_eq!(list(2, "").await.unwrap().items.len(), 2);
    assert!(matches!(list(1, &second).await, Err(Error::Key(_))));
    assert_eq!(store.erasures().list(&platform, &page(2, "")).await.unwrap().items, []);
    assert_eq!(store.tenants().get(&acme).await.unwrap().state, TenantState::Active);
    for scope in [&platform, &acme] {
        assert_eq!(store.keys().status(scope).await.unwrap().keys.len(), 1);
    }
    let latest = store.keys().rotation(platform.tenant(), RotationKind::Root).await.unwrap().unwrap();
    assert!(!latest.running);
    contain(&store, &acme).await;

    manager.0.store(false, Ordering::SeqCst);
    let second = list(1, &second).await.unwrap();
    assert_eq!(second.items.iter().map(|tenant| tenant.id.as_str()).collect::<Vec<_>>(), ["other"]);
    store.close().await;
}

/// Suspends the tenant, and changes who may call for it; a repeated request is known, and another one by its id is not.
async fn contain(store: &Store, acme: &TenantScope) {
    let set = async |state: TenantState, id: Uuid, payload: &str| {
        let action = Action::SuspendTenant;
        let write = repeatable(acme, action, id, payload);
        store.tenants().set_state(acme, state, &write).await.map(|tenant| tenant.into_inner().state)
    };
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    assert_eq!(set(TenantState::Suspended, first, "suspend").await.unwrap(), TenantState::Suspended);
    assert_eq!(set(TenantState::Active, second, "resume").await.unwrap(), TenantState::Active);
    assert_eq!(set(TenantState::Suspended, first, "suspend").await.unwrap(), TenantState::Active);
    assert!(matches!(set(TenantState::Suspended, first, "else").await, Err(Error::RequestIdReused)));
    let write = write(acme, Action::SetSourceRules);
    let rules = store.rules().set_sources(acme, &SourceRules::default(), &write).await;
    assert!(rules.map(Recorded::into_inner).unwrap().sources_time.is_some());
    let absent = scope("absent", None);
    assert!(matches!(store.tenants().get(&absent).await, Err(Error::TenantNotFound(_))));
}
