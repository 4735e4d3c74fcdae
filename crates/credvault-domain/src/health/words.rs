//! What an error of a connection means, in words: for the customer who owns the account, and for the operator of the
//! platform. The customer's sentence names no jargon and says what to do.

use std::borrow::Cow;

use crate::{Reason, Timestamp};

/// The words of the pauses that end by themselves, without anyone's help: the provider serves again, or its limit does.
pub const PASSING_PAUSES: [&str; 5] = ["UNAVAILABLE", "AT_WORK", "THROTTLED", "CROWDED", "REFUSED"];

/// What went wrong last with a connection. It stays when the connection has recovered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastError {
    /// The reason, as callers read it.
    pub reason: String,
    /// The provider's own code, if it is a plain word.
    pub code: Option<String>,
    /// Why the next attempt waits, as a word, if it does.
    pub pause: Option<String>,
    /// The status of the provider's answer, if it answered that it cannot serve.
    pub status: Option<u16>,
    /// The instant at which it happened.
    pub time: Timestamp,
    /// When the next attempt is made, if the vault makes one by itself.
    pub retry_time: Option<Timestamp>,
    /// Since when, or from when on, there is no access token to give out, until an attempt succeeds.
    pub down_time: Option<Timestamp>,
    /// Since when the connection works again.
    pub recover_time: Option<Timestamp>,
}

impl LastError {
    /// Whether fetches are refused because of it at `now`: the vault tries again, and the access token has ended meanwhile.
    pub fn stops_fetches(&self, now: Timestamp) -> bool {
        self.retry_time.is_some() && self.down_time.is_some_and(|time| time <= now)
    }

    /// Whether the next attempts may succeed without anyone's help.
    pub fn passes(&self) -> bool {
        self.pause.as_deref().is_some_and(|pause| PASSING_PAUSES.contains(&pause))
    }

    /// Whether the owner of the account can help.
    pub fn asks_owner(&self) -> bool {
        matches!(concern(self), Concern::Owner)
    }
}

/// A state or an error in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Words {
    /// For the account's owner: what is the matter and what to do.
    pub customer: String,
    /// For the operator: state or reason, cause and what the vault does next.
    pub operator: String,
}

/// What the owner of the account has to know.
enum Concern {
    /// The owner has to act.
    Owner,
    /// The provider is at fault; the vault goes on trying.
    Provider,
    /// The platform has to act.
    Platform,
}

impl Words {
    /// The words about an error at the provider with the name `provider`.
    pub fn of(error: &LastError, provider: &str) -> Self {
        let concern = concern(error);
        let customer = match (error.recover_time, &concern) {
            (Some(_), _) => format!("The connection to {provider} works again. You need not do anything."),
            (None, Concern::Owner) => format!(
                "{provider} no longer accepts this connection. Please connect your account again; your settings are kept."
            ),
            (None, Concern::Provider) => format!(
                "{provider} is not answering properly at the moment. You need not do anything; we keep trying."
            ),
            (None, Concern::Platform) => format!(
                "We have a problem with the connection to {provider} and are working on it. You need not do anything."
            ),
        };
        Self { customer, operator: operator(error, &concern) }
    }
}

fn concern(error: &LastError) -> Concern {
    let is = |reason: Reason| error.reason == reason.as_str();
    if is(Reason::ReauthorizationRequired) || is(Reason::CredentialExpired) {
        return Concern::Owner;
    }
    let provider = is(Reason::ProviderUnavailable) || is(Reason::ProviderRateLimited);
    match error.pause.as_deref() {
        // The connection lacks a setting or a key that can sign.
        Some("INCOMPLETE") => Concern::Owner,
        None | Some("UNAVAILABLE" | "AT_WORK" | "THROTTLED" | "REFUSED") if provider => Concern::Provider,
        _ => Concern::Platform,
    }
}

fn operator(error: &LastError, concern: &Concern) -> String {
    let mut text = error.reason.clone();
    if let Some(code) = &error.code {
        text.push_str(&format!(" (the provider's code is {code})"));
    }
    text.push_str(": ");
    text.push_str(&cause(error));
    text.push(' ');
    text.push_str(&next(error, concern));
    text
}

/// Who has to act, and when the vault tries again.
fn next(error: &LastError, concern: &Concern) -> String {
    match (error.recover_time, error.retry_time, concern) {
        (Some(time), _, _) => format!("The connection has worked again since {time}."),
        (None, Some(time), _) if error.passes() => format!("The vault tries again by itself at {time}."),
        (None, Some(time), Concern::Owner) => format!(
            "UpdateConnection, PutCredential or BeginAuthorization, by the account's owner, helps; the vault tries again at \
             {time}."
        ),
        (None, Some(time), Concern::Provider | Concern::Platform) => {
            format!("The platform has to act; the vault tries again at {time}.")
        }
        (None, None, Concern::Owner) => {
            "The vault does not try again: BeginAuthorization or PutCredential, by the account's owner, helps."
                .to_owned()
        }
        (None, None, Concern::Provider | Concern::Platform) => {
            "The vault does not try again by itself: RefreshConnection or TestConnection tries at once."
                .to_owned()
        }
    }
}

/// Why, by the word under which the pause is stored, or else by the reason.
fn cause(error: &LastError) -> Cow<'static, str> {
    if let Some(status) = error.status {
        return Cow::Owned(format!("the provider answers with status {status}."));
    }
    Cow::Borrowed(match error.pause.as_deref() {
        Some("UNAVAILABLE") => "the provider did not answer, or not properly, or its answer was lost.",
        Some("AT_WORK") => "the provider has not answered and may still be at the request.",
        Some("THROTTLED") => "the provider asks for fewer calls.",
        Some("CROWDED") => "the app has made as many calls as it may; see broker.refreshes_per_second.",
        Some("VAULT") => "the vault's own database or process was not up to it.",
        Some("UNCATALOGUED") => "the provider's file does not say how to refresh it.",
        Some("REFUSED") => "the provider refuses in words that its file does not know.",
        Some("INCOMPLETE") => "the connection lacks a setting, or its key cannot sign.",
        Some("CLOCK") => "the provider rejects the times in an assertion; compare the vault's clock.",
        Some("BROKEN") => "the app's stored secret does not open; restore it or put the app again.",
        Some("APP_REFUSED") => "the provider does not accept the app; PutOAuthApp stores its current secret.",
        Some("APP_MISSING") => "the app is missing or incomplete; PutOAuthApp stores it.",
        Some("APP_OTHER") => "the tokens were issued to another app than the stored one.",
        _ if error.reason == Reason::ReauthorizationRequired.as_str() => {
            "the provider has ended the grant or refuses the credential."
        }
        _ if error.reason == Reason::IntegrityFailure.as_str() => {
            "the stored credential does not open; it was altered outside of the vault."
        }
        _ => "the last attempt failed.",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(reason: Reason, pause: Option<&str>) -> LastError {
        LastError {
            reason: reason.as_str().to_owned(),
            code: Some("invalid_grant".to_owned()),
            pause: pause.map(str::to_owned),
            status: None,
            time: Timestamp::default(),
            retry_time: None,
            down_time: None,
            recover_time: None,
        }
    }

    #[test]
    fn the_customer_reads_what_to_do_and_the_operator_what_happened() {
        let dead = Words::of(&error(Reason::ReauthorizationRequired, None), "Shopify");
        assert!(dead.customer.contains("connect your account again"), "{}", dead.customer);
        assert!(dead.operator.contains("invalid_grant") && dead.operator.contains("BeginAuthorization"));
        let away = Words::of(&error(Reason::ProviderUnavailable, Some("UNAVAILABLE")), "Xero");
        assert!(away.customer.contains("You need not do anything") && away.customer.contains("Xero"));
        let app = Words::of(&error(Reason::ProviderUnavailable, Some("APP_REFUSED")), "Xero");
        assert!(app.customer.starts_with("We have a problem") && app.operator.contains("PutOAuthApp"));
        for word in ["token", "OAuth", "grant", "vault"] {
            for text in [&dead, &away, &app] {
                assert!(!text.customer.contains(word), "{}", text.customer);
            }
        }
    }

    #[test]
    fn the_operator_reads_who_acts_and_when_the_vault_tries_again() {
        let retry_time = Timestamp::from_seconds(1_700_000_000, 0);
        let of = |pause: &str, status| {
            let error = LastError { retry_time, status, ..error(Reason::ProviderUnavailable, Some(pause)) };
            (error.passes(), error.asks_owner(), Words::of(&error, "Xero").operator)
        };
        let (passes, _, away) = of("UNAVAILABLE", Some(503));
        assert!(passes && away.contains("the provider answers with status 503"), "{away}");
        assert!(away.ends_with("The vault tries again by itself at 2023-11-14T22:13:20Z."), "{away}");
        let (passes, asks_owner, app) = of("APP_REFUSED", None);
        assert!(!passes && !asks_owner && app.contains("The platform has to act"), "{app}");
        let (passes, asks_owner, incomplete) = of("INCOMPLETE", None);
        assert!(!passes && asks_owner && incomplete.contains("by the account's owner"), "{incomplete}");
        let others = ["APP_MISSING", "APP_OTHER", "CLOCK", "BROKEN", "VAULT", "UNCATALOGUED"];
        assert!(others.into_iter().all(|pause| !of(pause, None).0));
    }

    #[test]
    fn fetches_are_refused_from_the_end_of_the_access_token_until_an_attempt_succeeds() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let soon = now.after(std::time::Duration::from_secs(60));
        let of = |retry_time, down_time| LastError {
            retry_time,
            down_time,
            ..error(Reason::ProviderUnavailable, Some("UNAVAILABLE"))
        };
        assert!(!of(Some(soon), Some(soon)).stops_fetches(now), "the token works");
        assert!(
            of(Some(soon), Some(soon)).stops_fetches(soon) && of(Some(soon), Some(now)).stops_fetches(now)
        );
        assert!(!of(Some(soon), None).stops_fetches(soon), "the token has no end");
        assert!(!of(None, Some(now)).stops_fetches(now), "it was a test, or the connection shows it");
    }
}
