//! What a provider's answer means: tokens, or one of a few kinds of refusal.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_domain::{FieldName, Timestamp};
use secrecy::SecretString;
use serde_json::Value;

use crate::condition::{Condition, any, succeeded};
use crate::life::Life;
use crate::path::Path;

/// Tokens as a provider gave them.
#[derive(Debug)]
pub struct Granted {
    /// The token that requests carry.
    pub access_token: SecretString,
    /// What renews it. `None` means: keep the one that you have.
    pub refresh_token: Option<SecretString>,
    /// When the access token ends; `None` means never.
    pub expires: Option<Timestamp>,
    /// When the refresh token ends if nobody uses it, if the answer says so.
    pub refresh_expires: Option<Timestamp>,
    /// The scopes that were granted, if the answer says so.
    pub scopes: Option<Vec<String>>,
    /// Settings that came along.
    pub settings: BTreeMap<String, Value>,
    /// Further secret fields that came along.
    pub secrets: BTreeMap<FieldName, SecretString>,
    /// The account's id at the provider.
    pub account: Option<String>,
}

/// Why there are no tokens in an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusalKind {
    /// Only a new consent helps, or a new credential where the client is the connection's own.
    Dead,
    /// The app's own id or secret is wrong: no tenant's fault.
    App,
    /// Too many calls.
    Throttled,
    /// Another request for the same tokens is under way at the provider: the next one may well be served.
    Busy,
    /// The provider finds the times in a signed assertion wrong: the vault's clock is, or its own.
    Clock,
    /// The provider is out of order, or something else answers in its place.
    Outage,
    /// A refusal in the provider's own words, which its file does not know.
    Unknown,
}

impl RefusalKind {
    /// What the status says alone. `spoke` is whether the body is the provider's own: without one, a refusal as well as a
    /// success is the page of a gateway, a firewall or a cache.
    fn of_status(status: u16, spoke: bool) -> Self {
        match status {
            429 => Self::Throttled,
            // Timed out, too early: neither is about what was asked for.
            408 | 425 | 500.. => Self::Outage,
            _ if !spoke => Self::Outage,
            _ => Self::Unknown,
        }
    }
}

/// The longest code of an error that is shown, in characters.
const CODE_MAX: usize = 64;

/// A token (RFC 6749, appendix A.12): printable ASCII. A line end in one would end a header.
pub(crate) fn token(value: &Value) -> Option<&str> {
    let visible = |text: &&str| !text.is_empty() && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    value.as_str().filter(visible)
}

/// Settings in an answer.
#[derive(Debug)]
pub(crate) struct SettingPaths(pub(crate) BTreeMap<String, SettingPath>);

/// Where a setting stands.
#[derive(Debug)]
pub(crate) struct SettingPath {
    pub(crate) path: Path,
    /// Whether the setting is a text: a number is made one then.
    pub(crate) text: bool,
}

impl SettingPaths {
    fn read(&self, body: &Value) -> BTreeMap<String, Value> {
        let value = |place: &SettingPath| match place.path.of(body)? {
            Value::Number(number) if place.text => Some(Value::String(number.to_string())),
            other => Some(other.clone()),
        };
        self.0.iter().filter_map(|(name, place)| Some((name.clone(), value(place)?))).collect()
    }
}

/// What a provider said about the account after it gave tokens.
#[derive(PartialEq, Eq, Debug)]
pub struct Details {
    /// Settings.
    pub settings: BTreeMap<String, Value>,
    /// The account's id at the provider.
    pub account: Option<String>,
}

/// How the answer to the call after the exchange is read.
#[derive(Debug)]
pub(crate) struct DetailRules {
    pub(crate) success: Vec<Condition>,
    pub(crate) settings: SettingPaths,
    pub(crate) account: Option<Path>,
}

impl DetailRules {
    /// # Errors
    /// What kind of refusal it is.
    pub(crate) fn read(&self, status: u16, body: &Value) -> Result<Details, RefusalKind> {
        if !succeeded(&self.success, status, body) {
            return Err(RefusalKind::of_status(status, !body.is_null()));
        }
        let account = self.account.as_ref().and_then(|path| path.text(body));
        Ok(Details { settings: self.settings.read(body), account })
    }
}

/// How answers with tokens are read.
#[derive(Debug)]
pub(crate) struct AnswerRules {
    pub(crate) success: Vec<Condition>,
    pub(crate) access_token: Path,
    pub(crate) refresh_token: Path,
    pub(crate) lifetime: Path,
    pub(crate) expires_at: Option<Path>,
    pub(crate) default_lifetime: Option<Duration>,
    pub(crate) refresh_lifetime: Path,
    pub(crate) refresh_expires_at: Option<Path>,
    pub(crate) scope: Path,
    pub(crate) scope_separator: String,
    pub(crate) settings: SettingPaths,
    pub(crate) secrets: BTreeMap<FieldName, Path>,
    pub(crate) account: Option<Path>,
    pub(crate) code: Path,
    pub(crate) dead: Vec<Condition>,
    pub(crate) app: Vec<Condition>,
    pub(crate) throttled: Vec<Condition>,
    pub(crate) busy: Vec<Condition>,
    pub(crate) clock: Vec<Condition>,
}

impl AnswerRules {
    /// Reads an answer to a request that was sent at `sent`.
    ///
    /// # Errors
    /// What kind of refusal it is.
    pub(crate) fn read(&self, status: u16, body: &Value, sent: Timestamp) -> Result<Granted, RefusalKind> {
        if !succeeded(&self.success, status, body) {
            return Err(self.refusal(status, body));
        }
        // 200 with an error in it, and 200 with nothing in it.
        let Some(access_token) = self.access_token.of(body).and_then(token) else {
            return Err(self.refusal(status, body));
        };
        // An empty text is none; one that is no token makes the whole answer none.
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
            refresh_expires: match self.refresh_life(body, sent) {
                Life::Lasts(life) => Some(sent.after(life)),
                Life::Unnamed | Life::Void | Life::Unclear => None,
            },
            scopes: self.scopes(body),
            settings: self.settings.read(body),
            secrets: secrets.collect(),
            account: self.account.as_ref().and_then(|path| path.text(body)),
        })
    }

    fn refusal(&self, status: u16, body: &Value) -> RefusalKind {
        let is = |conditions: &[Condition]| any(conditions, status, body);
        if status == 429 || is(&self.throttled) {
            RefusalKind::Throttled
        } else if is(&self.busy) {
            RefusalKind::Busy
        } else if is(&self.clock) {
            RefusalKind::Clock
        } else if is(&self.app) {
            RefusalKind::App
        } else if is(&self.dead) {
            RefusalKind::Dead
        } else {
            // A success speaks by a code only; a refusal by whatever is no page.
            let spoke =
                if status < 400 { self.code(body).is_some() } else { body.is_object() || body.is_array() };
            RefusalKind::of_status(status, spoke)
        }
    }

    /// The provider's own code of an error, if it is a plain word that can be shown.
    pub(crate) fn code(&self, body: &Value) -> Option<String> {
        let plain = |text: &String| {
            text.len() <= CODE_MAX
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        };
        self.code.texts(body).find(plain)
    }

    fn expires(&self, body: &Value, sent: Timestamp) -> Option<Timestamp> {
        let at = self.expires_at.as_ref().map_or(Life::Unnamed, |path| Life::of_instant(path.of(body), sent));
        let life = match at {
            Life::Unnamed => Life::of_seconds(self.lifetime.of(body)),
            named => named,
        };
        life.or_default(self.default_lifetime).map(|life| sent.after(life))
    }

    fn refresh_life(&self, body: &Value, sent: Timestamp) -> Life {
        match &self.refresh_expires_at {
            Some(path) => Life::of_instant(path.of(body), sent),
            None => Life::of_seconds(self.refresh_lifetime.of(body)),
        }
    }

    fn scopes(&self, body: &Value) -> Option<Vec<String>> {
        match self.scope.of(body)? {
            Value::String(text) => Some(
                text.split([' ', ','])
                    .flat_map(|part| part.split(self.scope_separator.as_str()))
                    .filter(|scope| !scope.is_empty())
                    .map(str::to_owned)
                    .collect(),
            ),
            Value::Array(items) => Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            _ => None,
        }
    }
}

/// What a verification says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The credential works.
    Works {
        /// The account's id at the provider.
        account: Option<String>,
        /// What people call the account.
        name: Option<String>,
    },
    /// It is accepted and may not do what was asked.
    Limited,
    /// It is not accepted.
    Dead,
    /// The answer says nothing about the credential.
    Unclear(RefusalKind),
}

/// How the answer to a verification is read.
#[derive(Debug)]
pub(crate) struct VerdictRules {
    pub(crate) success: Vec<Condition>,
    pub(crate) account: Option<Path>,
    pub(crate) name: Option<Path>,
    pub(crate) dead: Vec<Condition>,
    pub(crate) limited: Vec<Condition>,
    pub(crate) throttled: Vec<Condition>,
}

impl VerdictRules {
    pub(crate) fn read(&self, status: u16, body: &Value) -> Verdict {
        if any(&self.throttled, status, body) {
            Verdict::Unclear(RefusalKind::Throttled)
        } else if any(&self.dead, status, body) {
            Verdict::Dead
        } else if any(&self.limited, status, body) {
            Verdict::Limited
        } else if succeeded(&self.success, status, body) {
            let text = |path: &Option<Path>| path.as_ref().and_then(|path| path.text(body));
            Verdict::Works { account: text(&self.account), name: text(&self.name) }
        } else {
            Verdict::Unclear(RefusalKind::of_status(status, !body.is_null()))
        }
    }
}
