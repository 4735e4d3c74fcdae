//! One auth mode in words.

use std::fmt::Write as _;

use credvault_domain::FieldName;

use super::calls::{call, conditions, each_condition};
use super::tokens;
use super::words::{cell, code, list, span};
use crate::credential_test::CredentialTest;
use crate::field::Field;
use crate::mode::{Acquisition, Mode, ModeKind};
use crate::request_auth::{BasicTemplates, RequestTemplates};
use crate::revocation::RevocationCall;
use crate::rotation::{KeyRotation, OldKeyEnd};

/// Appends what is known about a mode. Writing to a text cannot fail.
pub(super) fn section(text: &mut String, name: &str, mode: &Mode) {
    let kind = match mode.kind {
        ModeKind::Static => "keys that stay as they are",
        ModeKind::ServiceAccount => "a key that mints short-lived tokens",
        ModeKind::Oauth2Code => "OAuth 2.0, authorization code",
        ModeKind::Oauth2ClientCredentials => "OAuth 2.0, client credentials",
    };
    let _ = write!(text, "\n### `{name}`: {}\n\nKind: {kind}.\n\n", mode.display_name);
    fields(text, mode);
    text.push('\n');
    request(text, &mode.request);
    if !mode.request_app_secrets.is_empty() {
        let secrets = list(mode.request_app_secrets.iter().map(|name| code(name)), "and");
        let _ = writeln!(
            text,
            "- A fetch needs the permission `FetchRefreshToken`, because requests carry {secrets}."
        );
    }
    if let Some(discovery) = &mode.discovery {
        let found = discovery.settings.iter().map(|(name, member)| format!("`{name}` from `{member}`"));
        let found = list(found, "and");
        let _ =
            writeln!(text, "- Discovery: the metadata of `{{config.{}}}` gives {found}.", discovery.issuer);
    }
    match &mode.acquisition {
        Acquisition::Static => {}
        Acquisition::Tokens(oauth) => {
            tokens::lines(text, oauth, mode.secrets.contains_key("refresh_token"));
        }
        Acquisition::Delivered(delivery) => tokens::delivery(text, delivery),
    }
    match &mode.test {
        Some(described) => credential_test(text, described),
        None => none(text, "Test", mode.remarks.no_test.as_deref()),
    }
    match mode.ending_call() {
        Some(described) => revocation(text, described),
        None => none(text, "Revocation", mode.remarks.no_revocation.as_deref()),
    }
    if let Some(described) = &mode.rotation {
        rotation(text, described);
    }
    if let Some(lasts) = &mode.remarks.lasts {
        let _ = writeln!(text, "- Lasts {lasts}.");
    }
    if let Some(why) = mode.no_scopes() {
        let _ = writeln!(text, "- Scopes: none to choose. {why}");
    }
    for (about, fact) in mode.unconfirmed() {
        let _ = writeln!(text, "- Unconfirmed {about}: {fact}");
    }
}

/// Says that there is no such call, and why.
fn none(text: &mut String, what: &str, why: Option<&str>) {
    let why = match why {
        Some(why) => format!(". {}", why.trim_end_matches('.')),
        None if what == "Revocation" => "; the owner ends it at the provider".to_owned(),
        None => String::new(),
    };
    let _ = writeln!(text, "- {what}: none{why}.");
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
    } else if let Some(description) = &field.pattern_description {
        let _ = write!(hint, " Must be {description}.");
    }
    if field.min_length > 1 {
        let _ = write!(hint, " At least {} characters.", field.min_length);
    }
    if let Some(other) = &field.depends_on {
        let _ = write!(hint, " Must fit `{}`.", other.setting);
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

fn credential_test(text: &mut String, described: &CredentialTest) {
    let mut parts = vec![call(&described.call)];
    if !described.success.is_empty() {
        parts.push(format!("works only if {}", each_condition(&described.success)));
    }
    parts.push(format!("rejected: {}", conditions(&described.rejected)));
    parts.push(format!("forbidden: {}", conditions(&described.forbidden)));
    if !described.rate_limited.is_empty() {
        parts.push(format!("rate limited: {}", conditions(&described.rate_limited)));
    }
    match &described.account_id {
        Some(path) => parts.push(format!("account's id: `{path}`")),
        None => parts.push("does not say whose account it is".to_owned()),
    }
    parts.extend(described.account_display_name.iter().map(|path| format!("account's name: `{path}`")));
    let _ = writeln!(text, "- Test: {}.", parts.join("; "));
}

fn revocation(text: &mut String, described: &RevocationCall) {
    let mut parts = vec![call(&described.call)];
    if !described.success.is_empty() {
        parts.push(format!("done if {}", conditions(&described.success)));
    }
    if !described.already_revoked.is_empty() {
        parts.push(format!("already revoked: {}", conditions(&described.already_revoked)));
    }
    let _ = writeln!(text, "- Revocation: {}.", parts.join("; "));
}

fn rotation(text: &mut String, described: &KeyRotation) {
    let mut parts = Vec::new();
    match &described.mint {
        None => parts.push("by hand".to_owned()),
        Some(mint) => {
            parts.push(call(&mint.call));
            parts.extend(
                mint.fields.iter().map(|(name, path)| format!("`{path}` becomes the field `{name}`")),
            );
            if let Some(account) = &mint.account {
                let account = code(&account.to_string());
                parts.push(format!("made for the account {account}, as the test must say before"));
            }
            match (mint.end, &mint.revoke) {
                (OldKeyEnd::Revoked(overlap), Some(revoke)) => {
                    parts.push(format!(
                        "the old key is revoked after {} by {}",
                        span(overlap),
                        call(&revoke.call)
                    ));
                    if !revoke.already_revoked.is_empty() {
                        parts.push(format!("already revoked: {}", conditions(&revoke.already_revoked)));
                    }
                }
                (OldKeyEnd::ByItself(overlap), _) => {
                    parts.push(format!("the provider ends the old key after {}", span(overlap)));
                }
                (OldKeyEnd::AtOnce, _) => parts.push("the old key ends at once".to_owned()),
                (OldKeyEnd::Revoked(_), None) => {}
            }
            if let Some(discard) = &mint.discard {
                parts.push(format!("a new key that is not used is revoked by {}", call(&discard.call)));
            }
            if !mint.usable_after.is_zero() {
                parts.push(format!("the new key works within {}", span(mint.usable_after)));
            }
        }
    }
    parts.extend(described.rotate_after_days.map(|days| format!("advised every {days} days")));
    let _ = writeln!(text, "- Rotation: {}.", parts.join("; "));
}
