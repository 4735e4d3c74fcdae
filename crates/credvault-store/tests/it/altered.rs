//! What a writer of the database can do, tried: every column of every table that holds a sealed value, and of the row that
//! says whose it is, is altered by hand, one at a time. Whatever decides whose a secret is or where it goes must be
//! noticed. What is not is listed here, and in SECURITY.md under the same words.

use std::collections::{BTreeMap, BTreeSet};

use credvault_domain::{
    Action, Clock as _, Config, ConnectionId, Destinations, EventEndpointId, ProviderId, SecretFields,
    TenantScope,
};
use credvault_store::{
    AuthorizationError, Bringer, Error, Fetched, NewApp, NewAuthorization, NewConnection, NewCredential,
    NewSettings, Page, Place, Renewal, Selector,
};
use secrecy::ExposeSecret as _;

use crate::events::{new_endpoint, put};
use crate::fixture::*;
use crate::handoffs::{BROWSER, begin, hand_over, start};
use crate::on_both;
use crate::refreshes::{claimed, record, renewed, renewing};

/// Columns that can be altered without being noticed, by what that is good for. Every other column, a new one too, must
/// be noticed.
const UNNOTICED: &[(&str, &[&str])] = &[
    (
        "make a row vanish, or serve an earlier row of the same place",
        &[
            "connections.tenant_id",
            "connections.id",
            "connections.delete_time",
            "connections.current_version",
            "credential_versions.tenant_id",
            "credential_versions.connection_id",
            "credential_versions.version",
            "credential_versions.destroy_time",
            "tokens.tenant_id",
            "tokens.connection_id",
            "tokens.version",
            "oauth_apps.tenant_id",
            "oauth_apps.provider",
            "revocations.tenant_id",
            "revocations.connection_id",
            "event_endpoints.tenant_id",
            "event_endpoints.id",
        ],
    ),
    (
        "show another state, time, hint, label or account; serve what has expired or is disabled, or the opposite",
        &[
            "connections.state",
            "connections.error_reason",
            "connections.error_code",
            "connections.error_time",
            "connections.enabled",
            "connections.labels",
            "connections.external_account_id",
            "connections.found_account_id",
            "connections.hints",
            "connections.expire_time",
            "connections.last_used_time",
            "connections.revision",
            "connections.create_time",
            "connections.update_time",
            "connections.purge_time",
            "connections.last_version",
            "connections.last_refreshed_time",
            "connections.last_verified_time",
            "connections.scopes_asked",
            "connections.scopes_granted",
            "connections.revocation",
            "connections.revocation_time",
            "connections.verify_time",
            "credential_versions.hints",
            "credential_versions.create_time",
            "credential_versions.expire_time",
            "credential_versions.rolled_back_from",
            "tokens.expire_time",
            "oauth_apps.hints",
            "oauth_apps.create_time",
            "oauth_apps.update_time",
            "revocations.attempts",
            // The URL that is called is sealed; this one is for people.
            "event_endpoints.url",
            "event_endpoints.types",
            "event_endpoints.description",
            "event_endpoints.enabled",
            "event_endpoints.previous_expire_time",
            "event_endpoints.failures",
            "event_endpoints.success_time",
            "event_endpoints.failure_time",
            "event_endpoints.failure",
            "event_endpoints.create_time",
            "event_endpoints.update_time",
            "tenant_keys.root_id",
            "tenant_keys.create_time",
        ],
    ),
    (
        "have another account taken for a connection's: whose webhooks count there, which connections are one account's, and \
         whether a grant is kept",
        &["connections.confirmed_account_id", "connections.confirmed_settings"],
    ),
    (
        "have another connection of the same owner used where none is named",
        &["connections.account_name", "connections.is_default"],
    ),
];

/// Everything that is opened in this test, with what opens it.
struct Prepared {
    user: TenantScope,
    plain: ConnectionId,
    renewing: Place,
    revoked: Place,
    endpoint: EventEndpointId,
}

impl Prepared {
    async fn new(fixture: &Fixture) -> Self {
        fixture.tenant("acme").await;
        let (tenant, user) = (scope("acme", None), scope("acme", Some("u1")));
        let store = &fixture.store;
        let create = async |account: &str, credential: NewCredential| {
            let new = NewConnection { config: config("https://shop.example"), ..owned_by("u1", account) };
            let write = write(&user, Action::CreateConnection);
            store.connections().create(&user, &new, Some(&credential), &write).await.unwrap().into_inner().id
        };
        let plain = create("plain", credential("CANARY plain")).await;
        let due = Some(Renewal { due_time: None, client_id: None });
        let id = create("renewing", NewCredential { renewal: due, ..credential("CANARY first") }).await;
        let fetched = fetch(fixture, &user, id).await.unwrap();
        let claim = claimed(store, &fetched.place(), fetched.generation()).await;
        let tokens = renewed(&claim, "CANARY token");
        assert!(store.refreshes().store(&claim, &tokens, &record(&claim.place)).await.unwrap());
        let gone = create("gone", credential("CANARY gone")).await;
        let disconnect = write(&user, Action::DisconnectConnection);
        let gone = store.revocations().disconnect(&user, gone, None, true, &disconnect).await.unwrap();
        let revoked = store.place_of(&user, gone.into_inner().id);
        store.apps().put(&tenant, &app(), &write(&tenant, Action::PutOAuthApp)).await.unwrap().into_inner();
        let (endpoint, _) = put(fixture, &tenant, &new_endpoint(&[])).await.unwrap();
        Self { user, plain, renewing: fetched.place(), revoked, endpoint }
    }

    /// Which row of a table is altered: a condition.
    fn row(&self, fixture: &Fixture, table: &str) -> String {
        let id = |id| fixture.id(id);
        match table {
            "connections" => format!("id = {}", id(self.plain)),
            "credential_versions" => format!("connection_id = {}", id(self.plain)),
            "tokens" => format!("connection_id = {}", id(self.renewing.connection())),
            "revocations" => format!("connection_id = {}", id(self.revoked.connection())),
            _ => "tenant_id = 'acme'".to_owned(),
        }
    }

    /// Opens what lies in a table.
    async fn open(&self, fixture: &Fixture, table: &str) -> Result<(), Error> {
        let store = &fixture.store;
        match table {
            "tokens" => open(fixture, &self.user, self.renewing.connection()).await,
            "revocations" => store.revocations().open(&self.revoked).await.map(drop),
            "oauth_apps" => {
                let generic = ProviderId::parse("generic").unwrap();
                store.apps().usable_in(&scope("acme", None), &generic).await.map(drop)
            }
            "event_endpoints" => {
                store.event_endpoints().target(&scope("acme", None), self.endpoint).await.map(drop)
            }
            _ => open(fixture, &self.user, self.plain).await,
        }
    }
}

fn config(url: &str) -> Config {
    Config::new([("store_url".to_owned(), url.into())].into_iter().collect()).unwrap()
}

fn app() -> NewApp {
    NewApp {
        provider: ProviderId::parse("generic").unwrap(),
        client_id: "client".to_owned(),
        client_secret: Some("CANARY app".to_owned().into()),
        keep_previous: false,
        redirect_uri: "https://app.example/back".to_owned(),
        scopes: Vec::new(),
        settings: [("application_id".to_owned(), "one".to_owned())].into(),
        secrets: SecretFields::default(),
    }
}

async fn fetch(fixture: &Fixture, scope: &TenantScope, id: ConnectionId) -> Result<Fetched, Error> {
    fixture.store.credentials().fetch(scope, &Selector::Connection { id, version: None }).await
}

async fn open(fixture: &Fixture, scope: &TenantScope, id: ConnectionId) -> Result<(), Error> {
    let fetched = fetch(fixture, scope, id).await?;
    fixture.store.credentials().open_stored(&fetched, fixture.clock.now(), true).await.map(drop)
}

/// Every column of a table with its type.
async fn columns(fixture: &Fixture, table: &str) -> BTreeMap<String, String> {
    let sql = match fixture.postgres {
        Some(_) => format!(
            "SELECT string_agg(column_name || ' ' || data_type, ',') AS v FROM information_schema.columns
             WHERE table_schema = 'credvault' AND table_name = '{table}'"
        ),
        None => format!("SELECT group_concat(name || ' ' || type) AS v FROM pragma_table_info('{table}')"),
    };
    let text = fixture.text(&sql).await;
    text.split(',').filter_map(|column| column.split_once(' ')).map(|(a, b)| (a.into(), b.into())).collect()
}

/// The tables with a sealed value.
async fn sealed_tables(fixture: &Fixture) -> BTreeSet<String> {
    let sql = match fixture.postgres {
        Some(_) => {
            "SELECT string_agg(DISTINCT table_name, ',') AS v FROM information_schema.columns
             WHERE table_schema = 'credvault' AND column_name IN ('sealed', 'wrapped')"
        }
        None => {
            "SELECT group_concat(DISTINCT t.name) AS v FROM sqlite_master t, pragma_table_info(t.name) c
             WHERE t.type = 'table' AND c.name IN ('sealed', 'wrapped')"
        }
    };
    fixture.text(sql).await.split(',').map(str::to_owned).collect()
}

/// Another value that the database takes: an assignment, together with what its checks tie to it.
fn other(table: &str, column: &str, kind: &str) -> String {
    let value = match (table, column) {
        ("connections", "state") => "'DISCONNECTED'",
        ("connections", "error_reason") => "'X', state = 'ERROR'",
        ("connections", "owner_user") => "''",
        ("connections", "current_version") => "0",
        ("connections", "delete_time") => "1, purge_time = 1",
        ("connections", "purge_time") => "1, delete_time = 1",
        ("connections", "config") => "'{\"store_url\":\"https://evil.example\"}'",
        ("connections", "scopes_asked" | "scopes_granted") | ("oauth_apps", "scopes") => "'[\"x\"]'",
        ("connections", "revocation") => "'DONE'",
        ("event_endpoints", "types") => "' connection.connected '",
        ("credential_versions", "destroy_time") => "1, sealed = NULL",
        _ => match kind.to_ascii_lowercase().as_str() {
            "text" if column == "labels" || column == "hints" || column == "settings" => "'{\"x\":\"y\"}'",
            "jsonb" => "'{\"x\":\"y\"}'",
            "text" => return format!("{column} = coalesce({column}, '') || 'x'"),
            "boolean" => return format!("{column} = NOT {column}"),
            "bigint" | "integer" if column == "enabled" || column == "is_default" => {
                return format!("{column} = 1 - {column}");
            }
            "bigint" | "integer" => return format!("{column} = coalesce({column}, 0) + 1"),
            "uuid" => "'0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e'",
            "blob" if column == "id" || column == "connection_id" => "x'0193a5b27c407cc19d3e1f2a3b4c5d6e'",
            "blob" => return format!("{column} = zeroblob(length({column}))"),
            "bytea" => return format!("{column} = decode(repeat('00', octet_length({column})), 'hex')"),
            kind => panic!("{table}.{column} is of the new type {kind}"),
        },
    };
    format!("{column} = {value}")
}

on_both! {
    async fn every_column_that_decides_whose_or_where_is_noticed(fixture: &Fixture) {
        let prepared = Prepared::new(fixture).await;
        let postgres = fixture.postgres.is_some();
        let free = if postgres { "SET session_replication_role = replica" } else { "PRAGMA foreign_keys = OFF" };
        let listed: BTreeSet<&str> = UNNOTICED.iter().flat_map(|(_, columns)| columns.iter().copied()).collect();
        let mut tables = sealed_tables(fixture).await;
        // What lies there belongs to a consent, which takes it once: the next test has it.
        tables.retain(|table| !matches!(table.as_str(), "delivered_keys" | "callbacks"));
        tables.insert("connections".to_owned());
        let mut wrong = Vec::new();
        for table in &tables {
            prepared.open(fixture, table).await.unwrap_or_else(|error| panic!("{table}: {error}"));
            fixture.execute(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
            for (column, kind) in columns(fixture, table).await {
                let (change, row) = (other(table, &column, &kind), prepared.row(fixture, table));
                fixture.execute(&format!("{free}; UPDATE {table} SET {change} WHERE {row}")).await;
                let noticed = matches!(prepared.open(fixture, table).await, Err(Error::Integrity));
                let name = format!("{table}.{column}");
                if noticed == listed.contains(name.as_str()) {
                    wrong.push(format!("{name} (noticed: {noticed})"));
                }
                let again = format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}");
                fixture.execute(&format!("{free}; {again}")).await;
                prepared.open(fixture, table).await.unwrap_or_else(|error| panic!("{name} again: {error}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    async fn what_was_brought_for_a_consent_opens_as_it_came_or_not_at_all(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let free = if fixture.postgres.is_some() { "SET session_replication_role = replica" } else { "PRAGMA foreign_keys = OFF" };
        let mut tried = 0;
        for table in ["delivered_keys", "callbacks"] {
            for (column, kind) in columns(fixture, table).await {
                let authorizations = fixture.store.authorizations();
                let state = begin(fixture, &scope, &format!("{table}-{column}")).await;
                start(fixture, &state).await;
                let awaited = authorizations.find(&state).await.unwrap();
                hand_over(fixture, &state).await.unwrap();
                let brought = [("state".to_owned(), state.clone()), ("code".to_owned(), "CANARY".to_owned())].into();
                authorizations.arrive(&awaited, Some(BROWSER), Some(&brought)).await.unwrap();
                assert_eq!(authorizations.callback(&awaited).await.unwrap().parameters, brought);

                let change = other(table, &column, &kind);
                fixture.execute(&format!("{free}; UPDATE {table} SET {change}")).await;
                let name = format!("{table}.{column}");
                let kept = authorizations.callback(&awaited).await;
                let taken = authorizations.take(&scope, &state, bringer(None)).await;
                // A row whose key is altered is not found.
                let gone = matches!(column.as_str(), "tenant_id" | "state_hash");
                match (table, gone) {
                    ("delivered_keys", true) => assert!(taken.unwrap().handed_over.is_none(), "{name}"),
                    ("delivered_keys", false) => assert!(matches!(taken, Err(Error::Integrity)), "{name}: {taken:?}"),
                    (_, true) => {
                        let refused = matches!(kept, Err(Error::Authorization(AuthorizationError::Replayed)));
                        assert!(refused, "{name}: {kept:?}");
                    }
                    (_, false) => assert!(matches!(kept, Err(Error::Integrity)), "{name}: {kept:?}"),
                }
                fixture.execute(&format!("{free}; DELETE FROM {table}")).await;
                tried += 1;
            }
        }
        assert_eq!(tried, 9, "every column of both");
    }

    async fn the_settings_of_a_connection_without_a_credential_are_what_its_first_is_bound_to(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let id = fixture.connection(&scope, "a").await.id;
        fixture.execute(&format!("UPDATE connections SET config = '{{\"store_url\":\"https://evil.example\"}}' WHERE id = {}", fixture.id(id))).await;
        fixture.put(&scope, id, "CANARY").await;
        open(fixture, &scope, id).await.expect("the row is what the secret was stored with");
        // From then on it is not altered again.
        fixture.execute(&format!("UPDATE connections SET config = '{{}}' WHERE id = {}", fixture.id(id))).await;
        assert!(matches!(open(fixture, &scope, id).await, Err(Error::Integrity)));
        let put = write(&scope, Action::PutCredential);
        let refused = fixture.store.credentials().put(&scope, id, &credential("CANARY new"), None, &put).await;
        assert!(matches!(refused, Err(Error::Integrity)), "a new secret is not bound to an altered row");
        let settings = NewSettings { config: config("https://shop.example"), destinations: Destinations::default() };
        let mended = fixture.store.credentials().put_with_settings(&scope, id, &credential("CANARY new"), &settings, None, &put).await;
        mended.unwrap().into_inner();
        open(fixture, &scope, id).await.unwrap();
    }

    async fn a_consent_can_be_led_to_another_connection(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (own, other) = (fixture.connection(&scope, "a").await.id, fixture.connection(&scope, "b").await.id);
        let new = NewAuthorization {
            beginner: beginner(),
            session: None,
            public: false,
            return_origin: None,
            return_url: None,
            redirect_uri: "https://app.example/back".to_owned(),
            exchange_url: None,
            client_id: "client".to_owned(),
            scopes: Vec::new(),
        };
        let begin = write(&scope, Action::BeginAuthorization);
        let begun = fixture.store.authorizations().begin(&scope, own, &new, &begin).await.unwrap().into_inner();
        fixture.execute(&format!("UPDATE authorizations SET connection_id = {}", fixture.id(other))).await;
        // And elsewhere: what is asked for, and where browser and result go.
        fixture.execute(
            "UPDATE authorizations SET scopes = '[\"all\"]', redirect_uri = 'https://evil.example/',
                 return_origin = 'https://evil.example', return_url = 'https://evil.example/'",
        ).await;
        let awaited = fixture.store.authorizations().find(begun.state.expose_secret()).await.unwrap();
        let evil = |url: Option<&str>| url.is_some_and(|url| url.starts_with("https://evil.example"));
        assert!(evil(awaited.return_origin.as_deref()) && evil(awaited.return_url.as_deref()));
        assert!(evil(Some(&awaited.redirect_uri)) && awaited.scopes == ["all"]);
        let bringer = Bringer { user: None, session: None, public: false };
        let taken = fixture.store.authorizations().take(&scope, begun.state.expose_secret(), bringer).await.unwrap();
        assert_eq!(taken.place.connection(), other);
    }

    async fn a_refresh_under_way_can_be_begun_again(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        let first = claimed(&fixture.store, &place, seen).await;
        fixture.execute("UPDATE refreshes SET state = 'IDLE', process_id = NULL, claim_id = NULL, lease_time = NULL").await;
        let second = claimed(&fixture.store, &place, seen).await;
        assert_eq!(first.place, second.place, "the same token is sent twice");
    }

    async fn an_event_that_never_happened_is_sent(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        put(fixture, &scope, &new_endpoint(&[])).await.unwrap();
        let id = fixture.connection(&scope, "a").await.id;
        fixture.put(&scope, id, "CANARY").await;
        fixture.execute("UPDATE event_deliveries SET body = 'forged'").await;
        let place = fixture.store.event_deliveries().due(None).await.unwrap().places.remove(0);
        let (target, events) = fixture.store.event_deliveries().claim(&place).await.unwrap().unwrap();
        assert!(events.iter().all(|event| event.body == "forged"));
        // But to the URL that was stored with the secret, whatever the row says.
        assert_eq!(target.url, "https://app.test/events");
    }

    async fn what_is_due_at_a_broken_endpoint_rests_for_an_hour(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (endpoint, _) = put(fixture, &scope, &new_endpoint(&[])).await.unwrap();
        let id = fixture.connection(&scope, "a").await.id;
        fixture.put(&scope, id, "CANARY").await;
        fixture.execute("UPDATE event_endpoints SET generation = generation + 1").await;
        let deliveries = fixture.store.event_deliveries();
        let place = deliveries.due(None).await.unwrap().places.remove(0);
        assert!(matches!(deliveries.claim(&place).await, Err(Error::Integrity)));
        assert!(deliveries.due(None).await.unwrap().places.is_empty(), "it rests");
        fixture.clock.advance(std::time::Duration::from_secs(3601));
        assert_eq!(deliveries.due(None).await.unwrap().places.len(), 1);
        let page = Page { size: 10, token: String::new(), query: Vec::new() };
        let listed = fixture.store.event_endpoints().list(&scope, &page).await.unwrap().items;
        assert_eq!((listed[0].id, listed[0].url.as_str()), (endpoint, "https://app.test"), "its host shows");
        assert!(listed[0].failure.as_ref().unwrap().contains("do not open"));
        let records = fixture.text("SELECT CAST(count(*) AS TEXT) AS v FROM audit_events WHERE reason = 'INTEGRITY_FAILURE'").await;
        assert_eq!(records, "1");
    }
}
