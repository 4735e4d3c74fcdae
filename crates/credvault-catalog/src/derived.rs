//! Values that follow from others: `{derived.X}`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_crypto::MacKey;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::file::DerivedFile;
use crate::request_auth::Values;
use crate::template::{Placeholder, Template};

/// How a value follows.
#[derive(Clone, Debug)]
pub(crate) enum Derived {
    /// Looked up by a setting.
    Lookup { from: String, values: BTreeMap<String, String> },
    /// HMAC-SHA256 in lower-case hexadecimal.
    Hmac { key: Template, message: Template },
    /// A claim of a JWT that a provider gave us; nobody checks its signature, so it decides nothing about trust.
    Claim { token: Template, name: String },
}

impl Derived {
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn from_file(file: DerivedFile) -> Result<Self, String> {
        let template = |text: &str| {
            let template = Template::parse(text)?;
            let again =
                template.placeholders().any(|placeholder| matches!(placeholder, Placeholder::Derived(_)));
            if again { Err("must not refer to another derived value".to_owned()) } else { Ok(template) }
        };
        let DerivedFile { from, values, hmac, claim } = file;
        match (from, hmac, claim) {
            (Some(from), None, None) => Ok(Self::Lookup { from, values }),
            (None, Some(hmac), None) if values.is_empty() => {
                Ok(Self::Hmac { key: template(&hmac.key)?, message: template(&hmac.message)? })
            }
            (None, None, Some(claim)) if values.is_empty() => {
                Ok(Self::Claim { token: template(&claim.token)?, name: claim.name })
            }
            _ => Err("must have one of from with values, hmac and claim".to_owned()),
        }
    }

    pub(crate) fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Lookup { .. } => Vec::new(),
            Self::Hmac { key, message } => vec![key, message],
            Self::Claim { token, .. } => vec![token],
        }
    }

    /// `None` if something that it follows from has no value.
    pub(crate) fn value<'v>(&'v self, values: &'v Values<'_>) -> Option<Cow<'v, str>> {
        match self {
            Self::Lookup { from, values: by_setting } => {
                by_setting.get(values.setting(from)?.as_ref()).map(|value| Cow::Borrowed(value.as_str()))
            }
            Self::Hmac { key, message } => {
                let render = |template| values.render(template).ok().flatten();
                let key = MacKey::new(render(key)?.expose_secret().as_bytes())?;
                let tag = key.sign(&[render(message)?.expose_secret()]);
                Some(Cow::Owned(tag.iter().map(|byte| format!("{byte:02x}")).collect()))
            }
            Self::Claim { token, name } => {
                claim(values.render(token).ok()??.expose_secret(), name).map(Cow::Owned)
            }
        }
    }
}

/// A claim that is a text.
fn claim(token: &str, name: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims.get(name)?.as_str().map(str::to_owned)
}
