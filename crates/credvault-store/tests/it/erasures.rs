//! Erasing a tenant: the two steps, what is gone then, and what stays.

mod backups;
mod interrupted;
mod signing;
mod tokens;

use credvault_crypto::verify_statement;
use credvault_domain::{Action, AppPlace, ConnectionId, ProviderId, TenantScope, TenantState};
use credvault_store::{
    ERASURE_STATEMENT, Erasure, ErasureContent, ErasureState, Error, NewApp, Page, Recorded, Write,
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::events::{new_endpoint, put};
use crate::fixture::{Fixture, credential, open_store, owned_by, scope, soon, write};
use crate::on_both;
use crate::refreshes::{claimed, record, refreshable, refreshed};

on_both![
    an_erased_tenant_is_gone_with_all_its_rows_and_no_other_is,
    the_id_of_an_erased_tenant_is_never_used_again,
    what_is_written_late_goes_too,
    grants_that_were_to_be_revoked_are_counted,
    erasures_are_listed,
];

fn erase(scope: &TenantScope) -> Write {
    write(scope, Action::EraseTenant)
}

async fn asked(fixture: &Fixture, scope: &TenantScope) -> SecretString {
    fixture.store.erasures().request(scope, &erase(scope)).await.unwrap().into_inner().token
}

async fn confirm(fixture: &Fixture, scope: &TenantScope, token: &SecretString) -> Result<Erasure, Error> {
    let confirmed = fixture.store.erasures().confirm(scope, token, &erase(scope), soon()).await;
    confirmed.map(Recorded::into_inner)
}

pub async fn erased(fixture: &Fixture, scope: &TenantScope) -> Erasure {
    let token = asked(fixture, scope).await;
    confirm(fixture, scope, &token).await.unwrap()
}

/// A tenant with rows of most kinds: the connection of the tenant itself, which is fetched in the tests.
async fn tenant_with_rows(fixture: &Fixture, id: &str) -> (TenantScope, ConnectionId) {
    let tenant = fixture.tenant(id).await;
    put(fixture, &tenant, &new_endpoint(&[])).await.unwrap();
    let connection = fixture.connection(&tenant, "a").await.id;
    fixture.put(&tenant, connection, "CANARY first").await;
    fixture.put(&tenant, connection, "CANARY second").await;
    let create = write(&tenant, Action::CreateConnection);
    let (new, first) = (owned_by("u1", "mine"), credential("CANARY"));
    let store = &fixture.store;
    store.connections().create(&tenant, &new, Some(&first), &create).await.unwrap().into_inner();
    let (key, seen) = refreshable(fixture, &tenant, "c").await;
    let claim = claimed(store, &key, seen).await;
    store.refreshes().store(&claim, &refreshed(&claim, "CANARY"), &record(&key)).await.unwrap();
    store.apps().put(&tenant, &app(), &write(&tenant, Action::PutOAuthApp)).await.unwrap().into_inner();
    let config = fixture.id(connection);
    let hash = if fixture.postgres.is_some() { "decode(repeat('00', 32), 'hex')" } else { "zeroblob(32)" };
    for sql in [
        format!("INSERT INTO service_configs VALUES ('{id}', {config}, 'u1', 'report', TRUE, 1, 0, 0)"),
        format!(
            "INSERT INTO service_mappings VALUES ('{id}', {config}, 'default', {config}, 'generic', '{{}}')"
        ),
        format!("INSERT INTO user_sightings VALUES ('{id}', 'u2', 0, 0)"),
        format!(
            "INSERT INTO connect_sessions VALUES ('{id}', {config}, {hash}, NULL, 's', 'u1', 'header', '127.0.0.1', '{{}}', 1,
             {hash}, 0, 4000000000000000, NULL)"
        ),
        format!("INSERT INTO provider_outcomes VALUES ('{id}', 0, 'generic', 'TEST_WORKS', 1)"),
        format!(
            "INSERT INTO usage_users VALUES ('{id}', 'u1', 1, 'generic', '', 's', TRUE, 0, 0, 0, 0, 1, 0)"
        ),
        format!("INSERT INTO usage_totals VALUES ('{id}', 1, 'generic', '', 's', TRUE, 0, 0, 0, 0, 1, 0)"),
        format!("INSERT INTO rate_budgets VALUES ('{id}', 'tests_per_minute', 'u1', 0)"),
        format!(
            "INSERT INTO rotations VALUES ('{id}', 'TENANT', 1, FALSE, '', 0, 0, 0, 0, NULL, NULL, 0, 0, NULL, NULL)"
        ),
        format!("INSERT INTO platform_dependants VALUES ('{id}', 'generic', 'u1', 's', 1, 0, 0)"),
    ] {
        fixture.execute(&sql).await;
    }
    (tenant, connection)
}

fn app() -> NewApp {
    NewApp {
        place: AppPlace::new(ProviderId::parse("generic").unwrap(), None),
        client_id: "id".to_owned(),
        client_secret: Some("CANARY".to_owned().into()),
        keep_previous: false,
        redirect_uri: "https://app.test/back".to_owned(),
        scopes: Vec::new(),
        settings: Default::default(),
        secrets: Default::default(),
    }
}

/// The tables in which an erased tenant still has rows: itself without its name, the erasure, the log, the feed, its rules
/// emptied.
const KEPT: [&str; 10] = [
    "tenants",
    "erasures",
    "audit_events",
    "audit_moves",
    "audit_bundles",
    "audit_tiles",
    "audit_checkpoints",
    "audit_cosignatures",
    "changes",
    "tenant_rules",
];

/// The tables that have rows of a tenant, without those in which they stay.
async fn tables_with_rows(fixture: &Fixture, tenant: &str) -> Vec<String> {
    let tables = if fixture.postgres.is_some() {
        "SELECT string_agg(table_name, ',' ORDER BY table_name) AS v FROM information_schema.columns
         WHERE table_schema = 'credvault' AND column_name = 'tenant_id'"
    } else {
        "SELECT group_concat(m.name) AS v FROM sqlite_master m, pragma_table_info(m.name) p
         WHERE m.type = 'table' AND p.name = 'tenant_id'"
    };
    let tables = fixture.text(tables).await;
    let mut found = Vec::new();
    for table in tables.split(',').filter(|table| !KEPT.contains(table)) {
        if fixture.count(&format!("{table} WHERE tenant_id = '{tenant}'")).await > 0 {
            found.push(table.to_owned());
        }
    }
    found
}

/// Nothing is left of a tenant but what stays. Counts of usage that were in memory come late, and go with the next upkeep.
async fn nothing_is_left(fixture: &Fixture, tenant: &str) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let left = tables_with_rows(fixture, tenant).await;
        if left.is_empty() {
            return;
        }
        assert!(left.iter().all(|table| table.starts_with("usage_")), "{left:?}");
        assert!(std::time::Instant::now() < end, "{left:?}");
        fixture.store.upkeep().await.unwrap();
    }
}

async fn an_erased_tenant_is_gone_with_all_its_rows_and_no_other_is(fixture: &Fixture) {
    let (acme, connection) = tenant_with_rows(fixture, "acme").await;
    let (other, of_other) = tenant_with_rows(fixture, "other").await;
    put(fixture, &scope(":platform", None), &new_endpoint(&[])).await.unwrap();
    fixture.put(&acme, connection, "CANARY third").await;
    let about = "event_deliveries WHERE tenant_id = ':platform' AND about_tenant = 'acme'";
    assert!(fixture.count(about).await > 0);
    let requested = fixture.store.erasures().request(&acme, &erase(&acme)).await.unwrap().into_inner();
    let expected = ErasureContent {
        connections: 3,
        credential_versions: 5,
        users: 2,
        apps: 1,
        event_endpoints: 1,
        key_versions: 1,
        pending_revocations: 0,
    };
    assert_eq!(requested.content, expected);
    assert_eq!(fixture.fetch(&acme, connection).await.unwrap(), "CANARY third", "nothing has changed yet");

    let erasure = confirm(fixture, &acme, &requested.token).await.unwrap();
    assert_eq!((erasure.state, erasure.content), (ErasureState::Erased, expected));
    assert_eq!(erasure.keys.len(), 1);
    assert_eq!(erasure.keys[0].root_key, format!("{:08x}", fixture.store.root_ids()[0]));
    nothing_is_left(fixture, "acme").await;
    assert_eq!(fixture.count(about).await, 0);
    assert_eq!(fixture.count("tenants WHERE tenant_id = 'acme' AND display_name = ''").await, 1);
    assert!(matches!(fixture.fetch(&acme, connection).await, Err(Error::TenantNotFound(_))));
    assert!(matches!(fixture.store.tenants().get(&acme).await, Err(Error::TenantNotFound(_))));
    assert_eq!(fixture.store.erasures().get(&acme).await.unwrap(), erasure);
    the_statement_verifies(fixture, &erasure).await;

    assert!(tables_with_rows(fixture, "other").await.len() > 12);
    assert_eq!(fixture.fetch(&other, of_other).await.unwrap(), "CANARY second");
    assert!(matches!(fixture.store.erasures().get(&other).await, Err(Error::NotErased)));
    let steps = "audit_events WHERE tenant_id = ':platform' AND action = 'EraseTenant' AND outcome = 'OK'";
    assert_eq!(fixture.count(steps).await, 3, "asked, confirmed, finished");
}

async fn the_statement_verifies(fixture: &Fixture, erasure: &Erasure) {
    let signer = fixture.store.signer().await.unwrap();
    let statement = erasure.statement.as_ref().unwrap();
    assert_eq!(statement.signing_key, signer.key_id());
    let verify = |text: &str| {
        verify_statement(&signer.public_key(), ERASURE_STATEMENT, text.as_bytes(), &statement.signature)
    };
    assert!(verify(&statement.text));
    assert!(!verify(&statement.text.replace("acme", "acmf")));
    let read: serde_json::Value = serde_json::from_str(&statement.text).unwrap();
    assert_eq!((&read["tenant"], &read["service"]), (&"acme".into(), &"spiffe://test/service".into()));
    assert_eq!(read["destroyed"]["credential_versions"], 5);
    assert_eq!(read["backups"]["retention_days"], 35);
}

async fn the_id_of_an_erased_tenant_is_never_used_again(fixture: &Fixture) {
    let (acme, connection) = tenant_with_rows(fixture, "acme").await;
    erased(fixture, &acme).await;
    let create = write(&acme, Action::CreateTenant);
    let reopened = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap();
    for store in [&fixture.store, &reopened] {
        let created = store.tenants().create(&acme, "", &create).await;
        assert!(matches!(created, Err(Error::TenantErased(_))), "{created:?}");
        let resume = write(&acme, Action::ResumeTenant);
        let resumed = store.tenants().set_state(&acme, TenantState::Active, &resume).await;
        assert!(matches!(resumed, Err(Error::TenantNotFound(_))), "{resumed:?}");
        let asked = store.erasures().request(&acme, &erase(&acme)).await;
        assert!(matches!(asked, Err(Error::TenantNotFound(_))), "{asked:?}");
        assert!(matches!(store.keys().status(&acme).await, Err(Error::TenantNotFound(_))));
    }
    assert!(matches!(fixture.fetch(&acme, connection).await, Err(Error::TenantNotFound(_))));
    reopened.close().await;
}

/// What other replicas had in memory, and what callers cause who do not know yet.
async fn what_is_written_late_goes_too(fixture: &Fixture) {
    let (acme, _) = tenant_with_rows(fixture, "acme").await;
    erased(fixture, &acme).await;
    let late = "INSERT INTO usage_users VALUES ('acme', 'u1', 1, 'generic', '', 's', TRUE, 0, 0, 0, 0, 1, 0)";
    fixture.execute(late).await;
    fixture.store.note_user(acme.tenant(), &credvault_domain::UserId::parse("u1").unwrap());
    fixture.store.write_sightings().await.unwrap();
    assert!(tables_with_rows(fixture, "acme").await.contains(&"usage_users".to_owned()));
    fixture.store.upkeep().await.unwrap();
    // A user who calls leaves nothing.
    nothing_is_left(fixture, "acme").await;
}

/// The erasure takes away what their providers have to be asked with, and says so before and after.
async fn grants_that_were_to_be_revoked_are_counted(fixture: &Fixture) {
    let (acme, connection) = tenant_with_rows(fixture, "acme").await;
    let disconnect = write(&acme, Action::DisconnectConnection);
    let revocations = fixture.store.revocations();
    revocations.disconnect(&acme, connection, None, true, &disconnect).await.unwrap().into_inner();
    let requested = fixture.store.erasures().request(&acme, &erase(&acme)).await.unwrap().into_inner();
    assert_eq!(requested.content.pending_revocations, 1);
    let erasure = confirm(fixture, &acme, &requested.token).await.unwrap();
    assert_eq!(erasure.content, requested.content);
    let read: serde_json::Value = serde_json::from_str(&erasure.statement.unwrap().text).unwrap();
    assert_eq!(read["destroyed"]["pending_revocations"], 1);
    assert_eq!(fixture.count("revocations").await, 0);
}

async fn erasures_are_listed(fixture: &Fixture) {
    let platform = scope(":platform", None);
    let list = async |size: u32, token: String| {
        let page = Page { size, token, query: Vec::new() };
        fixture.store.erasures().list(&platform, &page).await.unwrap()
    };
    assert!(list(50, String::new()).await.items.is_empty());
    for tenant in ["b", "a", "c"] {
        let tenant = fixture.tenant(tenant).await;
        erased(fixture, &tenant).await;
    }
    fixture.tenant("d").await;
    let first = list(2, String::new()).await;
    let second = list(2, first.next_page_token.clone()).await;
    let ids: Vec<_> =
        first.items.iter().chain(&second.items).map(|erasure| erasure.tenant.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert_eq!(second.next_page_token, "");
    let page = Page { size: 50, token: String::new(), query: Vec::new() };
    let tenants = fixture.store.tenants().list(&platform, None, &page).await.unwrap().items;
    assert_eq!(tenants.iter().map(|tenant| tenant.id.as_str()).collect::<Vec<_>>(), ["d"]);
}

/// The text of a token.
fn text_of(token: &SecretString) -> &str {
    token.expose_secret()
}
