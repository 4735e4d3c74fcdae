//! A foreign row is to every method as one that does not exist.

use credvault_domain::{
    Action, ConnectionId, MappingName, Owner, Reach, ServiceName, TenantScope, TenantState,
};
use credvault_store::{
    ConnectionPatch, Error, MappingChange, NewConnection, Page, Selector, ServiceConfigChange,
};

use crate::fixture::{Fixture, by_provider, credential, new_connection, owned_by, reaching, scope, write};
use crate::on_both;

/// What every method that takes an id answers in a scope.
async fn answers(fixture: &Fixture, scope: &TenantScope, id: ConnectionId) -> Vec<String> {
    let connections = fixture.store.connections();
    let credentials = fixture.store.credentials();
    let write = |action| write(scope, action);
    let page = Page { size: 10, token: String::new(), query: b"q".to_vec() };
    let mut answers = Vec::new();
    let mut note =
        |name: &str, result: Result<(), Error>| answers.push(format!("{name}: {:?}", result.err()));
    note("get", connections.get(scope, id).await.map(drop));
    note(
        "update",
        connections
            .update(scope, id, None, &ConnectionPatch::default(), &write(Action::UpdateConnection))
            .await
            .map(drop),
    );
    note("delete", connections.delete(scope, id, None, &write(Action::DeleteConnection)).await.map(drop));
    note(
        "undelete",
        connections.undelete(scope, id, None, &write(Action::UndeleteConnection)).await.map(drop),
    );
    note("purge", connections.purge(scope, id, None, &write(Action::PurgeConnection)).await.map(drop));
    note(
        "default",
        connections.set_default(scope, id, None, &write(Action::SetDefaultConnection)).await.map(drop),
    );
    note(
        "put",
        credentials
            .put(scope, id, &credential("CANARY"), None, &write(Action::PutCredential))
            .await
            .map(drop),
    );
    note(
        "put cas",
        credentials
            .put(scope, id, &credential("CANARY"), Some(1), &write(Action::PutCredential))
            .await
            .map(drop),
    );
    note(
        "rollback",
        credentials.rollback(scope, id, 1, None, None, &write(Action::RollbackCredential)).await.map(drop),
    );
    note(
        "destroy",
        credentials.destroy(scope, id, 1, &write(Action::DestroyCredentialVersion)).await.map(drop),
    );
    note("versions", credentials.list(scope, id, &page).await.map(drop));
    let configs = fixture.store.service_configs();
    note("service", configs.set(scope, &using(id), &write(Action::SetServiceConfig)).await.map(drop));
    for version in [None, Some(1)] {
        let selector = Selector::Connection { id, version };
        note("fetch", credentials.fetch(scope, &selector).await.map(drop));
    }
    answers
}

/// A tenant's service that uses this connection.
fn using(id: ConnectionId) -> ServiceConfigChange {
    let name = MappingName::parse("default").unwrap();
    ServiceConfigChange {
        owner: Owner::Tenant,
        service: ServiceName::parse("report").unwrap(),
        etag: None,
        enabled: None,
        set: vec![MappingChange { name, connection: Some(id), settings: None }],
        remove: Vec::new(),
    }
}

on_both![
    foreign_ids_answer_as_unknown_ones,
    a_fetch_by_provider_finds_nothing_of_a_user_out_of_reach,
    what_was_found_is_read_again_by_its_key,
    a_tenant_that_does_not_exist_is_said_so,
];

async fn foreign_ids_answer_as_unknown_ones(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let other = fixture.tenant("other").await;
    let create = write(&acme, Action::CreateConnection);
    let of_user = fixture
        .store
        .connections()
        .create(&acme, &owned_by("u1", "a"), Some(&credential("CANARY")), &create)
        .await
        .unwrap()
        .into_inner()
        .id;
    let of_tenant = fixture.connection(&acme, "a").await.id;
    fixture.put(&acme, of_tenant, "CANARY").await;
    let unknown = ConnectionId::from_uuid(uuid::Uuid::from_u128(42));

    for (scope, id, what) in [
        (&other, of_tenant, "another tenant's"),
        (&other, of_user, "a user's of another tenant"),
        (
            &scope("other", Some("u1")),
            of_user,
            "a user's of another tenant, asked for by a user of that name",
        ),
        (&scope("acme", Some("u2")), of_user, "another user's"),
        (&reaching("acme", Reach::Shared), of_user, "a user's, asked for without a user"),
        (
            &scope(credvault_domain::TenantId::PLATFORM, None),
            of_tenant,
            "a tenant's, from the platform's namespace",
        ),
    ] {
        let foreign = answers(fixture, scope, id).await;
        assert_eq!(foreign, answers(fixture, scope, unknown).await, "{what}");
        assert!(foreign.iter().all(|answer| answer.contains("ConnectionNotFound")), "{what}: {foreign:?}");
    }
    for (scope, id) in [
        (&acme, of_user),
        (&scope("acme", Some("u1")), of_user),
        (&scope("acme", Some("u2")), of_tenant),
        (&reaching("acme", Reach::Shared), of_tenant),
    ] {
        assert_eq!(
            fixture.fetch(scope, id).await.unwrap(),
            "CANARY",
            "nothing of the above changed anything"
        );
    }
}

async fn a_fetch_by_provider_finds_nothing_of_a_user_out_of_reach(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let create = write(&acme, Action::CreateConnection);
    fixture
        .store
        .connections()
        .create(&acme, &owned_by("u1", "a"), Some(&credential("CANARY u1")), &create)
        .await
        .unwrap()
        .into_inner();
    let found = async |scope: &TenantScope, user: Option<&str>| {
        fixture.fetch_by(scope, by_provider(user, None)).await.ok()
    };
    let of = |user: &str| scope("acme", Some(user));
    let theirs = Some("CANARY u1".to_owned());
    for (scope, user, expected) in [
        (&acme, Some("u1"), theirs.clone()),
        (&acme, None, None),
        (&of("u1"), Some("u1"), theirs),
        (&of("u1"), None, None),
        (&of("u2"), Some("u1"), None),
        (&reaching("acme", Reach::Shared), Some("u1"), None),
        (&reaching("acme", Reach::Shared), None, None),
    ] {
        assert_eq!(found(scope, user).await, expected, "{:?} {user:?}", scope.reach());
    }
}

async fn what_was_found_is_read_again_by_its_key(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let platform = scope(credvault_domain::TenantId::PLATFORM, None);
    let shared = NewConnection { owner: Owner::Platform, ..new_connection("a") };
    let create = write(&platform, Action::CreateConnection);
    let of_platform = fixture
        .store
        .connections()
        .create(&platform, &shared, Some(&credential("CANARY platform")), &create)
        .await
        .unwrap()
        .into_inner()
        .id;
    let credentials = fixture.store.credentials();
    let found = credentials.fetch(&acme, &by_provider(None, None)).await.unwrap();
    assert_eq!(found.connection.id, of_platform);
    // The tenant has one of its own now, which a fetch finds first; what was found stays what it is.
    let own = fixture.connection(&acme, "a").await.id;
    fixture.put(&acme, own, "CANARY own").await;
    assert_eq!(credentials.fetch(&acme, &by_provider(None, None)).await.unwrap().connection.id, own);
    let again = credentials.again(&acme, &found).await.unwrap();
    assert_eq!(again.connection.id, of_platform);
    assert!(again.tenant.is_platform());
    // Gone: nothing takes its place.
    fixture
        .store
        .connections()
        .delete(&platform, of_platform, None, &write(&platform, Action::DeleteConnection))
        .await
        .unwrap()
        .into_inner();
    assert!(matches!(credentials.again(&acme, &found).await, Err(Error::ConnectionNotFound)));
    let found = credentials.fetch(&acme, &by_provider(None, None)).await.unwrap();
    fixture
        .store
        .tenants()
        .set_state(&acme, TenantState::Suspended, &write(&acme, Action::SuspendTenant))
        .await
        .unwrap()
        .into_inner();
    assert!(matches!(credentials.again(&acme, &found).await, Err(Error::TenantSuspended(_))));
}

async fn a_tenant_that_does_not_exist_is_said_so(fixture: &Fixture) {
    let nobody = scope("nobody", None);
    let id = ConnectionId::from_uuid(uuid::Uuid::from_u128(42));
    for answer in answers(fixture, &nobody, id).await {
        assert!(answer.contains("TenantNotFound"), "{answer}");
    }
    let by_provider = fixture.fetch_by(&nobody, by_provider(None, None)).await;
    assert!(matches!(by_provider, Err(Error::TenantNotFound(_))));
}
