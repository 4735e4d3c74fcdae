//! The one browser that the console serves. A ticket in the printed address is good for one exchange, within ten minutes; the
//! browser that brings it gets a cookie. All three secrets are drawn at the start and end with the process.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use credvault_domain::{Exhausted, Random};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

/// How long the printed address is good.
const TICKET_LIFETIME: Duration = Duration::from_secs(600);

/// What tells the console's browser from all others.
pub(crate) struct Session {
    /// Gone once a browser has brought it.
    ticket: Mutex<Option<SecretString>>,
    until: Instant,
    cookie: SecretString,
    /// In every form, so that no other page can send one.
    form_key: SecretString,
}

impl Session {
    /// Draws the secrets.
    pub(crate) fn new(random: &dyn Random) -> Result<Self, Exhausted> {
        Ok(Self {
            ticket: Mutex::new(Some(drawn(random)?)),
            until: Instant::now() + TICKET_LIFETIME,
            cookie: drawn(random)?,
            form_key: drawn(random)?,
        })
    }

    /// The ticket for the printed address; none once it was used.
    pub(crate) fn ticket(&self) -> Option<SecretString> {
        self.ticket.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Exchanges the ticket for the cookie's value. It is used up by that, and a wrong one changes nothing.
    pub(crate) fn enter(&self, given: &str) -> Option<&SecretString> {
        let mut ticket = self.ticket.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let right = ticket.as_ref().is_some_and(|ticket| same(ticket, given));
        if !right || Instant::now() > self.until {
            return None;
        }
        *ticket = None;
        Some(&self.cookie)
    }

    /// Whether a request has the cookie's value.
    pub(crate) fn knows(&self, cookie: &str) -> bool {
        same(&self.cookie, cookie)
    }

    /// Whether a form has its key.
    pub(crate) fn sent(&self, form_key: &str) -> bool {
        same(&self.form_key, form_key)
    }

    /// The key that every form carries.
    pub(crate) fn form_key(&self) -> &str {
        self.form_key.expose_secret()
    }
}

/// 32 random bytes in hexadecimal.
fn drawn(random: &dyn Random) -> Result<SecretString, Exhausted> {
    let mut bytes = [0; 32];
    random.fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}

/// Compares in a time that does not depend on where the two differ.
fn same(secret: &SecretString, given: &str) -> bool {
    secret.expose_secret().as_bytes().ct_eq(given.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(Mutex<u8>);

    impl Random for Counting {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), Exhausted> {
            let mut count = self.0.lock().map_err(|_| Exhausted)?;
            *count += 1;
            buffer.fill(*count);
            Ok(())
        }
    }

    #[test]
    fn a_ticket_is_exchanged_once_and_a_wrong_one_changes_nothing() {
        let session = Session::new(&Counting(Mutex::new(0))).expect("random");
        let ticket = session.ticket().expect("a ticket").expose_secret().to_owned();
        assert!(session.enter("").is_none() && session.enter(&"02".repeat(32)).is_none());
        let cookie = session.enter(&ticket).expect("the cookie").expose_secret().to_owned();
        assert!(session.knows(&cookie) && !session.knows(&ticket) && !session.knows(""));
        assert!(session.enter(&ticket).is_none() && session.ticket().is_none());
        assert!(session.sent(session.form_key()) && !session.sent(&cookie));
    }
}
