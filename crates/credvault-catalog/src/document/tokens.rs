//! Consents, tokens and refreshes in words.

use std::fmt::Write as _;

use super::calls::{call, conditions, each_condition, proof};
use super::words::{code, list, span};
use crate::delivery::Delivery;
use crate::oauth::{Authorize, OAuth, RefreshPolicy, Rotation};
use crate::path::Path;
use crate::post_exchange::PostExchange;
use crate::scopes::Scopes;
use crate::setting_paths::SettingPaths;
use crate::token_response::TokenResponse;

/// Appends how tokens are got, refreshed and read. `refresh_token` is whether the mode keeps a refresh token. Writing
/// to a text cannot fail.
pub(super) fn lines(text: &mut String, oauth: &OAuth, refresh_token: bool) {
    if let Some(grant) = &oauth.code {
        consent(text, &grant.authorize, &oauth.scopes);
        let _ = writeln!(text, "- Token: {}, with {}.", call(&grant.exchange), proof(&grant.exchange));
        if let Some(described) = &grant.post_exchange {
            post_exchange(text, described);
        }
    }
    match &oauth.refresh {
        Some(refresh) => {
            let _ = writeln!(text, "- Refresh: {}, with {}.", call(&refresh.call), proof(&refresh.call));
            if refresh_token {
                let _ = writeln!(text, "- Refresh token: {}.", policy(&refresh.policy));
            }
        }
        None => text.push_str("- Refresh: none.\n"),
    }
    response(text, oauth);
    refusals(text, &oauth.response);
}

fn refusals(text: &mut String, response: &TokenResponse) {
    let _ = writeln!(text, "- Invalid grant: {}.", conditions(&response.invalid_grant));
    let client: Vec<_> = response.invalid_client.iter().chain(&response.refused_client).collect();
    if !client.is_empty() {
        let _ = writeln!(text, "- Invalid client: {}.", conditions(client));
    }
    if !response.rate_limited.is_empty() {
        let _ = writeln!(text, "- Rate limited: {}, or status 429.", conditions(&response.rate_limited));
    }
    if !response.clock_skew.is_empty() {
        let _ = writeln!(text, "- Clock skew: {}.", conditions(&response.clock_skew));
    }
    if !response.concurrent_request.is_empty() {
        let _ = writeln!(text, "- Concurrent request: {}.", conditions(&response.concurrent_request));
    }
}

fn consent(text: &mut String, authorize: &Authorize, scopes: &Scopes) {
    let pkce = if authorize.pkce { "with PKCE (S256)" } else { "without PKCE" };
    let _ = writeln!(text, "- Consent: `{}`, {pkce}.", authorize.page.url);
    asked(text, scopes);
    let mut callback = Vec::new();
    if authorize.code_parameter != "code" {
        callback.push(format!("the code is `{}`", authorize.code_parameter));
    }
    callback.extend(
        authorize.settings.iter().map(|(name, from)| format!("`{from}` becomes the setting `{name}`")),
    );
    callback.extend(authorize.account_id_setting.iter().map(|name| format!("`{name}` is the account's id")));
    callback.extend(
        authorize.must_match.iter().map(|(name, setting)| format!("`{name}` must equal `{setting}`")),
    );
    callback.extend(authorize.signature.iter().map(|_| "`hmac` is checked with the app's secret".to_owned()));
    let unless = if authorize.sends_issuer { "" } else { ", if it is there," };
    callback.extend(authorize.issuer.iter().map(|issuer| format!("`iss`{unless} must be `{issuer}`")));
    if !callback.is_empty() {
        let _ = writeln!(text, "- Callback: {}.", callback.join("; "));
    }
}

fn asked(text: &mut String, scopes: &Scopes) {
    let named = |scopes: &[String]| list(scopes.iter().map(|scope| code(scope)), "and");
    if !scopes.default.is_empty() {
        let _ = write!(text, "- Scopes: {} unless others are asked for", named(&scopes.default));
        if !scopes.always.is_empty() {
            let _ = write!(text, "; always {}", named(&scopes.always));
        }
        text.push_str(".\n");
    }
}

/// Appends how the provider delivers a credential.
pub(super) fn delivery(text: &mut String, delivery: &Delivery) {
    let _ = writeln!(text, "- Consent: `{}`, after which the provider delivers the keys.", delivery.page.url);
    asked(text, &delivery.scopes);
    let mut parts = vec![format!("the state is `{}`", delivery.state)];
    parts.extend(delivery.fields.iter().map(|(name, path)| format!("`{path}` becomes the field `{name}`")));
    let _ = writeln!(text, "- Delivery: {}.", parts.join("; "));
    let callback = &delivery.callback;
    let success = list(callback.success.iter().map(|(name, value)| code(&format!("{name}={value}"))), "and");
    let state = &callback.state_parameter;
    let _ = writeln!(text, "- Callback: the state is `{state}`; a denial unless it has {success}.");
}

fn policy(policy: &RefreshPolicy) -> String {
    let mut parts = vec![match policy.rotates {
        Rotation::No => "stays as it is".to_owned(),
        Rotation::Sliding => "slides: a new one comes, and the old one works for a while longer".to_owned(),
        Rotation::Yes => "rotates: a new one comes in its place".to_owned(),
    }];
    if !policy.grace.is_zero() {
        parts.push(format!("the old one still works for {}", span(policy.grace)));
    }
    parts.extend(policy.idle.map(|idle| format!("it expires after {} without use", span(idle))));
    parts.extend(policy.consent.map(|end| format!("the consent ends after {}", span(end))));
    parts.join("; ")
}

/// Appends where the answer differs from RFC 6749.
fn response(text: &mut String, oauth: &OAuth) {
    let response = &oauth.response;
    let mut parts = Vec::new();
    if !response.success.is_empty() {
        parts.push(format!("a success only if {}", each_condition(&response.success)));
    }
    let paths = [("access_token", &response.access_token), ("refresh_token", &response.refresh_token)];
    let others = paths.into_iter().filter(|(usual, path)| path.to_string() != **usual);
    parts.extend(others.map(|(usual, path)| format!("{} at `{path}`", usual.replace('_', " "))));
    match (&response.expires_at, response.default_lifetime) {
        (Some(path), _) => parts.push(format!("the access token ends at the instant `{path}`")),
        (None, Some(lifetime)) => {
            parts.push(format!("an access token lives for {} unless it says otherwise", span(lifetime)))
        }
        (None, None) => parts.push("an access token does not end unless it says otherwise".to_owned()),
    }
    match &response.refresh_token_expires_at {
        Some(path) => parts.push(format!("an unused refresh token ends at the instant `{path}`")),
        None if response.refresh_token_expires_in != Path::member("refresh_token_expires_in") => {
            parts.push(format!(
                "an unused refresh token ends after `{}` seconds",
                response.refresh_token_expires_in
            ));
        }
        None => {}
    }
    parts.extend(settings(&response.settings));
    parts.extend(response.secrets.iter().map(|(name, path)| format!("`{path}` becomes the field `{name}`")));
    parts.extend(response.account_id.iter().map(|path| format!("the account's id is `{path}`")));
    let policy = oauth.refresh.as_ref().map(|refresh| refresh.policy);
    if policy.is_some_and(|policy| policy.refresh_immediately) {
        parts.push("the first token is refreshed at once, for one that lives longer".to_owned());
    }
    if policy.is_some_and(|policy| policy.reuse_ends_other_consents) {
        parts.push("a refresh token that is sent twice may end other consents".to_owned());
    }
    let _ = writeln!(text, "- Token response: {}.", parts.join("; "));
}

fn settings(paths: &SettingPaths) -> impl Iterator<Item = String> {
    paths.0.iter().map(|(name, place)| format!("`{}` becomes the setting `{name}`", place.path))
}

fn post_exchange(text: &mut String, described: &PostExchange) {
    let mut parts = vec![call(&described.call)];
    if !described.success.is_empty() {
        parts.push(format!("a success only if {}", conditions(&described.success)));
    }
    parts.extend(settings(&described.settings));
    parts.extend(described.account_id.iter().map(|path| format!("the account's id is `{path}`")));
    if described.optional {
        parts.push("the consent succeeds without it".to_owned());
    }
    let _ = writeln!(text, "- After the exchange: {}.", parts.join("; "));
}
