//! Consents: begun and completed by a service here, carried through a browser in [`browser`].

pub mod browser;
mod way_back;

use std::collections::BTreeMap;

use credvault_broker::{BegunConsent, Callback, ConsentRequest, Target};
use credvault_domain::{Connection, ConnectionId, LimitKind, Permit, TenantScope, Violations};
use credvault_identity::Facts;
use credvault_store::{Recorded, ReturnedAuthorization};

use crate::{Call, Parsed, Refusal};
pub(crate) use way_back::{WayBack, way_back};

/// How many parameters a callback has at most.
const MAX_PARAMETERS: usize = 32;
/// How many bytes the name of a parameter has at most.
const MAX_PARAMETER_NAME_BYTES: usize = 256;
/// How many bytes the value of a parameter has at most.
const MAX_PARAMETER_VALUE_BYTES: usize = 8 * 1024;

/// A consent to begin.
#[derive(Debug)]
pub struct Begin {
    /// The connection that it is for.
    pub connection: ConnectionId,
    /// What to ask for; without any, what the app or the catalog says.
    pub scopes: Parsed<Vec<String>>,
    /// What stands for the browser or session.
    pub session: Parsed<Option<String>>,
    /// The origin of the page that learns of the return; empty if there is none.
    pub return_origin: String,
    /// Where the browser goes if no page can get the message; empty for the root page of the origin.
    pub return_url: String,
}

/// `BeginAuthorization`.
///
/// # Errors
/// Policy does not permit it, or the connection's mode has no consent.
pub async fn begin(call: &mut Call, begin: Begin) -> Result<Recorded<BegunConsent>, Refusal> {
    let scope = call.scope()?;
    let (permit, connection) = call.connection(begin.connection).await?;
    let origins = &call.context.return_origins;
    let way = way_back((begin.return_origin, &begin.return_url), origins)?;
    let (scopes, session) = (begin.scopes?, begin.session?);
    begun(call, &scope, (permit, connection), (scopes, session), way).await
}

/// The same for a connect page, to which the browser returns: `session` stands for the page's session, and `url` is a page of
/// the vault's own `origin`.
///
/// # Errors
/// As for [`begin`].
pub(crate) async fn begin_for_page(
    call: &mut Call,
    id: ConnectionId,
    session: String,
    (origin, url): (String, String),
) -> Result<Recorded<BegunConsent>, Refusal> {
    let scope = call.scope()?;
    let found = call.connection(id).await?;
    let way = WayBack { origin: Some(origin), url: Some(url) };
    begun(call, &scope, found, (Vec::new(), Some(session)), way).await
}

/// Begins a consent that was permitted.
async fn begun(
    call: &Call,
    scope: &TenantScope,
    (permit, connection): (Permit, Connection),
    (scopes, session): (Vec<String>, Option<String>),
    way: WayBack,
) -> Result<Recorded<BegunConsent>, Refusal> {
    let WayBack { origin: return_origin, url: return_url } = way;
    let request = ConsentRequest { scopes, session, return_origin, return_url, beginner: call.beginner() };
    let mode = call.context.mode(&connection.provider, &connection.auth_mode)?;
    let target = Target { scope, connection: &connection, mode };
    let write = call.write(&permit, Ok(None))?;
    Ok(call.context.broker.begin_consent(target, request, &write).await?)
}

/// A consent to complete, with what the callback brought.
pub struct Complete {
    /// What the vault's own callback has kept; empty if the caller has a callback of its own.
    pub result: String,
    /// The parameters of the caller's own callback.
    pub parameters: BTreeMap<String, String>,
    /// What stands for the browser or session.
    pub session: Parsed<Option<String>>,
}

crate::debug_without_content!(Complete);

/// `CompleteAuthorization`.
///
/// # Errors
/// Policy does not permit it, the state is not accepted, or the provider gives no tokens.
pub async fn complete(call: &mut Call, complete: Complete) -> Result<Recorded<Connection>, Refusal> {
    let scope = call.scope()?;
    let public = !complete.result.is_empty();
    let parameters = parameters(call, &scope, &complete.result, complete.parameters).await?;
    let (session, callback) = (complete.session?, Callback { parameters: &parameters });
    // Policy comes before the state is taken: a caller who may not complete this consent does not use it up.
    let connection = call.context.store.authorizations().subject(&scope, callback.state()?).await?;
    if connection.owner.user().is_none_or(|user| scope.reaches(user)) {
        call.subject.found(&connection);
    }
    let permit = call.permit(&scope, Facts::of(&connection))?;
    // Before the state is taken, which a refused caller can bring again.
    call.count_everywhere(&scope, LimitKind::ExchangesPerMinute).await?;
    let bringer = call.bringer(session.as_deref(), public);
    let returned = call.context.broker.take_callback(&scope, callback, bringer, &permit).await?;
    finish(call, &scope, &returned, callback).await.map_err(Refusal::spent)
}

/// Stores what a consent gives whose state was taken.
async fn finish(
    call: &mut Call,
    scope: &TenantScope,
    returned: &ReturnedAuthorization,
    callback: Callback<'_>,
) -> Result<Recorded<Connection>, Refusal> {
    let (permit, connection) = call.connection(returned.key.connection()).await?;
    let mode = call.context.mode(&connection.provider, &connection.auth_mode)?;
    let target = Target { scope, connection: &connection, mode };
    let write = call.write(&permit, Ok(None))?;
    Ok(call.context.broker.complete_consent(target, returned, callback, &write).await?)
}

/// The parameters of a callback: the vault's own, or the caller's.
async fn parameters(
    call: &Call,
    scope: &TenantScope,
    result: &str,
    given: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Refusal> {
    if !result.is_empty() {
        if !given.is_empty() {
            return Err(Violations::of("result", "must not be given beside parameters").into());
        }
        return Ok(call.context.store.authorizations().open_return(scope, result).await?);
    }
    let too_long = |(name, value): (&String, &String)| {
        name.len() > MAX_PARAMETER_NAME_BYTES || value.len() > MAX_PARAMETER_VALUE_BYTES
    };
    if given.len() > MAX_PARAMETERS || given.iter().any(too_long) {
        return Err(Violations::of("parameters", "must be at most 32, of at most 8 KiB each").into());
    }
    Ok(given)
}
