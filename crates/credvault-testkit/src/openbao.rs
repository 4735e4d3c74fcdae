//! A real OpenBao on a temporary folder: a server that listens by plain HTTP and by TLS, with the root token at hand.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::peers::{free_port, program, signal, try_request, until};
use crate::{Authority, LeafSpec};

/// A running OpenBao. Stopped when dropped.
pub struct OpenBao {
    program: PathBuf,
    folder: TempDir,
    child: Child,
    plain: SocketAddr,
    tls: SocketAddr,
    root_token: String,
    unseal_key: String,
    authority: Authority,
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        self.kill();
    }
}

impl OpenBao {
    /// Starts a server, or says that the test has not run because the program `bao` is not there.
    pub fn start() -> Option<Self> {
        let program = program("bao")?;
        let folder = tempfile::Builder::new().prefix("credvault-openbao-").tempdir().unwrap();
        let authority = Authority::new("openbao");
        let leaf = authority.issue(&LeafSpec { names: vec!["localhost".to_owned()], ..LeafSpec::default() });
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        std::fs::write(folder.path().join("server.pem"), &leaf.certificate).unwrap();
        std::fs::write(folder.path().join("server-key.pem"), &leaf.key).unwrap();
        let [plain, tls, cluster] = [(); 3].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("config.hcl"), config(&folder, plain, tls, cluster)).unwrap();
        let child = spawn(&program, &folder);
        let (root_token, unseal_key) = Default::default();
        let mut this = Self { program, folder, child, plain, tls, root_token, unseal_key, authority };
        this.await_listener();
        let asked = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let (status, made) = this.request("PUT", "sys/init", &asked);
        assert_eq!(status, 200, "{made}");
        this.root_token = made["root_token"].as_str().unwrap().to_owned();
        this.unseal_key = made["keys"][0].as_str().unwrap().to_owned();
        this.unseal();
        Some(this)
    }

    /// The address by plain HTTP.
    pub fn address(&self) -> String {
        format!("http://{}", self.plain)
    }

    /// The address by TLS, under a certificate of [`Self::authority`]'s.
    pub fn tls_address(&self) -> String {
        format!("https://localhost:{}", self.tls.port())
    }

    /// The authority of the server's certificate, and of clients that log in by certificate.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The token that may do everything.
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// Sends a request with the root token to a path below `/v1/`: the status and the answer.
    pub fn request(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.try_request(method, path, body).unwrap()
    }

    /// Writes to a path below `/v1/` with the root token, and gives the answer.
    pub fn write(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.request("POST", path, body);
        assert!(status < 300, "POST {path}: {status} {answer}");
        answer
    }

    /// Reads a path below `/v1/` with the root token.
    pub fn read(&self, path: &str) -> Value {
        let (status, answer) = self.request("GET", path, &Value::Null);
        assert!(status < 300, "GET {path}: {status} {answer}");
        answer
    }

    /// Writes a policy of this name.
    pub fn policy(&self, name: &str, rules: &str) {
        self.write(&format!("sys/policies/acl/{name}"), &json!({ "policy": rules }));
    }

    /// Makes a token with these policies and this life, such as `1h`.
    pub fn token(&self, policies: &[&str], ttl: &str) -> String {
        let asked = json!({ "policies": policies, "ttl": ttl, "no_parent": true });
        let made = self.write("auth/token/create", &asked);
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    /// Seals the server: it keeps its data and serves nothing.
    pub fn seal(&self) {
        self.write("sys/seal", &Value::Null);
    }

    /// Unseals the server and waits until it serves.
    pub fn unseal(&self) {
        let (status, answer) = self.request("PUT", "sys/unseal", &json!({ "key": self.unseal_key }));
        assert_eq!(status, 200, "{answer}");
        let healthy = |answer: std::io::Result<(u16, Value)>| answer.is_ok_and(|(status, _)| status == 200);
        until("OpenBao serves", || healthy(self.try_request("GET", "sys/health", &Value::Null)));
    }

    /// Stops the process without ending it: connections stay open and nothing answers.
    pub fn pause(&self) {
        signal(&self.child, "STOP");
        // The signal reaches a busy process a moment later.
        let stat = format!("/proc/{}/stat", self.child.id());
        until("OpenBao stands still", || {
            std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "))
        });
    }

    /// Lets a paused process continue.
    pub fn resume(&self) {
        signal(&self.child, "CONT");
    }

    /// Ends the process, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts the process again after [`Self::kill`], with its data, and unseals it.
    pub fn restart(&mut self) {
        self.child = spawn(&self.program, &self.folder);
        self.await_listener();
        self.unseal();
    }

    fn await_listener(&self) {
        until("OpenBao listens", || self.try_request("GET", "sys/seal-status", &Value::Null).is_ok());
    }

    fn try_request(&self, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
        let headers = [("X-Vault-Token", self.root_token.as_str())];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        try_request(self.plain, method, &format!("/v1/{path}"), &headers, &body)
    }
}

fn config(folder: &TempDir, plain: SocketAddr, tls: SocketAddr, cluster: SocketAddr) -> String {
    let folder = folder.path().display();
    format!(
        "storage \"raft\" {{\n path = \"{folder}/data\"\n node_id = \"a\"\n performance_multiplier = 1\n}}\n\
         listener \"tcp\" {{\n address = \"{plain}\"\n cluster_address = \"{cluster}\"\n tls_disable = true\n}}\n\
         listener \"tcp\" {{\n address = \"{tls}\"\n cluster_address = \"{cluster}\"\n \
         tls_cert_file = \"{folder}/server.pem\"\n tls_key_file = \"{folder}/server-key.pem\"\n}}\n\
         api_addr = \"http://{plain}\"\ncluster_addr = \"https://{cluster}\"\n"
    )
}

fn spawn(program: &PathBuf, folder: &TempDir) -> Child {
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut command = Command::new(program);
    command.arg("server").arg(format!("-config={}", folder.path().join("config.hcl").display()));
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}
