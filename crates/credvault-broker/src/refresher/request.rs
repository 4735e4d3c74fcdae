//! The request that renews tokens, and what is made of the answer.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_catalog::{App, Assertion, Flow, Given, Granted, Missing, Mode, ProviderRequest, Rotation};
use credvault_domain::{Config, FieldName, Random, SecretFields, TenantId, Timestamp, jitter};
use credvault_store::{AppFault, AppRevision, Claimed, Pause, Renewed, UsableApp};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::Inner;
use super::failed::{BACKOFF, Failed};

impl Inner {
    /// The request, and the app that it is made with.
    pub(super) async fn request(
        &self,
        claimed: &Claimed,
        mode: &Mode,
    ) -> Result<(ProviderRequest, Client), Failed> {
        let now = self.clock.now();
        let usable = self.store.apps().usable_at(&claimed.place, &claimed.connection.provider).await;
        let usable = usable.map_err(|error| match error {
            credvault_store::Error::Integrity => Failed::integrity(now, error.to_string()),
            error => Failed::paused(Pause::Vault, BACKOFF.0, now, error.to_string()),
        })?;
        let client = Client::of(usable.as_ref());
        let at_fault = |fault, detail: &str| Failed::app(fault, client.revision, now, detail.to_owned());
        let oauth = mode.oauth();
        // Without an app nothing is sent: a provider that took the tokens without the app's own proof would be one that
        // takes them from a thief, too.
        if usable.is_none() && oauth.is_some_and(|oauth| !oauth.client_per_connection) {
            return Err(at_fault(AppFault::Missing, "there is no app"));
        }
        if claimed.client_id.is_some() && client.id.is_some() && claimed.client_id != client.id {
            // Another app's refresh token would be refused, and a live connection taken for dead.
            let detail = "the tokens were got with another app than the one that is stored now";
            return Err(at_fault(AppFault::Other, detail));
        }
        let app = usable.as_ref().map(app_values);
        let scope = oauth
            .map(|oauth| oauth.scopes.asked(&claimed.connection.scopes_asked).join(&oauth.scopes.separator));
        let mut flow = moment(now, &*self.random);
        if let Some(scope) = scope.filter(|scope| !scope.is_empty()) {
            flow = flow.with("scope", scope);
        }
        let given = Given {
            config: &claimed.connection.config,
            secrets: &claimed.fields,
            app: app.as_ref(),
            flow: &flow,
        };
        // A setting or a field of the connection that its owner has to give.
        let incomplete =
            |detail: String| Failed::paused(Pause::Incomplete, self.backoff(claimed.failures), now, detail);
        let missing = |missing: Missing| match missing.is_apps() {
            true => at_fault(AppFault::Missing, &format!("the app has no {missing}")),
            false => incomplete(format!("{missing} is missing")),
        };
        let Some(refresh) = mode.refresh() else {
            return Err(incomplete("the mode renews nothing".to_owned()));
        };
        let flow = match &refresh.assertion {
            // Keys are tried before they are stored. Only another one helps.
            Some(assertion) => match signed(mode.assertion(assertion, given).map_err(missing)?, now) {
                Ok(signed) => flow.clone().with("assertion", signed),
                Err(error) => return Err(incomplete(format!("the connection's private key {error}"))),
            },
            None => flow.clone(),
        };
        let given = Given { flow: &flow, ..given };
        let request = mode.request(&refresh.call, given).map_err(missing)?;
        Ok((request, client))
    }

    pub(super) fn renewed(
        &self,
        claimed: &Claimed,
        mode: &Mode,
        granted: Granted,
        sent: Timestamp,
        client_id: Option<String>,
    ) -> Renewed {
        let mut fields = claimed.fields.clone();
        merge(&mut fields, &granted);
        // Settings decide where secrets are sent: what the catalog would not take from a caller it does not take here.
        let mut merged = claimed.connection.config.clone().into_object();
        merged.extend(granted.settings.clone());
        let merged = Config::new(merged).ok().and_then(|config| mode.accepted_config("config", config).ok());
        if merged.is_none() {
            tracing::warn!(
                connection = %claimed.place.connection(),
                "settings that came with renewed tokens are not acceptable and were left out"
            );
        }
        let stored = |name: String| Some((name.clone(), merged.as_ref()?.get(&name)?.clone()));
        let plain = |scope: &String| !scope.chars().any(char::is_control);
        Renewed {
            fields,
            expire_time: granted.expires,
            due_time: due_time(mode, granted.expires, granted.refresh_expires, sent, &*self.random),
            scopes: granted.scopes.map(|scopes| scopes.into_iter().filter(plain).collect()),
            settings: granted.settings.into_keys().filter_map(stored).collect(),
            client_id,
        }
    }
}

/// How far assertions are back-dated: providers refuse what was issued in their future, by clocks that differ a little.
const BACK: Duration = Duration::from_secs(60);

/// The assertion that is given for tokens (RFC 7523).
fn signed(assertion: Assertion, now: Timestamp) -> Result<String, credvault_crypto::KeyError> {
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": assertion.key_id });
    let mut claims = assertion.claims;
    let issued = now.before(BACK);
    claims.insert("iat".to_owned(), json!(issued.seconds()));
    claims.insert("exp".to_owned(), json!(issued.after(assertion.lifetime).seconds()));
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(&serde_json::Value::Object(claims)));
    let signature = credvault_crypto::sign_rs256(assertion.key.expose_secret(), message.as_bytes())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Which app a renewal is made with.
pub(super) struct Client {
    pub(super) id: Option<String>,
    pub(super) revision: AppRevision,
    /// The tenant whose own it is, and not the platform's.
    pub(super) tenant: Option<TenantId>,
}

impl Client {
    fn of(usable: Option<&UsableApp>) -> Self {
        Self {
            id: usable.map(|usable| usable.app.client_id.clone()),
            revision: usable.map_or(AppRevision::NONE, |usable| usable.revision),
            tenant: usable.map(|usable| usable.space.clone()).filter(|space| !space.is_platform()),
        }
    }
}

/// An app as templates see it.
pub fn app_values(usable: &UsableApp) -> App {
    App {
        client_id: usable.app.client_id.clone(),
        client_secret: usable.client_secret.clone(),
        settings: usable.app.settings.clone(),
        secrets: usable.secrets.clone(),
    }
}

/// What a flow has at any time.
pub(crate) fn moment(now: Timestamp, random: &dyn Random) -> Flow {
    let mut bytes = [0; 16];
    // Without randomness the id is a known one, which harms nobody.
    let _ = random.fill(&mut bytes);
    let date = time::OffsetDateTime::from_unix_timestamp(now.seconds()).ok();
    let date = date.and_then(|date| date.format(&time::format_description::well_known::Rfc3339).ok());
    Flow::default()
        .with("now", now.seconds().to_string())
        .with("now_ms", now.millis().to_string())
        .with("date", date.unwrap_or_default())
        .with("uuid", uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}

/// Puts new tokens in place of the old ones. What the answer leaves out stays: a provider that does not rotate need not
/// repeat its refresh token.
pub(crate) fn merge(fields: &mut SecretFields, granted: &Granted) {
    let mut set = |name: &str, value: &secrecy::SecretString| {
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

/// When to renew ahead of need: five minutes or a tenth of its life before the end, give or take a fifth, and never in
/// the first half. Where an unused refresh token dies, and a renewal gives another, it is renewed after half of that.
pub fn due_time(
    mode: &Mode,
    expires: Option<Timestamp>,
    refresh_expires: Option<Timestamp>,
    sent: Timestamp,
    random: &dyn Random,
) -> Option<Timestamp> {
    let renewal = mode.oauth().filter(|_| mode.renews())?.policy;
    let spread = jitter(random, 0.8..=1.2);
    let told = refresh_expires.filter(|_| renewal.rotates != Rotation::No).map(|end| sent.until(end));
    let idle = told.into_iter().chain(renewal.idle).min();
    let keep_alive = idle.map(|idle| sent.after((idle / 2).mul_f64(spread)));
    let ahead = expires.map(|expires| {
        let life = sent.until(expires);
        let margin = Duration::from_secs(300).max(life / 10).mul_f64(spread);
        expires.before(margin.min(life / 2))
    });
    match (ahead, keep_alive) {
        (Some(ahead), Some(keep_alive)) => Some(ahead.min(keep_alive)),
        (ahead, keep_alive) => ahead.or(keep_alive),
    }
}
