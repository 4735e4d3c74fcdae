//! What commands say when the vault does not trust the caller, or when something else listens at its address.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use credvault_testkit::Authority;

use super::Shell;
use crate::harness::VaultBuilder;

const DISTRUSTED: &str = "the vault does not trust your certificate's issuer";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_a_foreign_authority_is_named_as_the_cause() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    vault.write_leaf("app", &Authority::new("Foreign").service("spiffe://test.local/app"));
    let told = shell.app(3, &["connections", "list"]);
    assert!(told.contains(DISTRUSTED) && told.contains("identity.trust_domains"), "{told}");
    let report = shell.app(7, &["doctor"]);
    assert!(report.contains(DISTRUSTED) && !report.contains("ok       TLS"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_without_tls_is_the_wrong_port() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    let listener = TcpListener::bind("localhost:0").unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
    });
    for (code, command) in [(6, &["connections", "list"][..]), (7, &["doctor"])] {
        let told = shell.app(code, &[command, &["--address", &address]].concat());
        assert!(told.contains("no TLS is spoken there; wrong port?"), "{told}");
    }
}
