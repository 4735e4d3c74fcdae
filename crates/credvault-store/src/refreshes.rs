//! The refresh of tokens, exactly once over any number of replicas. `docs/refresh.md` has the protocol and its reasons.
//!
//! A claim is written before the provider is called (`claim`), and what the provider gave is stored only if the
//! generation is still the claimed one (`end`). No transaction is open in between. `search` finds what is due.

pub(crate) mod budgets;

mod claim;
mod end;
mod pause;
mod search;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use credvault_domain::{
    AuthMode, Connection, ConnectionId, ProviderId, SecretFields, TenantId, TenantScope, Timestamp, Version,
};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QuerySelect as _,
};
use serde_json::Value;
use uuid::Uuid;

use crate::change::Changing;
use crate::credentials::Renewal;
use crate::entity::{connection as connection_table, refresh, token};
pub use pause::{AppFault, Pause};
pub use search::{DueFound, LeftOut};

use crate::{Error, Store};

const IDLE: &str = "IDLE";
const IN_FLIGHT: &str = "IN_FLIGHT";
const UNCERTAIN: &str = "UNCERTAIN";

/// Where a credential lives. Made by a fetch within a verified scope, and by the search for what is due.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    pub(crate) tenant: TenantId,
    pub(crate) connection: ConnectionId,
}

impl Place {
    /// In whose space.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Which connection.
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }
}

/// What became of an attempt to claim a refresh.
#[derive(Debug)]
pub enum Claim {
    /// It is ours: call the provider now.
    Ours(Box<Claimed>),
    /// Somebody else is at it.
    Busy,
    /// The last attempts failed; not before this instant.
    Later {
        /// When the next attempt makes sense.
        time: Timestamp,
        /// Why not before.
        pause: Pause,
        /// At which provider.
        provider: ProviderId,
    },
    /// The tokens are newer than the caller knew, or the credential is another one: read again.
    Changed,
    /// Only a new consent helps.
    Dead,
    /// There is nothing to refresh: deleted, disabled, or without a credential.
    Nothing,
}

/// A claimed refresh.
#[derive(Debug)]
pub struct Claimed {
    /// Where.
    pub place: Place,
    /// The connection as it is now.
    pub connection: Connection,
    /// All secret fields, the newest tokens among them.
    pub fields: SecretFields,
    /// The version that they belong to.
    pub version: Version,
    /// When the access token ends, if it does.
    pub expire_time: Option<Timestamp>,
    /// How many attempts have failed in a row.
    pub failures: u32,
    /// Whether an earlier attempt was sent and nobody knows what became of it.
    pub uncertain: bool,
    /// With which app the tokens were got, if that is known: no other can renew them.
    pub client_id: Option<String>,
    generation: i64,
    intent: Uuid,
    instance: Uuid,
    marked_before: bool,
    _running: Running,
}

/// An intent that this process is at. Dropped with its claim, however that ends.
#[derive(Debug)]
struct Running(Arc<Mutex<HashSet<Uuid>>>, Uuid);

impl Running {
    fn begin(all: &Arc<Mutex<HashSet<Uuid>>>, intent: Uuid) -> Self {
        all.lock().unwrap_or_else(PoisonError::into_inner).insert(intent);
        Self(Arc::clone(all), intent)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// An app at a provider, which is what a provider counts calls by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AppKey {
    /// The provider.
    pub provider: ProviderId,
    /// The app's id there, where tokens belong to one.
    pub client_id: Option<String>,
}

/// A refresh that is due.
#[derive(Clone, Debug)]
pub struct Due {
    /// Where.
    pub place: Place,
    /// Of which generation the tokens are.
    pub generation: i64,
    /// With which app they were got.
    pub app: AppKey,
}

/// What the provider gave.
#[derive(Debug)]
pub struct Renewed {
    /// All secret fields, the new tokens among them.
    pub fields: SecretFields,
    /// When the access token ends.
    pub expire_time: Option<Timestamp>,
    /// When to refresh the next time, ahead of need.
    pub due_time: Option<Timestamp>,
    /// The scopes that were granted, if the provider says so.
    pub scopes: Option<Vec<String>>,
    /// Settings that came along, which the catalog has accepted.
    pub settings: BTreeMap<String, Value>,
    /// With which app.
    pub client_id: Option<String>,
}

/// Why there are no new tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RefreshFailure {
    /// The provider was not reached, or refused for reasons of its own.
    Temporary {
        /// When another attempt makes sense.
        retry_time: Timestamp,
        /// Why not before.
        pause: Pause,
    },
    /// The request was sent and its outcome is not known.
    Unknown {
        /// When another attempt makes sense, if the provider's rule allows one.
        retry_time: Timestamp,
        /// Whether the provider may still be at the request until then.
        at_work: bool,
    },
    /// The provider has refused, in words that its file does not know.
    Refused {
        /// When another attempt makes sense.
        retry_time: Timestamp,
        /// The provider's own code, if it is a plain word.
        code: Option<String>,
    },
    /// There is no refresh token, so nothing was sent.
    Nothing,
    /// The provider itself has said that only a new consent helps.
    Dead {
        /// The provider's own code, if it is a plain word.
        code: Option<String>,
    },
}

/// When a refresh is given up without a word of the provider.
#[derive(Clone, Copy)]
pub struct Perseverance<'a> {
    /// How long an unclear outcome is looked into where a repeat may be refused because the first attempt worked. Time in
    /// which nothing was sent, or the provider asked for patience, does not count.
    pub longest: Duration,
    /// What repeating a refresh token risks, by provider and auth mode.
    pub risk: &'a (dyn Fn(&ProviderId, &AuthMode) -> RepeatRisk + Sync),
}

/// What it risks to send a refresh token again after an attempt of unknown outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RepeatRisk {
    /// Nothing: the token works again.
    Nothing,
    /// What giving up costs as well: this consent.
    Consent,
    /// Other consents, too, for the provider revokes them together.
    OtherConsents,
}

/// The repository of refreshes.
#[derive(Clone, Copy, Debug)]
pub struct Refreshes<'a> {
    store: &'a Store,
}

impl Store {
    /// The place of a connection that this scope has been found to reach.
    pub fn place_of(&self, scope: &TenantScope, connection: ConnectionId) -> Place {
        Place { tenant: scope.tenant().clone(), connection }
    }

    /// The repository of refreshes.
    pub fn refreshes(&self) -> Refreshes<'_> {
        Refreshes { store: self }
    }
}

/// The credential of a locked connection is another one from now on: tokens of the one before are destroyed, and no
/// refresh that is under way can store what it gets.
pub(crate) async fn supersede(
    change: &Changing<'_>,
    model: &connection_table::Model,
    renewal: Option<&Renewal>,
) -> Result<(), Error> {
    let key = (model.tenant_id.clone(), model.id);
    let due = renewal.as_ref().and_then(|renewal| renewal.due_time);
    let client_id = renewal.as_ref().and_then(|renewal| renewal.client_id.clone());
    match refresh::Entity::find_by_id(key.clone()).lock_exclusive().one(&change.tx).await? {
        Some(row) => {
            let generation = row.generation + 1;
            let mut row = idle(row, generation, due);
            row.client_id = Set(client_id);
            row.update(&change.tx).await?;
            token::Entity::delete_by_id(key).exec(&change.tx).await?;
        }
        None if renewal.is_some() => {
            let row = refresh::ActiveModel {
                tenant_id: Set(key.0),
                connection_id: Set(key.1),
                generation: Set(1),
                state: Set(IDLE.to_owned()),
                due_time: Set(due.map(Timestamp::micros)),
                retry_time: Set(None),
                failures: Set(0),
                marked: Set(false),
                intent_id: Set(None),
                instance: Set(None),
                lease_time: Set(None),
                provider: Set(model.provider.clone()),
                client_id: Set(client_id),
                doubted: Set(false),
                unclear_time: Set(None),
                refused: Set(false),
                refusals: Set(0),
                pause: Set(None),
                pause_app: Set(None),
            };
            refresh::Entity::insert(row).exec_without_returning(&change.tx).await?;
        }
        None => {}
    }
    Ok(())
}

/// Has a connection's tokens looked at again, now that somebody may want them.
pub(crate) async fn wake(change: &Changing<'_>, model: &connection_table::Model) -> Result<(), Error> {
    use refresh::Column;
    refresh::Entity::update_many()
        .col_expr(Column::DueTime, Expr::value(change.now.micros()))
        .filter(Column::TenantId.eq(model.tenant_id.as_str()))
        .filter(Column::ConnectionId.eq(model.id))
        .filter(Column::DueTime.is_null())
        .exec(&change.tx)
        .await?;
    Ok(())
}

/// Whether a test that works proves the connection whole. An access token says nothing about a refresh token that the
/// provider has refused, in whatever words, nor about one whose last use has an unknown outcome.
pub(crate) fn is_settled_by_test(row: &refresh::Model) -> bool {
    !row.refused && row.state == IDLE && row.unclear_time.is_none()
}

/// Has an unclear outcome looked into for the full time again, and at once; but not before a pause is over that binds
/// those who insist, too. What is under way is left alone.
pub(crate) async fn reconsider(change: &Changing<'_>, row: refresh::Model) -> Result<(), Error> {
    if row.state == IN_FLIGHT {
        return Ok(());
    }
    let now = change.now.micros();
    let kept = row.retry_time.filter(|_| Pause::of_row(&row).binds_all());
    let next = kept.map_or(now, |kept| kept.max(now));
    let mut row = row.into_active_model();
    row.due_time = Set(Some(next));
    row.retry_time = Set(Some(next));
    row.unclear_time = Set(Some(now));
    row.update(&change.tx).await?;
    Ok(())
}

/// The row with no refresh under way, and nothing left of the attempts before.
fn idle(row: refresh::Model, generation: i64, due: Option<Timestamp>) -> refresh::ActiveModel {
    let mut row = row.into_active_model();
    row.generation = Set(generation);
    row.state = Set(IDLE.to_owned());
    row.due_time = Set(due.map(Timestamp::micros));
    row.retry_time = Set(None);
    row.failures = Set(0);
    row.marked = Set(false);
    row.intent_id = Set(None);
    row.instance = Set(None);
    row.lease_time = Set(None);
    row.doubted = Set(false);
    row.unclear_time = Set(None);
    row.refused = Set(false);
    row.refusals = Set(0);
    row.pause = Set(None);
    row.pause_app = Set(None);
    row
}

async fn locked(tx: &DatabaseTransaction, place: &Place) -> Result<Option<connection_table::Model>, Error> {
    let key = (place.tenant.as_str().to_owned(), place.connection.as_uuid());
    Ok(connection_table::Entity::find_by_id(key).lock_exclusive().one(tx).await?)
}

async fn find(tx: &DatabaseTransaction, place: &Place) -> Result<Option<refresh::Model>, Error> {
    let key = (place.tenant.as_str().to_owned(), place.connection.as_uuid());
    Ok(refresh::Entity::find_by_id(key).lock_exclusive().one(tx).await?)
}
