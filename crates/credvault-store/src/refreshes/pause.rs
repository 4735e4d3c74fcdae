//! Why the next attempt waits. The reason stays with the pause, so every caller is told it, and what ends the reason ends
//! the pause: a stored app those that the app before it has caused, in pieces that can be taken up again.

use std::collections::BTreeMap;

use credvault_domain::{ProviderId, TenantId};
use sea_orm::ActiveValue::{self, Set};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use super::{RefreshFailure, Refreshes};
use crate::database::session::begin_write;
use crate::entity::refresh::{self, Column, Entity};
use crate::{AppRevision, Error};

/// How many connections are woken in one transaction.
const PIECE: u64 = 500;

/// Why nothing is sent for a while.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Pause {
    /// The provider does not answer, or nobody knows what it answered.
    Unavailable,
    /// The provider has not answered, and may still be at the request.
    AtWork,
    /// The provider wants fewer calls.
    Throttled,
    /// The vault makes as many calls as it may, of the app or at the provider.
    Crowded,
    /// The vault's own database, or this process, was not up to it.
    Vault,
    /// The catalog does not say how such tokens are renewed.
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

    pub(super) fn columns(self) -> (ActiveValue<Option<String>>, ActiveValue<Option<String>>) {
        let (word, app) = match self {
            Self::Unavailable => ("UNAVAILABLE", None),
            Self::AtWork => ("AT_WORK", None),
            Self::Throttled => ("THROTTLED", None),
            Self::Crowded => ("CROWDED", None),
            Self::Vault => ("VAULT", None),
            Self::Uncatalogued => ("UNCATALOGUED", None),
            Self::Refused => ("REFUSED", None),
            Self::Incomplete => ("INCOMPLETE", None),
            Self::Clock => ("CLOCK", None),
            Self::Broken => ("BROKEN", None),
            Self::App { fault: AppFault::Refused, revision } => ("APP_REFUSED", Some(revision)),
            Self::App { fault: AppFault::Missing, revision } => ("APP_MISSING", Some(revision)),
            Self::App { fault: AppFault::Other, revision } => ("APP_OTHER", Some(revision)),
        };
        (Set(Some(word.to_owned())), Set(app.map(|app| app.to_string())))
    }
}

impl RefreshFailure {
    /// Why the next attempt waits, if there is to be one.
    pub(super) fn pause(&self) -> Option<Pause> {
        match self {
            Self::Temporary { pause, .. } => Some(*pause),
            Self::Unknown { at_work: true, .. } => Some(Pause::AtWork),
            Self::Unknown { at_work: false, .. } => Some(Pause::Unavailable),
            Self::Refused { .. } => Some(Pause::Refused),
            Self::Dead { .. } | Self::Nothing => None,
        }
    }
}

impl Refreshes<'_> {
    /// Makes what waits for an app at a provider due now: a tenant's, or where `tenant` is the platform, everybody's. In
    /// pieces; what is left when this ends early is due when its pause is over, and a caller who needs it finds the new
    /// app before that.
    ///
    /// # Errors
    /// The database fails.
    pub async fn wake_waiting_for_app(&self, tenant: &TenantId, provider: &ProviderId) -> Result<(), Error> {
        // From row to row, so that each is woken once: one that the new app does not serve either waits again.
        let mut last: Option<(String, Uuid)> = None;
        loop {
            let everywhere = self.store.read_background().await?;
            let beyond = last.take().map(|(tenant, id)| {
                let same = Condition::all()
                    .add(Column::TenantId.eq(tenant.as_str()))
                    .add(Column::ConnectionId.gt(id));
                Condition::any().add(Column::TenantId.gt(tenant)).add(same)
            });
            let own = (!tenant.is_platform()).then(|| Column::TenantId.eq(tenant.as_str()));
            let rows: Vec<(String, Uuid)> = Entity::find()
                .filter(waiting(provider).add_option(own).add_option(beyond))
                .order_by_asc(Column::TenantId)
                .order_by_asc(Column::ConnectionId)
                .limit(PIECE)
                .select_only()
                .columns([Column::TenantId, Column::ConnectionId])
                .into_tuple()
                .all(&everywhere)
                .await?;
            everywhere.rollback().await?;
            last = rows.last().cloned();
            let mut by_tenant = BTreeMap::<String, Vec<Uuid>>::new();
            for (tenant, id) in rows {
                by_tenant.entry(tenant).or_default().push(id);
            }
            if by_tenant.is_empty() {
                return Ok(());
            }
            for (tenant, ids) in by_tenant {
                self.wake(&TenantId::from_stored(tenant), provider, ids).await?;
            }
        }
    }

    async fn wake(&self, tenant: &TenantId, provider: &ProviderId, ids: Vec<Uuid>) -> Result<(), Error> {
        let tx = begin_write(&self.store.writer(), self.store.database(), tenant).await?;
        let now = self.store.now().micros();
        // What is under way is due by its lease, and its end says what comes next.
        let under_way = Expr::col(Column::State).eq(super::IN_FLIGHT);
        let due: Expr = Expr::case(under_way, Expr::col(Column::DueTime)).finally(Expr::value(now)).into();
        Entity::update_many()
            .col_expr(Column::DueTime, due)
            .col_expr(Column::RetryTime, Expr::value(None::<i64>))
            .col_expr(Column::Pause, Expr::value(None::<String>))
            .col_expr(Column::PauseApp, Expr::value(None::<String>))
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(Column::ConnectionId.is_in(ids))
            // Since they were found, some may have been renewed, or wait for something else.
            .filter(waiting(provider))
            .exec(&tx)
            .await?;
        Ok(tx.commit().await?)
    }
}

/// What waits for an app at a provider.
fn waiting(provider: &ProviderId) -> Condition {
    Condition::all().add(Column::PauseApp.is_not_null()).add(Column::Provider.eq(provider.as_str()))
}
