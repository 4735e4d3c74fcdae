//! `--watch`: a document for each change, also over an outage, a drawing on a terminal, and an end by Ctrl-C.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::Shell;
use crate::harness::{Process, VaultBuilder, generic};

/// The longest time that a change takes until it is printed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command of a service that runs until it is interrupted. Killed when dropped.
struct Watched {
    child: Child,
    documents: Receiver<String>,
    news: Receiver<String>,
}

impl Watched {
    fn start(shell: &Shell, service: &str, arguments: &[&str]) -> Self {
        let mut command = Process::command();
        command.current_dir(&shell.0).args(arguments).args(["--profile", &format!("{service}.toml")]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let documents = lines(child.stdout.take().unwrap());
        let news = lines(child.stderr.take().unwrap());
        Self { child, documents, news }
    }

    /// The ids in the next list that it prints.
    fn ids(&self) -> Vec<String> {
        let document = self.documents.recv_timeout(PATIENCE).expect("a document");
        assert!(!document.contains("CANARY"), "{document}");
        let document: Value = serde_json::from_str(&document).expect("one document in a line");
        let items = document["items"].as_array().unwrap().iter();
        items.map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    }

    fn news(&self) -> String {
        self.news.recv_timeout(PATIENCE).expect("a line on standard error")
    }

    /// Presses Ctrl-C, which must end it well, and gives what it printed since.
    fn interrupt(mut self) -> Vec<String> {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        assert!(self.child.wait().unwrap().success());
        self.documents.iter().collect()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a stream, as they come.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (send, received) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    received
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_is_a_document_also_after_an_outage() {
    let mut vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    let first = vault.app("acme").await.create(generic("first", "CANARY")).await.unwrap().id;
    let watched = Watched::start(&shell, "app", &["connections", "list", "--watch", "--every", "1s"]);
    assert_eq!(watched.ids(), [first.as_str()]);
    vault.app("acme").await.create(generic("second", "CANARY")).await.unwrap();
    assert_eq!(watched.ids().len(), 2);

    vault.settings.server.address = vault.address();
    vault.stop().await;
    let away = watched.news();
    assert!(away.contains("asking again every 1 s"), "{away}");
    vault.start().await;
    assert_eq!(watched.news(), "the vault answers again");
    vault.app("acme").await.create(generic("third", "CANARY")).await.unwrap();
    let ids = watched.ids();
    assert!(ids.len() == 3 && ids.contains(&first), "{ids:?}");
    assert_eq!(watched.interrupt(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watch_prints_whole_documents() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    vault.app("acme").await.create(generic("main", "CANARY")).await.unwrap();
    for command in [
        &["tenants", "connections", "acme"][..],
        &["events", "deliveries"],
        &["events", "endpoints", "--tenant", "acme"],
        &["keys", "status", "acme"],
        &["keys", "status", "--all"],
        &["rates", "show"],
        &["providers", "list"],
    ] {
        let service = if command[0] == "providers" { "app" } else { "operator" };
        let watched = Watched::start(&shell, service, &[command, &["--watch", "--output", "json"]].concat());
        let document = watched.documents.recv_timeout(PATIENCE).expect("a document");
        assert!(serde_json::from_str::<Value>(&document).is_ok_and(|value| value.is_object()), "{document}");
        watched.interrupt();
    }
    // A refusal is no outage.
    let refused = shell.app(3, &["tenants", "connections", "acme", "--watch"]);
    assert!(refused.contains("POLICY_DENIED"), "{refused}");
    let wrong = shell.app(2, &["connections", "list", "--watch", "--every", "0s"]);
    assert!(wrong.contains("at least 1s"), "{wrong}");
    let alone = shell.app(2, &["connections", "list", "--every", "5s"]);
    assert!(alone.contains("--watch"), "{alone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_shows_the_latest_answer_until_ctrl_c() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    vault.app("acme").await.create(generic("main", "CANARY")).await.unwrap();
    let mut python = Command::new("python3");
    python.args(["-c", include_str!("watcher.py"), "2"]).arg(Process::command().get_program());
    python.args(["connections", "get", "generic/main", "--watch", "--every", "1s", "--profile", "app.toml"]);
    let output = python.current_dir(&shell.0).env("TERM", "xterm").output().expect("python3 watches");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}");
    let drawings: Vec<&str> = shown.split("\x1b[H\x1b[J").skip(1).collect();
    assert_eq!(drawings.len(), 2, "{shown}");
    for drawing in drawings {
        assert!(drawing.contains("asked every 1 s, until Ctrl-C"), "{shown}");
        assert!(drawing.contains("account:") && drawing.contains("main"), "{shown}");
    }
    assert!(!shown.contains("CANARY"), "{shown}");
}
