//! Every text of the pages. The fields are the keys of a language's file, so a key that no page uses is a field that the
//! compiler finds unread, and a page cannot use a key that does not exist. A text may have places to fill, such as
//! `{provider}`.

mod connect;
mod said;

use std::collections::BTreeSet;

use serde::Deserialize;

pub(crate) use connect::{ConnectTexts, DoneTexts, EndTexts, FormTexts, HealthTexts, TestedTexts};
pub(crate) use said::Said;

/// The texts of one language.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Texts {
    pub(crate) language: LanguageTexts,
    pub(crate) frame: FrameTexts,
    pub(crate) home: HomeTexts,
    pub(crate) consent: ConsentTexts,
    pub(crate) connect: ConnectTexts,
    pub(crate) refused: RefusedTexts,
}

/// How the language calls itself, and which way it is read.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct LanguageTexts {
    pub(crate) name: String,
    pub(crate) direction: Direction,
}

/// The way that a language is read.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    Ltr,
    Rtl,
}

impl Direction {
    /// The value of the attribute `dir`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ltr => "ltr",
            Self::Rtl => "rtl",
        }
    }
}

/// What stands around every page.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct FrameTexts {
    pub(crate) back: String,
    pub(crate) help: String,
    pub(crate) privacy: String,
    pub(crate) languages: String,
    pub(crate) details: String,
    pub(crate) reason: String,
    pub(crate) trace: String,
    pub(crate) explanation: String,
}

/// The page at the port's root.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct HomeTexts {
    pub(crate) text: String,
}

/// The pages of a consent that goes well.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsentTexts {
    pub(crate) returned: Said,
    pub(crate) onward: String,
    pub(crate) confirm: Said,
    pub(crate) provider: String,
    pub(crate) account: String,
    pub(crate) account_id: String,
    pub(crate) tenant: String,
    pub(crate) code: String,
    pub(crate) connect: String,
    pub(crate) cancel: String,
    pub(crate) connected: Said,
    pub(crate) close: String,
}

/// What a person reads when something does not work.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefusedTexts {
    pub(crate) ambiguous: Said,
    pub(crate) broken: Said,
    pub(crate) busy: Said,
    pub(crate) changed: Said,
    pub(crate) denied: Said,
    pub(crate) expired: Said,
    pub(crate) foreign: Said,
    pub(crate) foreign_session: Said,
    pub(crate) forged: Said,
    pub(crate) incomplete: Said,
    pub(crate) invalid_answer: Said,
    pub(crate) late_session: Said,
    pub(crate) no_access: Said,
    pub(crate) no_cookies: Said,
    pub(crate) no_keys: Said,
    pub(crate) no_session: Said,
    pub(crate) not_found: Said,
    pub(crate) not_permitted: Said,
    pub(crate) open_window: String,
    pub(crate) other_method: Said,
    pub(crate) other_provider: Said,
    pub(crate) other_way: Said,
    pub(crate) provider_refused: Said,
    pub(crate) refused: Said,
    pub(crate) unavailable: Said,
    pub(crate) unknown: Said,
    pub(crate) unreadable: Said,
    pub(crate) used: Said,
}

/// A text with its places filled. What is filled in is not looked through for further places.
pub(crate) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        filled.push_str(before);
        match values.iter().find(|(given, _)| *given == name) {
            Some((_, value)) => filled.push_str(value),
            None => filled.extend(["{", name, "}"]),
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

/// The names of a text's places.
pub(super) fn places(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_once() {
        let text = "{provider} is connected for {tenant}, {provider}.";
        assert_eq!(places(text), ["provider", "tenant"].into());
        let filled = fill(text, &[("provider", "{tenant}"), ("tenant", "Acme")]);
        assert_eq!(filled, "{tenant} is connected for Acme, {tenant}.");
        assert_eq!(fill("{other} {", &[]), "{other} {");
    }
}
