//! The values that the catalog fills requests from, and what a provider's tokens become. Nothing here is sent or stored.

use credvault_catalog::{App, Flow, Granted, Scopes};
use credvault_domain::{FieldName, Random, SecretFields, Timestamp};
use credvault_store::UsableApp;
use secrecy::SecretString;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An app in the form in which templates read it.
pub fn app_values(usable: &UsableApp) -> App {
    App {
        client_id: usable.app.client_id.clone(),
        client_secret: usable.client_secret.clone(),
        settings: usable.app.settings.clone(),
        secrets: usable.secrets.clone(),
    }
}

/// The values that every request can be filled from: the time, in several forms, and a new id.
pub(crate) fn flow_defaults(now: Timestamp, random: &dyn Random) -> Flow {
    let mut bytes = [0; 16];
    // If the generator fails, the id is a known one. Providers use it to tell requests apart, not to trust them.
    let _ = random.fill(&mut bytes);
    let date = OffsetDateTime::from_unix_timestamp(now.seconds()).ok();
    let date = date.and_then(|date| date.format(&Rfc3339).ok());
    Flow::default()
        .with("now", now.seconds().to_string())
        .with("now_ms", now.millis().to_string())
        .with("date", date.unwrap_or_default())
        .with("uuid", uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}

/// Adds `scope`, in the provider's own form, unless there is none to ask for.
pub(crate) fn with_scope(flow: Flow, scopes: &[String], known: &Scopes) -> Flow {
    let scope = scopes.join(&known.separator);
    if scope.is_empty() { flow } else { flow.with("scope", scope) }
}

/// Replaces the tokens among `fields`. A token that the answer leaves out stays: a provider that does not rotate need not
/// repeat its refresh token.
pub(crate) fn replace_tokens(fields: &mut SecretFields, granted: &Granted) {
    let mut set = |name: &str, value: &SecretString| {
        if let Ok(name) = FieldName::parse(name) {
            fields.set(name, value.clone());
        }
    };
    set("access_token", &granted.access_token);
    if let Some(token) = &granted.refresh_token {
        set("refresh_token", token);
    }
    for (name, value) in &granted.secrets {
        set(name.as_str(), value);
    }
}
