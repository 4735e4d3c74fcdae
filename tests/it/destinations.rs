//! Where a secret goes: it is bound to that, it moves with a new secret only, and no claim of a caller's steers it.

mod altered_rows;
mod settings_of_callers;

use std::collections::BTreeMap;

use credvault_proto::v1;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tonic::Status;

use crate::harness::provider::{Connected, STRICT};
use crate::harness::receiver::Receiver;
use crate::harness::{Client, VaultBuilder, input};

/// A provider whose host is the tenant's to choose.
const SHOP: &str = "id = 'shop'\ndisplay_name = 'Shop'\n\
    [config.host]\ntitle = 'Host'\nrequired = true\npattern = '^[a-z0-9.:]+$'\n\
    [config.note]\ntitle = 'Note'\n\
    [modes.key]\ndisplay_name = 'Key'\nkind = 'static'\n\
    secret.key = { title = 'Key', required = true }\n\
    request = { base_url = 'http://{config.host}', headers = { X-API-Key = '{secret.key}' } }\n\
    test = { call = { url = 'http://{config.host}/me' }, account_id = 'id' }\n";

fn settings(pairs: &[(&str, &str)]) -> Struct {
    let value = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let fields: BTreeMap<_, _> = pairs.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect();
    Struct { fields }
}

struct Shop {
    connected: Connected,
    app: Client,
    /// The customer's host. An attacker wants the key at `evil_host`.
    honest: String,
    evil: Receiver,
    evil_host: String,
    id: String,
}

impl Shop {
    async fn start(builder: VaultBuilder) -> Self {
        let connected = builder.provider_file("shop", SHOP).start_with_provider(STRICT).await;
        let app = connected.vault.app("acme").await;
        let host = |url: &str| url.split('/').nth(2).unwrap().to_owned();
        let honest = host(&connected.provider.url());
        let evil = Receiver::start().await;
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
