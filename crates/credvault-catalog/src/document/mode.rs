//! One auth mode in words.

use std::fmt::Write as _;

use credvault_domain::FieldName;

use super::calls::{call, conditions, proof};
use super::words::{cell, code, list, span};
use crate::answer::SettingPaths;
use crate::field::Field;
use crate::handoff::HandOff;
use crate::oauth::{After, Authorize, OAuth, Revoke, Rotation, Scopes, Verify};
use crate::path::Path;
use crate::request_auth::{BasicTemplates, RequestTemplates};
use crate::{Mode, ModeKind};

/// Appends what is known about a mode. Writing to a text cannot fail.
pub(super) fn section(text: &mut String, name: &str, mode: &Mode) {
    let kind = match mode.kind {
        ModeKind::Static => "keys that stay as they are",
        ModeKind::ServiceAccount => "a key that mints short-lived tokens",
        ModeKind::Oauth2Code => "OAuth 2.0, authorization code",
        ModeKind::Oauth2ClientCredentials => "OAuth 2.0, client credentials",
    };
    let _ = write!(text, "\n### `{name}`: {}\n\nKind: {kind}.\n\n", mode.title);
    fields(text, mode);
    text.push('\n');
    request(text, &mode.request);
    if !mode.request_app_secrets.is_empty() {
        let secrets = list(mode.request_app_secrets.iter().map(|name| code(name)), "and");
        let _ = writeln!(text, "- A fetch takes `FetchRefreshToken`, for requests carry {secrets}.");
    }
    if let Some(oauth) = &mode.oauth {
        tokens(text, mode, oauth);
    }
    if let Some(handoff) = &mode.handoff {
        hand_over(text, handoff);
    }
    match &mode.verify {
        Some(verify) => verification(text, verify),
        None => text.push_str("- Verification: none.\n"),
    }
    match &mode.revoke {
        Some(revoke) => revocation(text, revoke),
        None => text.push_str("- Revocation: none; the owner ends it at the provider.\n"),
    }
}

fn fields(text: &mut String, mode: &Mode) {
    if mode.config.is_empty() && mode.secrets.is_empty() {
        text.push_str("Any settings and any secret fields are accepted.\n");
        return;
    }
    text.push_str("| field | kind | what it is |\n|---|---|---|\n");
    let mut rows = |kind: &str, (name, field): (&FieldName, &Field)| {
        let required = if field.required { ", required" } else { "" };
        let _ = writeln!(text, "| `{name}` | {kind}{required} | {} |", cell(&hint(field)));
    };
    mode.config.iter().for_each(|field| rows("setting", field));
    mode.secrets.iter().for_each(|field| {
        rows(if field.1.vault_only { "secret, kept in the vault" } else { "secret" }, field);
    });
}

fn hint(field: &Field) -> String {
    let mut hint = format!("{}.", field.title);
    if let Some(description) = &field.description {
        let _ = write!(hint, " {}", description.trim_end_matches('.'));
        hint.push('.');
    }
    if !field.values.is_empty() {
        let _ = write!(hint, " One of {}.", list(field.values.iter().map(|value| code(value)), "or"));
    } else if let Some(expects) = &field.expects {
        let _ = write!(hint, " Must be {expects}.");
    }
    if let Some(belongs) = &field.belongs {
        let _ = write!(hint, " Must fit `{}`.", belongs.to);
    }
    if let Some(default) = &field.default {
        let _ = write!(hint, " Default: `{}`.", default.as_str().map_or(default.to_string(), str::to_owned));
    }
    hint
}

fn request(text: &mut String, request: &RequestTemplates) {
    let mut parts = Vec::new();
    parts.extend(request.base_url.iter().map(|url| code(&url.to_string())));
    parts.extend(
        request
            .basic
            .iter()
            .map(|BasicTemplates { user, password, .. }| format!("basic authentication `{user}:{password}`")),
    );
    parts.extend(request.headers.iter().map(|(name, value)| format!("`{name}: {value}`")));
    parts.extend(request.query.iter().map(|(name, value)| format!("`?{name}={value}`")));
    if !parts.is_empty() {
        let _ = writeln!(text, "- Requests: {}.", parts.join(", "));
    }
}

fn tokens(text: &mut String, mode: &Mode, oauth: &OAuth) {
    if let Some(authorize) = &oauth.authorize {
        consent(text, authorize, &oauth.scopes);
    }
    if let Some(exchange) = &oauth.exchange {
        let _ = writeln!(text, "- Token: {}, with {}.", call(exchange), proof(exchange));
    }
    if let Some(after) = &oauth.after {
        follow_up(text, after);
    }
    match &oauth.renew {
        Some(renew) => {
            let _ = writeln!(text, "- Renewal: {}, with {}.", call(renew), proof(renew));
            if mode.secrets.contains_key("refresh_token") {
                let _ = writeln!(text, "- Refresh token: {}.", renewal(oauth));
            }
        }
        None => text.push_str("- Renewal: none.\n"),
    }
    answers(text, oauth);
    let (dead, app) = (conditions(&oauth.answer.dead), conditions(&oauth.answer.app));
    let _ = writeln!(text, "- Dead: {dead}.");
    if !app.is_empty() {
        let _ = writeln!(text, "- App: {app}.");
    }
    if !oauth.answer.throttled.is_empty() {
        let _ = writeln!(text, "- Too fast: {}, or status 429.", conditions(&oauth.answer.throttled));
    }
    if !oauth.answer.clock.is_empty() {
        let _ = writeln!(text, "- Wrong clock: {}.", conditions(&oauth.answer.clock));
    }
    if !oauth.answer.busy.is_empty() {
        let _ = writeln!(text, "- Another request is under way: {}.", conditions(&oauth.answer.busy));
    }
}

fn consent(text: &mut String, authorize: &Authorize, scopes: &Scopes) {
    let pkce = if authorize.pkce { "with PKCE (S256)" } else { "without PKCE" };
    let _ = writeln!(text, "- Consent: `{}`, {pkce}.", authorize.url);
    asked(text, scopes);
    let mut callback = Vec::new();
    if authorize.code != "code" {
        callback.push(format!("the code is `{}`", authorize.code));
    }
    callback.extend(
        authorize.settings.iter().map(|(name, from)| format!("`{from}` becomes the setting `{name}`")),
    );
    callback.extend(authorize.account.iter().map(|name| format!("`{name}` is the account's id")));
    callback.extend(authorize.same.iter().map(|(name, setting)| format!("`{name}` must equal `{setting}`")));
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

fn hand_over(text: &mut String, handoff: &HandOff) {
    let _ = writeln!(text, "- Consent: `{}`, which hands keys over to the vault.", handoff.url);
    asked(text, &handoff.scopes);
    let mut parts = vec![format!("the state is `{}`", handoff.state)];
    parts.extend(handoff.fields.iter().map(|(name, path)| format!("`{path}` becomes the field `{name}`")));
    let _ = writeln!(text, "- Hand-off: {}.", parts.join("; "));
    let callback = &handoff.callback;
    let success = list(callback.success.iter().map(|(name, value)| code(&format!("{name}={value}"))), "and");
    let _ =
        writeln!(text, "- Callback: the state is `{}`; a denial unless it has {success}.", callback.state);
}

fn renewal(oauth: &OAuth) -> String {
    let renewal = &oauth.renewal;
    let mut parts = vec![match renewal.rotates {
        Rotation::No => "stays as it is".to_owned(),
        Rotation::Sliding => "slides: a new one comes, and the old one goes on for a while".to_owned(),
        Rotation::Yes => "rotates: a new one comes in its place".to_owned(),
    }];
    if !renewal.grace.is_zero() {
        parts.push(format!("the old one still works for {}", span(renewal.grace)));
    }
    parts.extend(renewal.idle.map(|idle| format!("unused it dies after {}", span(idle))));
    parts.extend(renewal.consent.map(|end| format!("the consent ends after {}", span(end))));
    parts.join("; ")
}

/// Where the answer is not what RFC 6749 has.
fn answers(text: &mut String, oauth: &OAuth) {
    let answer = &oauth.answer;
    let mut parts = Vec::new();
    if !answer.success.is_empty() {
        let success = list(answer.success.iter().map(|one| conditions(std::slice::from_ref(one))), "and");
        parts.push(format!("a success only if {success}"));
    }
    let paths = [("access_token", &answer.access_token), ("refresh_token", &answer.refresh_token)];
    let others = paths.into_iter().filter(|(usual, path)| path.to_string() != **usual);
    parts.extend(others.map(|(usual, path)| format!("{} at `{path}`", usual.replace('_', " "))));
    match (&answer.expires_at, answer.default_lifetime) {
        (Some(path), _) => parts.push(format!("the access token ends at the instant `{path}`")),
        (None, Some(lifetime)) => {
            parts.push(format!("an access token lives for {} unless it says otherwise", span(lifetime)))
        }
        (None, None) => parts.push("an access token does not end unless it says otherwise".to_owned()),
    }
    match &answer.refresh_expires_at {
        Some(path) => parts.push(format!("an unused refresh token ends at the instant `{path}`")),
        None if answer.refresh_lifetime != Path::member("refresh_token_expires_in") => {
            parts.push(format!("an unused refresh token ends after `{}` seconds", answer.refresh_lifetime));
        }
        None => {}
    }
    parts.extend(settings(&answer.settings));
    parts.extend(answer.secrets.iter().map(|(name, path)| format!("`{path}` becomes the field `{name}`")));
    parts.extend(answer.account.iter().map(|path| format!("the account's id is `{path}`")));
    if oauth.renewal.at_once {
        parts.push("the first token is exchanged at once for one that lives longer".to_owned());
    }
    if oauth.renewal.reuse_ends_other_consents {
        parts.push("a refresh token that comes twice may end other consents".to_owned());
    }
    let _ = writeln!(text, "- Answer: {}.", parts.join("; "));
}

fn settings(paths: &SettingPaths) -> impl Iterator<Item = String> {
    paths.0.iter().map(|(name, place)| format!("`{}` becomes the setting `{name}`", place.path))
}

fn follow_up(text: &mut String, after: &After) {
    let mut parts = vec![call(&after.call)];
    if !after.rules.success.is_empty() {
        parts.push(format!("a success only if {}", conditions(&after.rules.success)));
    }
    parts.extend(settings(&after.rules.settings));
    parts.extend(after.rules.account.iter().map(|path| format!("the account's id is `{path}`")));
    if after.optional {
        parts.push("the consent ends well without it".to_owned());
    }
    let _ = writeln!(text, "- After the consent: {}.", parts.join("; "));
}

fn verification(text: &mut String, verify: &Verify) {
    let rules = &verify.rules;
    let mut parts = vec![call(&verify.call)];
    if !rules.success.is_empty() {
        let success = list(rules.success.iter().map(|one| conditions(std::slice::from_ref(one))), "and");
        parts.push(format!("works only if {success}"));
    }
    parts.push(format!("dead: {}", conditions(&rules.dead)));
    parts.push(format!("may not do this: {}", conditions(&rules.limited)));
    if !rules.throttled.is_empty() {
        parts.push(format!("too fast: {}", conditions(&rules.throttled)));
    }
    match &rules.account {
        Some(path) => parts.push(format!("account's id: `{path}`")),
        None => parts.push("does not tell whose account it is".to_owned()),
    }
    parts.extend(rules.name.iter().map(|path| format!("name: `{path}`")));
    let _ = writeln!(text, "- Verification: {}.", parts.join("; "));
}

fn revocation(text: &mut String, revoke: &Revoke) {
    let mut parts = vec![call(&revoke.call)];
    if !revoke.success.is_empty() {
        parts.push(format!("done if {}", conditions(&revoke.success)));
    }
    if !revoke.gone.is_empty() {
        parts.push(format!("gone already: {}", conditions(&revoke.gone)));
    }
    let _ = writeln!(text, "- Revocation: {}.", parts.join("; "));
}
