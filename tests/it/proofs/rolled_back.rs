//! A database that is set back as a whole, with all that the vault has noted of what it signed. The vault cannot know of it; an
//! auditor who has kept a checkpoint finds it, whether the log is shorter now or has grown again.

use futures::future::try_join_all;

use crate::commands::Shell;
use crate::erasures::dumps::Dump;
use crate::harness::{Process, TestVault, VaultBuilder, by_id, eventually, generic};
use crate::on_both;

on_both![an_older_copy_of_the_database_is_found_by_a_kept_checkpoint];

/// How many calls are made at once.
const AT_ONCE: usize = 20;

/// Fetches, so that there are so many records more.
async fn fetch(vault: &TestVault, id: &str, count: usize) {
    let app = vault.client("app").await.acting_for("acme", None);
    for _ in 0..count / AT_ONCE {
        try_join_all((0..AT_ONCE).map(|_| app.token(by_id(id)))).await.unwrap();
    }
}

/// The newest checkpoint, as the command prints it, and its size.
fn checkpoint(shell: &Shell) -> (String, u64) {
    let text = shell.app(0, &["audit", "checkpoint"]);
    let size = text.lines().nth(1).unwrap().parse().unwrap();
    (format!("{}\n", text.trim_end()), size)
}

/// Exports with proofs and then, without the vault, verifies that with these arguments, which must end with this code. Gives
/// what the verifier says.
fn audited(vault: &TestVault, shell: &Shell, export: &[&str], (code, verify): (i32, &[&str])) -> String {
    let file = ["--output", "export.jsonl"];
    shell.app(0, &[&["audit", "export", "--format", "proved"][..], &file, export].concat());
    let arguments = [&["audit", "verify", "export.jsonl", "--key", "log.key"][..], verify].concat();
    let output = Process::run(vault.folder.path(), &arguments);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    std::fs::remove_file(vault.folder.path().join("export.jsonl")).unwrap();
    said
}

async fn an_older_copy_of_the_database_is_found_by_a_kept_checkpoint(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    let id = vault.app("acme").await.create(generic("main", "CANARY")).await.unwrap().id;
    fetch(&vault, &id, 280).await;
    let (_, signed) = checkpoint(&Shell::of(&vault).await);
    assert_eq!(vault.count("audit_checkpoints WHERE tenant_id = 'acme'").await, 1, "at {signed}");
    vault.stop().await;
    let dump = Dump::of(&vault, "older.dump");

    vault.start().await;
    fetch(&vault, &id, 300).await;
    let shell = Shell::of(&vault).await;
    eventually("all is signed", || async { checkpoint(&shell).1 > signed + 300 }).await;
    let (kept, size) = checkpoint(&shell);
    vault.write("kept.checkpoint", &kept);
    vault.write("log.key", &shell.app(0, &["audit", "checkpoint", "--keys"]));
    let earlier: (i32, &[&str]) = (0, &["--earlier", "kept.checkpoint"]);
    let size_text = size.to_string();
    let leading_there = ["--earlier", size_text.as_str()];
    audited(&vault, &shell, &leading_there, earlier);
    vault.stop().await;

    let place = dump.restored(&vault, "older.db");
    vault.start_on(&place).await;
    let shell = Shell::of(&vault).await;
    assert!(checkpoint(&shell).1 < size, "the vault signs what there is");
    audited(&vault, &shell, &[], (0, &[]));
    let said = audited(&vault, &shell, &[], (5, earlier.1));
    assert!(said.contains(&format!("of size {size}, is later than the export")), "{said}");

    fetch(&vault, &id, 400).await;
    eventually("it has grown again", || async { checkpoint(&shell).1 > size }).await;
    audited(&vault, &shell, &leading_there, (0, &[]));
    let said = audited(&vault, &shell, &leading_there, (5, earlier.1));
    assert!(said.contains(&format!("its first {size} records are not those")), "{said}");
}
