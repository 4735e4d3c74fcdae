//! What only PostgreSQL has: roles, row-level security, round trips.

use credvault_crypto::RootKeySource;
use credvault_domain::{Action, Clock as _, ProviderId};
use credvault_store::{NewApp, NewAuthorization, OpenError, Selector, Store, StoreSettings};
use credvault_testkit::RoundTrips;
use secrecy::ExposeSecret as _;
use std::sync::Arc;

use crate::events::{new_endpoint, put};
use crate::fixture::*;
use crate::refreshes::{claimed, record, renewed, renewing};

async fn fixture_with_rows() -> Fixture {
    let fixture = Fixture::postgres().await;
    for tenant in ["acme", "other"] {
        let scope = fixture.tenant(tenant).await;
        put(&fixture, &scope, &new_endpoint(&[])).await.unwrap();
        let id = fixture.connection(&scope, "a").await.id;
        fixture.put(&scope, id, "CANARY").await;
        fixture
            .store
            .audit()
            .record(&permit(), event(&scope, Action::FetchCredential), ())
            .await
            .unwrap()
            .into_inner();
        let create = repeatable(&scope, Action::CreateConnection, uuid::Uuid::from_u128(1), "p");
        fixture
            .store
            .connections()
            .create(&scope, &new_connection("b"), None, &create)
            .await
            .unwrap()
            .into_inner();
        let (place, seen) = renewing(&fixture, &scope, "c").await;
        let ours = claimed(&fixture.store, &place, seen).await;
        fixture.store.refreshes().store(&ours, &renewed(&ours, "CANARY"), &record(&place)).await.unwrap();
        let app = NewApp {
            provider: ProviderId::parse("generic").unwrap(),
            client_id: "id".to_owned(),
            client_secret: Some("CANARY".to_owned().into()),
            keep_previous: false,
            redirect_uri: "https://app.test/back".to_owned(),
            scopes: Vec::new(),
            settings: Default::default(),
            secrets: Default::default(),
        };
        fixture
            .store
            .apps()
            .put(&scope, &app, &write(&scope, Action::PutOAuthApp))
            .await
            .unwrap()
            .into_inner();
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
        let begin = write(&scope, Action::BeginAuthorization);
        let authorizations = fixture.store.authorizations();
        let begun = authorizations.begin(&scope, id, &begun, &begin).await.unwrap().into_inner();
        let awaited = authorizations.find(begun.state.expose_secret()).await.unwrap();
        authorizations.start(&awaited, "browser").await.unwrap();
        let awaited = authorizations.find(begun.state.expose_secret()).await.unwrap();
        authorizations.hand_over(&awaited, &credential("CANARY").fields).await.unwrap();
        let brought = [("state", begun.state.expose_secret()), ("code", "CANARY")];
        let brought = brought.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        authorizations.arrive(&awaited, Some("browser"), Some(&brought)).await.unwrap();
        let (gone, _) = renewing(&fixture, &scope, "d").await;
        let disconnect = write(&scope, Action::DisconnectConnection);
        let revocations = fixture.store.revocations();
        revocations
            .disconnect(&scope, gone.connection(), None, true, &disconnect)
            .await
            .unwrap()
            .into_inner();
        assert!(revocations.open(&gone).await.unwrap().is_some());
        let day = std::time::Duration::from_secs(86_400);
        for first in [true, false] {
            let provider = ProviderId::parse("shopify").unwrap();
            let of_place = write(&scope, Action::VerifyWebhook);
            let seen = fixture.store.first_delivery(&place, &[7; 32], day, &of_place).await.unwrap();
            assert_eq!(seen.into_inner(), first);
            let of_app = write(&scope, Action::VerifyWebhook);
            let owner = (scope.tenant(), &provider);
            let seen = fixture.store.first_app_delivery(owner, &[7; 32], day, &of_app).await.unwrap();
            assert_eq!(seen.into_inner(), first);
        }
        for sql in [
            format!("INSERT INTO user_deletions VALUES ('{tenant}', 'u9', 0)"),
            format!(
                "INSERT INTO endpoint_deletions
                 SELECT tenant_id, id, 0 FROM event_endpoints WHERE tenant_id = '{tenant}'"
            ),
            // The service writes only the platform's.
            format!("INSERT INTO budgets VALUES ('{tenant}', 'generic', '', 0)"),
        ] {
            fixture.execute(&sql).await;
        }
    }
    fixture
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
            "webhook_replays",
            "app_webhook_replays",
            "event_deliveries",
            "user_deletions",
            "endpoint_deletions",
        ]
        .contains(&table.as_str());
        assert_eq!(count.lines().last() != Some("0"), crosses, "{table}");
        if crosses && !["tenants", "connections", "refreshes"].contains(&table.as_str()) {
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
        "DELETE FROM credvault.tenant_keys",
        "UPDATE credvault.tenant_keys SET version = 2",
        "DELETE FROM credvault.tenants",
        "UPDATE credvault.root_keys SET check_value = ''",
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
         AND c.conrelid::regclass::text NOT IN ('credvault.schema_migrations', 'credvault.root_keys')
         AND (SELECT attname FROM pg_attribute WHERE attrelid = c.conrelid AND attnum = c.conkey[1]) <> 'tenant_id'",
    );
    assert_eq!(keys, "");
    let unique = database.psql(
        "SELECT i.indexrelid::regclass FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
         WHERE n.nspname = 'credvault' AND i.indisunique AND t.relname NOT IN ('schema_migrations', 'root_keys')
         AND (SELECT attname FROM pg_attribute WHERE attrelid = i.indrelid AND attnum = i.indkey[0]) <> 'tenant_id'",
    );
    assert_eq!(unique, "");
    let definers = database.psql("SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'credvault' AND prosecdef");
    assert_eq!(definers, "");
    let views = database.psql("SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'credvault' AND relkind IN ('v', 'm')");
    assert_eq!(views, "");
}

#[tokio::test]
async fn roles_that_row_level_security_does_not_bind_are_refused() {
    let fixture = Fixture::postgres().await;
    let database = fixture.postgres.as_ref().unwrap();
    let root = RootKeySource::File(fixture.folder.path().join("root-01.key"));
    let open = async |url: String| {
        let settings = StoreSettings { url: url.into(), ..fixture.settings.clone() };
        Store::open(
            settings,
            &root,
            Arc::new(fixture.clock.clone()),
            Arc::new(credvault_crypto::SystemRandom),
        )
        .await
    };
    let superuser = open(database.migrate_url.clone()).await;
    assert!(matches!(superuser, Err(OpenError::Role("is a superuser or can become one"))), "{superuser:?}");
    let app = database.url.split("//").nth(1).unwrap().split(':').next().unwrap().to_owned();
    let (owner, between) = (&database.owner_role, format!("between_{app}"));
    database.psql(&format!("CREATE ROLE {between} NOLOGIN NOINHERIT CREATEROLE"));
    let too_much = [
        (format!("ALTER ROLE {app} BYPASSRLS"), format!("ALTER ROLE {app} NOBYPASSRLS"), "may bypass"),
        (format!("ALTER ROLE {app} CREATEROLE"), format!("ALTER ROLE {app} NOCREATEROLE"), "CREATEROLE"),
        (format!("ALTER ROLE {app} REPLICATION"), format!("ALTER ROLE {app} NOREPLICATION"), "REPLICATION"),
        (format!("GRANT {owner} TO {app}"), format!("REVOKE {owner} FROM {app}"), "owns the schema"),
        // By a step in between, which inherits nothing.
        (format!("GRANT {between} TO {app}"), format!("REVOKE {between} FROM {app}"), "CREATEROLE"),
        (
            format!("GRANT pg_execute_server_program TO {app}"),
            format!("REVOKE pg_execute_server_program FROM {app}"),
            "pg_execute_server_program",
        ),
        (
            format!("GRANT pg_write_all_data TO {app}"),
            format!("REVOKE pg_write_all_data FROM {app}"),
            "predefined role",
        ),
        (
            format!("ALTER FUNCTION credvault.append_audit_events OWNER TO {app}"),
            format!("ALTER FUNCTION credvault.append_audit_events OWNER TO {owner}"),
            "owns the schema",
        ),
        (
            format!("GRANT CREATE ON SCHEMA credvault TO {app}"),
            format!("REVOKE CREATE ON SCHEMA credvault FROM {app}"),
            "create objects",
        ),
        (
            "GRANT DELETE ON credvault.audit_events TO PUBLIC".to_owned(),
            "REVOKE DELETE ON credvault.audit_events FROM PUBLIC".to_owned(),
            "audit records",
        ),
        (
            format!("GRANT UPDATE (outcome) ON credvault.audit_events TO {app}"),
            format!("REVOKE UPDATE (outcome) ON credvault.audit_events FROM {app}"),
            "audit records",
        ),
        (
            format!("GRANT UPDATE (wrapped) ON credvault.tenant_keys TO {app}"),
            format!("REVOKE UPDATE (wrapped) ON credvault.tenant_keys FROM {app}"),
            "the root key's record",
        ),
        (
            "GRANT DELETE ON credvault.tenant_keys TO PUBLIC".to_owned(),
            "REVOKE DELETE ON credvault.tenant_keys FROM PUBLIC".to_owned(),
            "the root key's record",
        ),
        (
            format!("GRANT UPDATE ON credvault.root_keys TO {app}"),
            format!("REVOKE UPDATE ON credvault.root_keys FROM {app}"),
            "the root key's record",
        ),
        (
            format!("GRANT DELETE ON credvault.root_keys TO {app}"),
            format!("REVOKE DELETE ON credvault.root_keys FROM {app}"),
            "the root key's record",
        ),
        (
            format!("GRANT DELETE ON credvault.tenants TO {app}"),
            format!("REVOKE DELETE ON credvault.tenants FROM {app}"),
            "the root key's record",
        ),
        (
            format!("GRANT TRUNCATE ON credvault.connections TO {app}"),
            format!("REVOKE TRUNCATE ON credvault.connections FROM {app}"),
            "truncate",
        ),
        (
            format!(
                "CREATE VIEW credvault.all_keys AS SELECT * FROM credvault.tenant_keys;
                 GRANT SELECT ON credvault.all_keys TO {app}"
            ),
            "DROP VIEW credvault.all_keys".to_owned(),
            "all_keys",
        ),
        (
            "CREATE FUNCTION credvault.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER
             AS 'SELECT count(*) FROM credvault.tenant_keys'"
                .to_owned(),
            "DROP FUNCTION credvault.peek".to_owned(),
            "peek",
        ),
    ];
    for (make, unmake, word) in &too_much {
        database.psql(make);
        let refused = open(database.url.clone()).await.expect_err(make).to_string();
        assert!(refused.contains(word), "{make}: {refused}");
        database.psql(unmake);
    }
    open(database.url.clone()).await.unwrap().close().await;
    database.psql("ALTER TABLE credvault.connections NO FORCE ROW LEVEL SECURITY");
    let unforced = open(database.url.clone()).await;
    assert!(
        matches!(&unforced, Err(OpenError::Unprotected(table)) if table == "connections"),
        "{unforced:?}"
    );
    database.psql("ALTER TABLE credvault.connections FORCE ROW LEVEL SECURITY");
    open(database.url.clone()).await.unwrap().close().await;
}

/// A server that takes connections and then says nothing more does not hold up the start without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_has_a_time_limit_at_every_step() {
    let fixture = Fixture::postgres().await;
    let database = fixture.postgres.as_ref().unwrap();
    let limit = std::time::Duration::from_millis(500);
    for trips in 0.. {
        let proxy = RoundTrips::start(database.port);
        let url = database.url.replace(&format!(":{}/", database.port), &format!(":{}/", proxy.port));
        let settings = StoreSettings {
            acquire_timeout: limit,
            statement_timeout: limit,
            ..StoreSettings::new(url.into())
        };
        proxy.silence_after(trips);
        match open_store(&settings, &fixture.folder, &fixture.clock).await {
            Ok(store) => {
                assert!(trips > 5, "{trips}");
                return store.close().await;
            }
            Err(error) => assert!(error.to_string().contains("the database"), "{error}"),
        }
    }
}

/// What a pooler does that gives one client's session to another.
#[tokio::test]
async fn statements_of_others_in_the_session_are_told_as_a_pooler() {
    let fixture = Fixture::postgres().await;
    let database = fixture.postgres.as_ref().unwrap();
    let refused = database.psql_as_service("PREPARE s AS SELECT 1; PREPARE s AS SELECT 1;").unwrap_err();
    assert!(refused.contains("already exists"), "{refused}");
    use sea_orm::ConnectionTrait as _;
    let db = sea_orm::Database::connect(database.url.clone()).await.unwrap();
    let twice = db.execute_unprepared("PREPARE s AS SELECT 1; PREPARE s AS SELECT 1;").await.unwrap_err();
    let told = OpenError::from(twice).to_string();
    assert!(told.contains("pooler") && !told.contains("migrate"), "{told}");
}

/// The read of a fetch is one round trip; its audit record is one more, which it shares with others.
#[tokio::test]
async fn a_fetch_takes_one_round_trip() {
    let fixture = Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, id, "CANARY").await;
    let trips = RoundTrips::start(fixture.postgres.as_ref().unwrap().port);
    let port = fixture.postgres.as_ref().unwrap().port.to_string();
    let url = fixture.postgres.as_ref().unwrap().url.replace(&port, &trips.port.to_string());
    let settings = StoreSettings { url: url.into(), max_connections: 1, ..fixture.settings.clone() };
    let store = open_store(&settings, &fixture.folder, &fixture.clock).await.unwrap();
    let by_id = Selector::Connection { id, version: None };
    for selector in [by_id, by_provider(Some("u1"), None), by_provider(None, Some("a"))] {
        // The first time, the statement is prepared.
        store.credentials().fetch(&scope, &selector).await.unwrap();
        // The proof of life on its own connection may come between.
        let mut least = u64::MAX;
        for _ in 0..5 {
            let before = trips.count();
            let fetched = store.credentials().fetch(&scope, &selector).await.unwrap();
            store.credentials().open(&fetched, fixture.clock.now(), false).await.unwrap();
            least = least.min(trips.count() - before);
        }
        assert_eq!(least, 1, "{selector:?}");
    }
    store.audit().record(&permit(), event(&scope, Action::FetchCredential), ()).await.unwrap().into_inner();
    let mut least = u64::MAX;
    for _ in 0..5 {
        let (events, used) =
            (vec![event(&scope, Action::FetchCredential)], vec![(scope.tenant().clone(), id)]);
        let before = trips.count();
        store.audit().record_fetches(&permit(), events, used, ()).await.unwrap().into_inner();
        least = least.min(trips.count() - before);
    }
    assert_eq!(least, 1, "the audit record");
    store.close().await;
}

#[tokio::test]
async fn records_of_many_calls_share_commits() {
    let fixture = Fixture::postgres().await;
    let database = fixture.postgres.as_ref().unwrap();
    let scopes = [fixture.tenant("acme").await, fixture.tenant("other").await];
    let commits =
        || database.psql("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()");
    let transactions = || database.psql("SELECT pg_current_xact_id()::text").parse::<i64>().unwrap();
    let before = transactions();
    let tasks: Vec<_> = (0..400)
        .map(|i| {
            let (store, scope) = (fixture.store.clone(), scopes[i % 2].clone());
            tokio::spawn(async move {
                store
                    .audit()
                    .record(&permit(), event(&scope, Action::FetchCredential), ())
                    .await
                    .unwrap()
                    .into_inner()
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let used = transactions() - before;
    assert!(used < 100, "{used} transactions for 400 records; {} commits", commits());
    for tenant in ["acme", "other"] {
        let count = database.psql(&format!("SELECT count(*) FROM credvault.audit_events WHERE tenant_id = '{tenant}' AND action = 'FetchCredential'"));
        assert_eq!(count, "200");
    }
}

#[tokio::test]
async fn records_of_many_tenants_share_a_commit() {
    let fixture = Fixture::postgres().await;
    let database = fixture.postgres.as_ref().unwrap();
    let scopes: Vec<_> = (0..256).map(|i| scope(&format!("t{i}"), None)).collect();
    let begun = std::time::Instant::now();
    let tasks = scopes.into_iter().map(|scope| {
        let store = fixture.store.clone();
        async move {
            store
                .audit()
                .record(&permit(), event(&scope, Action::FetchCredential), ())
                .await
                .unwrap()
                .into_inner()
        }
    });
    futures::future::join_all(tasks).await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    let tenants =
        "SELECT count(DISTINCT tenant_id) FROM credvault.audit_events WHERE action = 'FetchCredential'";
    assert_eq!(database.psql(tenants), "256");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_vanishes_without_a_word_is_noticed_and_left_behind() {
    let fixture = Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    let database = fixture.postgres.as_ref().unwrap();
    let proxy = RoundTrips::start(database.port);
    let url = database.url.replace(&format!(":{}/", database.port), &format!(":{}/", proxy.port));
    let second = std::time::Duration::from_secs(1);
    let settings = StoreSettings {
        acquire_timeout: second,
        statement_timeout: second,
        // The one that falls silent is the one that is used next; another would be opened and would answer.
        max_connections: 1,
        ..StoreSettings::new(url.into())
    };
    let store = open_store(&settings, &fixture.folder, &fixture.clock).await.unwrap();
    let record = || async {
        store.audit().record(&permit(), event(&scope, Action::FetchCredential), ()).await.map(|_| ())
    };
    record().await.unwrap();
    store.ping().await.unwrap();

    proxy.silence();
    let begun = std::time::Instant::now();
    assert!(record().await.is_err());
    let not_ready = async { while store.ping().await.is_ok() {} };
    tokio::time::timeout(10 * second, not_ready).await.expect("ready although the log fails");
    while record().await.is_err() {
        assert!(begun.elapsed() < 20 * second, "the connections that are dead are still used");
    }
    let well = async { while store.ping().await.is_err() {} };
    tokio::time::timeout(60 * second, well).await.unwrap();
    tokio::time::timeout(20 * second, store.close()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_answers_before_the_disk_has_it_is_refused() {
    let fixture = Fixture::postgres().await;
    let database = fixture.postgres.as_ref().unwrap();
    database.psql("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$");
    let refused = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.err();
    assert!(matches!(refused, Some(OpenError::NotDurable)), "{refused:?}");
}

#[tokio::test]
async fn no_secret_leaves_without_its_record() {
    let fixture = Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    let settings =
        StoreSettings { audit_timeout: std::time::Duration::from_millis(300), ..fixture.settings.clone() };
    let store = open_store(&settings, &fixture.folder, &fixture.clock).await.unwrap();
    let database = fixture.postgres.clone().unwrap();
    database.psql("REVOKE INSERT ON credvault.audit_events FROM PUBLIC");
    let app = database.url.split("//").nth(1).unwrap().split(':').next().unwrap().to_owned();
    database.psql(&format!("REVOKE INSERT ON credvault.audit_events FROM {app}"));
    let refused = store.audit().record(&permit(), event(&scope, Action::FetchCredential), "CANARY").await;
    assert!(matches!(refused, Err(credvault_store::Error::AuditUnavailable)), "{refused:?}");
    database.psql(&format!("GRANT INSERT ON credvault.audit_events TO {app}"));
    store.audit().record(&permit(), event(&scope, Action::FetchCredential), ()).await.unwrap().into_inner();
}

#[tokio::test]
async fn the_last_use_is_remembered_to_the_minute_and_a_held_row_is_not_waited_for() {
    let fixture = Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    let used = async || {
        let event = event(&scope, Action::FetchCredential);
        fixture
            .store
            .audit()
            .record_fetches(&permit(), vec![event], vec![(scope.tenant().clone(), id)], ())
            .await
            .unwrap()
            .into_inner();
        fixture.store.connections().get(&scope, id).await.unwrap().last_used_time
    };
    let first = used().await.unwrap();
    assert_eq!(first, fixture.clock.now());
    fixture.clock.advance(std::time::Duration::from_secs(30));
    assert_eq!(used().await, Some(first), "within the minute");
    fixture.clock.advance(std::time::Duration::from_secs(31));
    assert_eq!(used().await, Some(fixture.clock.now()));

    fixture.clock.advance(std::time::Duration::from_secs(61));
    let database = fixture.postgres.clone().unwrap();
    let holder = std::thread::spawn(move || {
        database.psql("BEGIN; SELECT 1 FROM credvault.connections FOR UPDATE; SELECT pg_sleep(2); COMMIT;")
    });
    std::thread::sleep(std::time::Duration::from_millis(500));
    let begun = std::time::Instant::now();
    used().await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
    holder.join().unwrap();
}
