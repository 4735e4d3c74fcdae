//! A real `moto_server`, which answers as AWS does.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::peers::{free_port, program, signal, try_request, until};

/// A running moto. Stopped when dropped.
pub struct Moto {
    child: Child,
    address: SocketAddr,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Moto {
    /// The region that the requests of this client are for.
    pub const REGION: &str = "eu-central-1";

    /// Starts a server, or says that the test has not run because the program `moto_server` is not there.
    pub fn start() -> Option<Self> {
        let program = program("moto_server")?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p"]).arg(address.port().to_string());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let this = Self { child, address };
        until("moto serves", || try_request(address, "GET", "/moto-api/data.json", &[], "").is_ok());
        Some(this)
    }

    /// The endpoint of all its services.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a symmetric key in KMS and gives its ARN.
    pub fn create_key(&self) -> String {
        let made = self.kms("CreateKey", &json!({}));
        made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    }

    /// Calls an operation of KMS.
    pub fn kms(&self, operation: &str, body: &Value) -> Value {
        self.call("kms", &format!("TrentService.{operation}"), body)
    }

    /// Calls an operation of Secrets Manager.
    pub fn secrets(&self, operation: &str, body: &Value) -> Value {
        self.call("secretsmanager", &format!("secretsmanager.{operation}"), body)
    }

    fn call(&self, service: &str, target: &str, body: &Value) -> Value {
        let scope = format!("20260101/{}/{service}/aws4_request", Self::REGION);
        let signed = format!("AWS4-HMAC-SHA256 Credential=test/{scope}, SignedHeaders=host, Signature=00");
        let headers = [
            ("X-Amz-Target", target),
            ("Content-Type", "application/x-amz-json-1.1"),
            ("Authorization", &signed),
        ];
        let (status, answer) = try_request(self.address, "POST", "/", &headers, &body.to_string()).unwrap();
        assert_eq!(status, 200, "{target}: {answer}");
        answer
    }

    /// From now on checks credentials: none that a test made up are known to it.
    pub fn check_credentials(&self) {
        let (status, answer) = try_request(self.address, "POST", "/moto-api/reset-auth", &[], "0").unwrap();
        assert_eq!(status, 200, "{answer}");
    }

    /// Stops the process without ending it: connections stay open and nothing answers.
    pub fn pause(&self) {
        signal(&self.child, "STOP");
    }

    /// Lets a paused process continue.
    pub fn resume(&self) {
        signal(&self.child, "CONT");
    }
}
