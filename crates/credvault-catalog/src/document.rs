//! The catalog as a document for people: `docs/providers.md`. It says what the data says, and nothing from elsewhere.

mod calls;

mod mode;

mod words;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::derived::Derived;
use crate::oauth::Rotation;
use crate::webhook::{
    AccountPlace, DeliveryAccount, Encoding, KeyEncoding, KeyPlace, Scheme, Signed, TimestampForm, Webhook,
};
use crate::{Catalog, Mode, Provider, RateLimit};
use words::{cell, code, list, span};

const PREAMBLE: &str = "\
# Providers

What the catalog knows about each provider. This file is generated from `crates/credvault-catalog/providers/*.toml`:

```sh
cargo run -p credvault-catalog --example providers > docs/providers.md
```

Nothing here was tried with a live account. What nobody has confirmed stands under \"Uncertain\".

How to read it:

- `{config.X}` is a setting of the connection, `{secret.X}` a field of its credential, `{app.X}` a value of the platform's
  app at the provider, `{derived.X}` follows from one of them, `{flow.X}` belongs to the call itself.
- Access tokens are renewed ahead of need: five minutes or a tenth of their life before the end, give or take a fifth,
  and never in the first half. Where an unused refresh token dies, it is used in time.
- \"Dead\" answers end the connection until its owner consents again or gives a new credential. \"App\" answers are about
  the platform's app and touch no connection. All other refusals, status 429, status 5xx and silence are transient: they
  are tried again later.
- A verification says \"works\" for a status of 2xx, unless it is described otherwise.
";

impl Catalog {
    /// The document about all providers of this catalog, in Markdown.
    pub fn document(&self) -> String {
        let mut text = PREAMBLE.to_owned();
        text.push_str("\n## All\n\n");
        text.push_str("| provider | mode | access token lives | refresh token | PKCE | verified | revoked | webhooks |\n");
        text.push_str("|---|---|---|---|---|---|---|---|\n");
        for provider in self.iter() {
            for (index, (name, mode)) in provider.modes().enumerate() {
                text.push_str(&row(provider, index == 0, name.as_str(), mode));
            }
        }
        for provider in self.iter() {
            section(&mut text, provider);
        }
        text
    }
}

fn row(provider: &Provider, first: bool, name: &str, mode: &Mode) -> String {
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    let oauth = mode.oauth.as_ref();
    let title = if first { format!("[{}](#{})", provider.name, provider.id) } else { String::new() };
    let life = match oauth {
        None => "does not end".to_owned(),
        Some(oauth) => match oauth.answer.default_lifetime {
            Some(lifetime) => span(lifetime),
            None => "as its answer says".to_owned(),
        },
    };
    let refresh = match oauth.filter(|_| mode.secrets.contains_key("refresh_token") && mode.renews()) {
        None => "none",
        Some(oauth) => match oauth.renewal.rotates {
            Rotation::No => "stays",
            Rotation::Sliding => "slides",
            Rotation::Yes => "rotates",
        },
    };
    let pkce = match oauth.and_then(|oauth| oauth.authorize.as_ref()) {
        None => "",
        Some(authorize) => yes(authorize.pkce),
    };
    let webhooks = if first { yes(!provider.webhooks.is_empty()) } else { "" };
    let (verified, revoked) = (yes(mode.verify.is_some()), yes(mode.revoke.is_some()));
    format!("| {title} | `{name}` | {life} | {refresh} | {pkce} | {verified} | {revoked} | {webhooks} |\n")
}

fn section(text: &mut String, provider: &Provider) {
    // Writing to a text cannot fail.
    let _ =
        write!(text, "\n<a id=\"{}\"></a>\n\n## {}\n\nId: `{}`.", provider.id, provider.name, provider.id);
    if let Some(url) = &provider.documentation {
        let _ = write!(text, " Documentation: <{url}>.");
    }
    text.push('\n');
    app(text, provider);
    derived(text, provider);
    for (name, mode) in provider.modes() {
        mode::section(text, name.as_str(), mode);
    }
    for (name, described) in &provider.webhooks {
        webhook(text, name, described);
    }
    if let Some(limit) = &provider.rate_limit {
        rate_limit(text, limit);
    }
    if !provider.uncertain.is_empty() {
        text.push_str("\n### Uncertain\n\n");
        for doubt in &provider.uncertain {
            let _ = writeln!(text, "- {doubt}");
        }
    }
}

/// What the platform stores about its app.
fn app(text: &mut String, provider: &Provider) {
    if provider.app.is_empty() {
        return;
    }
    text.push_str("\nThe platform's app has, beside `client_id` and `client_secret`:\n\n");
    text.push_str("| value | kind | what it is |\n|---|---|---|\n");
    for (name, field) in &provider.app {
        let kind = if field.secret { "secret" } else { "setting" };
        let description = field.description.as_ref().map(|text| format!(" {text}")).unwrap_or_default();
        let _ = writeln!(text, "| `{name}` | {kind} | {}.{} |", cell(&field.title), cell(&description));
    }
}

/// What `{derived.X}` stands for; with the modes, if it is not the same in all.
fn derived(text: &mut String, provider: &Provider) {
    let mut rows: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
    for (mode_name, mode) in provider.modes() {
        for (name, derived) in &mode.derived {
            rows.entry((name, follows(derived))).or_default().push(code(mode_name.as_str()));
        }
    }
    if rows.is_empty() {
        return;
    }
    text.push_str("\n| value | follows from |\n|---|---|\n");
    for ((name, how), modes) in rows {
        let all = modes.len() == provider.modes().count();
        let only = if all { String::new() } else { format!(" In {}.", list(modes, "and")) };
        let _ = writeln!(text, "| `{{derived.{name}}}` | {}.{only} |", cell(&how));
    }
}

fn follows(derived: &Derived) -> String {
    match derived {
        Derived::Lookup { from, values } => {
            let each = values.iter().map(|(setting, value)| format!("{} for {}", code(value), code(setting)));
            format!("`{from}`: {}", each.collect::<Vec<_>>().join(", "))
        }
        Derived::Hmac { key, message } => {
            format!("HMAC-SHA256, hexadecimal, of `{message}` with the key `{key}`")
        }
        Derived::Claim { token, name } => format!("the claim `{name}` of the JWT `{token}`"),
    }
}

fn rate_limit(text: &mut String, limit: &RateLimit) {
    let _ = write!(text, "\n### Rate limits\n\n{}\n", limit.rule);
    if !limit.headers.is_empty() {
        text.push_str("\n| header | says |\n|---|---|\n");
    }
    for (name, says) in &limit.headers {
        let _ = writeln!(text, "| `{name}` | {} |", cell(says));
    }
}

fn webhook(text: &mut String, name: &str, webhook: &Webhook) {
    let _ = write!(text, "\n### Webhooks: `{name}`\n\n");
    let encoding = match webhook.encoding {
        Encoding::Hex => "hexadecimal",
        Encoding::Base64 => "base64",
        Encoding::Any => "hexadecimal or base64",
    };
    let scheme = match webhook.scheme {
        Scheme::Hmac => format!("HMAC-SHA256, {encoding}"),
        Scheme::Stripe => "HMAC-SHA256, hexadecimal, as `t=…,v1=…`".to_owned(),
        Scheme::Standard => "Standard Webhooks: HMAC-SHA256, base64, as `v1,…`".to_owned(),
        Scheme::Ebay => "ECDSA with the provider's public key, which the header names".to_owned(),
        Scheme::Token => "no signature; the header repeats a secret".to_owned(),
    };
    let prefix =
        if webhook.prefix.is_empty() { String::new() } else { format!(", after {}", code(&webhook.prefix)) };
    let _ = writeln!(text, "- Header: {}{prefix}.", code(&webhook.signature));
    let _ = writeln!(text, "- Algorithm: {scheme}.");
    if webhook.scheme != Scheme::Token {
        let signed: String = webhook.signed.iter().map(signed_part).collect();
        let _ = writeln!(text, "- Signed: {}.", code(&signed.replace('\n', "\\n")));
    }
    let dated = webhook.timestamp.is_some() || webhook.scheme == Scheme::Stripe;
    if dated {
        let form = match webhook.timestamp_form {
            TimestampForm::Seconds => "seconds since 1970",
            TimestampForm::Milliseconds => "milliseconds since 1970",
            TimestampForm::Rfc3339 => "RFC 3339",
            TimestampForm::Any => "RFC 3339 or an HTTP date",
        };
        let header = webhook.timestamp.as_deref().map(|name| format!("{}, ", code(name))).unwrap_or_default();
        let _ = writeln!(text, "- Time: {header}{form}; at most {} from ours.", span(webhook.tolerance));
    }
    if let Some(id) = &webhook.id {
        let _ = writeln!(text, "- Delivery's id: {}.", code(id));
    }
    if !webhook.accounts.is_empty() {
        let accounts = list(webhook.accounts.iter().map(account), "or");
        let _ = writeln!(text, "- Account, where the key is the app's: {accounts}.");
    }
    for handshake in &webhook.handshakes {
        let signed = if handshake.signed { "signed" } else { "unsigned" };
        let _ = writeln!(text, "- Handshake, {signed}: {}", handshake.answer);
    }
    if let Some(keys) = &webhook.public_keys {
        let _ = writeln!(text, "- Key: {}, with a token of the app's own.", calls::call(&keys.key));
    }
    if !webhook.keys.is_empty() {
        let keys = list(webhook.keys.iter().map(|key| code(&key_place(key))), "or");
        let form = if webhook.key_encoding == KeyEncoding::Base64 { ", base64 after `whsec_`" } else { "" };
        let _ = writeln!(text, "- Key: {keys}{form}.");
    }
}

fn account(account: &DeliveryAccount) -> String {
    let place = match &account.place {
        AccountPlace::Header(name) => format!("the header {}, not signed", code(name)),
        AccountPlace::Body(path) => format!("{} in the body", code(&path.to_string())),
    };
    let prefix =
        if account.prefix.is_empty() { String::new() } else { format!(" after {}", code(&account.prefix)) };
    let setting = account.setting.as_ref().map(|name| format!(", as the setting {}", code(name)));
    format!("{place}{prefix}{}", setting.unwrap_or_default())
}

fn key_place(place: &KeyPlace) -> String {
    match place {
        KeyPlace::Secret(name) => format!("secret.{name}"),
        KeyPlace::App(name) => format!("app.{name}"),
        KeyPlace::AppSecret => "app.client_secret".to_owned(),
    }
}

fn signed_part(part: &Signed) -> String {
    match part {
        Signed::Literal(text) => text.clone(),
        Signed::Method => "{method}".to_owned(),
        Signed::Url => "{url}".to_owned(),
        Signed::Target => "{target}".to_owned(),
        Signed::Body => "{body}".to_owned(),
        Signed::BodySha256 => "{body_sha256}".to_owned(),
        Signed::Timestamp => "{timestamp}".to_owned(),
        Signed::Id => "{id}".to_owned(),
        Signed::ClientId => "{app.client_id}".to_owned(),
    }
}
