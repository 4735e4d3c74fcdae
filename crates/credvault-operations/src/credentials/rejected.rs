//! A fetch whose caller says that the provider rejected what it was given before, by the tag of that. What is newer is the
//! answer at once; what is still current is renewed or tested first. Only the provider's own word ends a connection.

use std::time::Duration;

use credvault_broker::RefreshError;
use credvault_catalog::{Mode, ModeKind};
use credvault_crypto::Tag;
use credvault_domain::{TenantScope, Timestamp, Violations};
use credvault_store::{Error as StoreError, GivenOut};
use tokio::time::Instant;

use super::Fresh;
use super::fresh::{REFRESH_TIMEOUT, refreshed};
use super::inquiry::{Question, Way, ask};
use crate::inquiries::Settled;
use crate::{Call, Refusal};

/// How often a report is settled anew because the credential changed meanwhile.
const MAX_ROUNDS: usize = 4;
/// The retry delay for a caller whose deadline came before the provider's answer.
const RETRY_AFTER_DEADLINE: Duration = Duration::from_secs(1);
/// The rule of a tag that the vault did not give this tenant for this connection.
const FOREIGN: &str = "must be the tag that an earlier fetch gave this tenant for this connection";

/// What came of a caller's report that the provider rejected a credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rejection {
    /// Another credential than the rejected one is current, and is the answer.
    Superseded,
    /// The rejected one was current. Its tokens were renewed, and the new ones are the answer.
    Renewed,
    /// The provider was asked at this time and accepts the rejected one, which is the answer again.
    StillAccepted(Timestamp),
    /// The provider cannot be asked about the rejected one, which is the answer again.
    Unverifiable,
}

impl Rejection {
    fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "SUPERSEDED",
            Self::Renewed => "RENEWED",
            Self::StillAccepted(_) => "STILL_ACCEPTED",
            Self::Unverifiable => "UNVERIFIABLE",
        }
    }
}

/// Settles a report, and gives what is to be answered. `named`: the request names the connection, so a tag of another one is
/// wrong; a provider's connection may be another one than before. `None` if the connection has gone meanwhile.
pub(super) async fn settle(
    call: &mut Call,
    scope: &TenantScope,
    found: Fresh,
    mode: &Mode,
    (tag, named): (&Tag, bool),
) -> Result<Option<(Fresh, Rejection)>, Refusal> {
    let settled = match reported(call, scope, &found, tag, named).await {
        Ok(Some(given_out)) => settle_current(call, scope, found, mode, given_out).await,
        Ok(None) => Ok(Some((found, Rejection::Superseded))),
        Err(refusal) => Err(refusal),
    };
    let outcome = match &settled {
        Ok(Some((_, rejection))) => {
            call.subject.changed = vec![format!("rejected_tag: {}", rejection.as_str())];
            rejection.as_str()
        }
        Ok(None) => return Ok(None),
        Err(refusal) => refusal.reason().as_str(),
    };
    metrics::counter!("credvault_rejections_total", "outcome" => outcome).increment(1);
    settled
}

/// The credential of the connection that was found of which this is the tag. `None` if it is of another connection of the
/// same provider.
async fn reported(
    call: &Call,
    scope: &TenantScope,
    found: &Fresh,
    tag: &Tag,
    named: bool,
) -> Result<Option<GivenOut>, Refusal> {
    let credentials = call.context.store.credentials();
    let opened = credentials.open_tag(scope.tenant(), tag, &found.fetched, &found.opened).await?;
    let foreign = || Violations::of("rejected_tag", FOREIGN);
    let tagged = opened.ok_or_else(foreign)?;
    let same = tagged.connection == found.fetched.connection.id.as_uuid().into_bytes();
    if !same && named {
        return Err(foreign().into());
    }
    Ok(same.then_some((tagged.version, tagged.generation)))
}

/// Asks the provider for as long as the reported credential is the current one.
async fn settle_current(
    call: &Call,
    scope: &TenantScope,
    mut found: Fresh,
    mode: &Mode,
    reported: GivenOut,
) -> Result<Option<(Fresh, Rejection)>, Refusal> {
    let mut superseded = Rejection::Superseded;
    for _ in 0..MAX_ROUNDS {
        if found.opened.given_out() != reported {
            return Ok(Some((found, superseded)));
        }
        let Some(way) = way(mode, &found) else { return Ok(Some((found, Rejection::Unverifiable))) };
        let settled = inquire(call, &found, way).await?;
        match &settled {
            Settled::Failed(error) => return Err((*error).into()),
            Settled::Early(wait) => return Err(Refusal::TooManyRejections(*wait)),
            Settled::Spent(payer, spent) if **payer == call.payer(scope) => return Err((*spent).into()),
            Settled::Renewed => superseded = Rejection::Renewed,
            // Another caller's calls are used up, not this one's.
            Settled::Spent(..) => continue,
            Settled::Changed | Settled::Accepted(_) | Settled::Refused | Settled::Unverifiable => {}
        }
        match refreshed(&call.context, scope, &found.fetched, mode).await? {
            Some(again) => found = again,
            None => return Ok(None),
        }
        if found.opened.given_out() != reported {
            continue;
        }
        match settled {
            Settled::Accepted(time) => return Ok(Some((found, Rejection::StillAccepted(time)))),
            Settled::Unverifiable => return Ok(Some((found, Rejection::Unverifiable))),
            Settled::Refused => return Err(RefreshError::Reauthorize.into()),
            Settled::Renewed
            | Settled::Changed
            | Settled::Early(_)
            | Settled::Spent(..)
            | Settled::Failed(_) => {}
        }
    }
    Err(StoreError::Conflict.into())
}

/// How the provider is asked about a credential; `None` if it cannot be.
fn way(mode: &Mode, found: &Fresh) -> Option<Way> {
    let no_refresh_token =
        mode.kind == ModeKind::Oauth2Code && found.opened.fields.get("refresh_token").is_none();
    if mode.refreshes() && !no_refresh_token {
        return Some(Way::Renew);
    }
    mode.test.as_ref().map(|_| Way::Test)
}

/// What is known about the credential that was found, or what the provider says to it now. Waits for that as long as the
/// caller does; the question continues without it.
async fn inquire(call: &Call, found: &Fresh, way: Way) -> Result<Settled, Refusal> {
    let context = &call.context;
    let (key, given_out) = (found.fetched.key(), found.opened.given_out());
    let about = (key.clone(), given_out);
    let asked = match context.inquiries.join(&about) {
        Some(asked) => asked,
        None => {
            let scope = call.scope()?;
            let payer = call.payer(&scope);
            let standing = context.store.rejections().standing(&key, given_out, &payer.reporter).await?;
            if let Some(known) = Settled::of(standing, context.now()) {
                return Ok(known);
            }
            let owner_user = found.fetched.connection.owner.user().cloned();
            let question = Question { key, given_out, owner_user, way, payer };
            let work = ask(context.clone(), question);
            let lost = Settled::Failed(RefreshError::Store);
            context.inquiries.join_or_start(about, |work| context.spawn(work), work, lost)
        }
    };
    let until = call.patience().min(Instant::now() + REFRESH_TIMEOUT);
    let late = RefreshError::Unavailable { retry: RETRY_AFTER_DEADLINE };
    Ok(tokio::time::timeout_at(until, asked).await.unwrap_or(Settled::Failed(late)))
}
