//! The apps of a tenant, or of the platform, at providers.

use std::collections::BTreeMap;

use credvault_catalog::{AppFieldKind, Provider};
use credvault_domain::{AppPlace, FieldName, ProviderId, TenantId, Violations};
use credvault_identity::Facts;
use credvault_store::{Listed, NewApp, OAuthApp, Recorded};
use secrecy::{ExposeSecret as _, SecretString};

use crate::call::Subject;
use crate::{Call, Paging, Parsed, Refusal, Repeat};

/// How many bytes an app's id has at most.
const MAX_CLIENT_ID_BYTES: usize = 512;
/// How many bytes an app's secret has at most.
const MAX_CLIENT_SECRET_BYTES: usize = 4 * 1024;
/// How many bytes a redirect URI has at most.
const MAX_REDIRECT_URI_BYTES: usize = 2048;
/// How many settings an app has at most.
const MAX_SETTINGS: usize = 16;
/// How many bytes the value of a setting has at most.
const MAX_SETTING_BYTES: usize = 1024;
/// How many bytes a private key has at most, with the certificate beside it.
const MAX_KEY_BYTES: usize = 16 * 1024;

/// An app that is registered at a provider, as a caller gives it.
pub struct PutApp {
    /// Whose it is; none means the platform's.
    pub tenant: Option<TenantId>,
    /// The provider, by its catalog id.
    pub provider: ProviderId,
    /// How a repetition is recognised.
    pub repeat: Parsed<Option<Repeat>>,
    /// The app's id at the provider.
    pub client_id: String,
    /// Its secret; empty if it has none.
    pub client_secret: SecretString,
    /// Whether the previous secret stays valid.
    pub keep_previous: bool,
    /// Where the provider sends browsers back to; empty means the vault's own address.
    pub redirect_uri: String,
    /// What a consent asks for.
    pub scopes: Parsed<Vec<String>>,
    /// The settings and secrets that the provider's file names.
    pub settings: BTreeMap<String, String>,
}

crate::debug_without_content!(PutApp);

/// `PutOAuthApp`.
///
/// # Errors
/// Policy does not permit it, or the app is not what the provider's file takes.
pub async fn put_app(call: &mut Call, mut put: PutApp) -> Result<Recorded<OAuthApp>, Refusal> {
    let provider = put.provider.clone();
    call.about(Subject::provider(&provider));
    let (permit, scope) = call.administer(put.tenant.take(), Facts::of_provider(&provider))?;
    let write = call.write(&permit, std::mem::replace(&mut put.repeat, Ok(None)))?;
    let mut new = checked(call.context.catalog.get(&provider).ok_or(Refusal::ProviderUnknown)?, put)?;
    if new.redirect_uri.is_empty() {
        new.redirect_uri = call.context.broker.callback_url(&new.place).unwrap_or_default();
    }
    let stored = call.context.store.apps().put(&scope, &new, &write).await?;
    // Refreshes that waited for the app continue.
    call.context.broker.refresher().app_stored(scope.tenant().clone(), provider);
    Ok(stored)
}

/// Holds an app against its provider's file, and names all that is wrong at once.
fn checked(provider: &Provider, put: PutApp) -> Parsed<NewApp> {
    let PutApp { client_id, client_secret, keep_previous, redirect_uri, scopes, settings, .. } = put;
    let mut violations = Violations::default();
    let line = |text: &str, most: usize| {
        text.len() <= most && !text.chars().any(char::is_control) && text.trim() == text
    };
    if client_id.is_empty() || !line(&client_id, MAX_CLIENT_ID_BYTES) {
        violations.add("client_id", "must be 1 to 512 printable characters without blanks at the ends");
    }
    if !line(client_secret.expose_secret(), MAX_CLIENT_SECRET_BYTES) {
        violations.add("client_secret", "must be one line of at most 4 KiB without blanks at the ends");
    }
    if !line(&redirect_uri, MAX_REDIRECT_URI_BYTES) {
        violations.add("redirect_uri", "must be one line of at most 2,048 characters");
    }
    let scopes = violations.collect(scopes).unwrap_or_default();
    let is_key =
        |name: &str| provider.app.get(name).is_some_and(|field| field.kind == AppFieldKind::SigningKey);
    let named = |(name, value): (&String, &String)| match is_key(name) {
        true => value.len() <= MAX_KEY_BYTES,
        false => FieldName::parse(name).is_ok() && line(value, MAX_SETTING_BYTES),
    };
    if settings.len() > MAX_SETTINGS || !settings.iter().all(named) {
        violations.add(
            "settings",
            "must be at most 16, named by a-z 0-9 _, each one line of at most 1,024 characters, or a key of at most 16 KiB",
        );
    }
    violations.into_result()?;
    let (settings, secrets) = provider.app_settings("settings", settings)?;
    let server = settings.get(provider.server_setting()).map(String::as_str);
    let place = provider.place_of_app(&format!("settings[{}]", provider.server_setting()), server)?;
    Ok(NewApp {
        place,
        client_id,
        client_secret: Some(client_secret).filter(|secret| !secret.expose_secret().is_empty()),
        keep_previous,
        redirect_uri,
        scopes,
        settings,
        secrets,
    })
}

/// `ListOAuthApps`: those at providers that policy shows to the caller.
///
/// # Errors
/// There is no such tenant, or policy does not permit the list as a whole.
pub async fn list_apps(
    call: &mut Call,
    tenant: Option<TenantId>,
    paging: Parsed<Paging>,
) -> Result<Recorded<Listed<OAuthApp>>, Refusal> {
    let (permit, scope) = call.administer(tenant, Facts::default())?;
    let page = call.page(None, paging).await?;
    let mut listed = call.context.store.apps().list(&scope, &page).await?;
    let mut shown = call.shown(&scope);
    listed.items.retain(|app| shown.shows(Some(app.place.provider()), None));
    call.recorded(&permit, listed).await
}

/// `DeleteOAuthApp`. Deleting an app that is not there changes nothing.
///
/// # Errors
/// Policy does not permit it.
pub async fn delete_app(
    call: &mut Call,
    tenant: Option<TenantId>,
    provider: ProviderId,
    server: Option<String>,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<()>, Refusal> {
    call.about(Subject::provider(&provider));
    let (permit, scope) = call.administer(tenant, Facts::of_provider(&provider))?;
    let write = call.write(&permit, repeat)?;
    let place = match call.context.catalog.get(&provider) {
        Some(known) => known.place_of_app("server", server.as_deref())?,
        None => AppPlace::new(provider, server),
    };
    Ok(call.context.store.apps().delete(&scope, &place, &write).await?.map(drop))
}
