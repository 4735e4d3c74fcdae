//! `CreateConnectSession`: a session of the connect page for the verified user.

use std::collections::BTreeSet;
use std::time::Duration;

use credvault_domain::{
    ConnectAction, ConnectTerms, MAX_CONNECT_PROVIDERS, ProviderId, Timestamp, Violations, check_language,
};
use credvault_identity::Facts;
use credvault_store::{NewConnectSession, Recorded};
use secrecy::{ExposeSecret as _, SecretString};

use super::address::{open_path, public_url};
use crate::consents::{WayBack, way_back};
use crate::{Call, Context, Parsed, Refusal};

/// The longest life of a session, and how long one lives whose request says nothing.
const MAX_LIFETIME: Duration = Duration::from_secs(1800);
/// The shortest life of a session: a page that is opened needs some time.
const MIN_LIFETIME: Duration = Duration::from_secs(60);

/// A session that is to be made.
#[derive(Debug)]
pub struct Create {
    /// The providers that the page shows; none means all.
    pub providers: Parsed<Vec<ProviderId>>,
    /// What the person may do; none means everything.
    pub actions: Parsed<Vec<ConnectAction>>,
    /// Whether the page changes what all users of the tenant share.
    pub manages_shared: bool,
    /// The origin of the page that opens or embeds this one; empty if it stands alone.
    pub return_origin: String,
    /// Where the person goes when the page is done; empty for the root page of the origin.
    pub return_url: String,
    /// The language of the page; empty for that of the browser.
    pub language: String,
    /// How long the session lasts, if the request says so.
    pub lifetime: Parsed<Option<Duration>>,
}

/// The URL of a session that was made.
#[derive(Debug)]
pub struct Created {
    /// The session's id, by which audit records name it.
    pub id: String,
    /// Where the person's browser opens the page, once.
    pub url: SecretString,
    /// Until when the page works.
    pub expire_time: Timestamp,
}

/// `CreateConnectSession`.
///
/// # Errors
/// Policy does not permit it, the call names no user, or a field breaks a rule.
pub async fn create(call: &mut Call, create: Create) -> Result<Recorded<Created>, Refusal> {
    let scope = call.scope()?;
    let permit = call.permit(&scope, Facts::default())?;
    let context = call.context.clone();
    let base = public_url(&context)?;
    let maker = call.beginner();
    let user = maker.user.ok_or_else(|| Violations::of("x-user-id", NO_USER))?;
    let (terms, lifetime) = checked(&context, create)?;
    let new = NewConnectSession {
        service: maker.service,
        user,
        tenant_source: maker.tenant_source,
        source_address: call.caller().source_address,
        terms,
        lifetime,
    };
    let write = call.write(&permit, Ok(None))?;
    let made = context.store.connect_sessions().create(&scope, &new, &write).await?;
    let url = format!("{base}{}", open_path(made.get().token.expose_secret()));
    Ok(made.map(|made| Created { id: made.id.to_string(), url: url.into(), expire_time: made.expire_time }))
}

/// The rule of a call without a user.
const NO_USER: &str = "must be given, or a token with the user's claim: the page shows that user's connections, and what \
                       happens on it is recorded as that user's";

/// Holds a request against the rules, and names all that is wrong at once.
fn checked(context: &Context, create: Create) -> Parsed<(ConnectTerms, Duration)> {
    let mut violations = Violations::default();
    let providers = violations.collect(create.providers).unwrap_or_default();
    if providers.len() > MAX_CONNECT_PROVIDERS {
        violations.add("providers", "must be at most 64 ids; leave it out for all providers");
    }
    if providers.iter().any(|provider| context.catalog.get(provider).is_none()) {
        violations.add("providers", "must be ids of this vault's catalog; ListProviders shows them");
    }
    let actions: BTreeSet<_> = violations.collect(create.actions).unwrap_or_default().into_iter().collect();
    violations.note("language", check_language(&create.language));
    let lifetime = violations.collect(create.lifetime).flatten().unwrap_or(MAX_LIFETIME);
    if !(MIN_LIFETIME..=MAX_LIFETIME).contains(&lifetime) {
        violations.add("lifetime", "must be between one minute and 30 minutes; leave it out for 30 minutes");
    }
    let way = way_back((create.return_origin, &create.return_url), &context.return_origins);
    let way = violations.collect(way);
    violations.into_result()?;
    let (origin, return_url) = way.map_or((None, None), |WayBack { origin, url }| (origin, url));
    let terms = ConnectTerms {
        providers,
        actions: if actions.is_empty() { ConnectAction::ALL.into() } else { actions.into_iter().collect() },
        manages_shared: create.manages_shared,
        origin,
        return_url,
        language: create.language,
    };
    Ok((terms, lifetime))
}
