//! Row-level security: no row of another tenant is seen, written or moved.

use credvault_domain::{Action, AppPlace, ConnectionId, ProviderId, ServiceId, TenantScope};
use credvault_store::{ConnectionKey, Inquiry, NewApp, NewAuthorization, Reporter};
use secrecy::ExposeSecret as _;

use crate::credential_rotations::{revoked_after, rotated};
use crate::events::{new_endpoint, put};
use crate::fixture::{Fixture, beginner, credential, event, new_connection, permit, repeatable, write};
use crate::refreshes::{claimed, record, refreshable, refreshed};

/// Two tenants with a row in every table.
pub async fn fixture_with_rows() -> Fixture {
    let fixture = Fixture::postgres().await;
    for tenant in ["acme", "other"] {
        let scope = fixture.tenant(tenant).await;
        let (id, key) = connections(&fixture, &scope).await;
        consent(&fixture, &scope, id).await;
        revocation(&fixture, &scope).await;
        webhooks(&fixture, &scope, &key).await;
        rows_of_background_work(&fixture, tenant).await;
    }
    fixture
}

/// Connections with credentials, tokens, records and events.
async fn connections(fixture: &Fixture, scope: &TenantScope) -> (ConnectionId, ConnectionKey) {
    put(fixture, scope, &new_endpoint(&[])).await.unwrap();
    let id = fixture.connection(scope, "a").await.id;
    fixture.put(scope, id, "CANARY").await;
    fixture
        .store
        .audit()
        .record(&permit(), event(scope, Action::FetchCredential), ())
        .await
        .unwrap()
        .into_inner();
    let create = repeatable(scope, Action::CreateConnection, uuid::Uuid::from_u128(1), "p");
    fixture
        .store
        .connections()
        .create(scope, &new_connection("b"), None, &create)
        .await
        .unwrap()
        .into_inner();
    let rotating = fixture.store.connection_key(scope, id);
    let tomorrow = revoked_after(fixture, std::time::Duration::from_secs(86_400));
    rotated(fixture, scope, &rotating, "CANARY new", &tomorrow).await;
    let (key, seen) = refreshable(fixture, scope, "c").await;
    let ours = claimed(&fixture.store, &key, seen).await;
    fixture.store.refreshes().store(&ours, &refreshed(&ours, "CANARY"), &record(&key)).await.unwrap();
    let given_out = (1, seen + 1);
    let service = ServiceId::parse("spiffe://example.com/app").unwrap();
    let reporter = Reporter { service, tenant: scope.tenant().clone() };
    let inquiry = fixture.store.rejections().claim(&key, given_out, &reporter).await.unwrap();
    assert!(matches!(inquiry, Inquiry::Ours(_)), "{inquiry:?}");
    (id, key)
}

/// An app, and a consent that a browser has come back from.
async fn consent(fixture: &Fixture, scope: &TenantScope, id: ConnectionId) {
    let app = NewApp {
        place: AppPlace::new(ProviderId::parse("generic").unwrap(), None),
        client_id: "id".to_owned(),
        client_secret: Some("CANARY".to_owned().into()),
        keep_previous: false,
        redirect_uri: "https://app.test/back".to_owned(),
        scopes: Vec::new(),
        settings: Default::default(),
        secrets: Default::default(),
    };
    fixture.store.apps().put(scope, &app, &write(scope, Action::PutOAuthApp)).await.unwrap().into_inner();
    let other = AppPlace::new(ProviderId::parse("generic").unwrap(), Some("https://id.example".to_owned()));
    let lease = std::time::Duration::from_secs(60);
    assert!(fixture.store.apps().claim_registration(scope, &other, lease).await.unwrap());
    assert!(!fixture.store.apps().claim_registration(scope, &other, lease).await.unwrap(), "one at a time");
    let begun = NewAuthorization {
        public: false,
        return_origin: None,
        return_url: None,
        exchange_url: None,
        beginner: beginner(),
        session: None,
        redirect_uri: app.redirect_uri,
        client_id: app.client_id,
        scopes: Vec::new(),
    };
    let begin = write(scope, Action::BeginAuthorization);
    let authorizations = fixture.store.authorizations();
    let begun = authorizations.begin(scope, id, &begun, &begin).await.unwrap().into_inner();
    let awaited = authorizations.find(begun.state.expose_secret()).await.unwrap();
    authorizations.start(&awaited, "browser").await.unwrap();
    let awaited = authorizations.find(begun.state.expose_secret()).await.unwrap();
    authorizations.deliver_keys(&awaited, &credential("CANARY").fields).await.unwrap();
    let brought = [("state", begun.state.expose_secret()), ("code", "CANARY")];
    let brought = brought.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    authorizations.arrive(&awaited, Some("browser"), Some(&brought)).await.unwrap();
}

async fn revocation(fixture: &Fixture, scope: &TenantScope) {
    let (gone, _) = refreshable(fixture, scope, "d").await;
    let disconnect = write(scope, Action::DisconnectConnection);
    let revocations = fixture.store.revocations();
    revocations.disconnect(scope, gone.connection(), None, true, &disconnect).await.unwrap().into_inner();
    assert!(revocations.open(&gone).await.unwrap().is_some());
}

async fn webhooks(fixture: &Fixture, scope: &TenantScope, key: &ConnectionKey) {
    let day = std::time::Duration::from_secs(86_400);
    for first in [true, false] {
        let provider = ProviderId::parse("shopify").unwrap();
        let of_place = write(scope, Action::VerifyWebhook);
        let seen = fixture.store.first_delivery(key, &[7; 32], day, &of_place).await.unwrap();
        assert_eq!(seen.into_inner(), first);
        let of_app = write(scope, Action::VerifyWebhook);
        let owner = (scope.tenant(), &provider);
        let seen = fixture.store.first_app_delivery(owner, &[7; 32], day, &of_app).await.unwrap();
        assert_eq!(seen.into_inner(), first);
    }
}

async fn rows_of_background_work(fixture: &Fixture, tenant: &str) {
    for sql in [
        format!("INSERT INTO user_deletions VALUES ('{tenant}', 'u9', 0)"),
        format!(
            "INSERT INTO endpoint_deletions
             SELECT tenant_id, id, 0 FROM event_endpoints WHERE tenant_id = '{tenant}'"
        ),
        format!("INSERT INTO user_sightings VALUES ('{tenant}', 'u9', 0, 0)"),
        format!("INSERT INTO provider_outcomes VALUES ('{tenant}', 0, 'generic', 'TEST_WORKS', 1)"),
        // The vault itself may have counted a refresh by now.
        format!(
            "INSERT INTO usage_connections SELECT tenant_id, id, 'generic', '', 1 FROM connections
             WHERE tenant_id = '{tenant}' ON CONFLICT DO NOTHING"
        ),
        format!(
            "INSERT INTO usage_days SELECT tenant_id, id, 1, '', 's', '', 0, 0, 0, 1, 0 FROM connections WHERE tenant_id = '{tenant}'"
        ),
        format!(
            "INSERT INTO usage_users VALUES ('{tenant}', '', 1, 'generic', '', 's', true, 0, 0, 0, 0, 1, 0)"
        ),
        format!(
            "INSERT INTO usage_totals VALUES ('{tenant}', 1, 'generic', '', 's', true, 0, 0, 0, 0, 1, 0)"
        ),
        format!("INSERT INTO usage_erasures VALUES ('{tenant}', 'u9', 0)"),
        format!("INSERT INTO tenant_rules VALUES ('{tenant}', '{{}}', NULL, '[]', NULL, 1)"),
        format!("INSERT INTO rate_budgets VALUES ('{tenant}', 'tests_per_minute', '', 0)"),
        // The service writes only the platform's.
        format!("INSERT INTO budgets VALUES ('{tenant}', 'generic', '', 0)"),
        format!("INSERT INTO tools VALUES ('{tenant}', 'report', '', '[]', 1, 0, 0)"),
        format!("INSERT INTO service_configs VALUES ('{tenant}', gen_random_uuid(), '', 'report', TRUE, 1, 0, 0)"),
        format!(
            "INSERT INTO service_mappings SELECT tenant_id, id, 'default', gen_random_uuid(), 'generic', '{{}}'
             FROM service_configs WHERE tenant_id = '{tenant}'"
        ),
        // The service writes only the platform's.
        format!("INSERT INTO backups VALUES ('{tenant}', gen_random_uuid(), 0, 'FILE', decode(repeat('00', 32), 'hex'), 1, 1)"),
        format!("INSERT INTO platform_dependants VALUES ('{tenant}', 'generic', '', 's', 1, 0, 0)"),
        format!(
            "INSERT INTO imports SELECT tenant_id, 'x/1', id, 'x', 1, 1, 0 FROM connections
             WHERE tenant_id = '{tenant}' LIMIT 1"
        ),
        format!(
            "INSERT INTO rotations VALUES ('{tenant}', 'TENANT', 2, FALSE, '', 0, 0, 0, 0, NULL, NULL, 0, NULL, NULL, NULL)"
        ),
        format!("INSERT INTO key_uses SELECT tenant_id, version, 1 FROM tenant_keys WHERE tenant_id = '{tenant}'"),
        format!("INSERT INTO erasure_requests VALUES ('{tenant}', 'x', 's', 1, 0, 0)"),
        format!(
            "INSERT INTO erasures VALUES ('{tenant}', 'ERASING', 's', 'x', 0, 0, NULL, '{{}}', '[]', NULL, NULL, NULL)"
        ),
        // The service writes only the platform's.
        format!(
            "INSERT INTO signing_keys SELECT tenant_id, 1, 'x', decode(repeat('00', 32), 'hex'), version, wrapped, 0
             FROM tenant_keys WHERE tenant_id = '{tenant}' LIMIT 1"
        ),
    ] {
        fixture.execute(&sql).await;
    }
    rows_of_what_is_outside(fixture, tenant).await;
}

async fn rows_of_what_is_outside(fixture: &Fixture, tenant: &str) {
    for sql in [
        format!("INSERT INTO provider_signals VALUES ('{tenant}', 'generic', 0, 0, NULL, 0)"),
        format!(
            "INSERT INTO connect_sessions VALUES ('{tenant}', gen_random_uuid(), decode(repeat('00', 32), 'hex'), NULL, 's', 'u9',
             'header', '127.0.0.1', '{{}}', 1, decode(repeat('00', 32), 'hex'), 0, 1, NULL)"
        ),
        format!(
            "INSERT INTO external_payloads VALUES
             ('{tenant}', gen_random_uuid(), gen_random_uuid(), 'eu', 'x', 0, NULL)"
        ),
        format!("INSERT INTO payload_work VALUES ('{tenant}', gen_random_uuid(), 0, 1, NULL)"),
        format!("INSERT INTO provider_incidents VALUES ('{tenant}', 'generic', 0, NULL, 3, NULL)"),
        format!("INSERT INTO audit_keys VALUES ('{tenant}', 9, 1, decode('00', 'hex'), 0)"),
        format!("INSERT INTO audit_bundles (tenant_id, start, records) VALUES ('{tenant}', 0, 1)"),
        format!(
            "INSERT INTO audit_tiles VALUES
             ('{tenant}', 0, 0, decode(repeat('00', 8192), 'hex'), decode(repeat('00', 32), 'hex'))"
        ),
        // The service writes only the platform's.
        format!("INSERT INTO audit_sequencer VALUES ('{tenant}', 1, gen_random_uuid(), 0)"),
        format!("INSERT INTO audit_moves VALUES ('{tenant}', gen_random_uuid(), 0)"),
        // The service writes only the platform's.
        format!(
            "INSERT INTO audit_signers VALUES
             ('{tenant}', 1, 'x', decode(repeat('00', 32), 'hex'), 1, decode('00', 'hex'), 0, NULL)"
        ),
        format!("INSERT INTO audit_checkpoints VALUES ('{tenant}', 1, decode(repeat('00', 32), 'hex'), 0)"),
        format!("INSERT INTO audit_cosignatures VALUES ('{tenant}', 'w', 1, '', 0)"),
        format!(
            "INSERT INTO sync_states SELECT tenant_id, id, 'orders', 1, '', 'OK', 0, 0, '', NULL, NULL, 0
             FROM connections WHERE tenant_id = '{tenant}' LIMIT 1"
        ),
    ] {
        fixture.execute(&sql).await;
    }
}

/// Every table with a tenant, as the database has them.
fn tables(fixture: &Fixture) -> Vec<String> {
    let sql = "SELECT table_name FROM information_schema.columns
        WHERE table_schema = 'credvault' AND column_name = 'tenant_id' ORDER BY table_name";
    fixture.postgres.as_ref().unwrap().psql(sql).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_query_without_its_tenant_filter_sees_nothing_foreign() {
    let fixture = fixture_with_rows().await;
    let database = fixture.postgres.as_ref().unwrap();
    for table in &tables(&fixture) {
        let all = database.psql(&format!("SELECT count(*) FROM credvault.{table}"));
        assert!(all.parse::<i64>().unwrap() >= 2, "{table} {all}");
        let unset = database.psql_as_service(&format!("SELECT count(*) FROM credvault.{table}")).unwrap();
        assert_eq!(unset, "0", "{table} without a tenant");
        // After its first use the setting is an empty string, not NULL.
        let emptied = format!(
            "BEGIN; SELECT set_config('credvault.tenant', 'acme', true); COMMIT; SELECT count(*) FROM credvault.{table};"
        );
        assert_eq!(
            database.psql_as_service(&emptied).unwrap().lines().last(),
            Some("0"),
            "{table} after a tenant"
        );
        let own = format!(
            "BEGIN; SELECT set_config('credvault.tenant', 'acme', true);
             SELECT count(*) FILTER (WHERE tenant_id = 'acme') > 0 AND count(*) FILTER (WHERE tenant_id <> 'acme') = 0 FROM credvault.{table};"
        );
        assert_eq!(database.psql_as_service(&own).unwrap().lines().last(), Some("t"), "{table} for a tenant");
    }
}

#[tokio::test]
async fn background_work_crosses_tenants_to_read_only_and_only_where_nothing_is_sealed() {
    let fixture = fixture_with_rows().await;
    let database = fixture.postgres.as_ref().unwrap();
    let background = "SELECT set_config('credvault.background', 'on', true);";
    for table in &tables(&fixture) {
        let count = database
            .psql_as_service(&format!("BEGIN; {background} SELECT count(*) FROM credvault.{table};"))
            .unwrap();
        let crosses = [
            "tenants",
            "connections",
            "requests",
            "changes",
            "refreshes",
            "authorizations",
            "connect_sessions",
            "webhook_replays",
            "app_webhook_replays",
            "event_deliveries",
            "user_deletions",
            "endpoint_deletions",
            "platform_dependants",
            "provider_outcomes",
            "usage_totals",
            "usage_erasures",
            "tenant_rules",
            "rate_budgets",
            "connection_health",
            "rotations",
            "credential_rotations",
            "external_payloads",
            "payload_work",
            "erasures",
            "audit_moves",
        ]
        .contains(&table.as_str());
        assert_eq!(count.lines().last() != Some("0"), crosses, "{table}");
        if crosses
            && ![
                "tenants",
                "connections",
                "refreshes",
                "tenant_rules",
                "connection_health",
                "credential_rotations",
                "erasures",
                "audit_moves",
            ]
            .contains(&table.as_str())
        {
            let deleted = format!(
                "BEGIN; {background} WITH gone AS (DELETE FROM credvault.{table} RETURNING 1) SELECT count(*) FROM gone;"
            );
            assert_eq!(database.psql_as_service(&deleted).unwrap().lines().last(), Some("0"), "{table}");
        }
    }
}

#[tokio::test]
async fn a_row_cannot_be_written_into_or_moved_to_another_tenant() {
    let fixture = fixture_with_rows().await;
    let database = fixture.postgres.as_ref().unwrap();
    let own = "BEGIN; SELECT set_config('credvault.tenant', 'acme', true);";
    for sql in [
        "INSERT INTO credvault.tenants VALUES ('evil', '', 'ACTIVE', 1, 0, 0)",
        "INSERT INTO credvault.changes (tenant_id, kind, time) VALUES ('other', 'X', 0)",
        "INSERT INTO credvault.audit_bundles (tenant_id, start, records) VALUES ('other', 256, 1)",
        "UPDATE credvault.service_mappings SET tenant_id = 'other'",
        "UPDATE credvault.connections SET tenant_id = 'other'",
        "UPDATE credvault.tenants SET tenant_id = 'other2' WHERE tenant_id = 'acme'",
    ] {
        let error = database.psql_as_service(&format!("{own} {sql};")).expect_err(sql);
        assert!(error.contains("row-level security"), "{sql}: {error}");
    }
    let updated = format!(
        "{own} WITH u AS (UPDATE credvault.connections SET revision = 99 RETURNING tenant_id) SELECT count(*) FILTER (WHERE tenant_id <> 'acme') FROM u;"
    );
    assert_eq!(database.psql_as_service(&updated).unwrap().lines().last(), Some("0"));
}

#[tokio::test]
async fn the_services_role_cannot_change_records_or_the_schema() {
    let fixture = fixture_with_rows().await;
    let database = fixture.postgres.as_ref().unwrap();
    let own = "BEGIN; SELECT set_config('credvault.tenant', 'acme', true);";
    for sql in [
        "UPDATE credvault.audit_events SET outcome = 'FAILED'",
        "DELETE FROM credvault.audit_events",
        "TRUNCATE credvault.audit_events",
        "UPDATE credvault.audit_bundles SET records = 2",
        "UPDATE credvault.audit_tiles SET number = 1",
        "UPDATE credvault.audit_signers SET public_key = ''",
        "DELETE FROM credvault.audit_signers",
        "DELETE FROM credvault.audit_checkpoints",
        "UPDATE credvault.audit_journal SET body = decode('00', 'hex')",
        "UPDATE credvault.tenant_keys SET version = 2",
        "TRUNCATE credvault.tenant_keys",
        "DELETE FROM credvault.erasures",
        "UPDATE credvault.signing_keys SET public_key = ''",
        "DELETE FROM credvault.signing_keys",
        "DELETE FROM credvault.tenants",
        "UPDATE credvault.root_keys SET root_id = 1",
        "DELETE FROM credvault.root_keys",
        "TRUNCATE credvault.connections",
        "UPDATE credvault.schema_migrations SET version = 'x'",
        "ALTER TABLE credvault.connections NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE credvault.connections DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant_select ON credvault.connections",
        "CREATE TABLE credvault.mine (x int)",
        "DROP TABLE credvault.connections",
    ] {
        let error = database.psql_as_service(&format!("{own} {sql};")).expect_err(sql);
        assert!(error.contains("permission denied") || error.contains("must be owner"), "{sql}: {error}");
    }
}

/// Names, uniqueness and cascades ignore row-level security, so none of them may reach across tenants by itself.
#[tokio::test]
async fn every_key_and_constraint_leads_with_the_tenant_and_nothing_runs_with_other_rights() {
    let fixture = Fixture::postgres().await;
    let database = fixture.postgres.as_ref().unwrap();
    let keys = database.psql(
        "SELECT c.conrelid::regclass || ' ' || c.conname FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace
         WHERE n.nspname = 'credvault' AND c.contype IN ('p', 'u', 'f')
         AND c.conrelid::regclass::text NOT IN ('credvault.schema_migrations', 'credvault.root_keys', 'credvault.root_key_holders', 'credvault.audit_journal')
         AND (SELECT attname FROM pg_attribute WHERE attrelid = c.conrelid AND attnum = c.conkey[1]) <> 'tenant_id'",
    );
    assert_eq!(keys, "");
    let unique = database.psql(
        "SELECT i.indexrelid::regclass FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
         WHERE n.nspname = 'credvault' AND i.indisunique AND t.relname NOT IN ('schema_migrations', 'root_keys', 'root_key_holders', 'audit_journal')
         AND (SELECT attname FROM pg_attribute WHERE attrelid = i.indrelid AND attnum = i.indkey[0]) <> 'tenant_id'",
    );
    assert_eq!(unique, "");
    let definers = database.psql("SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'credvault' AND prosecdef");
    assert_eq!(definers, "");
    let views = database.psql("SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'credvault' AND relkind IN ('v', 'm')");
    assert_eq!(views, "");
}
