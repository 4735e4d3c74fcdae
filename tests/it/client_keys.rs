//! Clients that prove who they are with a key (`private_key_jwt`, RFC 7523): the platform's app in a consent, a refresh
//! and a revocation, and a connection's own client with client credentials.
//!
//! - `shipped`: the files of Microsoft Graph and Salesforce, as they are shipped.

mod shipped;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use credvault_crypto::{PublicKey, SigningKey, sha256};
use credvault_domain::Clock as _;
use credvault_proto::v1;
use credvault_simulator::{CLIENT_ID, ClientAuth, Simulator};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};

use crate::harness::provider::{Connected, begin, complete, decide, state};
use crate::harness::{VaultBuilder, by_id, input, refusal};
use crate::on_both;

const RSA: &str = include_str!("../../crates/credvault-crypto/tests/keys/rsa_pkcs8.pem");

const FILE: &str = r#"
id = "keyed"
display_name = "Keyed"
[app.private_key]
title = "Private key"
type = "signing_key"
[modes.oauth2_code]
display_name = "OAuth"
kind = "oauth2_code"
secret.access_token = { title = "Access token" }
secret.refresh_token = { title = "Refresh token", vault_only = true }
request = { base_url = "PROVIDER_URL", headers = { Authorization = "Bearer {secret.access_token}" } }
[modes.oauth2_code.authorize]
url = "PROVIDER_URL/authorize"
query = { response_type = "code", client_id = "{app.client_id}", redirect_uri = "{flow.redirect_uri}", state = "{flow.state}", code_challenge = "{flow.code_challenge}", code_challenge_method = "S256" }
[modes.oauth2_code.exchange]
url = "PROVIDER_URL/token"
form = { grant_type = "authorization_code", code = "{flow.code}", redirect_uri = "{flow.redirect_uri}", code_verifier = "{flow.code_verifier}", client_assertion_type = "{flow.client_assertion_type}", client_assertion = "{flow.client_assertion}", client_id = "{app.client_id}" }
[modes.oauth2_code.refresh.call]
url = "PROVIDER_URL/token"
form = { grant_type = "refresh_token", refresh_token = "{secret.refresh_token}", client_assertion_type = "{flow.client_assertion_type}", client_assertion = "{flow.client_assertion}", client_id = "{app.client_id}" }
[modes.oauth2_code.client_assertion]
key = "{app.private_key?}"
algorithms = ["ES256"]
claims = { iss = "{app.client_id}", sub = "{app.client_id}", aud = "PROVIDER_URL/token", jti = "{flow.uuid}" }
lifetime_seconds = 300
[modes.oauth2_code.revoke.call]
url = "PROVIDER_URL/revoke"
form = { token = "{secret.refresh_token}", client_assertion_type = "{flow.client_assertion_type}", client_assertion = "{flow.client_assertion}" }

[modes.client_credentials]
display_name = "Client credentials"
kind = "oauth2_client_credentials"
config.client_id = { title = "Client id", required = true }
secret.private_key = { title = "Private key", type = "text", required = true, vault_only = true }
secret.access_token = { title = "Access token" }
request = { base_url = "PROVIDER_URL", headers = { Authorization = "Bearer {secret.access_token}" } }
[modes.client_credentials.client_assertion]
key = "{secret.private_key}"
algorithms = ["PS256", "ES256"]
claims = { iss = "{config.client_id}", sub = "{config.client_id}", aud = "PROVIDER_URL", jti = "{flow.uuid}" }
lifetime_seconds = 300
[modes.client_credentials.refresh]
rotates = "no"
[modes.client_credentials.refresh.call]
url = "PROVIDER_URL/token"
form = { grant_type = "client_credentials", client_assertion_type = "{flow.client_assertion_type}", client_assertion = "{flow.client_assertion}" }
"#;

/// A vault and a provider that takes no secret of a client.
async fn keyed(builder: VaultBuilder) -> Connected {
    let builder = builder.provider_file("keyed", FILE);
    let connected = builder.start_with_provider(crate::harness::provider::STRICT).await;
    connected.provider.behave(|behaviour| behaviour.client_auth = Some(ClientAuth::Assertion));
    connected
}

fn part(assertion: &str, index: usize) -> Map<String, Value> {
    let bytes = URL_SAFE_NO_PAD.decode(assertion.split('.').nth(index).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// The point of a JWK on P-256, uncompressed.
fn point(jwk: &Map<String, Value>) -> Vec<u8> {
    let half = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    [&[4][..], &half("x"), &half("y")].concat()
}

/// Each assertion is signed with the key, is another one, and lives for no more than five minutes.
fn all_sound(provider: &Simulator, key: &PublicKey, now: i64) {
    let all = provider.client_assertions();
    let ids: BTreeSet<_> = all.iter().map(|it| part(it, 1)["jti"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), all.len(), "no assertion is used twice");
    for assertion in &all {
        let (message, signature) = assertion.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert_eq!(key.verify(message.as_bytes(), &signature), Ok(()));
        let claims = part(assertion, 1);
        let (issued, ends) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
        assert!(issued <= now && ends - issued <= 300 && ends > now, "{claims:?}");
    }
}

async fn put_app(connected: &Connected, key: &str) -> Result<v1::OAuthApp, tonic::Status> {
    let request = v1::PutOAuthAppRequest {
        provider: "keyed".into(),
        client_id: CLIENT_ID.into(),
        redirect_uri: "http://127.0.0.1:9/back".into(),
        settings: [("private_key".to_owned(), key.to_owned())].into(),
        ..Default::default()
    };
    let mut admin = connected.vault.client("operator").await.admin();
    Ok(admin.put_o_auth_app(request).await?.into_inner().app.unwrap())
}

fn connection(mode: &str, config: &[(&str, &str)]) -> v1::CreateConnectionRequest {
    let value = |text: &str| prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(text.to_owned())),
    };
    let fields = config.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect();
    v1::CreateConnectionRequest {
        owner: Some(v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: String::new() }),
        provider: "keyed".into(),
        account_name: mode.into(),
        auth_mode: mode.into(),
        config: Some(prost_types::Struct { fields }),
        ..Default::default()
    }
}

on_both![an_app_with_a_key_needs_no_secret, a_connections_own_client_signs_for_itself];

async fn an_app_with_a_key_needs_no_secret(builder: VaultBuilder) {
    let connected = keyed(builder).await;
    for key in ["CANARY", "-----BEGIN PRIVATE KEY-----\nCANARY\n-----END PRIVATE KEY-----"] {
        let refused = put_app(&connected, key).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
        assert!(refused.message().contains("settings[private_key]"), "{refused:?}");
        assert!(!format!("{refused:?}").contains("CANARY"));
    }
    let (pem, jwk) = SigningKey::generate("k-1").unwrap();
    let stored = put_app(&connected, pem.expose_secret()).await.unwrap();
    assert_eq!(stored.settings, Default::default(), "the key is a secret");
    assert_eq!(stored.hints, Default::default(), "no part of a key is a hint");

    let app = connected.vault.app("acme").await;
    let id = app.create(connection("oauth2_code", &[])).await.unwrap().id;
    let begun = begin(&app, &id, "").await;
    let parameters = decide(&begun.authorization_url, "shop-1", "allow").await;
    complete(&app, &parameters, "").await.unwrap();
    assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Connected);
    connected.chain_lives(&app, &id).await;
    let disconnect = v1::DisconnectConnectionRequest { connection_id: id.clone(), ..Default::default() };
    app.connections().disconnect_connection(disconnect).await.unwrap();
    let revoked = || async { connected.provider.families().iter().all(|family| family.revoked) };
    crate::harness::eventually("the revocation", revoked).await;
    assert_eq!(connected.provider.client_assertions().len(), 3, "the exchange, the refresh, the revocation");
    let now = connected.vault.clock.now().seconds();
    all_sound(&connected.provider, &PublicKey::Es256(point(&jwk)), now);
}

async fn a_connections_own_client_signs_for_itself(builder: VaultBuilder) {
    let connected = keyed(builder).await;
    let app = connected.vault.app("acme").await;
    let request = connection("client_credentials", &[("client_id", CLIENT_ID)]);
    let id = app.create(request).await.unwrap().id;
    let put = |key: String| {
        let credential = Some(input(&[("private_key", key.as_str())]));
        let request =
            v1::PutCredentialRequest { connection_id: id.clone(), credential, ..Default::default() };
        let mut vault = app.vault();
        async move { vault.put_credential(request).await }
    };
    let refused = put("CANARY".to_owned()).await.unwrap_err();
    assert!(refused.message().contains("credential.fields[private_key]"), "{refused:?}");

    // Entra: RSA, PS256 and the thumbprint of the certificate, which stands beside the key.
    let certificate = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(b"certificate")
    );
    put(format!("{RSA}{certificate}")).await.unwrap();
    assert!(connected.accepts(&app.fetch(by_id(&id)).await.unwrap()).await);
    let header = part(&connected.provider.client_assertions()[0], 0);
    assert_eq!(header["alg"], "PS256");
    assert_eq!(header["x5t#S256"], URL_SAFE_NO_PAD.encode(sha256(&[b"certificate"])));

    // Okta: a JWK with its kid.
    connected.provider.reset();
    connected.provider.behave(|behaviour| behaviour.client_auth = Some(ClientAuth::Assertion));
    let (pem, public) = SigningKey::generate("k-1").unwrap();
    put(private_jwk(pem.expose_secret(), public.clone())).await.unwrap();
    let fetched = app.fetch(by_id(&id)).await.unwrap();
    assert!(connected.accepts(&fetched).await);
    assert!(!fetched.fields.contains_key("private_key"), "the key stays in the vault");
    assert_eq!(part(&connected.provider.client_assertions()[0], 0)["kid"], "k-1");
    let now = connected.vault.clock.now().seconds();
    all_sound(&connected.provider, &PublicKey::Es256(point(&public)), now);
    assert_eq!(connected.provider.counts().client_credentials, 1);
}

/// The JWK with its private member, which stands in the PEM behind the head of an octet string of 32 bytes.
fn private_jwk(pem: &str, mut members: Map<String, Value>) -> String {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(body).unwrap();
    let at = der.windows(2).rposition(|head| head == [0x04, 0x20]).unwrap() + 2;
    members.insert("d".to_owned(), URL_SAFE_NO_PAD.encode(&der[at..at + 32]).into());
    Value::Object(members).to_string()
}
