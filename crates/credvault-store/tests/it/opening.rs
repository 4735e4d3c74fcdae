//! Which databases are not served.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use credvault_crypto::{PassphraseKdf, RootKeySource, SystemRandom};
use credvault_store::{MigrateError, OpenError, Store};

use crate::fixture::{Fixture, migrate, open_store, root_key, scope, write};
use crate::on_both;

on_both![
    another_root_key_is_refused_and_nothing_is_written,
    a_database_of_a_newer_release_is_served_and_not_migrated,
    a_migration_that_no_release_has_is_refused,
    a_database_of_an_older_release_is_refused_until_it_is_migrated,
    a_root_key_whose_record_is_gone_is_told_as_that,
    migrating_twice_changes_nothing,
];

async fn another_root_key_is_refused_and_nothing_is_written(fixture: &Fixture) {
    fixture.store.close().await;
    let before = fixture.snapshot().await;
    root_key(&fixture.folder, "02");
    let wrong = RootKeySource::File(fixture.folder.path().join("root-02.key"));
    let opened = Store::open(
        fixture.settings.clone(),
        &wrong.into(),
        Arc::new(fixture.clock.clone()),
        Arc::new(SystemRandom),
    )
    .await;
    let message = opened.expect_err("another key").to_string();
    assert!(message.contains("the database's keys are under another root key"), "{message}");
    assert_eq!(fixture.snapshot().await, before);
    open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap().close().await;
}

async fn a_database_of_a_newer_release_is_served_and_not_migrated(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, id, "CANARY").await;
    fixture.execute("INSERT INTO schema_migrations (version, applied_at) VALUES ('m9999_future', 0)").await;
    let store = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap();
    let by_id = credvault_store::Selector::Connection { id, version: None };
    store.credentials().fetch(&scope, &by_id).await.unwrap();
    store.close().await;
    let migrate_url = fixture.postgres.as_ref().map(|database| database.migrate_url.clone().into());
    let owner = fixture.postgres.as_ref().map_or("unused", |database| &database.owner_role);
    let migrated =
        credvault_store::migrate(&fixture.settings, migrate_url.as_ref(), owner, &SystemRandom).await;
    assert!(matches!(&migrated, Err(MigrateError::Newer(_))), "{migrated:?}");
}

async fn a_migration_that_no_release_has_is_refused(fixture: &Fixture) {
    fixture.execute("INSERT INTO schema_migrations (version, applied_at) VALUES ('m0001_else', 0)").await;
    let opened = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await;
    assert!(matches!(&opened, Err(OpenError::Foreign(name)) if name == "m0001_else"), "{opened:?}");
    let message = opened.unwrap_err().to_string();
    assert!(!message.contains("  "), "{message}");
}

async fn a_database_of_an_older_release_is_refused_until_it_is_migrated(fixture: &Fixture) {
    fixture
        .execute(
            "UPDATE schema_migrations SET version = 'm0001_schema' WHERE false; DELETE FROM schema_migrations",
        )
        .await;
    let opened = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await;
    assert!(matches!(&opened, Err(OpenError::Older(_))), "{opened:?}");
}

async fn a_root_key_whose_record_is_gone_is_told_as_that(fixture: &Fixture) {
    fixture.store.close().await;
    fixture.execute("DELETE FROM root_keys").await;
    let before = fixture.snapshot().await;
    let opened = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await;
    assert!(matches!(opened, Err(OpenError::RootRecordGone)), "{opened:?}");
    assert_eq!(fixture.snapshot().await, before);
}

async fn migrating_twice_changes_nothing(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, id, "CANARY").await;
    migrate(&fixture.settings, fixture.postgres.as_ref()).await;
    assert_eq!(fixture.fetch(&scope, id).await.unwrap(), "CANARY");
}

#[tokio::test]
async fn a_passphrase_opens_its_database_again_and_another_one_does_not() {
    let fixture = Fixture::sqlite().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("vault.db").display());
    let settings = credvault_store::StoreSettings::new(url.into());
    migrate(&settings, None).await;
    let open = async |passphrase: &str| {
        let source = RootKeySource::Passphrase(passphrase.into(), PassphraseKdf::Argon2id);
        Store::open(settings.clone(), &source.into(), Arc::new(fixture.clock.clone()), Arc::new(SystemRandom))
            .await
    };
    let store = open("CANARY correct horse battery").await.unwrap();
    let scope = scope("acme", None);
    store
        .tenants()
        .create(&scope, "", &write(&scope, credvault_domain::Action::CreateTenant))
        .await
        .unwrap()
        .into_inner();
    store.close().await;
    assert!(matches!(open("CANARY wrong horse battery").await, Err(OpenError::RootKey(_))));
    open("CANARY correct horse battery").await.unwrap().close().await;
}

#[tokio::test]
async fn an_empty_or_missing_database_says_to_migrate() {
    let fixture = Fixture::sqlite().await;
    let folder = tempfile::tempdir().unwrap();
    root_key(&folder, "01");
    let path = folder.path().join("none.db");
    let settings = credvault_store::StoreSettings::new(format!("sqlite://{}", path.display()).into());
    let missing = open_store(&settings, &folder, &fixture.clock).await.unwrap_err().to_string();
    assert!(missing.contains("credvault migrate"), "{missing}");
    assert!(!path.exists());
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open_to_all = open_store(&settings, &folder, &fixture.clock).await.unwrap_err().to_string();
    assert!(open_to_all.contains("chmod 600"), "{open_to_all}");
    let migrated = credvault_store::migrate(&settings, None, "unused", &SystemRandom).await;
    assert!(migrated.unwrap_err().to_string().contains("chmod 600"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let empty = open_store(&settings, &folder, &fixture.clock).await.unwrap_err().to_string();
    assert!(empty.contains("credvault migrate"), "{empty}");
}

/// The driver's own messages repeat the URL, or a part of it.
#[tokio::test]
async fn a_url_that_the_driver_cannot_use_is_not_repeated() {
    let fixture = Fixture::sqlite().await;
    root_key(&fixture.folder, "01");
    for broken in [
        "postgres://app:CANARY#1@localhost/db",
        "postgres://app:CANARY/1@localhost/db",
        "postgres://app@localhost/db?sslmode=CANARY",
        "postgres://app@localhost/db?hostaddr=CANARY",
    ] {
        let settings = credvault_store::StoreSettings::new(broken.into());
        let opened = open_store(&settings, &fixture.folder, &fixture.clock).await.unwrap_err();
        assert!(matches!(opened, OpenError::Unusable), "{opened:?}");
        let sound = credvault_store::StoreSettings::new("postgres://app:CANARY@localhost/db".into());
        let migrated = credvault_store::migrate(&sound, Some(&broken.into()), "owner", &SystemRandom).await;
        let migrated = migrated.unwrap_err();
        assert!(matches!(migrated, MigrateError::Unusable("store.migrate_url")), "{migrated:?}");
        let told = format!("{opened} {opened:?} {migrated} {migrated:?}");
        assert!(told.contains("percent-encode") && !told.contains("CANARY"), "{told}");
    }
}

#[tokio::test]
async fn sqlite_files_are_private_and_survive_power_loss_settings() {
    let fixture = Fixture::sqlite().await;
    let scope = fixture.tenant("acme").await;
    fixture.connection(&scope, "a").await;
    for entry in std::fs::read_dir(fixture.folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
    }
    assert_eq!(fixture.text("SELECT journal_mode AS v FROM pragma_journal_mode").await, "wal");
}

/// What was written last stands in the files beside the database until SQLite moves it.
#[tokio::test]
async fn the_files_beside_a_database_are_private_too() {
    let fixture = Fixture::sqlite().await;
    fixture.store.close().await;
    for name in ["vault.db-wal", "vault.db-shm"] {
        let path = fixture.folder.path().join(name);
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused =
            open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap_err().to_string();
        assert!(refused.contains(name), "{refused}");
        assert!(refused.contains("chmod 600"), "{refused}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap().close().await;
}

#[tokio::test]
async fn two_processes_may_make_a_new_database_theirs_at_once() {
    let fixture = Fixture::postgres().await;
    let database =
        tokio::task::spawn_blocking(|| credvault_testkit::Postgres::shared().database()).await.unwrap();
    let settings = credvault_store::StoreSettings::new(database.url.clone().into());
    migrate(&settings, Some(&database)).await;
    root_key(&fixture.folder, "02");
    let open = |byte: &'static str| {
        let settings = settings.clone();
        let path = fixture.folder.path().join(format!("root-{byte}.key"));
        let clock = fixture.clock.clone();
        tokio::spawn(async move {
            Store::open(settings, &RootKeySource::File(path).into(), Arc::new(clock), Arc::new(SystemRandom))
                .await
        })
    };
    let (a, b, c) = tokio::join!(open("01"), open("01"), open("02"));
    let opened: Vec<_> = [a, b, c].into_iter().map(|opened| opened.unwrap()).collect();
    let counts = (opened[..2].iter().filter(|opened| opened.is_ok()).count(), opened[2].is_ok());
    assert!(counts == (2, false) || counts == (0, true), "one root key wins: {counts:?} {opened:?}");
}

impl Fixture {
    /// Everything that the database holds, as text.
    async fn snapshot(&self) -> String {
        let mut all = String::new();
        for table in [
            "root_keys",
            "tenants",
            "tenant_keys",
            "connections",
            "credential_versions",
            "requests",
            "audit_events",
            "changes",
        ] {
            all.push_str(&format!("{table}: {}\n", self.count(table).await));
        }
        all
    }

    pub async fn count(&self, table: &str) -> i64 {
        let as_text = if self.postgres.is_some() { "count(*)::text" } else { "CAST(count(*) AS TEXT)" };
        self.text(&format!("SELECT {as_text} AS v FROM {table}")).await.parse().unwrap()
    }
}
