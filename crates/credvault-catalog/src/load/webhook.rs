//! Checked ways to sign webhooks, from their shape in a provider file.

use std::time::Duration;

use credvault_domain::FieldName;

use super::conditions::{conditions, path};
use super::file::webhook::{DeliveryAccountFile, HandshakeFile, PublicKeysFile, WebhookFile};
use super::names::Names;
use super::problem::Problem;
use super::stage::Stage;
use crate::call::Method;
use crate::public_keys::PublicKeys;
use crate::shown::shown_name;
use crate::webhook::account::{AccountPath, AccountPlace, DeliveryAccount};
use crate::webhook::handshake::Handshake;
use crate::webhook::keys::KeyPlace;
use crate::webhook::signed::Signed;
use crate::webhook::{DEFAULT_TOLERANCE, Scheme, Webhook};

/// What a scheme fixes or takes from the file: headers, and the text that the signature covers.
struct Layout {
    signature_header: String,
    signed_content: String,
    timestamp_header: Option<String>,
    delivery_id_header: Option<String>,
}

impl Names<'_> {
    /// Checks a way to sign webhooks.
    pub(super) fn webhook(&self, key: &str, file: WebhookFile) -> Result<Webhook, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let missing = |part: &str| Problem::new(at(part), "must be given");
        let layout = layout(&file).map_err(missing)?;
        let signed = Signed::parse(&layout.signed_content)
            .map_err(|problem| Problem::new(at("signed_content"), problem))?;
        let timed = layout.timestamp_header.is_some() || file.scheme == Scheme::Stripe;
        if signed.contains(&Signed::Timestamp) && !timed {
            return Err(missing("timestamp_header"));
        }
        let keys: Result<Vec<_>, _> = file.keys.iter().map(|text| self.key_place(text)).collect();
        let keys = keys.map_err(|problem| Problem::new(at("keys"), problem))?;
        if keys.is_empty() && file.scheme != Scheme::Ebay {
            return Err(missing("keys"));
        }
        let public_keys = file.public_keys.map(|calls| self.public_keys(&at("public_keys"), calls));
        let public_keys = public_keys.transpose()?;
        if public_keys.is_some() != (file.scheme == Scheme::Ebay) {
            return Err(Problem::new(
                at("public_keys"),
                "must be given for the scheme ebay, and for no other",
            ));
        }
        let accounts = file.accounts.into_iter().map(|file| account(&at("accounts"), file));
        let handshakes = file.handshakes.into_iter().map(|file| self.handshake(&at("handshakes"), file));
        Ok(Webhook {
            accounts: accounts.collect::<Result<_, _>>()?,
            handshakes: handshakes.collect::<Result<_, _>>()?,
            public_keys,
            scheme: file.scheme,
            signature: layout.signature_header.to_lowercase(),
            prefix: file.signature_prefix,
            encoding: file.signature_encoding,
            signed,
            timestamp: layout.timestamp_header.map(|name| name.to_lowercase()),
            timestamp_form: file.timestamp_format,
            tolerance: file.tolerance_seconds.map_or(DEFAULT_TOLERANCE, Duration::from_secs),
            id: layout.delivery_id_header.map(|name| name.to_lowercase()),
            keys,
            key_encoding: file.key_encoding,
        })
    }

    fn key_place(&self, text: &str) -> Result<KeyPlace, String> {
        match text.split_once('.') {
            Some(("app", "client_secret")) => Ok(KeyPlace::AppSecret),
            Some(("app", name)) => match self.app.get_key_value(name) {
                Some((name, field)) if field.secret => Ok(KeyPlace::App(name.clone())),
                _ => {
                    let name = shown_name(name);
                    Err(format!("names app.{name}, which [app.{name}] does not describe as a secret"))
                }
            },
            Some(("secret", name)) => {
                FieldName::parse(name).map(KeyPlace::Secret).map_err(|rule| rule.to_string())
            }
            _ => Err("must be secret.X, app.client_secret or app.X".to_owned()),
        }
    }

    fn handshake(&self, key: &str, file: HandshakeFile) -> Result<Handshake, Problem> {
        let token = file.token.map(|token| {
            let place = self.key_place(&token.key).map_err(|problem| Problem::new(key, problem));
            Ok::<_, Problem>((path(key, &token.path)?, place?))
        });
        Ok(Handshake {
            method: file.method.unwrap_or(Method::Post),
            signed: file.signed,
            when: conditions(&format!("{key}.when"), file.when)?,
            token: token.transpose()?,
            instructions: file.instructions,
        })
    }

    fn public_keys(&self, key: &str, file: PublicKeysFile) -> Result<PublicKeys, Problem> {
        Ok(PublicKeys {
            token: self.call(&format!("{key}.token"), file.token, Stage::PublicKeyToken)?,
            key: self.call(&format!("{key}.key"), file.key, Stage::PublicKey)?,
            config: self.config.clone(),
            derived: self.derived.clone(),
        })
    }
}

/// The layout of a delivery. The error is the key that the scheme needs and that is missing.
fn layout(file: &WebhookFile) -> Result<Layout, &'static str> {
    let signature_header = || file.signature_header.clone().ok_or("signature_header");
    let delivery_id_header = file.delivery_id_header.clone();
    Ok(match file.scheme {
        Scheme::Hmac => Layout {
            signature_header: signature_header()?,
            signed_content: file.signed_content.clone().unwrap_or_else(|| "{body}".to_owned()),
            timestamp_header: file.timestamp_header.clone(),
            delivery_id_header,
        },
        Scheme::Stripe => Layout {
            signature_header: signature_header()?,
            signed_content: "{timestamp}.{body}".to_owned(),
            timestamp_header: None,
            delivery_id_header: None,
        },
        Scheme::Standard => Layout {
            signature_header: "webhook-signature".to_owned(),
            signed_content: "{id}.{timestamp}.{body}".to_owned(),
            timestamp_header: Some("webhook-timestamp".to_owned()),
            delivery_id_header: Some("webhook-id".to_owned()),
        },
        Scheme::Ebay => Layout {
            signature_header: "x-ebay-signature".to_owned(),
            signed_content: "{body}".to_owned(),
            timestamp_header: None,
            delivery_id_header,
        },
        Scheme::Token => Layout {
            signature_header: signature_header()?,
            signed_content: String::new(),
            timestamp_header: None,
            delivery_id_header,
        },
    })
}

fn account(key: &str, file: DeliveryAccountFile) -> Result<DeliveryAccount, Problem> {
    let DeliveryAccountFile { header, path: in_body, prefix, setting } = file;
    let place = match (header, in_body) {
        (Some(header), None) => AccountPlace::Header(header.to_lowercase()),
        (None, Some(file)) => AccountPlace::Body(AccountPath(path(key, &file)?)),
        (Some(_), Some(_)) | (None, None) => {
            return Err(Problem::new(key, "must have either a header or a path"));
        }
    };
    Ok(DeliveryAccount { place, prefix, setting })
}
