//! The commands that export a log with proofs, verify the file without the vault, and follow the log.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::Shell;
use crate::harness::{Client, Process, TestVault, VaultBuilder, by_id, generic};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_exported_and_verified_as_an_auditor_does() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    for _ in 0..20 {
        app.token(by_id(&id)).await.unwrap();
    }
    let folder = vault.folder.path();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("log.key", &shell.app(0, &["audit", "checkpoint", "--keys"]));
    let checkpoint = shell.app(0, &["audit", "checkpoint"]);
    write("kept.checkpoint", &format!("{}\n", checkpoint.trim_end()));
    let size = checkpoint.lines().nth(1).unwrap();
    app.token(by_id(&id)).await.unwrap();
    let export = ["audit", "export", "--format", "proved", "--earlier", size, "--output", "acme.jsonl"];
    let said = shell.app(0, &export);
    assert!(said.contains("records, of the indexes 0 to") && said.contains("complete"), "{said}");
    assert!(shell.app(2, &export).contains("is there already"));

    // Without profile, configuration or vault.
    let verify = |code: i32, arguments: &[&str]| {
        let output = Process::run(folder, &[&["audit"][..], arguments].concat());
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    };
    let given = ["--key", "log.key", "--earlier", "kept.checkpoint"];
    let said = verify(0, &[&["verify", "acme.jsonl"][..], &given].concat());
    assert!(said.contains("whole log") && said.contains(size), "{said}");
    let text = std::fs::read_to_string(folder.join("acme.jsonl")).unwrap();
    write("altered.jsonl", &text.replacen("FetchCredential", "PutCredential", 1));
    let said = verify(5, &[&["verify", "altered.jsonl"][..], &given].concat());
    assert!(said.contains("record 2: the record was altered"), "{said}");
    verify(2, &["verify", "acme.jsonl", "--key", "nowhere.key"]);
    verify(2, &["verify", "acme.jsonl"]);

    let proof = shell.app(0, &["audit", "prove", "--index", "2"]);
    write("record.tlog-proof", &proof);
    let said = verify(0, &["verify-record", "record.tlog-proof", "--key", "log.key", "--output", "json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["index"], &said["action"]), (&2.into(), &"FetchCredential".into()));
    write("record.tlog-proof", &proof.replacen("index 2", "index 3", 1));
    verify(5, &["verify-record", "record.tlog-proof", "--key", "log.key"]);

    let ocsf = shell.app(0, &["audit", "export", "--format", "ocsf", "--first", "2", "--end", "5"]);
    assert_eq!(ocsf.lines().filter(|line| line.contains("\"class_uid\":6003")).count(), 3);
    assert!(shell.app(2, &["audit", "export", "--first", "2"]).contains("--first"));
    let log = shell.app(0, &["audit", "export", "--format", "log", "--action", "CreateConnection"]);
    assert!(log.starts_with("{\"index\":1,\"event\":{"), "{log}");
    follows(&vault, &app, &id).await;
}

/// A tail prints what was there, and what comes.
async fn follows(vault: &TestVault, app: &Client, id: &str) {
    let mut command = Process::command();
    command.current_dir(vault.folder.path());
    command.args(["audit", "tail", "--from", "0", "--output", "jsonl", "--profile", "app.toml"]);
    let mut tail = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
    let reader = std::thread::spawn(move || {
        lines.map_while(Result::ok).take_while(|line| send.send(line.clone()).is_ok()).count()
    });
    let first = receive.recv().await.unwrap();
    assert!(first.starts_with("{\"index\":0,\"event\":{"), "{first}");
    let purpose = "tailed by a test";
    let fetch = credvault_proto::v1::FetchCredentialRequest { purpose: purpose.to_owned(), ..by_id(id) };
    app.fetch(fetch).await.unwrap();
    let waiting = async { while !receive.recv().await.unwrap().contains(purpose) {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await.expect("it is printed");
    tail.kill().unwrap();
    tail.wait().unwrap();
    drop(receive);
    reader.join().unwrap();
}
