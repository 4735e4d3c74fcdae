//! `VerifyWebhook`: whether a delivery is the provider's, for this connection, and the first of its kind.

use credvault_broker::app_values;
use credvault_broker::webhook::{self, Checked, Delivery, Key, Keys, Named, WebhookError};
use credvault_catalog::{App, KeyPlace, KnownAccount, Provider, Webhook};
use credvault_domain::{ConnectionId, Permit, SecretFields, TenantScope, Violations};
use credvault_store::{Error as StoreError, Fetched, Recorded, Selector, UsableApp};
use secrecy::SecretString;

use crate::{Call, Refusal};

/// How many headers a delivery has at most.
const MAX_HEADERS: usize = 100;

/// What is said of a delivery that an app's key has signed, and that is not known to be for the connection.
const OTHER_ACCOUNT: &str =
    "it is signed for the whole app, and concerns another account than this connection's";
const NO_ACCOUNT: &str = "it is signed for the whole app, and does not name this connection's account";
const UNCONFIRMED: &str = "it is signed for the whole app, and the provider has not confirmed this connection's account; \
                           TestConnection asks the provider";
const ANY_ACCOUNT: &str =
    "it is signed for the whole app; find out which account it concerns before you act on it";

/// A delivery as it arrived.
pub struct Received {
    /// The connection that it is for, as its receiver supposes.
    pub connection: ConnectionId,
    /// Which of the provider's ways to sign; empty means its only one.
    pub webhook: String,
    /// The HTTP method; empty means POST.
    pub method: String,
    /// The URL that the provider called.
    pub url: String,
    /// The headers, in their order.
    pub headers: Vec<(String, String)>,
    /// The body's bytes, untouched.
    pub body: Vec<u8>,
}

crate::debug_without_content!(Received);

/// What a delivery is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The provider's, and the first.
    Valid(Accepted),
    /// The provider's, and seen before.
    Repeated(Accepted),
    /// A handshake, not a delivery: the provider tests the endpoint and expects this answer.
    Handshake(String),
    /// Not accepted, for this reason.
    Invalid(String),
}

/// What is known of a delivery that is the provider's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The delivery's own id, if there is one.
    pub id: Option<String>,
    /// A warning, empty if there is none.
    pub problem: &'static str,
    /// Whether it is known to be for the connection's account.
    pub account_matched: bool,
}

/// The secrets that deliveries of one connection are checked with.
struct Secrets {
    app: Option<UsableApp>,
    values: Option<App>,
    fields: Option<SecretFields>,
}

impl Secrets {
    async fn read(call: &Call, scope: &TenantScope, fetched: &Fetched) -> Result<Self, Refusal> {
        let store = &call.context.store;
        let fields = match store.credentials().open(fetched, call.context.now(), true).await {
            Ok(opened) => Some(opened.fields),
            // An app's secret checks webhooks before the first consent, too.
            Err(StoreError::NoCredential) => None,
            Err(error) => return Err(error.into()),
        };
        let place = call.context.broker.app_place(&fetched.connection.provider, &fetched.connection.config);
        let app = store.apps().usable_in(scope, &place).await?;
        let values = app.as_ref().map(app_values);
        Ok(Self { app, values, fields })
    }

    /// The secrets that are kept in a place.
    fn at(&self, place: &KeyPlace) -> Vec<&SecretString> {
        let found = match place {
            KeyPlace::App(name) => {
                [self.values.as_ref().and_then(|app| app.secrets.get(name.as_str())), None]
            }
            KeyPlace::Secret(name) => {
                [self.fields.as_ref().and_then(|fields| fields.get(name.as_str())), None]
            }
            KeyPlace::AppSecret => {
                let app = self.app.as_ref();
                [
                    app.and_then(|app| app.client_secret.as_ref()),
                    app.and_then(|app| app.previous_client_secret.as_ref()),
                ]
            }
        };
        found.into_iter().flatten().collect()
    }

    fn keys(&self, webhook: &Webhook) -> Keys<'_> {
        let mut secrets = Vec::new();
        for place in &webhook.keys {
            let is_apps = !matches!(place, KeyPlace::Secret(_));
            secrets.extend(self.at(place).into_iter().map(|secret| Key { secret, is_apps }));
        }
        Keys { secrets, client_id: self.app.as_ref().map(|app| app.app.client_id.as_str()) }
    }
}

/// `VerifyWebhook`.
///
/// # Errors
/// Policy does not permit it, the provider signs no webhooks, or a key that it publishes cannot be fetched.
pub async fn verify(call: &mut Call, received: Received) -> Result<Recorded<Verdict>, Refusal> {
    let scope = call.scope()?;
    let (permit, connection) = call.connection(received.connection).await?;
    if received.headers.len() > MAX_HEADERS {
        return Err(Violations::of("headers", "must be at most 100").into());
    }
    let context = call.context.clone();
    let provider = context.catalog.get(&connection.provider);
    let provider = provider.ok_or_else(|| Refusal::CatalogEntryGone(connection.provider.clone()))?;
    let webhook = chosen_webhook(provider, &received.webhook)?;
    let selector = Selector::Connection { id: received.connection, version: None };
    let fetched = context.store.credentials().fetch(&scope, &selector).await?;
    let secrets = Secrets::read(call, &scope, &fetched).await?;
    let Received { method, url, headers, body, .. } = &received;
    let method = if method.is_empty() { "POST" } else { method.as_str() };
    let delivery = Delivery { method, url, headers, body };
    let checked = match &webhook.public_keys {
        Some(published) => {
            let (tenant, config) = (scope.tenant(), &fetched.connection.config);
            let app = secrets.app.as_ref();
            context.broker.check_with_public_key(tenant, published, config, app, &delivery).await?
        }
        None => webhook::check(webhook, &delivery, &secrets.keys(webhook), context.now()),
    };
    if let Some(answer) = handshake(webhook, &delivery, &checked, &secrets) {
        return call.recorded(&permit, Verdict::Handshake(answer)).await;
    }
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => return call.recorded(&permit, Verdict::Invalid(error.to_string())).await,
    };
    match account(webhook, &delivery, &fetched, &secrets, &checked) {
        Ok(account) => first(call, &permit, &fetched, &secrets, checked, account).await,
        Err(problem) => call.recorded(&permit, Verdict::Invalid(problem.to_owned())).await,
    }
}

/// The answer that the provider expects, if this is no delivery but a handshake.
fn handshake(
    webhook: &Webhook,
    delivery: &Delivery<'_>,
    checked: &Result<Checked, WebhookError>,
    secrets: &Secrets,
) -> Option<String> {
    let unsigned = matches!(checked, Err(WebhookError::SignatureMissing { .. }));
    if checked.is_err() && !unsigned {
        return None;
    }
    let secret = |place: &KeyPlace| secrets.at(place).into_iter().next();
    Some(webhook::handshake(webhook, delivery, checked.is_ok(), secret)?.instructions.clone())
}

/// Whose account a delivery is about.
enum Account {
    /// The connection's own key has signed it, so it is for the connection.
    Own,
    /// The app's key has signed it, and it names the connection's account, in this way.
    Named(Option<String>),
    /// The app's key has signed it, and it stands for the app as a whole.
    App,
}

/// Whose account a delivery is about, or why it is not accepted for this connection.
fn account(
    webhook: &Webhook,
    delivery: &Delivery<'_>,
    fetched: &Fetched,
    secrets: &Secrets,
    checked: &Checked,
) -> Result<Account, &'static str> {
    if !checked.shared || secrets.app.is_none() {
        return Ok(Account::Own);
    }
    let connection = &fetched.connection;
    let known = KnownAccount {
        settings: &connection.config,
        confirmed_settings: &connection.confirmed_settings,
        confirmed_id: connection.confirmed_account_id.as_deref(),
    };
    match webhook::named(webhook, delivery, &known) {
        Named::This(account) => Ok(Account::Named(account)),
        // Before the first consent a delivery stands for the app as a whole.
        Named::NotSaid => Ok(Account::App),
        Named::Unconfirmed if secrets.fields.is_none() => Ok(Account::App),
        Named::Unconfirmed => Err(UNCONFIRMED),
        Named::Other => Err(OTHER_ACCOUNT),
        Named::None => Err(NO_ACCOUNT),
    }
}

/// Remembers a delivery, with the call's record, and says whether it is the first.
async fn first(
    call: &Call,
    permit: &Permit,
    fetched: &Fetched,
    secrets: &Secrets,
    checked: Checked,
    account: Account,
) -> Result<Recorded<Verdict>, Refusal> {
    let (store, write) = (&call.context.store, call.write(permit, Ok(None))?);
    let window = checked.replay_window;
    let account_matched = !matches!(account, Account::App);
    let named = match account {
        Account::Named(name) => name,
        Account::Own | Account::App => None,
    };
    let first = match secrets.app.as_ref().filter(|_| checked.shared) {
        Some(app) => {
            let key = checked.shared_replay_key(named.as_deref());
            let owner = (&app.namespace, &fetched.connection.provider);
            store.first_app_delivery(owner, &key, window, &write).await?
        }
        None => store.first_delivery(&fetched.key(), &checked.replay_key, window, &write).await?,
    };
    let problem = if account_matched { "" } else { ANY_ACCOUNT };
    let accepted = Accepted { id: checked.id, problem, account_matched };
    Ok(first.map(|first| if first { Verdict::Valid(accepted) } else { Verdict::Repeated(accepted) }))
}

/// The way to sign that a request names, or the provider's only one.
fn chosen_webhook<'a>(provider: &'a Provider, name: &str) -> Result<&'a Webhook, Violations> {
    let webhooks = &provider.webhooks;
    let only = webhooks.values().next().filter(|_| webhooks.len() == 1);
    let chosen = if name.is_empty() { only } else { webhooks.get(name) };
    chosen.ok_or_else(|| {
        let all: Vec<&str> = webhooks.keys().map(String::as_str).collect();
        let rule = match all.as_slice() {
            [] => "cannot be given: the provider signs no webhooks that this vault knows".to_owned(),
            all => format!("must be one of {}", all.join(", ")),
        };
        Violations::of("webhook", rule)
    })
}
