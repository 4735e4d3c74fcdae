//! What an issuer's metadata must be, and client credentials at what they name.

use credvault_proto::v1;
use credvault_simulator::{CLIENT_ID, CLIENT_SECRET};
use serde_json::{Value, json};

use super::{app_at, at_issuer, begin, setting, vault};
use crate::harness::{VaultBuilder, by_id, input, refusal};
use crate::on_both;

on_both![only_sound_metadata_of_the_issuer_itself_counts, client_credentials_go_where_the_metadata_say];

async fn only_sound_metadata_of_the_issuer_itself_counts(builder: VaultBuilder) {
    let connected = vault(builder).await;
    let (url, app) = (connected.provider.url(), connected.vault.app("acme").await);
    let operator = connected.vault.client("operator").await;
    operator.admin().put_o_auth_app(app_at(&url)).await.unwrap();
    let id = app.create(at_issuer("oauth2_code", &url, &[])).await.unwrap().id;
    let cases: [(&str, Value, &str); 6] = [
        ("issuer", json!(format!("{url}/")), "config.issuer"),
        ("issuer", Value::Null, "config.issuer"),
        ("code_challenge_methods_supported", json!(["plain"]), "PKCE with S256"),
        ("token_endpoint", json!("http://10.0.0.1/token"), "config.token_endpoint"),
        ("revocation_endpoint", json!("ftp://127.0.0.1/"), "config.revocation_endpoint"),
        ("authorization_endpoint", json!(7), "config.authorization_endpoint"),
    ];
    for (member, value, named) in cases {
        connected.provider.behave(|behaviour| {
            behaviour.metadata.clear();
            behaviour.metadata.insert(member.to_owned(), value.clone());
        });
        let refused = begin(&app, &id).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID", "{member} {value}");
        assert!(refused.message().contains(named), "{member} {value}: {refused:?}");
    }
    connected.provider.behave(|behaviour| behaviour.metadata.clear());
    let elsewhere = app.create(at_issuer("oauth2_code", &format!("{url}/nothing"), &[])).await.unwrap().id;
    let refused = begin(&app, &elsewhere).await.unwrap_err();
    assert!(refused.message().contains("nothing was found there"), "{refused:?}");
    // Where RFC 8414 has it, it is found as well.
    connected.provider.behave(|behaviour| behaviour.only_oauth_metadata = true);
    let before = connected.provider.counts().discoveries;
    begin(&app, &id).await.unwrap();
    begin(&app, &id).await.unwrap();
    assert_eq!(connected.provider.counts().discoveries, before + 1, "read once");
    let given = at_issuer("oauth2_code", &url, &[("token_endpoint", "http://127.0.0.1:9/token")]);
    let refused = app.create(given).await.unwrap_err();
    assert!(refused.message().contains("config.token_endpoint"), "{refused:?}");
    let local = app.create(at_issuer("oauth2_code", "http://10.0.0.1", &[])).await.unwrap().id;
    let refused = begin(&app, &local).await.unwrap_err();
    assert!(refused.message().contains("public address"), "{refused:?}");
}

async fn client_credentials_go_where_the_metadata_say(builder: VaultBuilder) {
    let connected = vault(builder).await;
    let (url, app) = (connected.provider.url(), connected.vault.app("acme").await);
    let methods = json!(["client_secret_post"]);
    connected.provider.behave(|behaviour| {
        behaviour.metadata.insert("token_endpoint_auth_methods_supported".into(), methods);
        behaviour.client_auth = Some(credvault_simulator::ClientAuth::Form);
    });
    let mut create = at_issuer("oauth2_client_credentials", &url, &[("client_id", CLIENT_ID)]);
    create.credential = Some(input(&[("client_secret", CLIENT_SECRET)]));
    let created = app.create(create).await.unwrap();
    assert_eq!(setting(&created, "token_endpoint"), Some(format!("{url}/token")));
    assert_eq!(setting(&created, "token_endpoint_auth_method").as_deref(), Some("client_secret_post"));
    assert!(connected.accepts(&fetch(&app, &created.id).await).await);

    // Without a credential nothing is looked for; with the first one it is.
    let mut create = at_issuer("oauth2_client_credentials", &url, &[("client_id", CLIENT_ID)]);
    create.account_name = "second".into();
    let second = app.create(create).await.unwrap();
    assert_eq!(setting(&second, "token_endpoint"), None);
    let put = v1::PutCredentialRequest {
        connection_id: second.id.clone(),
        credential: Some(input(&[("client_secret", CLIENT_SECRET)])),
        ..Default::default()
    };
    app.vault().put_credential(put).await.unwrap();
    assert!(connected.accepts(&fetch(&app, &second.id).await).await);
    assert_eq!(connected.provider.counts().client_credentials, 2);
}

/// What was fetched, with a base URL to call, which these connections lack.
async fn fetch(app: &crate::harness::Client, id: &str) -> v1::Credential {
    let mut fetched = app.fetch(by_id(id)).await.unwrap();
    let request = v1::GetConnectionRequest { connection_id: id.to_owned() };
    let connection =
        app.connections().get_connection(request).await.unwrap().into_inner().connection.unwrap();
    fetched.request_auth.as_mut().unwrap().base_url = setting(&connection, "issuer").unwrap();
    fetched
}
