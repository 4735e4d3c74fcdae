//! Several replicas of one vault on PostgreSQL, each in a process of its own that can be stopped, killed and started anew.

use std::time::{Duration, Instant};

use credvault_proto::v1;
use rustix::process::Signal;
use tokio::sync::watch;

use crate::harness::{Client, DOMAIN, Process, TestVault, generic, get};

/// The processes of a vault that has a tenant with one connection.
pub struct Replicas {
    pub vault: TestVault,
    /// The id of the connection.
    pub id: String,
    processes: Vec<Process>,
    clients: Vec<watch::Sender<Client>>,
}

async fn connect(vault: &TestVault, process: &Process, service: &str) -> Client {
    let leaf = vault.authority.service(&format!("spiffe://{DOMAIN}/{service}"));
    Client::connect(process.address, vault.authority.pem(), Some(&leaf)).await.unwrap()
}

async fn app(vault: &TestVault, process: &Process) -> Client {
    connect(vault, process, "app").await.acting_for("acme", None)
}

impl Replicas {
    /// Starts so many replicas of a vault that is prepared.
    pub async fn start(vault: TestVault, count: usize) -> Self {
        let serve = |_| Process::serve(vault.folder.path(), &[]).unwrap();
        let processes: Vec<Process> = (0..count).map(serve).collect();
        let create = v1::CreateTenantRequest { tenant_id: "acme".into(), ..Default::default() };
        connect(&vault, &processes[0], "operator").await.admin().create_tenant(create).await.unwrap();
        let mut clients = Vec::new();
        for process in &processes {
            clients.push(watch::channel(app(&vault, process).await).0);
        }
        let first = clients[0].borrow().clone();
        let id = first.create(generic("main", "CANARY")).await.unwrap().id;
        Self { vault, id, processes, clients }
    }

    /// The clients of all replicas, which change when a replica is started anew.
    pub fn clients(&self) -> Vec<watch::Receiver<Client>> {
        self.clients.iter().map(watch::Sender::subscribe).collect()
    }

    /// The present client of a replica.
    pub fn client(&self, number: usize) -> Client {
        self.clients[number].borrow().clone()
    }

    /// Sends a signal to a replica's process.
    pub fn signal(&self, number: usize, signal: Signal) {
        self.processes[number].signal(signal);
    }

    /// Starts a replica anew whose process was killed.
    pub async fn restart(&mut self, number: usize) {
        let process = Process::serve(self.vault.folder.path(), &[]).unwrap();
        self.clients[number].send_replace(app(&self.vault, &process).await);
        self.processes[number] = process;
    }

    /// Waits until one of these replicas, and no other of them, appends records to their logs.
    pub async fn sequencing(&self, among: &[usize]) -> usize {
        let end = Instant::now() + Duration::from_secs(60);
        let mut before = self.sequenced(among).await;
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let after = self.sequenced(among).await;
            let grown = before.iter().zip(&after).zip(among).filter(|((before, after), _)| before != after);
            if let [number] = grown.map(|(_, number)| *number).collect::<Vec<_>>()[..] {
                return number;
            }
            assert!(Instant::now() < end, "none of the replicas {among:?} sequences, or several do");
            before = after;
        }
    }

    async fn sequenced(&self, among: &[usize]) -> Vec<String> {
        let mut counts = Vec::new();
        for number in among {
            counts.push(sequenced(&self.processes[*number]).await);
        }
        counts
    }
}

/// How many records a process has appended to their logs, as its metrics show it.
pub async fn sequenced(process: &Process) -> String {
    let metrics = get(process.admin_address, "/metrics").await.1;
    let shown = metrics.lines().find_map(|line| line.strip_prefix("credvault_audit_sequenced_total "));
    shown.unwrap_or("0").to_owned()
}
