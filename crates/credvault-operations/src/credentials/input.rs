//! Credentials and settings as a caller gives them, held against the provider's auth mode.

use std::time::Duration;

use credvault_broker::{ConsentError, first_due_time, grant};
use credvault_catalog::Mode;
use credvault_domain::{Config, SecretFields, Timestamp, Violations};
use credvault_store::{NewCredential, RefreshSchedule};
use serde_json::{Map, Value};

use crate::{Context, Parsed};

/// How long an access token counts as alive whose expiry the caller did not give.
const ASSUMED_TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// When a credential stops working, as a caller says it.
#[derive(Clone, Copy, Debug)]
pub enum Expiry {
    /// At this instant, and not before.
    At(Timestamp),
    /// This long from now.
    In(Duration),
}

/// A credential as a caller gives it.
#[derive(Debug)]
pub struct GivenCredential {
    /// The secret fields, by their names.
    pub fields: Parsed<SecretFields>,
    /// When it stops working, if the caller says so.
    pub expiry: Parsed<Option<Expiry>>,
}

/// A credential that the auth mode accepts, ready to be stored.
pub(crate) fn new_credential(
    context: &Context,
    given: GivenCredential,
    mode: &Mode,
) -> Parsed<NewCredential> {
    let now = context.now();
    let mut violations = Violations::default();
    let expiry = violations.collect(given.expiry).flatten();
    let Some(fields) = violations.collect(given.fields) else { return Err(violations) };
    violations.collect(mode.check_secrets("credential.fields", &fields));
    violations.into_result()?;
    let expire_time = expiry.map(|expiry| match expiry {
        Expiry::At(time) => time,
        Expiry::In(time) => now.after(time),
    });
    let schedule = mode.refreshes().then(|| {
        // If the caller gave a refresh token but no expiry, assume one hour; the first refresh corrects it.
        let assumed = expire_time.is_none() && fields.get("refresh_token").is_some();
        let expires = if assumed { Some(now.after(ASSUMED_TOKEN_LIFETIME)) } else { expire_time };
        // Whether the caller's token is the provider's first one or one that lives longer, the vault cannot tell.
        RefreshSchedule {
            due_time: first_due_time(mode, expires, None, now, &*context.random),
            client_id: None,
            grant: grant(mode, &fields, expire_time, None, now),
        }
    });
    Ok(NewCredential {
        hints: mode.hints(&fields),
        fields,
        adopted: None,
        expire_time,
        schedule,
        consent_time: None,
        accepted: None,
    })
}

/// The settings that go with a new secret: those `given`, or else the stored ones if the endpoints must be found first.
/// `None` leaves the stored ones.
///
/// # Errors
/// The issuer's metadata cannot be read, or cannot be used.
pub(crate) async fn with_endpoints(
    context: &Context,
    mode: &Mode,
    given: Option<Config>,
    stored: &Config,
) -> Result<Option<Config>, ConsentError> {
    let config = match given {
        None if mode.is_discovered(stored) => return Ok(None),
        None => stored,
        Some(ref given) => given,
    };
    context.broker.discovered(mode, config).await.map(Some)
}

/// Settings that the auth mode accepts, and that lead to public places only. Those that only an issuer's metadata may
/// give stay as they are `stored`.
pub(crate) fn accepted_config(
    context: &Context,
    path: &str,
    given: Map<String, Value>,
    mode: &Mode,
    stored: &Config,
) -> Parsed<Config> {
    let given = mode.with_discovered(path, given, stored)?;
    let config = Config::new(given).map_err(|rule| Violations::of(path, rule.to_string()))?;
    let config = mode.accepted_config(path, config)?;
    context.broker.check_destinations(path, mode, &config).map(|()| config)
}
