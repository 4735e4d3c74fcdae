//! What the vault has found out about credentials that callers report as rejected by their provider: one finding for all
//! callers on all replicas, and how long no report causes another call.
//!
//! There is one row for each connection, about the credential that was asked about last. A finding is about one version and
//! one generation, so it says nothing of what replaced them. `claim` decides who asks.

pub(crate) mod claim;

use std::time::Duration;

use credvault_domain::{Reason, ServiceId, TenantId, Timestamp, Version};
use sea_orm::{ConnectionTrait, EntityTrait as _, QuerySelect as _};

use crate::database::transaction::{Access, begin};
use crate::entity::{connection, rejection};
use crate::{ConnectionKey, Error, Store};

/// The longest pause for a reporter other than the one whose report caused the last call.
const OTHERS_PAUSE: Duration = Duration::from_secs(30);

/// A credential as it was given out: its version, and the generation of its tokens.
pub type GivenOut = (Version, i64);

/// Who reports: a service, for the tenant that it acts for. What it reports for one tenant about a connection that the
/// platform shares holds back neither another service nor the same service for another tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reporter {
    /// The service that reports.
    pub service: ServiceId,
    /// The tenant that it acts for.
    pub tenant: TenantId,
}

impl Reporter {
    /// The reporter as one text: `acme spiffe://example.com/app`. No tenant's id has a blank.
    fn stored(&self) -> String {
        format!("{} {}", self.tenant.as_str(), self.service.as_str())
    }
}

/// What came of asking the provider about a credential.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Finding {
    /// Its tokens were renewed.
    Renewed,
    /// The provider accepts it.
    Accepted,
    /// The provider refuses it, so the connection asks for another one.
    Refused,
    /// The provider did not answer.
    Unavailable,
    /// The provider asked for fewer calls.
    Throttled,
    /// The question could not be put, for a reason of the vault's own or of the connection's.
    Unknown,
}

impl Finding {
    const ALL: [Self; 6] =
        [Self::Renewed, Self::Accepted, Self::Refused, Self::Unavailable, Self::Throttled, Self::Unknown];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Renewed => "RENEWED",
            Self::Accepted => "ACCEPTED",
            Self::Refused => "REFUSED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Throttled => "THROTTLED",
            Self::Unknown => "UNKNOWN",
        }
    }

    fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|finding| finding.as_str() == text)
    }

    /// Whether the finding still agrees with what the connection shows. If a test or a person has mended the connection since,
    /// or ended it, the provider is asked again.
    fn agrees(self, asks_consent: bool) -> bool {
        match self {
            Self::Refused => asks_consent,
            Self::Accepted => !asks_consent,
            Self::Renewed | Self::Unavailable | Self::Throttled | Self::Unknown => true,
        }
    }
}

/// How it stands with a credential that is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// The provider may be asked about it.
    Open,
    /// The provider was asked about it at `time`, and is not asked again before `next_time`.
    Found {
        /// What came of it.
        finding: Finding,
        /// When the provider was asked.
        time: Timestamp,
        /// When it may be asked again.
        next_time: Timestamp,
    },
    /// It is newer than the one that was reported before, and the pause after that report is not over.
    Early {
        /// When the pause is over.
        next_time: Timestamp,
    },
}

impl Standing {
    fn of(
        row: &rejection::Model,
        given_out: GivenOut,
        reporter: &Reporter,
        asks_consent: bool,
        now: Timestamp,
    ) -> Self {
        let finding = row.finding.as_deref().and_then(Finding::from_stored);
        let time = Timestamp::from_micros(row.time);
        let whole = Timestamp::from_micros(row.next_time);
        let next_time = match finding {
            // These may come of lies, and another reporter does not pay for them.
            Some(Finding::Renewed | Finding::Accepted) if row.service != reporter.stored() => {
                whole.min(time.after(OTHERS_PAUSE))
            }
            Some(_) | None => whole,
        };
        // Another version is another secret, so what was reported of the one before does not count.
        if row.version != given_out.0 || next_time <= now {
            return Self::Open;
        }
        match finding {
            Some(_) if row.generation != given_out.1 => Self::Early { next_time },
            Some(finding) if finding.agrees(asks_consent) => Self::Found { finding, time, next_time },
            Some(_) | None => Self::Open,
        }
    }
}

/// The repository of findings about rejected credentials.
#[derive(Clone, Copy, Debug)]
pub struct Rejections<'a> {
    store: &'a Store,
}

impl Store {
    /// The repository of findings about rejected credentials.
    pub fn rejections(&self) -> Rejections<'_> {
        Rejections { store: self }
    }
}

impl Rejections<'_> {
    /// How it stands with a credential that was given out, for one who reports it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn standing(
        &self,
        key: &ConnectionKey,
        given_out: GivenOut,
        reporter: &Reporter,
    ) -> Result<Standing, Error> {
        let store = self.store;
        let tx = begin(&store.reader(), store.database(), Access::Read, key.tenant()).await?;
        let Some(row) = rejection::Entity::find_by_id(key.row_id()).one(&tx).await? else {
            return Ok(Standing::Open);
        };
        let asks_consent = asks_consent(&tx, key).await?;
        tx.commit().await?;
        Ok(Standing::of(&row, given_out, reporter, asks_consent, store.now()))
    }
}

/// Whether the connection shows that only another credential helps.
async fn asks_consent<C: ConnectionTrait>(db: &C, key: &ConnectionKey) -> Result<bool, Error> {
    let shown: Option<Option<String>> = connection::Entity::find_by_id(key.row_id())
        .select_only()
        .column(connection::Column::ErrorReason)
        .into_tuple()
        .one(db)
        .await?;
    Ok(shown.flatten().as_deref() == Some(Reason::ReauthorizationRequired.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(finding: Option<Finding>) -> rejection::Model {
        rejection::Model {
            tenant_id: "acme".to_owned(),
            connection_id: uuid::Uuid::nil(),
            version: 2,
            generation: 5,
            finding: finding.map(|finding| finding.as_str().to_owned()),
            process_id: None,
            lease_time: None,
            time: 10,
            next_time: 20,
            service: "acme spiffe://example.com/liar".to_owned(),
            calls: 1,
        }
    }

    fn reporter(service: &str, tenant: &str) -> Reporter {
        let service = ServiceId::parse(&format!("spiffe://example.com/{service}")).unwrap();
        Reporter { service, tenant: TenantId::parse(tenant).unwrap() }
    }

    fn standing(finding: Option<Finding>, given_out: GivenOut, asks_consent: bool, now: i64) -> Standing {
        let liar = reporter("liar", "acme");
        Standing::of(&row(finding), given_out, &liar, asks_consent, Timestamp::from_micros(now))
    }

    #[test]
    fn another_reporter_waits_half_a_minute_for_what_may_have_come_of_lies_and_as_long_for_what_did_not() {
        let others = [reporter("honest", "acme"), reporter("liar", "bolt")];
        let liar = reporter("liar", "acme");
        let half_a_minute = 10 + 30_000_000;
        for finding in Finding::ALL {
            let row = rejection::Model { next_time: 2 * half_a_minute, ..row(Some(finding)) };
            let asks_consent = finding == Finding::Refused;
            let at = |reporter: &Reporter, given_out, now| {
                Standing::of(&row, given_out, reporter, asks_consent, Timestamp::from_micros(now))
            };
            let may_be_a_lie = matches!(finding, Finding::Renewed | Finding::Accepted);
            for generation in [5, 6] {
                let given_out = (2, generation);
                for other in &others {
                    assert_ne!(at(other, given_out, half_a_minute - 1), Standing::Open, "{finding:?}");
                    let is_open = at(other, given_out, half_a_minute) == Standing::Open;
                    assert_eq!(is_open, may_be_a_lie, "{finding:?} {other:?}");
                }
                assert_ne!(at(&liar, given_out, half_a_minute), Standing::Open, "{finding:?}");
            }
        }
    }

    #[test]
    fn a_finding_is_about_what_was_given_out_for_a_while_and_while_the_connection_shows_the_same() {
        let (time, next_time) = (Timestamp::from_micros(10), Timestamp::from_micros(20));
        for finding in Finding::ALL {
            let found = Standing::Found { finding, time, next_time };
            let asks_consent = finding == Finding::Refused;
            assert_eq!(standing(Some(finding), (2, 5), asks_consent, 15), found, "{finding:?}");
            assert_eq!(standing(Some(finding), (2, 5), asks_consent, 20), Standing::Open, "{finding:?}");
            assert_eq!(standing(Some(finding), (3, 5), asks_consent, 15), Standing::Open, "{finding:?}");
            let early = Standing::Early { next_time };
            assert_eq!(standing(Some(finding), (2, 6), asks_consent, 15), early, "{finding:?}");
            assert_eq!(Finding::from_stored(finding.as_str()), Some(finding));
        }
        assert_eq!(standing(Some(Finding::Refused), (2, 5), false, 15), Standing::Open, "it was mended");
        assert_eq!(standing(Some(Finding::Accepted), (2, 5), true, 15), Standing::Open, "it ended since");
        assert_eq!(standing(None, (2, 5), false, 15), Standing::Open, "it is claimed, or was left behind");
    }
}
