//! `VaultService`: credentials in and out.

use std::sync::Arc;
use std::time::Duration;

use credvault_broker::webhook::{self, Delivery, Key, Keys, Named, WebhookError};
use credvault_broker::{MIN_TOKEN_LIFETIME, Need, RefreshError, app_values};
use credvault_catalog::{KeyPlace, KnownAccount, Mode, Rotation, Verdict, Webhook};
use credvault_domain::{Action, ConnectionId, FieldName, Owner, Purpose, TenantId, TenantScope, Violations};
use credvault_identity::Facts;
use credvault_store::{
    AppFault, Fetched, NewSettings, OpenedCredential, Recorded, Renewal, Selector, UsableApp, Weighed as _,
};
use secrecy::SecretString;

use super::batch::batch_fetch_credentials;
use super::connection::config;
use super::rpcs;
use crate::call::Call;
use crate::proto::v1;
use crate::vault::Vault;
use crate::wire::{self, FetchQuery};
use credvault_operations::Refusal;

pub(crate) struct Service(pub(crate) Arc<Vault>);

/// How long a fetch waits for a fresh token at most.
const PATIENCE: Duration = Duration::from_secs(12);
/// How often a fetch begins, if what it finds goes away meanwhile.
const ATTEMPTS: usize = 3;
/// When a fetch that lacks the platform's app is worth another try.
const APP_RETRY: Duration = Duration::from_secs(60);
/// What is said of a delivery that an app's key has signed, and that is not known to be for the connection.
const OTHER_ACCOUNT: &str = "it is signed for the app, and about another account than this connection's";
const NO_ACCOUNT: &str =
    "it is signed for the app, and does not say that it is for this connection's account";
const UNCONFIRMED: &str = "it is signed for the app, and the provider has not confirmed whose account this connection is; \
                           TestConnection asks it";
const ANY_ACCOUNT: &str = "it is signed for the app; find out whose account it is about before you act on it";

rpcs! {
    Service, v1::vault_service_server::VaultService,
    put_credential: PutCredentialRequest -> PutCredentialResponse,
    fetch_credential: FetchCredentialRequest -> FetchCredentialResponse,
    batch_fetch_credentials: BatchFetchCredentialsRequest -> BatchFetchCredentialsResponse,
    list_credential_versions: ListCredentialVersionsRequest -> ListCredentialVersionsResponse,
    rollback_credential: RollbackCredentialRequest -> RollbackCredentialResponse,
    destroy_credential_version: DestroyCredentialVersionRequest -> DestroyCredentialVersionResponse,
    verify_webhook: VerifyWebhookRequest -> VerifyWebhookResponse,
}

async fn put_credential(
    call: Arc<Call>,
    mut request: v1::PutCredentialRequest,
) -> Result<Recorded<v1::PutCredentialResponse>, Refusal> {
    let scope = call.scope()?;
    let id = wire::connection_id(&request.connection_id)?;
    let connection = call.connection(&scope, id).await?;
    let mut write = call.write(&request.request_id, &request)?;
    let expected = wire::expected_version(request.expected_version)?;
    let input = request.credential.take().ok_or_else(|| Violations::of("credential", "must be given"))?;
    let mode = call.vault.mode(&connection.provider, &connection.auth_mode)?;
    let credential = wire::new_credential("credential", input, mode, call.now(), &*call.vault.random)?;
    let settings = match request.config.take() {
        Some(given) => Some(NewSettings {
            config: config(&call, "config", Some(given), mode)?,
            destinations: mode.destinations().clone(),
        }),
        None => None,
    };
    if let Some(settings) = &settings {
        let hosts = mode.moved(&connection.config, &settings.config);
        call.about_changed(std::iter::once("config".to_owned()).chain(hosts).collect());
        write.event = call.event();
    }
    let credentials = call.vault.store.credentials();
    // The stored settings that the new secret was sent by, to be compared when it is stored.
    let mut tried = None;
    if request.verify {
        let config = match &settings {
            Some(settings) => &settings.config,
            None => &*tried.insert(credentials.whole(&scope, &connection).await?.config),
        };
        mode.check_destinations(config).map_err(Refusal::Settings)?;
        let broker = &call.vault.broker;
        let verdict = broker.test(&scope, &connection.provider, mode, config, &credential.fields).await?;
        if verdict == Verdict::Dead {
            return Err(Violations::of(
                "credential",
                "must be one that the provider accepts; nothing was stored",
            )
            .into());
        }
    }
    let stored = match &settings {
        Some(settings) => {
            credentials.put_with_settings(&scope, id, &credential, settings, expected, &write).await?
        }
        None => match &tried {
            Some(config) => credentials.put_tried(&scope, id, &credential, config, expected, &write).await?,
            None => credentials.put(&scope, id, &credential, expected, &write).await?,
        },
    };
    Ok(stored.map(|version| v1::PutCredentialResponse { version: Some(wire::credential_version(version)) }))
}

async fn fetch_credential(
    call: Arc<Call>,
    request: v1::FetchCredentialRequest,
) -> Result<Recorded<v1::FetchCredentialResponse>, Refusal> {
    let scope = call.scope()?;
    let Found { credential, used } = fetch(&call, &scope, request).await?;
    let response = v1::FetchCredentialResponse { credential: Some(credential) };
    call.room_for(&response).await?;
    let audit = call.vault.store.audit();
    Ok(audit.record_fetches(vec![call.event()], vec![used], response).await?)
}

/// A credential that is ready but not recorded yet, so not to be sent.
pub(super) struct Found {
    pub(super) credential: v1::Credential,
    pub(super) used: (TenantId, ConnectionId),
}

/// Finds a credential. What is replaced under its hands is begun again: by finding and by asking policy.
pub(super) async fn fetch(
    call: &Call,
    scope: &TenantScope,
    request: v1::FetchCredentialRequest,
) -> Result<Found, Refusal> {
    let FetchQuery { selector, purpose, named_user } = wire::fetch_query(request, call.caller.user())?;
    call.about_purpose(purpose.as_ref());
    match &selector {
        Selector::Connection { id, .. } => call.about_id(*id),
        Selector::Provider { provider, .. } => {
            call.about_provider(provider);
            call.vault.catalog.get(provider).ok_or(Refusal::ProviderUnknown)?;
        }
    }
    call.reach(scope, named_user.as_ref())?;
    for _ in 0..ATTEMPTS {
        if let Some(found) = try_fetch(call, scope, &selector, purpose.as_ref()).await? {
            return Ok(found);
        }
    }
    Err(credvault_store::Error::Conflict.into())
}

/// Finds a connection, asks policy about it, opens the credential of that same connection, and fills the provider's
/// request template. `None` if the connection is gone meanwhile.
async fn try_fetch(
    call: &Call,
    scope: &TenantScope,
    selector: &Selector,
    purpose: Option<&Purpose>,
) -> Result<Option<Found>, Refusal> {
    let credentials = call.vault.store.credentials();
    let fetched =
        credentials.fetch(scope, selector).await.map_err(|error| not_configured(error, selector))?;
    call.room(fetched.weight()).await?;
    call.about(&fetched.connection);
    call.permit(scope, Facts { purpose, ..Facts::of(&fetched.connection) })?;
    let mode = call.vault.mode(&fetched.connection.provider, &fetched.connection.auth_mode)?;
    mode.check_destinations(&fetched.connection.config).map_err(Refusal::Settings)?;
    let fresh = fresh(&call.vault, call.patience(), scope, fetched, mode).await;
    let fresh = fresh.map_err(|refusal| match refusal {
        Refusal::Store(error) => not_configured(error, selector),
        refusal => refusal,
    });
    let Some(fresh) = fresh? else { return Ok(None) };
    let Fresh { fetched, opened: OpenedCredential { mut fields, version, expire_time, .. } } = fresh;
    let connection = &fetched.connection;
    // What was read again may have other settings.
    mode.check_destinations(&connection.config).map_err(Refusal::Settings)?;
    call.about_version(version);
    let usable = match mode.request_names_app {
        true => call.vault.store.apps().usable_at(&fetched.place(), &connection.provider).await?,
        false => None,
    };
    let mut policies = match &usable {
        Some(app) if !mode.request_app_secrets.is_empty() => permit_app_secrets(call, app, purpose)?,
        _ => Vec::new(),
    };
    let app = usable.as_ref().map(app_values);
    let auth = mode.request_auth(&connection.config, &fields, app.as_ref());
    match &auth.missing {
        // The key file serves its owner without a token, and the answer says that there is none.
        Some(_) if mode.hands_out_key() && fields.get("access_token").is_none() => {}
        Some(missing) if missing.is_apps() => return Err(app_missing()),
        Some(missing) => return Err(Refusal::Incomplete(missing.clone())),
        None => {}
    }
    let inside = |(name, _): (&FieldName, &SecretString)| mode.is_vault_only(name).then(|| name.to_string());
    let mut released: Vec<String> = fields.iter().filter_map(inside).collect();
    if !released.is_empty() {
        // In the space of the credential's owner: the platform's secrets are not the calling tenant's to permit.
        let (identity, facts) = (&call.vault.identity, Facts { purpose, ..Facts::of(connection) });
        match identity.authorize(&call.caller, Action::FetchRefreshToken, &fetched.tenant, facts) {
            Ok(permit) => policies.extend(permit.policies),
            Err(_) => {
                fields.retain(|name| !mode.is_vault_only(name));
                released.clear();
            }
        }
    }
    released.extend(mode.request_app_secrets.iter().cloned());
    call.about_released(released, policies);
    let left = expire_time.map_or(Duration::MAX, |time| call.now().until(time));
    let credential =
        wire::credential(connection, version, &fields, auth, expire_time, call.vault.cache.min(left));
    Ok(Some(Found { credential, used: (fetched.tenant, connection.id) }))
}

/// Asks policy whether the caller may have the app's secrets, which requests to the provider carry; the policies that let
/// it. In the app's own space: the platform's secrets are not the calling tenant's to permit.
fn permit_app_secrets(
    call: &Call,
    app: &UsableApp,
    purpose: Option<&Purpose>,
) -> Result<Vec<String>, Refusal> {
    let owner = if app.space.is_platform() { Owner::Platform } else { Owner::Tenant };
    let facts = Facts { provider: Some(&app.app.provider), owner: Some(&owner), purpose };
    match call.vault.identity.authorize(&call.caller, Action::FetchRefreshToken, &app.space, facts) {
        Ok(permit) => Ok(permit.policies),
        Err(credvault_identity::Error::Denied(denial)) => Err(Refusal::AppSecret(denial)),
        Err(error) => Err(error.into()),
    }
}

/// A credential whose access token, if it has one, is good for a while.
pub(super) struct Fresh {
    pub(super) fetched: Fetched,
    pub(super) opened: OpenedCredential,
}

/// Opens what was found; an access token that is near its end is renewed first. While it still works, it is served if
/// the provider is not there. `None` if the connection is gone meanwhile, or is another than the one that was found.
pub(super) async fn fresh(
    vault: &Vault,
    until: tokio::time::Instant,
    scope: &TenantScope,
    fetched: Fetched,
    mode: &Mode,
) -> Result<Option<Fresh>, Refusal> {
    let credentials = vault.store.credentials();
    let opened = credentials.open(&fetched, vault.clock.now(), mode.renews()).await?;
    let left = |opened: &OpenedCredential| {
        opened.expire_time.map_or(Duration::MAX, |time| vault.clock.now().until(time))
    };
    let absent = opened.fields.get("access_token").is_none();
    if !mode.renews() || !opened.current || (!absent && left(&opened) > MIN_TOKEN_LIFETIME) {
        return match left(&opened) {
            Duration::ZERO => Err(credvault_store::Error::CredentialExpired.into()),
            _ => Ok(Some(Fresh { fetched, opened })),
        };
    }
    let deadline = until.min(tokio::time::Instant::now() + PATIENCE);
    match vault.broker.refreshed_by(deadline, fetched.place(), opened.generation, Need::Now).await {
        Ok(()) => {
            // By its key, so that it is the very connection that policy was asked about.
            let fetched = match credentials.again(scope, &fetched).await {
                Err(credvault_store::Error::ConnectionNotFound) => return Ok(None),
                again => again?,
            };
            let opened = credentials.open(&fetched, vault.clock.now(), mode.renews()).await?;
            if left(&opened).is_zero() {
                return Err(credvault_store::Error::CredentialExpired.into());
            }
            Ok(Some(Fresh { fetched, opened }))
        }
        // It works still, or the key that it is minted from is given out, too.
        Err(_) if (!absent && !left(&opened).is_zero()) || (absent && mode.hands_out_key()) => {
            Ok(Some(Fresh { fetched, opened }))
        }
        Err(error) => Err(error.into()),
    }
}

/// The app lacks what requests to the provider carry of it.
fn app_missing() -> Refusal {
    RefreshError::App { fault: AppFault::Missing, retry: APP_RETRY }.into()
}

/// A missing credential, with the provider and user that were asked for.
fn not_configured(error: credvault_store::Error, selector: &Selector) -> Refusal {
    match (error, selector) {
        (credvault_store::Error::NoCredential, Selector::Provider { provider, user, .. }) => {
            Refusal::NotConfigured { provider: provider.clone(), user: user.clone() }
        }
        (error, _) => error.into(),
    }
}

async fn list_credential_versions(
    call: Arc<Call>,
    request: v1::ListCredentialVersionsRequest,
) -> Result<Recorded<v1::ListCredentialVersionsResponse>, Refusal> {
    let scope = call.scope()?;
    let id = wire::connection_id(&request.connection_id)?;
    call.connection(&scope, id).await?;
    let page = call.page(Some(&scope), &request).await?;
    let listed = call.vault.store.credentials().list(&scope, id, &page).await?;
    let versions = listed.items.into_iter().map(wire::credential_version).collect();
    call.recorded(v1::ListCredentialVersionsResponse { versions, next_page_token: listed.next_page_token })
        .await
}

async fn rollback_credential(
    call: Arc<Call>,
    request: v1::RollbackCredentialRequest,
) -> Result<Recorded<v1::RollbackCredentialResponse>, Refusal> {
    let scope = call.scope()?;
    let id = wire::connection_id(&request.connection_id)?;
    let version = wire::version(request.version)?;
    let expected = wire::expected_version(request.expected_version)?;
    let connection = call.connection(&scope, id).await?;
    let mode = call.vault.mode(&connection.provider, &connection.auth_mode)?;
    // An earlier version holds the tokens that it began with. Where they rotate they are spent, and sending one again is
    // what a thief would do.
    let oauth = mode.oauth().filter(|oauth| oauth.code.is_some() && oauth.policy.rotates != Rotation::No);
    if oauth.is_some() {
        let rule = "the provider's tokens rotate, so an earlier version's are spent; BeginAuthorization gets new ones";
        return Err(credvault_store::Error::State(rule).into());
    }
    let renewal = mode.renews().then_some(Renewal { due_time: None, client_id: None });
    let write = call.write(&request.request_id, &request)?;
    let stored = call
        .vault
        .store
        .credentials()
        .rollback(&scope, id, version, expected, renewal.as_ref(), &write)
        .await?;
    Ok(stored
        .map(|version| v1::RollbackCredentialResponse { version: Some(wire::credential_version(version)) }))
}

async fn destroy_credential_version(
    call: Arc<Call>,
    request: v1::DestroyCredentialVersionRequest,
) -> Result<Recorded<v1::DestroyCredentialVersionResponse>, Refusal> {
    let scope = call.scope()?;
    let id = wire::connection_id(&request.connection_id)?;
    let version = wire::version(request.version)?;
    call.connection(&scope, id).await?;
    call.about_version(version);
    let write = call.write(&request.request_id, &request)?;
    let destroyed = call.vault.store.credentials().destroy(&scope, id, version, &write).await?;
    Ok(destroyed.map(|version| v1::DestroyCredentialVersionResponse {
        version: Some(wire::credential_version(version)),
    }))
}

async fn verify_webhook(
    call: Arc<Call>,
    request: v1::VerifyWebhookRequest,
) -> Result<Recorded<v1::VerifyWebhookResponse>, Refusal> {
    let scope = call.scope()?;
    let id = wire::connection_id(&request.connection_id)?;
    let connection = call.connection(&scope, id).await?;
    if request.headers.len() > 100 {
        return Err(Violations::of("headers", "must be at most 100").into());
    }
    let provider = call.vault.catalog.get(&connection.provider);
    let provider = provider.ok_or_else(|| Refusal::CatalogEntryGone(connection.provider.clone()))?;
    let webhook = chosen_webhook(provider, &request.webhook)?;
    let credentials = call.vault.store.credentials();
    let fetched = credentials.fetch(&scope, &Selector::Connection { id, version: None }).await?;
    let fields = match credentials.open(&fetched, call.now(), true).await {
        Ok(opened) => Some(opened.fields),
        // An app's secret checks webhooks before anybody has connected, too.
        Err(credvault_store::Error::NoCredential) => None,
        Err(error) => return Err(error.into()),
    };
    let connection = &fetched.connection;
    let app = call.vault.store.apps().usable_in(&scope, &connection.provider).await?;
    let values = app.as_ref().map(app_values);
    let kept = |place: &KeyPlace| match place {
        KeyPlace::App(name) => vec![values.as_ref().and_then(|app| app.secrets.get(name.as_str()))],
        KeyPlace::Secret(name) => vec![fields.as_ref().and_then(|fields| fields.get(name.as_str()))],
        KeyPlace::AppSecret => app
            .iter()
            .flat_map(|app| [app.client_secret.as_ref(), app.previous_client_secret.as_ref()])
            .collect(),
    };
    let secrets = webhook.keys.iter().flat_map(|place| {
        let is_apps = !matches!(place, KeyPlace::Secret(_));
        kept(place).into_iter().flatten().map(move |secret| Key { secret, is_apps })
    });
    let keys =
        Keys { secrets: secrets.collect(), client_id: app.as_ref().map(|app| app.app.client_id.as_str()) };
    let headers: Vec<_> = request.headers.into_iter().map(|header| (header.name, header.value)).collect();
    let method = if request.method.is_empty() { "POST" } else { &request.method };
    let delivery = Delivery { method, url: &request.url, headers: &headers, body: &request.body };
    let checked = match &webhook.public_keys {
        Some(published) => {
            let broker = &call.vault.broker;
            broker
                .check_with_public_key(scope.tenant(), published, &connection.config, app.as_ref(), &delivery)
                .await?
        }
        None => webhook::check(webhook, &delivery, &keys, call.now()),
    };
    let told = |verdict: v1::WebhookVerdict, problem: &str| {
        let (verdict, problem) = (verdict.into(), problem.to_owned());
        call.recorded(v1::VerifyWebhookResponse { verdict, problem, ..Default::default() })
    };
    let unsigned = matches!(checked, Err(WebhookError::SignatureMissing { .. }));
    if (checked.is_ok() || unsigned)
        && let Some(handshake) = webhook::handshake(webhook, &delivery, checked.is_ok(), |place| {
            kept(place).into_iter().flatten().next()
        })
    {
        return told(v1::WebhookVerdict::Handshake, &handshake.instructions).await;
    }
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => return told(v1::WebhookVerdict::Invalid, &error.to_string()).await,
    };
    let window = checked.replay_window;
    let (first, account_matched) = match app.as_ref().filter(|_| checked.shared) {
        Some(app) => {
            let known = KnownAccount {
                settings: &connection.config,
                confirmed_settings: &connection.confirmed_settings,
                confirmed_id: connection.confirmed_account_id.as_deref(),
            };
            let account = match webhook::named(webhook, &delivery, &known) {
                Named::This(account) => Some(account),
                // What nobody has connected stands for the app as a whole.
                Named::NotSaid => None,
                Named::Unconfirmed if fields.is_none() => None,
                Named::Unconfirmed => return told(v1::WebhookVerdict::Invalid, UNCONFIRMED).await,
                Named::Other => return told(v1::WebhookVerdict::Invalid, OTHER_ACCOUNT).await,
                Named::None => return told(v1::WebhookVerdict::Invalid, NO_ACCOUNT).await,
            };
            let key = checked.shared_replay_key(account.as_ref().and_then(Option::as_deref));
            let owner = (&app.space, &connection.provider);
            let first = call.vault.store.first_app_delivery(owner, &key, window, call.event()).await?;
            (first, account.is_some())
        }
        None => {
            let key = &checked.replay_key;
            (call.vault.store.first_delivery(&fetched.place(), key, window, call.event()).await?, true)
        }
    };
    Ok(first.map(|first| {
        let verdict = if first { v1::WebhookVerdict::Valid } else { v1::WebhookVerdict::Repeated };
        v1::VerifyWebhookResponse {
            verdict: verdict.into(),
            problem: if account_matched { String::new() } else { ANY_ACCOUNT.to_owned() },
            delivery_id: checked.id.unwrap_or_default(),
            account_matched,
        }
    }))
}

/// The way to sign that a request names, or the provider's only one.
fn chosen_webhook<'a>(provider: &'a credvault_catalog::Provider, name: &str) -> Result<&'a Webhook, Refusal> {
    let webhooks = &provider.webhooks;
    let only = webhooks.values().next().filter(|_| webhooks.len() == 1);
    let chosen = if name.is_empty() { only } else { webhooks.get(name) };
    chosen.ok_or_else(|| {
        let all: Vec<&str> = webhooks.keys().map(String::as_str).collect();
        let rule = match all.as_slice() {
            [] => "cannot be given: the provider signs no webhooks that this vault knows".to_owned(),
            all => format!("must be one of {}", all.join(", ")),
        };
        Violations::of("webhook", rule).into()
    })
}
