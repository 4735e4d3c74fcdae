//! The reason why the next attempt waits. It is stored with the pause, so every caller receives it, and the pause ends with
//! its reason: a newly stored app ends the pauses that the old app caused, in pieces that can be resumed.

use sea_orm::ActiveValue::{self, Set};

use crate::AppRevision;
use crate::entity::refresh;

/// Why nothing is sent for a while.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Pause {
    /// The provider did not answer, or its answer was lost.
    Unavailable,
    /// The provider has not answered, and may still be at the request.
    AtWork,
    /// The provider wants fewer calls.
    Throttled,
    /// The vault makes as many calls as it may, of the app or at the provider.
    Crowded,
    /// The vault's own database, or this process, was not up to it.
    Vault,
    /// The catalog does not say how such tokens are refreshed.
    Uncatalogued,
    /// The provider has refused, for a reason that the vault does not know.
    Refused,
    /// The connection lacks something that its owner has to give: a setting, or a key that can sign.
    Incomplete,
    /// The provider finds the times in a signed assertion wrong.
    Clock,
    /// The app's stored secret does not open: what was altered has to be restored.
    Broken,
    /// The app at the provider is at fault, as it was stored then: another one ends the pause.
    App {
        /// What is wrong with it.
        fault: AppFault,
        /// The app that it is wrong with.
        revision: AppRevision,
    },
}

/// What is wrong with an app.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AppFault {
    /// The provider does not accept it.
    Refused,
    /// There is none, or it lacks what the provider wants of it.
    Missing,
    /// The tokens were got with another one.
    Other,
}

impl Pause {
    /// Whether those who insist wait, too: for what the provider has asked for, and while a repeat could meet the first
    /// request there. Everything else is the vault's own caution.
    pub(super) fn binds_all(self) -> bool {
        matches!(self, Self::Throttled | Self::AtWork)
    }

    /// The pause that a row tells of. A release that knew no reasons has left none.
    pub(super) fn of_row(row: &refresh::Model) -> Self {
        let revision = || AppRevision::from_stored(row.pause_app.as_deref().unwrap_or_default());
        let app = |fault| Self::App { fault, revision: revision() };
        match row.pause.as_deref() {
            Some("AT_WORK") => Self::AtWork,
            Some("THROTTLED") => Self::Throttled,
            Some("CROWDED") => Self::Crowded,
            Some("VAULT") => Self::Vault,
            Some("UNCATALOGUED") => Self::Uncatalogued,
            Some("REFUSED") => Self::Refused,
            Some("INCOMPLETE") => Self::Incomplete,
            Some("CLOCK") => Self::Clock,
            Some("BROKEN") => Self::Broken,
            Some("APP_REFUSED") => app(AppFault::Refused),
            Some("APP_MISSING") => app(AppFault::Missing),
            Some("APP_OTHER") => app(AppFault::Other),
            _ => Self::Unavailable,
        }
    }

    /// The word under which the pause is stored.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unavailable => "UNAVAILABLE",
            Self::AtWork => "AT_WORK",
            Self::Throttled => "THROTTLED",
            Self::Crowded => "CROWDED",
            Self::Vault => "VAULT",
            Self::Uncatalogued => "UNCATALOGUED",
            Self::Refused => "REFUSED",
            Self::Incomplete => "INCOMPLETE",
            Self::Clock => "CLOCK",
            Self::Broken => "BROKEN",
            Self::App { fault: AppFault::Refused, .. } => "APP_REFUSED",
            Self::App { fault: AppFault::Missing, .. } => "APP_MISSING",
            Self::App { fault: AppFault::Other, .. } => "APP_OTHER",
        }
    }

    pub(super) fn columns(self) -> (ActiveValue<Option<String>>, ActiveValue<Option<String>>) {
        let app = match self {
            Self::App { revision, .. } => Some(revision.to_string()),
            Self::Unavailable
            | Self::AtWork
            | Self::Throttled
            | Self::Crowded
            | Self::Vault
            | Self::Uncatalogued
            | Self::Refused
            | Self::Incomplete
            | Self::Clock
            | Self::Broken => None,
        };
        (Set(Some(self.word().to_owned())), Set(app))
    }
}
