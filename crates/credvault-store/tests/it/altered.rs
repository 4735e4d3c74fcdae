//! What a writer of the database can do, tried: every column of every table that holds a sealed value, and of the row that
//! says whose it is, is altered by hand, one at a time. Whatever decides whose a secret is or where it goes must be
//! noticed. What is not is listed here, and in SECURITY.md under the same words.

mod columns;
mod effects;

use credvault_domain::{
    Action, AppPlace, Clock as _, Config, ConnectionId, EventEndpointId, FieldName, Grant, ProviderId,
    SecretFields, TenantScope,
};
use credvault_store::{
    ConnectionKey, Error, Fetched, NewApp, NewConnection, NewCredential, RefreshSchedule, Selector,
};

use crate::credential_rotations::{revoked_after, rotated};
use crate::events::{new_endpoint, put};
use crate::fixture::{Fixture, credential, owned_by, scope, write};
use crate::refreshes::{claimed, record, refreshed};

/// The number of the key that a first rotation has replaced: its new key was the first one.
const REPLACED: i64 = 2;

/// Everything that is opened in this test, with what opens it.
struct Prepared {
    user: TenantScope,
    plain: ConnectionId,
    refreshable: ConnectionKey,
    revoked: ConnectionKey,
    rotated: ConnectionKey,
    endpoint: EventEndpointId,
}

impl Prepared {
    async fn new(fixture: &Fixture) -> Self {
        fixture.tenant("acme").await;
        let tenant = scope("acme", None);
        let user = scope("acme", Some("u1"));
        let store = &fixture.store;
        let create = async |account: &str, credential: NewCredential| {
            let new = NewConnection { config: config("https://shop.example"), ..owned_by("u1", account) };
            let write = write(&user, Action::CreateConnection);
            store.connections().create(&user, &new, Some(&credential), &write).await.unwrap().into_inner().id
        };
        let plain = create("plain", credential("CANARY plain")).await;
        let due = Some(RefreshSchedule { due_time: None, client_id: None, grant: Grant::renewed(None) });
        let id = create("refreshable", NewCredential { schedule: due, ..credential("CANARY first") }).await;
        let fetched = fetch(fixture, &user, id).await.unwrap();
        let claim = claimed(store, &fetched.key(), fetched.generation()).await;
        let tokens = refreshed(&claim, "CANARY token");
        assert!(store.refreshes().store(&claim, &tokens, &record(&claim.key)).await.unwrap());
        let gone = create("gone", credential("CANARY gone")).await;
        let disconnect = write(&user, Action::DisconnectConnection);
        let gone = store.revocations().disconnect(&user, gone, None, true, &disconnect).await.unwrap();
        let revoked = store.connection_key(&user, gone.into_inner().id);
        let rotating = store.connection_key(&user, create("rotated", credential("CANARY old")).await);
        let at_once = revoked_after(fixture, std::time::Duration::ZERO);
        rotated(fixture, &user, &rotating, "CANARY new", &at_once).await;
        store.apps().put(&tenant, &app(), &write(&tenant, Action::PutOAuthApp)).await.unwrap().into_inner();
        let (endpoint, _) = put(fixture, &tenant, &new_endpoint(&[])).await.unwrap();
        store.signer().await.unwrap();
        Self { user, plain, refreshable: fetched.key(), revoked, rotated: rotating, endpoint }
    }

    /// Which row of a table is altered: a condition.
    fn row(&self, fixture: &Fixture, table: &str) -> String {
        let id = |id| fixture.id(id);
        match table {
            "connections" => format!("id = {}", id(self.plain)),
            "credential_versions" => format!("connection_id = {}", id(self.plain)),
            "tokens" => format!("connection_id = {}", id(self.refreshable.connection())),
            "revocations" => format!("connection_id = {}", id(self.revoked.connection())),
            "rotated_keys" => format!("connection_id = {}", id(self.rotated.connection())),
            "signing_keys" => "generation = 1".to_owned(),
            _ => "tenant_id = 'acme'".to_owned(),
        }
    }

    /// Opens what lies in a table.
    async fn open(&self, fixture: &Fixture, table: &str) -> Result<(), Error> {
        let store = &fixture.store;
        match table {
            "tokens" => open(fixture, &self.user, self.refreshable.connection()).await,
            "revocations" => match store.revocations().open(&self.revoked).await? {
                Some(found) if found.fields.is_none() => Err(Error::Integrity),
                _ => Ok(()),
            },
            "oauth_apps" => {
                let generic = ProviderId::parse("generic").unwrap();
                store
                    .apps()
                    .usable_in(&scope("acme", None), &AppPlace::new(generic.clone(), None))
                    .await
                    .map(drop)
            }
            "event_endpoints" => {
                store.event_endpoints().target(&scope("acme", None), self.endpoint).await.map(drop)
            }
            "rotated_keys" => {
                // Each look at it puts the next one off.
                fixture.execute("UPDATE rotated_keys SET due_time = 0").await;
                let names = [FieldName::parse("token").unwrap()];
                store.credential_rotations().begin_end(&self.rotated, REPLACED, &names).await.map(drop)
            }
            "signing_keys" => store.signer().await.map(drop),
            _ => open(fixture, &self.user, self.plain).await,
        }
    }
}

fn config(url: &str) -> Config {
    Config::new([("store_url".to_owned(), url.into())].into_iter().collect()).unwrap()
}

fn app() -> NewApp {
    NewApp {
        place: AppPlace::new(ProviderId::parse("generic").unwrap(), None),
        client_id: "client".to_owned(),
        client_secret: Some("CANARY app".to_owned().into()),
        keep_previous: false,
        redirect_uri: "https://app.example/back".to_owned(),
        scopes: Vec::new(),
        settings: [("application_id".to_owned(), "one".to_owned())].into(),
        secrets: SecretFields::default(),
    }
}

async fn fetch(fixture: &Fixture, scope: &TenantScope, id: ConnectionId) -> Result<Fetched, Error> {
    fixture.store.credentials().fetch(scope, &Selector::Connection { id, version: None }).await
}

async fn open(fixture: &Fixture, scope: &TenantScope, id: ConnectionId) -> Result<(), Error> {
    let fetched = fetch(fixture, scope, id).await?;
    fixture.store.credentials().open_stored(&fetched, fixture.clock.now(), true).await.map(drop)
}
