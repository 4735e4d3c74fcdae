//! Access token responses (RFC 6749, section 5): where a provider's answer has tokens, and what its refusals mean.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use credvault_domain::{FieldName, Timestamp};
use secrecy::SecretString;
use serde_json::Value;

use crate::condition::{Condition, any_holds, is_success};
use crate::lifetime::Lifetime;
use crate::path::Path;
use crate::refusal::RefusalKind;
use crate::setting_paths::SettingPaths;

/// The tokens that a provider gave.
#[derive(Debug)]
pub struct Granted {
    /// The token that requests carry.
    pub access_token: SecretString,
    /// The new refresh token. `None` means that the previous one stays.
    pub refresh_token: Option<SecretString>,
    /// When the access token expires. `None` means never.
    pub expires: Option<Timestamp>,
    /// When the refresh token expires if it is not used, if the answer says so.
    pub refresh_expires: Option<Timestamp>,
    /// The scopes that were granted, if the answer says so: sorted, each once, because providers keep no order (RFC 6749,
    /// section 3.3), and the order must not change the connection.
    pub scopes: Option<Vec<String>>,
    /// Settings that the answer contains, not yet checked.
    pub settings: BTreeMap<String, Value>,
    /// Further secret fields that the answer contains.
    pub secrets: BTreeMap<FieldName, SecretString>,
    /// The account's id at the provider.
    pub account: Option<String>,
}

/// The longest error code that is shown, in bytes.
const MAX_CODE_BYTES: usize = 64;

/// The token that `value` is (RFC 6749, appendix A.12): nonempty printable ASCII. A line end in a token would end a
/// header.
pub(crate) fn token(value: &Value) -> Option<&str> {
    let visible = |text: &&str| !text.is_empty() && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    value.as_str().filter(visible)
}

/// How answers with tokens are read.
#[derive(Debug)]
pub struct TokenResponse {
    pub(crate) success: Vec<Condition>,
    pub(crate) access_token: Path,
    pub(crate) refresh_token: Path,
    pub(crate) expires_in: Path,
    pub(crate) expires_at: Option<Path>,
    pub(crate) default_lifetime: Option<Duration>,
    pub(crate) refresh_token_expires_in: Path,
    pub(crate) refresh_token_expires_at: Option<Path>,
    pub(crate) scope: Path,
    pub(crate) scope_separator: String,
    pub(crate) settings: SettingPaths,
    pub(crate) secrets: BTreeMap<FieldName, Path>,
    pub(crate) account_id: Option<Path>,
    pub(crate) error_code: Path,
    pub(crate) invalid_grant: Vec<Condition>,
    pub(crate) invalid_client: Vec<Condition>,
    /// What means that the platform's client is refused unless the file knows better.
    pub(crate) refused_client: Vec<Condition>,
    pub(crate) rate_limited: Vec<Condition>,
    pub(crate) concurrent_request: Vec<Condition>,
    pub(crate) clock_skew: Vec<Condition>,
}

impl TokenResponse {
    /// Reads the answer to an exchange or a refresh that was sent at `sent`.
    ///
    /// # Errors
    /// The kind of refusal, if the answer has no tokens.
    pub fn read(&self, status: u16, body: &Value, sent: Timestamp) -> Result<Granted, RefusalKind> {
        if !is_success(&self.success, status, body) {
            return Err(self.refusal(status, body));
        }
        // Some providers refuse with status 200.
        let Some(access_token) = self.access_token.of(body).and_then(token) else {
            return Err(self.refusal(status, body));
        };
        // An empty refresh token counts as absent. One with control characters makes the whole answer a refusal.
        let given = self.refresh_token.of(body).filter(|value| value.as_str() != Some(""));
        if given.is_some_and(|value| token(value).is_none()) {
            return Err(self.refusal(status, body));
        }
        let secret = |path: &Path| Some(SecretString::from(token(path.of(body)?)?));
        let secrets = self.secrets.iter().filter_map(|(name, path)| Some((name.clone(), secret(path)?)));
        Ok(Granted {
            access_token: access_token.into(),
            refresh_token: secret(&self.refresh_token),
            expires: self.expires(body, sent),
            refresh_expires: match self.refresh_token_lifetime(body, sent) {
                Lifetime::Lasts(lifetime) => Some(sent.after(lifetime)),
                Lifetime::Unnamed | Lifetime::Elapsed | Lifetime::Unclear => None,
            },
            scopes: self.scopes(body),
            settings: self.settings.read(body),
            secrets: secrets.collect(),
            account: self.account_id.as_ref().and_then(|path| path.text(body)),
        })
    }

    fn refusal(&self, status: u16, body: &Value) -> RefusalKind {
        let is = |conditions: &[Condition]| any_holds(conditions, status, body);
        if status == 429 || is(&self.rate_limited) {
            RefusalKind::RateLimited
        } else if is(&self.concurrent_request) {
            RefusalKind::ConcurrentRequest
        } else if is(&self.clock_skew) {
            RefusalKind::ClockSkew
        } else if is(&self.invalid_client) {
            RefusalKind::InvalidClient
        } else if is(&self.invalid_grant) {
            RefusalKind::InvalidGrant
        } else if is(&self.refused_client) {
            RefusalKind::InvalidClient
        } else {
            // With a status below 400, only an error code shows that the provider itself refuses. Otherwise any JSON
            // does.
            let has_body = if status < 400 {
                self.error_code(body).is_some()
            } else {
                body.is_object() || body.is_array()
            };
            RefusalKind::of_status(status, has_body)
        }
    }

    /// The provider's own error code, if it is a plain word of at most 64 letters, digits, `_`, `.` and `-`. Such a
    /// code can be shown and recorded.
    pub fn error_code(&self, body: &Value) -> Option<String> {
        let plain = |text: &String| {
            text.len() <= MAX_CODE_BYTES
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        };
        self.error_code.texts(body).find(plain)
    }

    fn expires(&self, body: &Value, sent: Timestamp) -> Option<Timestamp> {
        let at = self
            .expires_at
            .as_ref()
            .map_or(Lifetime::Unnamed, |path| Lifetime::of_instant(path.of(body), sent));
        let lifetime = match at {
            Lifetime::Unnamed => Lifetime::of_seconds(self.expires_in.of(body)),
            named @ (Lifetime::Lasts(_) | Lifetime::Elapsed | Lifetime::Unclear) => named,
        };
        lifetime.or_default(self.default_lifetime).map(|lifetime| sent.after(lifetime))
    }

    fn refresh_token_lifetime(&self, body: &Value, sent: Timestamp) -> Lifetime {
        match &self.refresh_token_expires_at {
            Some(path) => Lifetime::of_instant(path.of(body), sent),
            None => Lifetime::of_seconds(self.refresh_token_expires_in.of(body)),
        }
    }

    fn scopes(&self, body: &Value) -> Option<Vec<String>> {
        let scopes: BTreeSet<&str> = match self.scope.of(body)? {
            Value::String(text) => text
                .split([' ', ','])
                .flat_map(|part| part.split(self.scope_separator.as_str()))
                .filter(|scope| !scope.is_empty())
                .collect(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
        };
        Some(scopes.into_iter().map(str::to_owned).collect())
    }
}
