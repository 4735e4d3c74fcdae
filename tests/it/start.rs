//! How the program starts and ends: signals, files, one process for a SQLite file, clocks.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use credvault::{Instance, StartError};
use credvault_crypto::SystemRandom;
use credvault_proto::v1;
use credvault_testkit::RoundTrips;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Process, VaultBuilder, by_id, eventually, generic, get, refusal};

fn text(output: &std::process::Output) -> (Option<i32>, String) {
    let printed = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).unwrap())
}

/// Whether a process has a handler for a signal, as the system sees it.
fn catches(child: &Child, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
    u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << (signal.as_raw() - 1)) != 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_count_while_the_database_does_not_answer() {
    let vault = VaultBuilder::postgres().prepare().await;
    let database = vault.database.as_ref().unwrap();
    for (command, signal) in
        [("serve", Signal::TERM), ("serve", Signal::INT), ("migrate", Signal::TERM), ("migrate", Signal::INT)]
    {
        let proxy = RoundTrips::start(database.port);
        proxy.silence_after(0);
        let through = |url: &str| url.replace(&format!(":{}/", database.port), &format!(":{}/", proxy.port));
        let mut child = Process::command()
            .args([command, "--config"])
            .arg(vault.folder.path().join("credvault.toml"))
            .args(["--set", &format!("store.url={}", through(&database.url))])
            .args(["--set", &format!("store.migrate_url={}", through(&database.migrate_url))])
            .args(["--set", "store.acquire_timeout_ms=600000", "--set", "store.statement_timeout_ms=600000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the database to be asked", || async { proxy.swallowed() > 0 }).await;
        assert!(catches(&child, signal), "{command} {signal:?}");
        kill_process(Pid::from_child(&child), signal).unwrap();
        eventually("the end", || {
            let ended = child.try_wait().unwrap().is_some();
            async move { ended }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_a_sqlite_file_is_refused_until_the_first_has_ended() {
    let vault = VaultBuilder::sqlite().prepare().await;
    let folder = vault.folder.path();
    let first = Process::serve(folder, &[]).unwrap();
    // By another name for the same file, too.
    std::os::unix::fs::symlink(folder.join("vault.db"), folder.join("alias.db")).unwrap();
    let alias = format!("store.url=sqlite:{}", folder.join("alias.db").display());
    for settings in [&[][..], &[alias.as_str()]] {
        let refused = Process::serve(folder, settings).err().unwrap();
        let holder = format!("process {}", first.pid().as_raw_nonzero());
        assert!(refused.contains("in use by another process"), "{refused}");
        assert!(refused.contains(&holder), "{refused}");
    }
    let migrated = text(&Process::run(folder, &["migrate", "--config", "credvault.toml"]));
    assert_eq!(migrated.0, Some(1), "{}", migrated.1);
    assert!(migrated.1.contains("in use by another process"), "{}", migrated.1);
    first.signal(Signal::KILL);
    first.wait();
    Process::serve(folder, &[]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_all_may_read_are_refused_by_name() {
    let vault = VaultBuilder::sqlite().prepare().await;
    let folder = vault.folder.path();
    vault.write("migrate_url", "postgres://admin:CANARY@localhost/vault");
    let with_mode = |name: &str, mode| {
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let serve = || {
        let mut command = Process::command();
        command.current_dir(folder).args(["serve", "--config", "credvault.toml"]);
        command.env("CREDVAULT__STORE__MIGRATE_URL_FILE", folder.join("migrate_url"));
        text(&command.output().unwrap())
    };
    for name in ["root.key", "server.key", "vault.db", "migrate_url"] {
        for mode in [0o604, 0o644, 0o606] {
            with_mode(name, mode);
            let (code, refused) = serve();
            let named =
                refused.contains(name) && refused.contains("chmod 600") && !refused.contains("CANARY");
            assert!(code.is_some_and(|code| code != 0), "{name} {mode:o}: {refused}");
            assert!(named, "{name} {mode:o}: {refused}");
        }
        // As Kubernetes mounts it, and as its owner made it.
        with_mode(name, if name == "vault.db" { 0o660 } else { 0o440 });
    }
    Process::serve(folder, &[]).unwrap();
}

/// A stop that waited for a job would last as long as the database lets that wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_upkeep() {
    let longest = Duration::from_secs(600);
    let builder = VaultBuilder::postgres().store_timeouts(longest);
    let mut vault = builder.settings(|settings, _| settings.store.lock_timeout_ms = 600_000).prepare().await;
    let blocking = vault.blocking("LOCK TABLE user_deletions IN ACCESS EXCLUSIVE MODE").await;
    vault.start().await;
    let database = vault.database.clone().unwrap();
    let waiting =
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'credvault.user_deletions'::regclass";
    eventually("upkeep to wait for the table", || async { database.psql(waiting).trim() != "0" }).await;
    tokio::time::timeout(Duration::from_secs(60), vault.stop()).await.unwrap();
    blocking.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_sees_a_file_change_lets_go_of_the_database() {
    let mut vault = VaultBuilder::sqlite().prepare().await;
    let file = vault.folder.path().join("credvault.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    vault.write("credvault.toml", &format!("{before}# changed\n"));
    let clock = Arc::new(vault.clock.clone());
    let started = Instance::start(vault.settings.check().unwrap(), clock, Arc::new(SystemRandom)).await;
    assert!(matches!(started, Err(StartError::Changing)), "{started:?}");
    // SQLite removes this file when the last connection is closed.
    assert!(!vault.folder.path().join("vault.db-wal").exists());
    vault.write("credvault.toml", &before);
    vault.start().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_a_file_has_no_colours() {
    let vault = VaultBuilder::sqlite().prepare().await;
    let (folder, path) = (vault.folder.path(), vault.folder.path().join("log"));
    let mut child = Process::command()
        .current_dir(folder)
        .args(["serve", "--config", "credvault.toml", "--set", "telemetry.log_format=text"])
        .stderr(std::fs::File::create(&path).unwrap())
        .spawn()
        .unwrap();
    let log = || std::fs::read_to_string(&path).unwrap();
    eventually("the log", || async { log().contains("serving") }).await;
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
    assert!(!log().contains('\u{1b}'), "{}", log());
}

/// A replica whose clock is off by much is not ready, and judges ends of credentials by the database's clock all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_differs_from_the_databases_is_noticed_and_not_followed() {
    let builder =
        VaultBuilder::postgres().settings(|settings, _| settings.store.max_clock_skew_seconds = 300);
    let vault = builder.start().await;
    let admin = vault.instance.as_ref().unwrap().admin_address;
    let ready = async || get(admin, "/readyz").await;
    eventually("readiness", || async { ready().await.0 == 200 }).await;
    let app = vault.app("acme").await;
    let lives = |account: &str, seconds| {
        let mut new = generic(account, "CANARY");
        let ttl = prost_types::Duration { seconds, nanos: 0 };
        new.credential.as_mut().unwrap().expiry = Some(v1::credential_input::Expiry::Ttl(ttl));
        app.create(new)
    };
    let long = lives("long", 3600).await.unwrap().id;
    let short = lives("short", 5).await.unwrap().id;

    // Within the life of the client's certificate.
    let minutes = Duration::from_secs(900);
    vault.clock.advance(minutes);
    eventually("unreadiness", || async { ready().await.0 == 503 }).await;
    assert!(ready().await.1.contains("clock"), "{}", ready().await.1);
    assert_eq!(app.token(by_id(&long)).await.unwrap(), "CANARY", "it lives for an hour");
    let shown = vault.metrics().await;
    let shown = shown.lines().find_map(|line| line.strip_prefix("credvault_clock_difference_seconds "));
    let shown: f64 = shown.unwrap().parse().unwrap();
    assert!((600.0..910.0).contains(&shown), "{shown}");
    // Either clock may be the wrong one, so a certificate that has ended by one of them does not count.
    vault.clock.advance(8 * minutes);
    let refused = app.fetch(by_id(&long)).await.unwrap_err();
    assert_eq!(refusal(&refused), "Unauthenticated CLIENT_CERTIFICATE_INVALID");

    vault.clock.set_back(10 * minutes);
    eventually("the end of what lives for seconds", || async {
        app.fetch(by_id(&short))
            .await
            .is_err_and(|status| refusal(&status) == "FailedPrecondition CREDENTIAL_EXPIRED")
    })
    .await;
    assert_eq!(ready().await.0, 503);
    vault.clock.advance(minutes);
    eventually("readiness again", || async { ready().await.0 == 200 }).await;
}
