//! How a connection is: in one word, and in sentences for its customer and for the operator of the platform. What an error
//! means is in `words.rs`. It reads no clock and knows no row.

use crate::Timestamp;
use crate::health::grant::{DAY, Renewal};
use crate::health::words::{LastError, Words};

/// How a connection is, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HealthState {
    /// It has no credential.
    NotConnected,
    /// Nothing is known to be wrong.
    Ok,
    /// It works, and ends soon.
    Ending,
    /// Its time is over.
    Ended,
    /// It does not work, and its owner or the platform has to act.
    Error,
    /// Whether it works is not known, or it does not at the moment; the vault tries by itself.
    Uncertain,
    /// Its provider fails for many, and there is nothing to do but wait.
    ProviderIncident,
}

impl HealthState {
    /// Every state, in the order of declaration.
    pub const ALL: [Self; 7] = [
        Self::NotConnected,
        Self::Ok,
        Self::Ending,
        Self::Ended,
        Self::Error,
        Self::Uncertain,
        Self::ProviderIncident,
    ];
}

/// The health of a connection as a caller reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Health {
    /// How it is, in one word.
    pub state: HealthState,
    /// Whether it goes on without its owner; `None` without a credential.
    pub renewal: Option<Renewal>,
    /// Since when it is so, in the states ERROR, UNCERTAIN and ENDED, if that is known.
    pub since: Option<Timestamp>,
    /// When its grant or key ends, if that is known.
    pub grant_end: Option<Timestamp>,
    /// What went wrong last, with words for people.
    pub last_error: Option<(LastError, Words)>,
    /// The state in words for people; `None` if there is nothing to say. See [`Health::in_words`].
    pub words: Option<Words>,
}

impl Health {
    /// The state of a connection to `provider` in words; `None` while nothing is known to be wrong.
    pub fn in_words(&self, provider: &str, now: Timestamp) -> Option<Words> {
        let (customer, operator) = match self.state {
            HealthState::Ok => return None,
            HealthState::NotConnected => (
                format!("No account at {provider} is connected here yet. Please connect your account."),
                "NOT_CONNECTED: there is no credential. BeginAuthorization or PutCredential gives one.".to_owned(),
            ),
            HealthState::Ending => self.ending(provider, now),
            HealthState::Ended => (
                format!(
                    "The connection to {provider} has ended. Please connect your account again, or enter a new key; your \
                     settings are kept."
                ),
                "ENDED: the time of the grant or key is over, since grant_end_time. BeginAuthorization or PutCredential, by \
                 the account's owner, helps."
                    .to_owned(),
            ),
            HealthState::Error | HealthState::Uncertain => return Some(self.failing(provider)),
            HealthState::ProviderIncident => (
                format!(
                    "{provider} has a disturbance at the moment, which concerns others, too. You need not do anything; we \
                     keep trying."
                ),
                "PROVIDER_INCIDENT: the provider fails for several tenants; incident of GetProvider says since when. The \
                 vault asks for no consent meanwhile, and tries again by itself."
                    .to_owned(),
            ),
        };
        Some(Words { customer, operator })
    }

    fn ending(&self, provider: &str, now: Timestamp) -> (String, String) {
        let when = self.grant_end.map_or_else(|| "soon".to_owned(), |end| in_days(now, end));
        if self.renewal == Some(Renewal::RenewsItself) {
            let customer = format!(
                "The connection to {provider} works, but we could not renew it for some time. You need not do anything yet; \
                 we keep trying."
            );
            let operator = format!(
                "ENDING: the vault renews the grant, and that is late; unless it is renewed, it ends {when} (grant_end_time). \
                 last_error says why, and RefreshConnection tries at once."
            );
            return (customer, operator);
        }
        let customer = format!(
            "The connection to {provider} ends {when}. Please connect your account again, or enter a new key, before that; \
             your settings are kept."
        );
        let operator = format!(
            "ENDING: the grant or key ends {when} (grant_end_time), and the vault cannot renew it. BeginAuthorization or \
             PutCredential, by the account's owner, helps."
        );
        (customer, operator)
    }

    /// The words of the error, if it is known.
    fn failing(&self, provider: &str) -> Words {
        let known = self.last_error.as_ref().filter(|(error, _)| error.recover_time.is_none());
        if let Some((_, words)) = known {
            return words.clone();
        }
        Words {
            customer: format!(
                "The connection to {provider} does not work at the moment. We do not know yet why, and are looking into it."
            ),
            operator: "The connection fails, and why is in its error. TestConnection asks the provider."
                .to_owned(),
        }
    }
}

/// When something ends, as the end of a sentence about `now`.
fn in_days(now: Timestamp, end: Timestamp) -> String {
    match now.until(end).as_secs() / DAY.as_secs() {
        0 => "within a day".to_owned(),
        1 => "in one day".to_owned(),
        days => format!("in {days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reason;

    #[test]
    fn every_state_but_a_sound_one_has_words_within_their_bounds() {
        let now = Timestamp::default();
        let of = |state, renewal, days: u32| Health {
            state,
            renewal: Some(renewal),
            since: None,
            grant_end: Some(now.after(DAY * days)),
            last_error: None,
            words: None,
        };
        for state in HealthState::ALL {
            for renewal in [Renewal::RenewsItself, Renewal::Ends] {
                let words = of(state, renewal, 3).in_words("A provider with a very long name indeed", now);
                let Some(words) = words else {
                    assert_eq!(state, HealthState::Ok);
                    continue;
                };
                assert!(words.customer.len() <= 300 && words.operator.len() <= 400, "{words:?}");
                assert!(words.customer.contains("A provider with"), "{words:?}");
                for word in ["token", "OAuth", "grant", "vault", "consent"] {
                    assert!(!words.customer.contains(word), "{}", words.customer);
                }
            }
        }
        let ends =
            |days| of(HealthState::Ending, Renewal::Ends, days).in_words("Xero", now).unwrap().customer;
        assert!(ends(3).contains("ends in 3 days") && ends(1).contains("in one day"), "{}", ends(3));
        assert!(ends(0).contains("ends within a day") && ends(3).contains("connect your account again"));
        let late = of(HealthState::Ending, Renewal::RenewsItself, 3).in_words("Xero", now).unwrap();
        assert!(late.customer.contains("need not do anything") && late.operator.contains("in 3 days"));
        // The words of an error that lasts are those of the state.
        let error = LastError {
            reason: Reason::ReauthorizationRequired.as_str().to_owned(),
            code: None,
            pause: None,
            status: None,
            time: now,
            retry_time: None,
            down_time: None,
            recover_time: None,
        };
        let words = Words::of(&error, "Xero");
        let last_error = Some((error, words.clone()));
        let failing = Health { last_error, ..of(HealthState::Error, Renewal::Ends, 3) };
        assert_eq!(failing.in_words("Xero", now), Some(words));
    }
}
