//! The shipped files of providers at which a key stands for a secret, against the simulator: only hosts and the paths of
//! answers differ from the providers'.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use credvault_crypto::{PublicKey, sha256};
use credvault_proto::v1;
use credvault_simulator::{CLIENT_ID, ClientAuth};

use super::{RSA, connection, part};
use crate::harness::provider::{Connected, STRICT, begin, complete, decide, state};
use crate::harness::{Client, VaultBuilder, by_id, input, refusal};
use crate::on_both;

const RSA_PUBLIC: &str = include_str!("../../../crates/credvault-crypto/tests/keys/rsa_public.pem");
const TENANT: &str = "01234567-89ab-cdef-0123-456789abcdef";

on_both![entra_takes_a_certificate_instead_of_a_secret, salesforce_takes_a_signed_assertion_as_the_grant];

fn entra() -> String {
    include_str!("../../../crates/credvault-catalog/providers/microsoft_graph.toml")
        .replace("https://{derived.login_host}/{config.tenant_id}/oauth2/v2.0", "PROVIDER_URL")
        .replace("https://{derived.graph_host}/v1.0", "PROVIDER_URL")
        .replace("PROVIDER_URL/organization", "PROVIDER_URL/me")
        .replace("value.0.id", "id")
}

fn salesforce() -> String {
    include_str!("../../../crates/credvault-catalog/providers/salesforce.toml")
        .replace("https://{config.login_host}/services/oauth2/token", "PROVIDER_URL/token")
        .replace("{config.instance_url}/services/oauth2/userinfo", "PROVIDER_URL/me")
        .replace("{config.instance_url?}", "PROVIDER_URL")
        .replace("account_id = \"organization_id\"", "account_id = \"id\"")
}

/// A connection of the tenant at the provider.
async fn created(app: &Client, provider: &str, mode: &str, config: &[(&str, &str)]) -> String {
    let request = v1::CreateConnectionRequest { provider: provider.to_owned(), ..connection(mode, config) };
    app.create(request).await.unwrap().id
}

async fn put(app: &Client, id: &str, key: &str) -> Result<(), tonic::Status> {
    let credential = Some(input(&[("private_key", key)]));
    let request = v1::PutCredentialRequest { connection_id: id.to_owned(), credential, ..Default::default() };
    app.vault().put_credential(request).await.map(drop)
}

async fn tested(app: &Client, id: &str) {
    let request = v1::TestConnectionRequest { connection_id: id.to_owned() };
    app.connections().test_connection(request).await.unwrap();
    assert_eq!(state(app, id).await.0, v1::ConnectionState::Connected);
}

/// The assertions have what Entra asks for: the certificate's thumbprint, PS256, and the token endpoint as the audience.
fn are_for_entra(connected: &Connected, count: usize) {
    let proofs = connected.provider.client_assertions();
    assert_eq!(proofs.len(), count);
    for proof in proofs {
        let (header, claims) = (part(&proof, 0), part(&proof, 1));
        assert_eq!(header["alg"], "PS256");
        assert_eq!(header["x5t#S256"], URL_SAFE_NO_PAD.encode(sha256(&[b"certificate"])));
        assert_eq!(claims["aud"], format!("{}/token", connected.provider.url()));
        assert_eq!([&claims["iss"], &claims["sub"]], [CLIENT_ID, CLIENT_ID]);
    }
}

async fn entra_takes_a_certificate_instead_of_a_secret(builder: VaultBuilder) {
    let connected = builder.provider_file("microsoft_graph", &entra()).start_with_provider(STRICT).await;
    connected.provider.behave(|behaviour| behaviour.client_auth = Some(ClientAuth::Assertion));
    let body = STANDARD.encode(b"certificate");
    let key = format!("{RSA}-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    let app = connected.vault.app("acme").await;

    // An app's own access to one directory. A key without its certificate is of no use there.
    let config = [("tenant_id", TENANT), ("client_id", CLIENT_ID)];
    let id = created(&app, "microsoft_graph", "client_certificate", &config).await;
    let refused = put(&app, &id, RSA).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    assert!(refused.message().contains("certificate"), "{refused:?}");
    put(&app, &id, &key).await.unwrap();
    let fetched = app.fetch(by_id(&id)).await.unwrap();
    assert!(connected.accepts(&fetched).await);
    assert!(!fetched.fields.contains_key("private_key"), "the key stays in the vault");
    tested(&app, &id).await;
    are_for_entra(&connected, 1);

    // A user's account, by the platform's app, which has a certificate and no secret.
    let registered = v1::PutOAuthAppRequest {
        provider: "microsoft_graph".into(),
        client_id: CLIENT_ID.into(),
        redirect_uri: "http://127.0.0.1:9/back".into(),
        settings: [("private_key".to_owned(), key)].into(),
        ..Default::default()
    };
    connected.vault.client("operator").await.admin().put_o_auth_app(registered).await.unwrap();
    let id = created(&app, "microsoft_graph", "oauth2_code", &[]).await;
    let begun = begin(&app, &id, "").await;
    let parameters = decide(&begun.authorization_url, "user-1", "allow").await;
    complete(&app, &parameters, "").await.unwrap();
    let refresh = v1::RefreshConnectionRequest { connection_id: id.clone() };
    app.connections().refresh_connection(refresh).await.unwrap();
    assert!(connected.accepts(&app.fetch(by_id(&id)).await.unwrap()).await);
    are_for_entra(&connected, 3);
}

async fn salesforce_takes_a_signed_assertion_as_the_grant(builder: VaultBuilder) {
    let connected = builder.provider_file("salesforce", &salesforce()).start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let config = [("client_id", "consumer-key"), ("username", "robot@acme.example")];
    let id = created(&app, "salesforce", "jwt_bearer", &config).await;
    put(&app, &id, RSA).await.unwrap();
    let first = app.fetch(by_id(&id)).await.unwrap();
    assert!(connected.accepts(&first).await);
    assert!(!first.fields.contains_key("private_key"), "the key stays in the vault");
    tested(&app, &id).await;

    // There is no refresh token: shortly before the access token ends, another assertion is signed.
    connected.vault.clock.advance(Duration::from_secs(3575));
    let second = app.fetch(by_id(&id)).await.unwrap();
    assert!(connected.accepts(&second).await);
    assert_ne!(first.fields["access_token"], second.fields["access_token"]);
    let assertions = connected.provider.grant_assertions();
    assert_eq!(assertions.len(), 2);
    for assertion in &assertions {
        let claims = part(assertion, 1);
        assert_eq!([&claims["iss"], &claims["sub"]], ["consumer-key", "robot@acme.example"]);
        assert_eq!(claims["aud"], "https://login.salesforce.com");
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 180);
        let (message, signature) = assertion.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert_eq!(rsa_public().verify(message.as_bytes(), &signature), Ok(()));
    }
}

/// The public half of the RSA key: in the PEM, the modulus of 256 bytes stands behind a head of 33.
fn rsa_public() -> PublicKey {
    let body: String = RSA_PUBLIC.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(body).unwrap();
    PublicKey::Rs256 { modulus: der[33..289].to_vec(), exponent: vec![1, 0, 1] }
}
