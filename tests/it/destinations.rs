//! Where a secret goes: it is bound to that, it moves with a new secret only, and no claim of a caller's steers it.

use std::collections::BTreeMap;

use credvault::proto::v1;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tonic::Status;

use crate::harness::provider::{Connected, STRICT, connection_request, decide, state};
use crate::harness::receiver::Receiver;
use crate::harness::{Client, TestVault, by_id, eventually, input, owned_by, refusal};
use crate::on_both;

/// A provider whose host is the tenant's to choose.
const SHOP: &str = "id = 'shop'\ndisplay_name = 'Shop'\n\
    [config.host]\ntitle = 'Host'\nrequired = true\npattern = '^[a-z0-9.:]+$'\n\
    [config.note]\ntitle = 'Note'\n\
    [modes.key]\ndisplay_name = 'Key'\nkind = 'static'\n\
    secret.key = { title = 'Key', required = true }\n\
    request = { base_url = 'http://{config.host}', headers = { X-API-Key = '{secret.key}' } }\n\
    verify = { call = { url = 'http://{config.host}/me' }, account_id = 'id' }\n";

fn settings(pairs: &[(&str, &str)]) -> Struct {
    let value = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let fields: BTreeMap<_, _> = pairs.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect();
    Struct { fields }
}

struct Shop {
    connected: Connected,
    app: Client,
    /// Where the customer's shop is, and where somebody would like its key to be sent.
    honest: String,
    evil: Receiver,
    evil_host: String,
    id: String,
}

impl Shop {
    async fn start(mut vault: TestVault) -> Self {
        vault.stop().await;
        let mut connected = Connected::start(vault, STRICT).await;
        connected.vault.stop().await;
        std::fs::write(connected.vault.folder.path().join("catalog/shop.toml"), SHOP).unwrap();
        connected.vault.start().await;
        let app = connected.vault.app("acme").await;
        let host = |url: &str| url.split('/').nth(2).unwrap().to_owned();
        let (honest, evil) = (host(&connected.provider.url()), Receiver::start().await);
        let evil_host = host(&evil.url);
        let create = v1::CreateConnectionRequest {
            owner: Some(v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: String::new() }),
            provider: "shop".into(),
            config: Some(settings(&[("host", &honest), ("note", "one")])),
            credential: Some(input(&[("key", "sim_key_shop-1")])),
            ..Default::default()
        };
        let id = app.create(create).await.unwrap().id;
        Self { connected, app, honest, evil, evil_host, id }
    }

    async fn update(&self, config: Struct) -> Result<(), Status> {
        let connection = v1::Connection { id: self.id.clone(), config: Some(config), ..Default::default() };
        let update_mask = Some(prost_types::FieldMask { paths: vec!["config".into()] });
        let request =
            v1::UpdateConnectionRequest { connection: Some(connection), update_mask, ..Default::default() };
        self.app.connections().update_connection(request).await.map(drop)
    }

    async fn put(&self, key: &str, config: Option<Struct>, verify: bool) -> Result<(), Status> {
        let credential = Some(input(&[("key", key)]));
        let connection_id = self.id.clone();
        let request =
            v1::PutCredentialRequest { connection_id, credential, config, verify, ..Default::default() };
        self.app.vault().put_credential(request).await.map(drop)
    }

    async fn test(&self) -> Result<v1::TestOutcome, Status> {
        let request = v1::TestConnectionRequest { connection_id: self.id.clone() };
        Ok(self.app.connections().test_connection(request).await?.into_inner().outcome())
    }

    async fn altered(&self, change: &str) {
        let only = "WHERE provider IN ('shop', 'simulator')";
        self.connected.vault.sql(&format!("UPDATE connections SET {change} {only}")).await;
    }
}

fn lost<T: std::fmt::Debug>(answer: Result<T, Status>) -> bool {
    refusal(&answer.unwrap_err()) == "DataLoss INTEGRITY_FAILURE"
}

on_both! {
    async fn a_destination_moves_with_its_secret_only(vault: TestVault) {
        let shop = Shop::start(vault).await;
        assert_eq!(shop.test().await.unwrap(), v1::TestOutcome::Works);
        let moved = shop.update(settings(&[("host", &shop.evil_host)])).await.unwrap_err();
        assert_eq!(refusal(&moved), "InvalidArgument FIELDS_INVALID");
        assert!(moved.message().contains("PutCredential") && !moved.message().contains(&shop.evil_host), "{moved:?}");
        // What decides no destination changes without the secret, and the secret is still good.
        shop.update(settings(&[("host", &shop.honest), ("note", "two")])).await.unwrap();
        assert_eq!(shop.app.fetch(by_id(&shop.id)).await.unwrap().fields["key"], "sim_key_shop-1");
        assert_eq!(shop.test().await.unwrap(), v1::TestOutcome::Works);
        // With a secret of its own the connection goes anywhere; the one before is not to be had there.
        shop.put("CANARY other key", Some(settings(&[("host", &shop.evil_host)])), false).await.unwrap();
        let _ = shop.test().await;
        let received = shop.evil.received();
        assert!(!received.is_empty());
        assert!(received.iter().all(|request| request.headers["x-api-key"] == "CANARY other key"));
        let back = v1::RollbackCredentialRequest { connection_id: shop.id.clone(), version: 1, ..Default::default() };
        assert_eq!(refusal(&shop.app.vault().rollback_credential(back).await.unwrap_err()), "NotFound VERSION_NOT_FOUND");
        let put = shop.app.events().await.into_iter().find(|event| event.action == "PutCredential").unwrap();
        let hosts = format!("host: {} -> {}", shop.honest, shop.evil_host);
        assert!(put.changed_fields.contains(&hosts), "{put:?}");
    }

    async fn what_was_tried_at_one_host_is_not_stored_for_another(vault: TestVault) {
        let shop = Shop::start(vault).await;
        let destroy = v1::DestroyCredentialVersionRequest { connection_id: shop.id.clone(), version: 1, ..Default::default() };
        shop.app.vault().destroy_credential_version(destroy).await.unwrap();
        let provider = &shop.connected.provider;
        let asked = provider.counts().verifications;
        provider.behave(|behaviour| behaviour.hold = true);
        let moved = async {
            eventually("the provider is asked", || async { provider.counts().verifications > asked }).await;
            // Without a credential, the settings may lead elsewhere.
            shop.update(settings(&[("host", &shop.evil_host)])).await.unwrap();
            provider.behave(|behaviour| behaviour.hold = false);
        };
        let (put, ()) = tokio::join!(shop.put("sim_key_shop-1", None, true), moved);
        assert_eq!(refusal(&put.unwrap_err()), "Aborted ETAG_MISMATCH");
        let stored = shop.app.fetch(by_id(&shop.id)).await.unwrap_err();
        assert_eq!(refusal(&stored), "NotFound CREDENTIAL_NOT_CONFIGURED");
        shop.update(settings(&[("host", &shop.honest)])).await.unwrap();
        shop.put("sim_key_shop-1", None, true).await.unwrap();
        assert_eq!(shop.test().await.unwrap(), v1::TestOutcome::Works);
    }

    async fn an_altered_row_sends_nothing_anywhere(vault: TestVault) {
        let shop = Shop::start(vault).await;
        let honest = format!("config = '{{\"host\":\"{}\",\"note\":\"one\"}}'", shop.honest);
        let evil = format!("config = '{{\"host\":\"{}\",\"note\":\"one\"}}'", shop.evil_host);
        let cases = [
            (evil.as_str(), honest.as_str()),
            ("owner_user = 'mallory'", "owner_user = ''"),
            ("provider = 'simulator', auth_mode = 'api_key'", "provider = 'shop', auth_mode = 'key'"),
        ];
        for (change, back) in cases {
            shop.altered(change).await;
            let mallory = shop.connected.vault.client("app").await.acting_for("acme", Some("mallory"));
            for caller in [&shop.app, &mallory] {
                let answer = caller.fetch(by_id(&shop.id)).await;
                // A caller without a user may not reach what is a user's now.
                let hidden = matches!(&answer, Err(status) if status.code() == tonic::Code::NotFound);
                assert!(hidden || lost(answer), "{change}");
            }
            if !change.contains("owner") {
                assert!(lost(shop.test().await), "{change}");
                assert!(lost(shop.put("sim_key_shop-2", None, true).await), "{change}");
                assert!(lost(shop.put("sim_key_shop-2", None, false).await), "{change}");
            }
            shop.altered(back).await;
        }
        // The vault's own test, in the background: no call, a record, and it shows.
        shop.altered(&format!("{evil}, verify_time = 1")).await;
        eventually("the connection shows it", || async {
            state(&shop.app, &shop.id).await == (v1::ConnectionState::Error, "INTEGRITY_FAILURE".into())
        }).await;
        let events = shop.app.events().await;
        let own = events.iter().find(|event| event.action == "TestConnection" && event.service == "vault").unwrap();
        assert_eq!(own.reason, "INTEGRITY_FAILURE");
        let metrics = shop.connected.vault.metrics().await;
        assert!(metrics.contains("credvault_integrity_failures_total{what=\"credential\"}"), "{metrics}");
        assert_eq!(shop.evil.count(), 0, "nothing was sent there");
        // Who names every setting relies on none of the row's.
        shop.put("sim_key_shop-3", Some(settings(&[("host", &shop.honest)])), true).await.unwrap();
        assert_eq!(shop.app.fetch(by_id(&shop.id)).await.unwrap().fields["key"], "sim_key_shop-3");
        assert_eq!(shop.evil.count(), 0);
    }

    async fn a_refresh_of_an_altered_row_is_told_as_one(vault: TestVault) {
        let mut vault = vault;
        vault.stop().await;
        let connected = Connected::start(vault, STRICT).await;
        let app = connected.vault.app("acme").await;
        let (renewing, healthy) = (connected.granted(&app, "shop-1", -60).await, connected.granted(&app, "shop-2", 3600).await);
        let refresh = async |id: &str| {
            app.connections().refresh_connection(v1::RefreshConnectionRequest { connection_id: id.to_owned() }).await
        };
        // The app's sealed secret: no refresh is sent without it, and no connection is blamed.
        connected.vault.sql("UPDATE oauth_apps SET redirect_uri = redirect_uri || '/x'").await;
        assert!(lost(refresh(&renewing).await) && lost(app.fetch(by_id(&renewing)).await));
        assert_eq!(state(&app, &renewing).await.0, v1::ConnectionState::Connected);
        connected.vault.sql("UPDATE oauth_apps SET redirect_uri = 'http://127.0.0.1:9/back'").await;
        refresh(&renewing).await.unwrap();
        assert!(app.fetch(by_id(&healthy)).await.is_ok());
        // A connection's own row, met by the search for what is due: once, and then it has an hour's rest.
        connected.vault.sql("UPDATE connections SET auth_mode = 'api_key' WHERE account_name = 'shop-2'").await;
        connected.vault.sql("UPDATE refreshes SET due_time = 1").await;
        eventually("the search meets it", || async {
            state(&app, &healthy).await == (v1::ConnectionState::Error, "INTEGRITY_FAILURE".into())
        }).await;
        let met = async || {
            let events = app.events().await;
            let own = |event: &&v1::AuditEvent| event.connection_id == healthy && event.reason == "INTEGRITY_FAILURE" && event.service == "vault";
            events.iter().filter(own).count()
        };
        assert!(met().await >= 1);
        assert!(lost(refresh(&healthy).await));
        connected.vault.sql("UPDATE connections SET auth_mode = 'oauth2_code' WHERE account_name = 'shop-2'").await;
        refresh(&healthy).await.unwrap();
        assert_eq!(state(&app, &healthy).await.0, v1::ConnectionState::Connected, "a good row heals");
    }

    async fn an_account_that_a_caller_claims_saves_no_grant(vault: TestVault) {
        let mut vault = vault;
        vault.stop().await;
        let connected = Connected::start(vault, STRICT).await;
        connected.vault.tenant("acme").await;
        let app = connected.vault.client("app").await;
        let (alice, mallory) = (app.acting_for("acme", Some("alice")), app.acting_for("acme", Some("mallory")));
        let consented = async |client: &Client, user: &str, account: &str| {
            let id = client.create(owned_by(user, connection_request(account))).await.unwrap().id;
            let begin = v1::BeginAuthorizationRequest { connection_id: id.clone(), ..Default::default() };
            let begun = client.connections().begin_authorization(begin).await.unwrap().into_inner();
            let parameters = decide(&begun.authorization_url, "shop-1", "allow").await;
            let complete = v1::CompleteAuthorizationRequest { parameters, ..Default::default() };
            client.connections().complete_authorization(complete).await.unwrap().into_inner().connection.unwrap()
        };
        let mine = consented(&alice, "alice", "mine").await;
        assert_eq!(mine.confirmed_account_id, "shop-1");
        // Another user claims the account, with a token of nobody's, and even has a grant of its own.
        let claim = v1::CreateConnectionRequest {
            external_account_id: "shop-1".into(),
            credential: Some(input(&[("access_token", "junk"), ("refresh_token", "junk")])),
            ..owned_by("mallory", connection_request("claimed"))
        };
        let claimed = mallory.create(claim).await.unwrap();
        assert_eq!((claimed.external_account_id.as_str(), claimed.confirmed_account_id.as_str()), ("shop-1", ""));
        consented(&mallory, "mallory", "own").await;
        let disconnect = v1::DisconnectConnectionRequest { connection_id: mine.id.clone(), ..Default::default() };
        let gone = alice.connections().disconnect_connection(disconnect).await.unwrap().into_inner();
        assert_eq!(gone.connection.unwrap().revocation(), v1::Revocation::Done, "nobody else's claim counts");
    }
}

/// Places that are no public ones are refused when they are stored: callers would be handed them as base URLs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_lead_to_no_public_place_are_not_stored() {
    let vault = TestVault::sqlite().await;
    let app = vault.app("acme").await;
    let create = async |url: &str| {
        let request = v1::CreateConnectionRequest {
            account_name: format!("of {}", url.len()),
            auth_mode: "bearer".into(),
            config: Some(settings(&[("base_url", url)])),
            credential: None,
            ..crate::harness::generic("x", "CANARY")
        };
        app.create(request).await
    };
    for url in [
        "https://127.0.0.1",
        "https://10.1.2.3/api",
        "https://[::1]:8443",
        "https://[fec0::1]",
        "https://169.254.169.254",
        "https://localhost",
        "https://localhost:8443/x",
        "https://metadata.google.internal",
        "https://x.svc.cluster.local",
        "https://router",
        "https://shop.example:22",
        r"https://shop.example\@evil.example",
        "https:shop.example",
    ] {
        let refused = create(url).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID", "{url}");
        assert!(refused.message().contains("config.base_url must"), "{refused:?}");
    }
    let stored = create("https://Shop.Example:443/api/").await.unwrap();
    assert_eq!(stored.config.unwrap(), settings(&[("base_url", "https://shop.example/api")]));
}
