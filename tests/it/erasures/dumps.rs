//! Dumps that the database's own tools make and restore: `pg_dump` and `pg_restore`, and copies of SQLite's file. What a dump
//! from before an erasure opens, with which root key, and what one from after it does not.

mod contents;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use credvault_crypto::SystemRandom;
use credvault_proto::v1;
use credvault_testkit::{Postgres, PostgresDatabase, postgres_program};

use super::{erased, nothing_is_found};
use crate::harness::backup::Place;
use crate::harness::{Client, TestVault, VaultBuilder, by_id, generic, owned_by, write};
use crate::on_both;

on_both![
    a_dump_from_before_brings_the_tenant_back_until_it_is_erased_again,
    a_root_key_that_was_rotated_and_destroyed_ends_what_older_dumps_open,
    the_root_key_and_a_dump_from_after_open_nothing_of_the_tenant,
];

/// A dump in the vault's folder.
pub struct Dump {
    path: PathBuf,
    /// Whose it is; none for SQLite.
    of: Option<PostgresDatabase>,
}

/// Runs a program of the database to its end, and gives what it printed.
fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Copies SQLite's file, and the one that it keeps beside it.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    for ending in ["", "-wal"] {
        let beside = |path: &std::path::Path| PathBuf::from(format!("{}{ending}", path.display()));
        if beside(from).exists() {
            std::fs::copy(beside(from), beside(to)).unwrap();
        }
    }
}

impl Dump {
    /// Dumps the whole database of a vault that does not run.
    pub fn of(vault: &TestVault, name: &str) -> Self {
        let path = vault.folder.path().join(name);
        match &vault.database {
            Some(database) => {
                let mut command = postgres_program("pg_dump");
                command.arg("--format=custom").arg("--file").arg(&path);
                run(command.args(["--dbname", &database.migrate_url]));
            }
            None => copy(&vault.folder.path().join("vault.db"), &path),
        }
        Self { path, of: vault.database.clone() }
    }

    /// A new database with what is in the dump.
    pub fn restored(&self, vault: &TestVault, name: &str) -> Place {
        let Some(of) = &self.of else {
            let place = vault.sqlite_place(name);
            copy(&self.path, &vault.folder.path().join(name));
            return place;
        };
        let to = Postgres::shared().database();
        let mut command = postgres_program("pg_restore");
        run(command.args(["--exit-on-error", "--dbname", &to.migrate_url]).arg(&self.path));
        // The roles belong to the server, so the service's is the one that it was.
        let to = to.with_roles_of(of);
        let flags = vec![
            format!("store.url={}", to.url),
            format!("store.migrate_url={}", to.migrate_url),
            format!("store.owner_role={}", to.owner_role),
        ];
        Place { flags, postgres: Some(to) }
    }
}

async fn app(vault: &TestVault, tenant: &str) -> Client {
    vault.client("app").await.acting_for(tenant, None)
}

/// A vault with a tenant that will be erased and another one, each with a connection, and a dump of that. Gives the ids.
async fn dumped(vault: &mut TestVault) -> (Dump, String, String) {
    let id = vault.app("acme").await.create(generic("main", "CANARY")).await.unwrap().id;
    let of_other = vault.app("other").await.create(generic("main", "CANARY other")).await.unwrap().id;
    vault.stop().await;
    let dump = Dump::of(vault, "before.dump");
    vault.start().await;
    (dump, id, of_other)
}

async fn listed(operator: &Client) -> Vec<String> {
    let request = v1::ListErasuresRequest::default();
    let erasures = operator.admin().list_erasures(request).await.unwrap().into_inner().erasures;
    erasures.into_iter().map(|erasure| erasure.tenant_id).collect()
}

async fn a_dump_from_before_brings_the_tenant_back_until_it_is_erased_again(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    let (dump, id, of_other) = dumped(&mut vault).await;
    let operator = vault.client("operator").await;
    erased(&operator).await;
    assert_eq!(
        listed(&operator).await,
        ["acme"],
        "what is to be kept where the database's end does not reach it"
    );
    nothing_is_found(&vault, &id).await;
    vault.stop().await;

    // What a thief gets who has the dump and the root key of its time, and an operator who restores it.
    let place = dump.restored(&vault, "restored.db");
    vault.start_on(&place).await;
    let operator = vault.client("operator").await;
    assert_eq!(listed(&operator).await, Vec::<String>::new());
    assert_eq!(app(&vault, "acme").await.token(by_id(&id)).await.unwrap(), "CANARY");
    // The list names it, so the operator erases it again.
    let again = erased(&operator).await;
    assert_eq!((again.state(), again.content.unwrap().connections), (v1::ErasureState::Erased, 1));
    nothing_is_found(&vault, &id).await;
    vault.stop().await;
    vault.start().await;
    nothing_is_found(&vault, &id).await;
    let other = app(&vault, "other").await;
    assert_eq!(other.token(by_id(&of_other)).await.unwrap(), "CANARY other");
}

async fn a_root_key_that_was_rotated_and_destroyed_ends_what_older_dumps_open(builder: VaultBuilder) {
    let with_other = |settings: &mut credvault::settings::RawSettings, folder: &std::path::Path| {
        write(folder, "other.key", &format!("{}01", "a5".repeat(31)));
        settings.other_root_key.file = Some(folder.join("other.key"));
    };
    let mut vault = builder.settings(with_other).start().await;
    let (before, id, of_other) = dumped(&mut vault).await;
    let operator = vault.client("operator").await;
    assert_eq!(erased(&operator).await.state(), v1::ErasureState::Erased);
    let rotate = v1::RotateRootKeyRequest::default();
    let mut stream = operator.admin().rotate_root_key(rotate).await.unwrap().into_inner();
    let mut last = v1::RotationProgress::default();
    while let Some(response) = stream.message().await.unwrap() {
        last = response.progress.unwrap();
    }
    assert_eq!((last.running, last.failed), (false, 0));
    vault.stop().await;
    let after = Dump::of(&vault, "after.dump");
    std::fs::remove_file(vault.folder.path().join("root.key")).unwrap();

    let other_key = format!("root_key.file={}", vault.folder.path().join("other.key").display());
    let with_other_key = |mut place: Place| {
        place.flags.push(other_key.clone());
        place
    };
    // The dump from before does not even start, and no key in it unwraps.
    let place = with_other_key(before.restored(&vault, "before.db"));
    let file = vault.folder.path().join("credvault.toml");
    let flags: Vec<_> = place.flags.iter().map(|flag| flag.split_once('=').unwrap()).collect();
    let flags: Vec<_> = flags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let settings = credvault::settings::RawSettings::read(Some(&file), [], &flags).check().unwrap();
    let clock = Arc::new(vault.clock.clone());
    let refused = credvault::Instance::start(settings, clock, Arc::new(SystemRandom)).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("another root key"), "{refused}");
    let found = contents::opened(&before.values().await, &vault.folder.path().join("other.key"), &[]).await;
    assert_eq!(found.keys, [0, 0]);

    // One from after the rotation has everything but the tenant.
    let place = with_other_key(after.restored(&vault, "after.db"));
    vault.start_on(&place).await;
    nothing_is_found(&vault, &id).await;
    let other = app(&vault, "other").await;
    assert_eq!(other.token(by_id(&of_other)).await.unwrap(), "CANARY other");
}

async fn the_root_key_and_a_dump_from_after_open_nothing_of_the_tenant(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
    let main = app.create(generic("main", "CANARY first")).await.unwrap().id;
    app.put(&main, "CANARY second").await.unwrap();
    let user = vault.client("app").await.acting_for("acme", Some("u1"));
    let own = user.create(owned_by("u1", generic("own", "CANARY own"))).await.unwrap().id;
    let of_other = vault.app("other").await.create(generic("main", "CANARY other")).await.unwrap().id;
    // A second key, under which everything is; the first is still there.
    let rotate = v1::RotateTenantKeyRequest { tenant_id: "acme".into(), ..Default::default() };
    let mut stream = operator.admin().rotate_tenant_key(rotate).await.unwrap().into_inner();
    while stream.message().await.unwrap().is_some() {}
    vault.stop().await;
    let before = Dump::of(&vault, "before.dump");
    vault.start().await;
    let erasure = erased(&vault.client("operator").await).await;
    assert_eq!(erasure.state(), v1::ErasureState::Erased);
    vault.stop().await;
    let after = Dump::of(&vault, "after.dump");

    let root = vault.folder.path().join("root.key");
    let places = [("acme", None, main), ("acme", Some("u1"), own), ("other", None, of_other)];
    let found = contents::opened(&before.values().await, &root, &places).await;
    assert_eq!(found.keys, [2, 1], "this is how a dump from before opens");
    let secrets = ["CANARY first", "CANARY second", "CANARY own", "CANARY other"];
    assert!(secrets.iter().all(|secret| found.holds(secret)), "{} values", found.values.len());

    let later = contents::opened(&after.values().await, &root, &places).await;
    assert_eq!(later.keys, [0, 1]);
    assert_eq!(later.values.len(), 1, "and that is the other tenant's");
    assert!(later.holds("CANARY other"));
    // Nor is any of it there to be opened by other means.
    let bytes = after.bytes();
    for (plain, sealed) in &found.values {
        let is_there = contents::contains(&bytes, sealed);
        assert_eq!(
            is_there,
            plain.windows(12).any(|window| window == b"CANARY other"),
            "a value that was sealed"
        );
    }
}
