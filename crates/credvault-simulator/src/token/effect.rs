//! The effect of a token request on the ledger: authenticates the app and makes, renews or refuses a grant.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::client::authenticate;
use super::id_token;
use super::request::{Grant, TokenRequest, claim};
use super::{Answer, Refused};
use crate::behaviour::{RefreshTokens, ScopeAnswer};
use crate::ledger::Granted;
use crate::parameters::Parameters;
use crate::rotation::Dead;
use crate::script::Refusal;
use crate::state::{Shared, State};

/// Carries the request out and returns the answer.
pub(crate) fn effect(shared: &Shared, request: &TokenRequest) -> Answer {
    let now = Instant::now();
    let (url, wall) = (shared.url(), shared.wall_time(now).unix_timestamp());
    shared.with(|state| match grant(state, request, &url, now, wall) {
        Ok(granted) => {
            let ends = granted.ends.map(|ends| (ends - now, shared.wall_time(ends)));
            Answer::granted(&granted, ends, &state.behaviour)
        }
        Err(refused) => Answer::refused(&refused, state.behaviour.errors),
    })
}

fn grant(
    state: &mut State,
    request: &TokenRequest,
    url: &str,
    now: Instant,
    wall: i64,
) -> Result<Granted, Refused> {
    let grant = request.grant();
    // An assertion is signed; all other grants authenticate the app.
    let client = match grant {
        Grant::Assertion | Grant::Unknown => String::new(),
        Grant::Code | Grant::Refresh | Grant::ClientCredentials | Grant::Extension => {
            authenticate(state, request, url)?
        }
    };
    let parameters = &request.parameters;
    match grant {
        Grant::Code => {
            let granted = exchange(state, parameters, now)?;
            let id_token = state.behaviour.id_token.as_ref();
            let id_token = id_token.map(|claims| id_token::of(url, &client, &granted.account, wall, claims));
            Ok(Granted { id_token, ..granted })
        }
        Grant::Refresh => refresh(state, parameters, now),
        Grant::ClientCredentials => Ok(once(state, &client, parameters, now)),
        Grant::Assertion => {
            let assertion = required(parameters, "assertion")?;
            let issuer = claim(assertion, "iss")
                .ok_or_else(|| Refused::new(Refusal::DeadGrant, "the assertion is no JWT with an issuer"))?;
            state.grant_assertions.push(assertion.to_owned());
            Ok(once(state, &issuer, parameters, now))
        }
        Grant::Extension => extend(state, parameters, now),
        Grant::Unknown => Err(Refused::new(Refusal::UnsupportedGrantType, "there is no such grant_type")),
    }
}

fn required<'p>(parameters: &'p Parameters, name: &'static str) -> Result<&'p str, Refused> {
    parameters.get(name).ok_or_else(|| Refused::new(Refusal::InvalidRequest, "a parameter is missing"))
}

fn exchange(state: &mut State, parameters: &Parameters, now: Instant) -> Result<Granted, Refused> {
    let bad = |why| Refused::new(Refusal::BadCode, why);
    let (behaviour, ledger) = (&state.behaviour, &mut state.ledger);
    let name = required(parameters, "code")?;
    let code = ledger.codes.get(name).ok_or_else(|| bad("the code is not known"))?;
    if let Some(family) = code.family {
        // RFC 6749, section 4.1.2: the tokens that were issued for it are revoked, too.
        ledger.revoke(family);
        return Err(bad("the code was used before"));
    }
    if !code.is_fresh(now) {
        return Err(bad("the code is too old"));
    }
    match parameters.get("redirect_uri") {
        Some(uri) if uri != code.redirect_uri => return Err(bad("the redirect_uri is another")),
        None if !behaviour.exchange_without_redirect_uri => return Err(bad("the redirect_uri is missing")),
        _ => {}
    }
    let challenge = parameters
        .get("code_verifier")
        .map(|verifier| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())));
    if challenge != code.challenge {
        return Err(bad("the code_verifier is not that of the code_challenge"));
    }
    let (account, prompted, mut scopes) = (code.account.clone(), code.prompted, code.scopes.clone());
    if behaviour.scope == ScopeAnswer::Narrower {
        scopes.pop();
    }
    let renewable = match behaviour.refresh_tokens {
        RefreshTokens::Always => true,
        RefreshTokens::Never => false,
        RefreshTokens::FirstConsent => {
            let mut alive = ledger.families.iter().filter(|family| !family.revoked);
            prompted || !alive.any(|family| family.current.is_some() && family.account == account)
        }
    };
    let family = ledger.open(&account, scopes);
    if let Some(code) = ledger.codes.get_mut(name) {
        code.family = Some(family);
    }
    let refresh_token = renewable.then(|| ledger.put_refresh_token(family, 0, now));
    Ok(ledger.hand_out(family, refresh_token, behaviour.lifetime(), now))
}

fn refresh(state: &mut State, parameters: &Parameters, now: Instant) -> Result<Granted, Refused> {
    let token = required(parameters, "refresh_token")?;
    match state.ledger.refresh(token, &state.behaviour, now) {
        Ok(granted) => {
            state.counts.refreshes_granted += 1;
            Ok(granted)
        }
        Err(dead) => {
            if dead == Dead::Reused {
                state.counts.reuses_detected += 1;
            }
            Err(Refused::new(Refusal::DeadGrant, dead.description()))
        }
    }
}

/// An access token without a refresh token.
fn once(state: &mut State, account: &str, parameters: &Parameters, now: Instant) -> Granted {
    let mut scopes = parameters.scopes();
    if state.behaviour.scope == ScopeAnswer::Narrower {
        scopes.pop();
    }
    let family = state.ledger.open(account, scopes);
    state.ledger.hand_out(family, None, state.behaviour.lifetime(), now)
}

fn extend(state: &mut State, parameters: &Parameters, now: Instant) -> Result<Granted, Refused> {
    let token = required(parameters, "fb_exchange_token")?;
    let family = state.ledger.family_of_live(token, now);
    let family = family.ok_or_else(|| Refused::new(Refusal::DeadGrant, "the access token ended"))?;
    Ok(state.ledger.hand_out(family, None, state.behaviour.long_lifetime(), now))
}
