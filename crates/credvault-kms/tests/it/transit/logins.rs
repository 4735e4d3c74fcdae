//! How the vault logs in to OpenBao, and what it does when a token ends.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use credvault_crypto::KeyManager as _;
use credvault_kms::{OpenBaoLogin, Transit};
use credvault_testkit::{Algorithm, LeafSpec, OpenBao, TokenIssuer};
use serde_json::{Value, json};

use super::{Peer, settings};
use crate::{PLACE, assert_unwraps, logs, unwrap_error, wrap, wrap_error};

/// A role of the method `approle`, whose tokens live this long.
fn app_role(peer: &Peer, life: &str) -> (String, String) {
    let asked = json!({ "token_ttl": life, "token_policies": ["credvault"] });
    peer.bao.write("auth/approle/role/credvault", &asked);
    let role_id = peer.bao.read("auth/approle/role/credvault/role-id")["data"]["role_id"].take();
    let made = peer.bao.write("auth/approle/role/credvault/secret-id", &json!({}));
    let secret_id = made["data"]["secret_id"].as_str().unwrap().to_owned();
    (role_id.as_str().unwrap().to_owned(), secret_id)
}

fn by_app_role(role_id: &str, secret_id_file: PathBuf) -> OpenBaoLogin {
    OpenBaoLogin::AppRole { mount: "approle".to_owned(), role_id: role_id.to_owned(), secret_id_file }
}

fn enable(bao: &OpenBao, mount: &str, method: &str) {
    bao.write(&format!("sys/auth/{mount}"), &json!({ "type": method }));
}

#[tokio::test]
async fn a_token_in_a_file_is_used_and_a_wrong_one_denied() {
    let Some(peer) = Peer::start() else { return };
    let transit = peer.transit("credvault", peer.token_file()).await;
    let wrapped = wrap(&transit).await;
    assert_unwraps(&transit, &wrapped).await;
    for wrong in ["s.CANARY", &peer.bao.token(&["default"], "1h")] {
        let login = OpenBaoLogin::TokenFile(peer.file("wrong", wrong));
        assert_eq!(wrap_error(&peer.transit("credvault", login).await).await, "denied");
    }
    for no_token in ["", "\n", "two CANARY lines\nhere", "CANÄRY"] {
        let login = OpenBaoLogin::TokenFile(peer.file("wrong", no_token));
        assert_eq!(wrap_error(&peer.transit("credvault", login).await).await, "settings", "{no_token}");
    }
    logs::assert_nothing_secret(&[peer.bao.root_token()]);
}

#[tokio::test]
async fn a_policy_that_permits_less_denies_what_it_leaves_out() {
    let Some(peer) = Peer::start() else { return };
    let policy =
        super::POLICY.lines().filter(|line| !line.contains("/rotate")).collect::<Vec<_>>().join("\n");
    peer.bao.policy("credvault", &policy);
    let transit = peer.transit("credvault", peer.token_file()).await;
    wrap(&transit).await;
    let error = transit.add_version().await.unwrap_err();
    assert_eq!(crate::kind_of(&error), "denied");
    wrap(&transit).await;
}

#[tokio::test]
async fn the_methods_approle_kubernetes_and_cert_log_in_and_wrong_credentials_are_denied() {
    let Some(peer) = Peer::start() else { return };
    enable(&peer.bao, "approle", "approle");
    let (role_id, secret_id) = app_role(&peer, "1h");
    let right = by_app_role(&role_id, peer.file("secret-id", &format!("{secret_id}\n")));
    wrap(&peer.transit("credvault", right).await).await;
    let wrong = by_app_role(&role_id, peer.file("wrong", "CANARY"));
    assert_eq!(wrap_error(&peer.transit("credvault", wrong).await).await, "denied");

    let (right, wrong) = kubernetes(&peer);
    wrap(&peer.transit("credvault", right).await).await;
    assert_eq!(wrap_error(&peer.transit("credvault", wrong).await).await, "denied");

    let ca_file = peer.file("ca.pem", peer.bao.authority().pem());
    let by_tls = |login| settings(&peer.bao.tls_address(), Some(&ca_file), "credvault", login);
    let (right, wrong) = certificates(&peer);
    wrap(&Transit::connect(by_tls(right)).await.unwrap()).await;
    assert_eq!(wrap_error(&Transit::connect(by_tls(wrong)).await.unwrap()).await, "denied");
    let stranger = peer.file("stranger.pem", credvault_testkit::Authority::new("stranger").pem());
    let untrusted = settings(&peer.bao.tls_address(), Some(&stranger), "credvault", peer.token_file());
    assert_eq!(wrap_error(&Transit::connect(untrusted).await.unwrap()).await, "unavailable");
    logs::assert_nothing_secret(&[peer.bao.root_token(), &secret_id]);
}

/// A right and a wrong login by the token of a pod. OpenBao checks it with a public key: the login is the same as that of
/// the method `kubernetes`, which would ask a cluster.
fn kubernetes(peer: &Peer) -> (OpenBaoLogin, OpenBaoLogin) {
    enable(&peer.bao, "kubernetes", "jwt");
    let cluster = TokenIssuer::new(Algorithm::EdDsa, "cluster");
    let jwk: Value = cluster.jwk();
    let x = BASE64_URL_SAFE_NO_PAD.decode(jwk["x"].as_str().unwrap()).unwrap();
    // The head of SubjectPublicKeyInfo for Ed25519 (RFC 8410).
    let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let key = BASE64_STANDARD.encode([&head[..], &x].concat());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n");
    let asked = json!({ "jwt_validation_pubkeys": [pem], "jwt_supported_algs": ["EdDSA"] });
    peer.bao.write("auth/kubernetes/config", &asked);
    let asked = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["openbao"], "token_policies": ["credvault"],
    });
    peer.bao.write("auth/kubernetes/role/credvault", &asked);
    let token = |issuer: &TokenIssuer| {
        issuer.token(&json!({ "sub": "credvault", "aud": "openbao", "exp": 4_000_000_000_u64, "iat": 1 }))
    };
    let login = |jwt_file| OpenBaoLogin::Kubernetes {
        mount: "kubernetes".to_owned(),
        role: "credvault".to_owned(),
        jwt_file,
    };
    let stranger = TokenIssuer::new(Algorithm::EdDsa, "cluster");
    (login(peer.file("jwt", &token(&cluster))), login(peer.file("wrong-jwt", &token(&stranger))))
}

/// A right and a wrong login by certificate.
fn certificates(peer: &Peer) -> (OpenBaoLogin, OpenBaoLogin) {
    enable(&peer.bao, "cert", "cert");
    let asked = json!({
        "certificate": peer.bao.authority().pem(), "allowed_dns_sans": ["credvault"], "token_policies": ["credvault"],
    });
    peer.bao.write("auth/cert/certs/credvault", &asked);
    let login = |name: &str| {
        let leaf =
            peer.bao.authority().issue(&LeafSpec { names: vec![name.to_owned()], ..LeafSpec::default() });
        OpenBaoLogin::Certificate {
            mount: "cert".to_owned(),
            role: Some("credvault".to_owned()),
            certificate_file: peer.file(&format!("{name}.crt"), &leaf.certificate),
            key_file: peer.file(&format!("{name}.key"), &leaf.key),
        }
    };
    (login("credvault"), login("stranger"))
}

#[tokio::test]
async fn a_token_that_has_ended_or_was_revoked_is_replaced_by_a_new_login() {
    let Some(peer) = Peer::start() else { return };
    enable(&peer.bao, "approle", "approle");
    let (role_id, secret_id) = app_role(&peer, "1s");
    let secret_id_file = peer.file("secret-id", &secret_id);
    let transit = peer.transit("credvault", by_app_role(&role_id, secret_id_file.clone())).await;
    let wrapped = wrap(&transit).await;
    // The token's whole life goes by without a call.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_unwraps(&transit, &wrapped).await;

    app_role(&peer, "1h");
    let transit = peer.transit("credvault", by_app_role(&role_id, secret_id_file)).await;
    assert_unwraps(&transit, &wrapped).await;
    peer.bao.write("sys/leases/revoke-prefix/auth/approle", &json!({}));
    assert_unwraps(&transit, &wrapped).await;
    logs::assert_nothing_secret(&[peer.bao.root_token(), &secret_id]);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let Some(peer) = Peer::start() else { return };
    let token = peer.bao.token(&["credvault"], "2s");
    let login = OpenBaoLogin::TokenFile(peer.file("token", &token));
    let transit = peer.transit("credvault", login).await;
    let wrapped = wrap(&transit).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_unwraps(&transit, &wrapped).await;
    }
    logs::assert_nothing_secret(&[&token]);
}

#[tokio::test]
async fn a_token_that_was_replaced_in_its_file_is_used() {
    let Some(peer) = Peer::start() else { return };
    let old = peer.bao.token(&["credvault"], "1h");
    let file = peer.file("token", &old);
    let transit = peer.transit("credvault", OpenBaoLogin::TokenFile(file)).await;
    let wrapped = wrap(&transit).await;
    let new = peer.bao.token(&["credvault"], "1h");
    peer.file("token", &new);
    peer.bao.write("auth/token/revoke", &json!({ "token": old }));
    assert_unwraps(&transit, &wrapped).await;

    // This time the one before stays valid, and yet it is not used much longer.
    let least = peer.bao.token(&["default"], "1h");
    peer.file("token", &least);
    let begun = Instant::now();
    while transit.unwrap(&PLACE, &wrapped).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the token before is still used");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(unwrap_error(&transit, &PLACE, &wrapped).await, "denied");
    logs::assert_nothing_secret(&[&old, &new, &least]);
}
