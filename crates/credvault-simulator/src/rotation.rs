//! The effect of a refresh on the tokens of a family: the heart of the simulator.
//!
//! ```text
//!              R0 ──► R1 ──► R2          rotating: R2 is current, R1 works within the grace, R0 never again
//!               └───► R1'                R0 came again within the grace: R1' replaces R1, of the same generation
//! ```

use tokio::time::Instant;

use crate::behaviour::{Behaviour, Rotation};
use crate::ledger::{Granted, Ledger};

/// The reason why a refresh token is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dead {
    Unknown,
    Revoked,
    /// It was replaced, and its grace time is over.
    Replaced,
    /// It was replaced and came again, which this provider takes for theft.
    Reused,
}

impl Dead {
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Unknown => "the refresh token is not known",
            Self::Revoked => "the grant was revoked",
            Self::Replaced => "the refresh token was replaced",
            Self::Reused => "the refresh token was used before",
        }
    }
}

impl Ledger {
    /// Counts a request to renew with this token.
    pub(crate) fn note_refresh(&mut self, token: &str) {
        if let Some(record) = self.refresh_tokens.get(token) {
            self.families[record.family].refreshes += 1;
        }
    }

    /// Renews the tokens of a family with its refresh token.
    pub(crate) fn refresh(
        &mut self,
        token: &str,
        behaviour: &Behaviour,
        now: Instant,
    ) -> Result<Granted, Dead> {
        let record = self.refresh_tokens.get(token).ok_or(Dead::Unknown)?;
        let (family, generation, replaced) = (record.family, record.generation, record.replaced);
        if self.families[family].revoked {
            return Err(Dead::Revoked);
        }
        let within = |time| {
            let end = replaced.and_then(|replaced: Instant| replaced.checked_add(time));
            end.is_none_or(|end| now < end)
        };
        match behaviour.rotation {
            Rotation::Never if replaced.is_none() => {
                let repeated = behaviour.repeat_refresh_token.then(|| token.to_owned());
                return Ok(self.renew(family, repeated, behaviour, now));
            }
            Rotation::Never => return Err(Dead::Replaced),
            Rotation::Sliding { keep } if within(keep) => {}
            Rotation::Sliding { .. } => return Err(Dead::Replaced),
            Rotation::Rotating { grace, same_answer_within_grace } => {
                // Only the immediately previous generation has a grace: one that is older was superseded by a token
                // that has itself been used.
                if !within(grace) || generation + 1 < self.families[family].generation {
                    if behaviour.revoke_family_on_reuse {
                        self.revoke(family);
                    }
                    return Err(Dead::Reused);
                }
                let again = replaced.is_some() && same_answer_within_grace;
                if let Some(granted) = again.then(|| self.hand_out_again(family, now)).flatten() {
                    return Ok(granted);
                }
            }
        }
        let successor = self.put_refresh_token(family, generation + 1, now);
        Ok(self.renew(family, Some(successor), behaviour, now))
    }

    fn renew(
        &mut self,
        family: usize,
        refresh_token: Option<String>,
        behaviour: &Behaviour,
        now: Instant,
    ) -> Granted {
        if behaviour.refresh_ends_access_tokens {
            self.end_access(family);
        }
        self.hand_out(family, refresh_token, behaviour.lifetime(), now)
    }
}
