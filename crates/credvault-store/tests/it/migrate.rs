//! Migrating beside a service that runs on PostgreSQL, and migrating that is cut off.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::fixture::{Fixture, credential, event, migrate, permit, write};
use credvault_crypto::SystemRandom;
use credvault_domain::{Action, ConnectionId, TenantScope};
use credvault_testkit::RoundTrips;
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};

/// A service at work until it is stopped: reads, records, changes and upkeep, of which each must succeed.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn on(fixture: &Fixture, scope: &TenantScope, id: ConnectionId) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicU64::new(0));
        let calls = (0..4).map(|_| {
            let store = fixture.store.clone();
            let scope = scope.clone();
            let stop = Arc::clone(&stop);
            let served = Arc::clone(&served);
            tokio::spawn(async move {
                let selector = credvault_store::Selector::Connection { id, version: None };
                while !stop.load(Ordering::SeqCst) {
                    store.credentials().fetch(&scope, &selector).await.unwrap();
                    let record = event(&scope, Action::FetchCredential);
                    store.audit().record(&permit(), record, ()).await.unwrap().into_inner();
                    let put = write(&scope, Action::PutCredential);
                    let new = credential("CANARY");
                    store.credentials().put(&scope, id, &new, None, &put).await.unwrap().into_inner();
                    served.fetch_add(1, Ordering::SeqCst);
                }
            })
        });
        let mut tasks: Vec<_> = calls.collect();
        tasks.push(Self::upkeep(fixture, Arc::clone(&stop)));
        Self { stop, served, tasks }
    }

    /// Searches the tables for what is due, `authorizations` among them, and finds nothing.
    fn upkeep(fixture: &Fixture, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<()> {
        let store = fixture.store.clone();
        tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                store.upkeep().await.unwrap();
            }
        })
    }

    /// Ends it; a call that failed fails the test.
    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.served.load(Ordering::SeqCst)
    }
}

/// What the service's role may do, and the owner of all: as text, to be compared.
fn rights(fixture: &Fixture) -> String {
    fixture.postgres.as_ref().unwrap().psql(
        "SELECT relname, relacl, relrowsecurity, relforcerowsecurity FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE nspname = 'credvault' AND relkind IN ('r', 'p') ORDER BY relname;
         SELECT proname, proacl FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE nspname = 'credvault' ORDER BY proname;
         SELECT nspacl FROM pg_namespace WHERE nspname = 'credvault';",
    )
}

/// The rights without their order, which a grant that was taken and given again changes.
fn sorted(rights: &str) -> BTreeSet<String> {
    rights.split(['\n', '|', ',', '{', '}']).map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_service_at_work_it_fails_no_call_and_writes_nothing() {
    let fixture = Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, id, "CANARY").await;
    let load = Load::on(&fixture, &scope, id);
    let database = fixture.postgres.as_ref().unwrap();
    let catalogs = || {
        database.psql(
            "SELECT max(c.xmin::text::bigint) FROM (
                SELECT xmin FROM pg_class WHERE relnamespace = 'credvault'::regnamespace AND relkind IN ('r', 'p')
                UNION ALL SELECT xmin FROM pg_proc WHERE pronamespace = 'credvault'::regnamespace
                UNION ALL SELECT xmin FROM pg_namespace WHERE nspname = 'credvault') c",
        )
    };
    let before = rights(&fixture);
    let written = catalogs();
    for _ in 0..20 {
        migrate(&fixture.settings, fixture.postgres.as_ref()).await;
    }
    assert_eq!(rights(&fixture), before);
    assert_eq!(catalogs(), written);
    assert!(load.end().await > 0);
}

/// Rights that differ are mended while calls go on; and wherever it is cut off, the service has all that it needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_at_any_moment_it_leaves_the_service_its_rights() {
    let fixture = Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, id, "CANARY").await;
    let database = fixture.postgres.clone().unwrap();
    let as_it_should_be = sorted(&rights(&fixture));
    let app = database.url.split("//").nth(1).unwrap().split(':').next().unwrap().to_owned();
    let proxy = RoundTrips::start(database.port);
    let mut through = database.clone();
    through.migrate_url =
        database.migrate_url.replace(&format!(":{}/", database.port), &format!(":{}/", proxy.port));
    let migrate_url = through.migrate_url.clone().into();
    let load = Load::on(&fixture, &scope, id);
    let mut cuts = 0;
    loop {
        // Too much here, too little there, and the functions as a migration that replaces them leaves them.
        database.psql(&format!(
            "GRANT UPDATE ON credvault.audit_events TO {app}; GRANT SELECT (root_id) ON credvault.root_keys TO {app};
             REVOKE DELETE ON credvault.event_endpoints FROM {app};
             GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA credvault TO PUBLIC;"
        ));
        proxy.cut_after(cuts);
        let migrated = credvault_store::migrate(
            &fixture.settings,
            Some(&migrate_url),
            &through.owner_role,
            &SystemRandom,
        )
        .await;
        if migrated.is_ok() {
            break;
        }
        cuts += 1;
        assert!(cuts < 200, "it never gets through");
    }
    assert!(cuts > 10, "it was cut off {cuts} times only");
    assert_eq!(sorted(&rights(&fixture)), as_it_should_be);
    assert!(load.end().await > 0);
}

/// A migration that is not there yet: it alters a table that is in use while calls go on, and its own table gets the
/// rights of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pending_migration_comes_beside_a_service_at_work() {
    let fixture = Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, id, "CANARY").await;
    let database = fixture.postgres.clone().unwrap();
    let as_it_should_be = sorted(&rights(&fixture));
    let load = Load::on(&fixture, &scope, id);
    let migrate_url = database.migrate_url.clone().into();
    for _ in 0..10 {
        database.psql(
            "DROP TABLE credvault.callbacks;
             DROP INDEX credvault.authorizations_browser;
             ALTER TABLE credvault.authorizations DROP COLUMN return_url;
             DELETE FROM credvault.schema_migrations WHERE version = 'm0002_callbacks';",
        );
        let applied = credvault_store::migrate(
            &fixture.settings,
            Some(&migrate_url),
            &database.owner_role,
            &SystemRandom,
        );
        assert_eq!(applied.await.unwrap().len(), 1);
        assert_eq!(sorted(&rights(&fixture)), as_it_should_be);
    }
    assert!(load.end().await > 0);
}

/// The lock that a `credvault migrate` holds while it works: "credvaul".
const LOCK: i64 = 0x6372_6564_7661_756c;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_one_waits_for_the_first() {
    let fixture = Fixture::postgres().await;
    let database = fixture.postgres.clone().unwrap();
    let first = fixture.admin_connection().await;
    let working = first.begin().await.unwrap();
    working.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await.unwrap();
    let migrate_url = database.migrate_url.clone().into();
    let migrating =
        credvault_store::migrate(&fixture.settings, Some(&migrate_url), &database.owner_role, &SystemRandom);
    let mut migrating = std::pin::pin!(migrating);
    let waiting = format!(
        "SELECT CAST(count(*) AS TEXT) AS v FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND (classid::bigint << 32 | objid::bigint) = {LOCK}"
    );
    let second_waits = async { while fixture.text(&waiting).await == "0" {} };
    tokio::select! {
        biased;
        _ = &mut migrating => panic!("it does not wait for the first"),
        () = second_waits => {}
    }
    // Nothing but the end of the first lets it go on.
    working.commit().await.unwrap();
    assert!(migrating.await.unwrap().is_empty());
}
