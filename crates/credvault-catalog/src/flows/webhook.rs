//! From a provider file to a checked way to sign webhooks.

use std::time::Duration;

use credvault_domain::FieldName;

use super::answers::conditions;
use super::{Known, Stage};
use crate::call::Method;
use crate::catalog::Problem;
use crate::file::oauth::{DeliveryAccountFile, HandshakeFile, PublicKeysFile, WebhookFile};
use crate::locate::named;
use crate::path::Path;
use crate::public_keys::PublicKeys;
use crate::webhook::{
    AccountPath, AccountPlace, DeliveryAccount, Handshake, KeyPlace, Scheme, Signed, TOLERANCE, Webhook,
};

/// Checks a way to sign webhooks.
pub(crate) fn webhook(key: &str, file: WebhookFile, known: &Known<'_>) -> Result<Webhook, Problem> {
    let at = |part: &str| format!("{key}.{part}");
    let missing = |part: &str| (at(part), "must be given".to_owned());
    let (signature, signed, timestamp, id) = match file.scheme {
        Scheme::Hmac => {
            let signed = file.signed.as_deref().unwrap_or("{body}");
            (file.signature.ok_or_else(|| missing("signature"))?, signed.to_owned(), file.timestamp, file.id)
        }
        Scheme::Stripe => {
            (file.signature.ok_or_else(|| missing("signature"))?, "{timestamp}.{body}".to_owned(), None, None)
        }
        Scheme::Standard => {
            let header = |name: &str| Some(format!("webhook-{name}"));
            (
                "webhook-signature".to_owned(),
                "{id}.{timestamp}.{body}".to_owned(),
                header("timestamp"),
                header("id"),
            )
        }
        Scheme::Ebay => ("x-ebay-signature".to_owned(), "{body}".to_owned(), None, file.id),
        Scheme::Token => (file.signature.ok_or_else(|| missing("signature"))?, String::new(), None, file.id),
    };
    let signed = Signed::parse(&signed).map_err(|problem| (at("signed"), problem))?;
    if signed.contains(&Signed::Timestamp) && timestamp.is_none() && file.scheme != Scheme::Stripe {
        return Err(missing("timestamp"));
    }
    let keys: Result<Vec<_>, _> = file.keys.iter().map(|text| key_place(text, known)).collect();
    let keys = keys.map_err(|problem| (at("keys"), problem))?;
    if keys.is_empty() && file.scheme != Scheme::Ebay {
        return Err(missing("keys"));
    }
    let public_keys =
        file.public_keys.map(|calls| public_keys(&at("public_keys"), calls, known)).transpose()?;
    if public_keys.is_some() != (file.scheme == Scheme::Ebay) {
        return Err((at("public_keys"), "must be given for the scheme ebay, and for no other".to_owned()));
    }
    let accounts = file.account.into_iter().map(|file| account(&at("account"), file));
    let handshakes = file.handshakes.into_iter().map(|file| handshake(&at("handshakes"), file, known));
    Ok(Webhook {
        accounts: accounts.collect::<Result<_, _>>()?,
        handshakes: handshakes.collect::<Result<_, _>>()?,
        public_keys,
        scheme: file.scheme,
        signature: signature.to_lowercase(),
        prefix: file.prefix,
        encoding: file.encoding,
        signed,
        timestamp: timestamp.map(|name| name.to_lowercase()),
        timestamp_form: file.timestamp_form,
        tolerance: file.tolerance_seconds.map_or(TOLERANCE, Duration::from_secs),
        id: id.map(|name| name.to_lowercase()),
        keys,
        key_encoding: file.key_encoding,
    })
}

fn key_place(text: &str, known: &Known<'_>) -> Result<KeyPlace, String> {
    match text.split_once('.') {
        Some(("app", "client_secret")) => Ok(KeyPlace::AppSecret),
        Some(("app", name)) => match known.app.get_key_value(name) {
            Some((name, field)) if field.secret => Ok(KeyPlace::App(name.clone())),
            _ => {
                let name = named(name);
                Err(format!("names app.{name}, which [app.{name}] does not describe as a secret"))
            }
        },
        Some(("secret", name)) => {
            FieldName::parse(name).map(KeyPlace::Secret).map_err(|rule| rule.to_string())
        }
        _ => Err("must be secret.X, app.client_secret or app.X".to_owned()),
    }
}

fn account(key: &str, file: DeliveryAccountFile) -> Result<DeliveryAccount, Problem> {
    let DeliveryAccountFile { header, path, prefix, setting } = file;
    let wrong = |problem: String| (key.to_owned(), problem);
    let place = match (header, path) {
        (Some(header), None) => AccountPlace::Header(header.to_lowercase()),
        (None, Some(path)) => AccountPlace::Body(AccountPath(Path::parse(&path).map_err(wrong)?)),
        _ => return Err(wrong("must have either a header or a path".to_owned())),
    };
    Ok(DeliveryAccount { place, prefix, setting })
}

fn handshake(key: &str, file: HandshakeFile, known: &Known<'_>) -> Result<Handshake, Problem> {
    let wrong = |problem: String| (key.to_owned(), problem);
    let token = file.token.map(|token| {
        let path = Path::parse(&token.path).map_err(wrong)?;
        Ok::<_, Problem>((path, key_place(&token.key, known).map_err(wrong)?))
    });
    Ok(Handshake {
        method: file.method.unwrap_or(Method::Post),
        signed: file.signed,
        when: conditions(&format!("{key}.when"), file.when)?,
        token: token.transpose()?,
        answer: file.answer,
    })
}

fn public_keys(key: &str, file: PublicKeysFile, known: &Known<'_>) -> Result<PublicKeys, Problem> {
    Ok(PublicKeys {
        token: known.call(&format!("{key}.token"), file.token, Stage::KeyToken)?,
        key: known.call(&format!("{key}.key"), file.key, Stage::Key)?,
        config: known.config.clone(),
        derived: known.derived.clone(),
    })
}
