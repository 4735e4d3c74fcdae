//! The catalog as a document for people, `docs/providers.md`. It says what the data says and adds nothing.

mod calls;

mod mode;

mod tokens;

mod webhook;

mod words;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::catalog::Catalog;
use crate::derived::Derived;
use crate::mode::Mode;
use crate::oauth::Rotation;
use crate::provider::{Provider, RateLimit};

use words::{cell, code, list, span};

const PREAMBLE: &str = "\
# Providers

What the catalog knows about each provider. This file is generated from `crates/credvault-catalog/providers/*.toml`:

```sh
cargo run -p credvault-catalog --example providers > docs/providers.md
```

Nothing here was tried with a live account. Facts that are not confirmed stand under \"Unconfirmed\", and those about the
life of a credential at its mode: \"unconfirmed life\" and the like.

How to read it:

- `{config.X}` is a setting of the connection, `{secret.X}` a field of its credential, `{app.X}` a value of the
  platform's app at the provider, `{derived.X}` follows from these, and `{flow.X}` belongs to the call in progress.
- Access tokens are refreshed ahead of need: five minutes or a tenth of their lifetime before the end, give or take a
  fifth, and never in the first half. Where an unused refresh token expires, it is used in time.
- \"Invalid grant\" answers end the connection until its owner consents again or gives a new credential. \"Invalid
  client\" answers are about the platform's app and touch no connection. All other refusals, status 429, status 5xx
  and silence are transient: the vault tries again later.
- A test says \"works\" for a status of 2xx, unless its line says otherwise.
";

impl Catalog {
    /// The document about all providers of the catalog, in Markdown.
    pub fn document(&self) -> String {
        let mut text = PREAMBLE.to_owned();
        text.push_str("\n## All\n\n");
        text.push_str(
            "| provider | mode | access token lives | refresh token | PKCE | tested | revoked | webhooks |\n",
        );
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
    let oauth = mode.oauth();
    let title = if first { format!("[{}](#{})", provider.display_name, provider.id) } else { String::new() };
    let life = match oauth {
        None => "does not end".to_owned(),
        Some(oauth) => match oauth.response.default_lifetime {
            Some(lifetime) => span(lifetime),
            None => "as its answer says".to_owned(),
        },
    };
    let refresh = match mode.refresh().filter(|_| mode.secrets.contains_key("refresh_token")) {
        None => "none",
        Some(refresh) => match refresh.policy.rotates {
            Rotation::No => "stays",
            Rotation::Sliding => "slides",
            Rotation::Yes => "rotates",
        },
    };
    let pkce = match mode.code_grant() {
        None => "",
        Some(grant) => yes(grant.authorize.pkce),
    };
    let webhooks = if first { yes(!provider.webhooks.is_empty()) } else { "" };
    let (tested, revoked) = (yes(mode.test.is_some()), yes(mode.ending_call().is_some()));
    format!("| {title} | `{name}` | {life} | {refresh} | {pkce} | {tested} | {revoked} | {webhooks} |\n")
}

fn section(text: &mut String, provider: &Provider) {
    // Writing to a text cannot fail.
    let _ = write!(
        text,
        "\n<a id=\"{}\"></a>\n\n## {}\n\nId: `{}`.",
        provider.id, provider.display_name, provider.id
    );
    if let Some(url) = &provider.documentation_url {
        let _ = write!(text, " Documentation: <{url}>.");
    }
    text.push('\n');
    app(text, provider);
    derived(text, provider);
    for (name, mode) in provider.modes() {
        mode::section(text, name.as_str(), mode);
    }
    for (name, described) in &provider.webhooks {
        webhook::section(text, name, described);
    }
    if let Some(limit) = &provider.rate_limit {
        rate_limit(text, limit);
    }
    if let Some(doubts) = &provider.unconfirmed {
        text.push_str("\n### Unconfirmed\n\n");
        for doubt in doubts {
            let _ = writeln!(text, "- {doubt}");
        }
        if doubts.is_empty() {
            text.push_str("Nothing.\n");
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
        let kind = if field.is_secret() { "secret" } else { "setting" };
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
        Derived::Lookup { setting, values } => {
            let each = values.iter().map(|(from, value)| format!("{} for {}", code(value), code(from)));
            format!("`{setting}`: {}", each.collect::<Vec<_>>().join(", "))
        }
        Derived::Hmac { key, message } => {
            format!("HMAC-SHA256, hexadecimal, of `{message}` with the key `{key}`")
        }
        Derived::When { setting, one_of, value } => {
            format!("`{value}` while `{setting}` is {}", list(one_of.iter().map(|it| code(it)), "or"))
        }
        Derived::Part { of, separator, index } => {
            format!("part {index} of `{of}`, counted from 0, between \"{separator}\"")
        }
        Derived::Claim { token, name } => format!("the claim `{name}` of the JWT `{token}`"),
    }
}

fn rate_limit(text: &mut String, limit: &RateLimit) {
    let _ = write!(text, "\n### Rate limits\n\n{}\n", limit.description);
    if !limit.headers.is_empty() {
        text.push_str("\n| header | says |\n|---|---|\n");
    }
    for (name, says) in &limit.headers {
        let _ = writeln!(text, "| `{name}` | {} |", cell(says));
    }
}
