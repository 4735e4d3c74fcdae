//! A delivery under test, and how to vary it. `vectors` has those that are accepted.

use std::time::Duration;

use credvault_catalog::{Encoding, KeyEncoding, Scheme, Signed, TimestampForm, Webhook};
use credvault_domain::Timestamp;
use secrecy::SecretString;

use crate::webhook::{Checked, Delivery, Key, Keys, WebhookError, check};

pub(super) const KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
pub(super) const BODY: &str = r#"{"id":820982911946154508,"note":"café \u00fc","total":"12.50"}"#;
/// The time of signing, 2023-11-14T22:13:20Z.
pub(super) const AT: i64 = 1_700_000_000;
pub(super) const HEX: &str = "0ea3bf0872b1636e2725b3c1d68720415cfdab26ffdd57266931268b15b5fbba";
pub(super) const BASE64_TEXT: &str = "DqO/CHKxY24nJbPB1ocgQVz9qyb/3VcmaTEmixW1+7o=";

/// A delivery that is accepted.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) webhook: Webhook,
    pub(super) secret: &'static str,
    pub(super) method: &'static str,
    pub(super) url: &'static str,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) now: i64,
}

impl Case {
    /// A scheme that signs the body alone.
    pub(super) fn new(name: &'static str, header: &str, value: &str) -> Self {
        let webhook = Webhook {
            scheme: Scheme::Hmac,
            signature: header.to_lowercase(),
            prefix: String::new(),
            encoding: Encoding::Hex,
            signed: vec![Signed::Body],
            timestamp: None,
            timestamp_form: TimestampForm::Seconds,
            tolerance: Duration::from_secs(300),
            id: None,
            keys: Vec::new(),
            key_encoding: KeyEncoding::Text,
            public_keys: None,
            accounts: Vec::new(),
            handshakes: Vec::new(),
        };
        Self {
            name,
            webhook,
            secret: KEY,
            method: "POST",
            url: "https://hooks.example.com/in",
            headers: Vec::new(),
            body: BODY.into(),
            now: AT,
        }
        .with(header, value)
    }

    pub(super) fn with(mut self, header: &str, value: &str) -> Self {
        self.headers.push((header.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn prefix(mut self, prefix: &str) -> Self {
        self.webhook.prefix = prefix.to_owned();
        self
    }

    pub(super) fn encoding(mut self, encoding: Encoding) -> Self {
        self.webhook.encoding = encoding;
        self
    }

    pub(super) fn signed(mut self, parts: impl IntoIterator<Item = Signed>) -> Self {
        self.webhook.signed = parts.into_iter().collect();
        self
    }

    pub(super) fn time(mut self, header: &str, value: &str, form: TimestampForm) -> Self {
        self.webhook.timestamp = Some(header.to_lowercase());
        self.webhook.timestamp_form = form;
        self.with(header, value)
    }

    pub(super) fn id(mut self, header: &str, value: &str) -> Self {
        self.webhook.id = Some(header.to_lowercase());
        self.with(header, value)
    }

    /// As the catalog reads `scheme = "standard"`.
    pub(super) fn standard(
        name: &'static str,
        signature: &str,
        id: &str,
        time: &str,
        key_encoding: KeyEncoding,
    ) -> Self {
        let dot = || Signed::Literal(".".to_owned());
        let mut case = Self::new(name, "webhook-signature", signature)
            .signed([Signed::Id, dot(), Signed::Timestamp, dot(), Signed::Body])
            .time("webhook-timestamp", time, TimestampForm::Seconds)
            .id("webhook-id", id);
        case.webhook.scheme = Scheme::Standard;
        case.webhook.key_encoding = key_encoding;
        case
    }

    pub(super) fn stripe(value: &str) -> Self {
        let dot = Signed::Literal(".".to_owned());
        let mut case =
            Self::new("stripe", "Stripe-Signature", value).signed([Signed::Timestamp, dot, Signed::Body]);
        case.webhook.scheme = Scheme::Stripe;
        case.secret = "whsec_0f1e2d3c4b5a69788796a5b4c3d2e1f0";
        case
    }

    pub(super) fn token() -> Self {
        let mut case = Self::new("token", "X-Goog-Channel-Token", KEY).id("X-Goog-Message-Number", "7");
        case.webhook.scheme = Scheme::Token;
        case.webhook.signed = Vec::new();
        case
    }

    pub(super) fn set(&mut self, header: &str, value: &str) {
        for (name, old) in &mut self.headers {
            if name.eq_ignore_ascii_case(header) {
                value.clone_into(old);
            }
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.now, 0).expect("between 1970 and 9999")
    }

    pub(super) fn delivery(&self) -> Delivery<'_> {
        Delivery { method: self.method, url: self.url, headers: &self.headers, body: &self.body }
    }

    pub(super) fn check(&self) -> Result<Checked, WebhookError> {
        self.check_with(&[self.secret])
    }

    pub(super) fn check_with(&self, secrets: &[&str]) -> Result<Checked, WebhookError> {
        let secrets: Vec<SecretString> = secrets.iter().map(|text| SecretString::from(*text)).collect();
        let secrets = secrets.iter().map(|secret| Key { secret, is_apps: false });
        let keys = Keys { secrets: secrets.collect(), client_id: Some("6abcdef123") };
        check(&self.webhook, &self.delivery(), &keys, self.now())
    }
}
