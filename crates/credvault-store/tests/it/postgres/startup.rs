//! What a start refuses: roles that row-level security does not bind, poolers, databases without durability.

use std::sync::Arc;

use credvault_crypto::RootKeySource;
use credvault_store::{OpenError, Store, StoreSettings};
use credvault_testkit::RoundTrips;

use crate::fixture::{Fixture, open_store};

#[tokio::test]
async fn roles_that_row_level_security_does_not_bind_are_refused() {
    let fixture = Fixture::postgres().await;
    let database = fixture.postgres.as_ref().unwrap();
    let root = RootKeySource::File(fixture.folder.path().join("root-01.key"));
    let open = async |url: String| {
        let settings = StoreSettings { url: url.into(), ..fixture.settings.clone() };
        Store::open(
            settings,
            &root.clone().into(),
            Arc::new(fixture.clock.clone()),
            Arc::new(credvault_crypto::SystemRandom),
        )
        .await
    };
    let superuser = open(database.migrate_url.clone()).await;
    assert!(matches!(superuser, Err(OpenError::Role("is a superuser or can become one"))), "{superuser:?}");
    let app = database.url.split("//").nth(1).unwrap().split(':').next().unwrap().to_owned();
    let owner = &database.owner_role;
    let between = format!("between_{app}");
    database.psql(&format!("CREATE ROLE {between} NOLOGIN NOINHERIT CREATEROLE"));
    let too_much = [
        attributes(&app),
        memberships(&app, owner, &between),
        table_rights(&app),
        owners_rights(&app, owner),
    ];
    for Excess { give, take, word } in too_much.iter().flatten() {
        database.psql(give);
        let refused = open(database.url.clone()).await.expect_err(give).to_string();
        assert!(refused.contains(word), "{give}: {refused}");
        database.psql(take);
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

/// A right that the service must not have, and a word of the refusal.
struct Excess {
    give: String,
    take: String,
    word: &'static str,
}

fn grant(right: &str, role: &str, word: &'static str) -> Excess {
    Excess { give: format!("GRANT {right} TO {role}"), take: format!("REVOKE {right} FROM {role}"), word }
}

fn attributes(app: &str) -> Vec<Excess> {
    [("BYPASSRLS", "may bypass"), ("CREATEROLE", "CREATEROLE"), ("REPLICATION", "REPLICATION")]
        .map(|(attribute, word)| Excess {
            give: format!("ALTER ROLE {app} {attribute}"),
            take: format!("ALTER ROLE {app} NO{attribute}"),
            word,
        })
        .into()
}

fn memberships(app: &str, owner: &str, between: &str) -> Vec<Excess> {
    vec![
        grant(owner, app, "owns the schema"),
        grant(&format!("{owner}_backup"), app, "for backups"),
        // By a step in between, which inherits nothing.
        grant(between, app, "CREATEROLE"),
        grant("pg_execute_server_program", app, "pg_execute_server_program"),
        grant("pg_write_all_data", app, "predefined role"),
    ]
}

fn table_rights(app: &str) -> Vec<Excess> {
    vec![
        grant("DELETE ON credvault.audit_events", "PUBLIC", "audit records"),
        grant("UPDATE (outcome) ON credvault.audit_events", app, "audit records"),
        grant("UPDATE (version) ON credvault.tenant_keys", app, "a root key's record"),
        grant("UPDATE ON credvault.root_keys", app, "a root key's record"),
        grant("DELETE ON credvault.root_keys", app, "a root key's record"),
        grant("DELETE ON credvault.tenants", app, "a root key's record"),
        grant("TRUNCATE ON credvault.connections", app, "truncate"),
    ]
}

/// Rights to create objects, and objects that act with their owner's rights.
fn owners_rights(app: &str, owner: &str) -> Vec<Excess> {
    vec![
        grant("CREATE ON SCHEMA credvault", app, "create objects"),
        Excess {
            give: format!("ALTER FUNCTION credvault.append_audit_events OWNER TO {app}"),
            take: format!("ALTER FUNCTION credvault.append_audit_events OWNER TO {owner}"),
            word: "owns the schema",
        },
        Excess {
            give: format!(
                "CREATE VIEW credvault.all_keys AS SELECT * FROM credvault.tenant_keys;
                 GRANT SELECT ON credvault.all_keys TO {app}"
            ),
            take: "DROP VIEW credvault.all_keys".to_owned(),
            word: "all_keys",
        },
        Excess {
            give: "CREATE FUNCTION credvault.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER
                   AS 'SELECT count(*) FROM credvault.tenant_keys'"
                .to_owned(),
            take: "DROP FUNCTION credvault.peek".to_owned(),
            word: "peek",
        },
    ]
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
    assert!(told.contains("pooler"), "{told}");
    assert!(!told.contains("migrate"), "{told}");
}

#[tokio::test]
async fn a_server_that_answers_before_the_disk_has_it_is_refused() {
    let fixture = Fixture::postgres().await;
    let database = fixture.postgres.as_ref().unwrap();
    database.psql("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$");
    let refused = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.err();
    assert!(matches!(refused, Some(OpenError::NotDurable)), "{refused:?}");
}
