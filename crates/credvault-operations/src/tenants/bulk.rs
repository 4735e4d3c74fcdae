//! One change of many connections of a tenant, a page at a time. Each connection is changed by the operation of its single
//! RPC, with the permission and the record of that, so a page that ends half-way leaves nothing half done.

use std::sync::Arc;
use std::time::Duration;

use credvault_catalog::Mode;
use credvault_domain::{
    Action, Connection, ConnectionId, ConnectionState, HealthState, TenantId, TenantScope,
};
use credvault_identity::Facts;
use credvault_store::{ConnectionFilter, Recorded};
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::connections::{Stopped, Update, disconnect, health_filter, update};
use crate::services::{Affected, affected};
use crate::tokens::{refresh, test};
use crate::{Call, Class, Paging, Parsed, Refusal, record_refusal};

/// How many connections are changed at once.
const CHANGES_AT_ONCE: usize = 4;
/// How many services that a change of one connection breaks are named: a page has up to 100 connections.
const MAX_NAMED_SERVICES: usize = 20;

/// What happens to each connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeKind {
    /// It is served no longer.
    Disable,
    /// It is served again.
    Enable,
    /// Its credential is destroyed and its grant revoked.
    Disconnect,
    /// Its tokens are refreshed.
    Refresh,
    /// Its credential is tested at the provider.
    Test,
}

impl ChangeKind {
    /// The name in audit records.
    fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Disconnect => "disconnect",
            Self::Refresh => "refresh",
            Self::Test => "test",
        }
    }

    /// The RPC that does it to one connection.
    fn action(self) -> Action {
        match self {
            Self::Disable | Self::Enable => Action::UpdateConnection,
            Self::Disconnect => Action::DisconnectConnection,
            Self::Refresh => Action::RefreshConnection,
            Self::Test => Action::TestConnection,
        }
    }
}

/// A change of many connections.
#[derive(Clone, Debug)]
pub struct BulkChange {
    /// What happens to each.
    pub kind: ChangeKind,
    /// Which connections of the tenant.
    pub filter: ConnectionFilter,
    /// Only connections in this health.
    pub health: Option<HealthState>,
    /// Whether only to tell what would happen.
    pub dry_run: bool,
}

/// What became of one connection.
#[derive(Debug)]
pub enum Outcome {
    /// The change was made.
    Changed,
    /// The connection is so already.
    Unchanged,
    /// The change has no meaning for it.
    Inapplicable,
    /// In a dry run, it would be attempted.
    WouldChange,
    /// The change was refused.
    Refused(Refusal),
}

/// One connection that was looked at.
#[derive(Debug)]
pub struct ChangedConnection {
    /// The connection after the change, or as it was if there was none.
    pub connection: Connection,
    /// What became of it.
    pub outcome: Outcome,
    /// The services that the change breaks, or would in a dry run; at most 20 by name.
    pub affected: Affected,
}

/// A page of a change of many connections.
#[derive(Debug)]
pub struct ChangedConnections {
    /// What became of each connection.
    pub changes: Vec<ChangedConnection>,
    /// The token with which the work continues; empty at its end.
    pub next_page_token: String,
    /// On the first page, how many connections match, counted up to 100,000.
    pub total: Option<u64>,
}

/// `ChangeTenantConnections`: changes one page of the connections that policy shows to the caller. The page ends early once
/// half of the call's time is over, or where a rate is reached.
///
/// # Errors
/// There is no such tenant, policy does not permit it as a whole, or the first connection already meets a rate's limit.
pub async fn change_connections(
    call: &mut Call,
    tenant: Option<TenantId>,
    change: BulkChange,
    paging: Parsed<Paging>,
) -> Result<Recorded<ChangedConnections>, Refusal> {
    let BulkChange { kind, mut filter, health, dry_run } = change;
    filter.health = health.map(|state| health_filter(&call.context, state));
    let facts = Facts { provider: filter.provider.as_ref(), owner: filter.owner.as_ref(), purpose: None };
    let (permit, scope) = call.administer(tenant, facts)?;
    call.count_by_limits_of(scope.tenant()).await?;
    call.subject.changed = vec![kind.as_str().to_owned()];
    let page = call.page(None, paging).await?;
    let connections = call.context.store.connections();
    let total = match page.token.is_empty() {
        true => Some(connections.count(&scope, &filter).await?),
        false => None,
    };
    let mut listed = connections.list_any(&scope, &filter, &page).await?;
    let mut shown = call.shown(&scope);
    listed.items.retain(|item| shown.shows(Some(&item.provider), Some(&item.owner)));
    let work = Work { scope: Arc::new(scope), kind, dry_run, end: half_time(call) };
    let worked_off = work.all(call, listed.items).await?;
    let next_page_token = match worked_off.changes.last().filter(|_| worked_off.cut) {
        Some(last) => connections.token_after(&work.scope, &page, last.connection.id).await?,
        None => listed.next_page_token,
    };
    let changes = worked_off.changes;
    call.recorded(&permit, ChangedConnections { changes, next_page_token, total }).await
}

/// When no change begins any more, so that those in progress end within the call's time.
fn half_time(call: &Call) -> Instant {
    let now = Instant::now();
    now + call.patience().saturating_duration_since(now).min(Duration::from_secs(20)) / 2
}

/// The changes of one page.
struct Work {
    scope: Arc<TenantScope>,
    kind: ChangeKind,
    dry_run: bool,
    end: Instant,
}

/// What was worked off of a page.
struct WorkedOff {
    changes: Vec<ChangedConnection>,
    /// Whether the page has more, which were not worked off.
    cut: bool,
}

/// Whether a refusal only says that the work must be slower.
fn is_a_rate(refusal: &Refusal) -> bool {
    refusal.class() == Class::Exhausted && refusal.retry_delay().is_some()
}

impl Work {
    /// Changes connections in their order, up to the first one that time or a rate does not permit any more.
    async fn all(&self, call: &Call, connections: Vec<Connection>) -> Result<WorkedOff, Refusal> {
        let mut worked_off = WorkedOff { changes: Vec::with_capacity(connections.len()), cut: false };
        let one = |connection| self.one(call, connection);
        let mut changed =
            std::pin::pin!(futures::stream::iter(connections).map(one).buffered(CHANGES_AT_ONCE));
        while let Some(change) = changed.next().await {
            match change {
                // What follows a cut is done again with the next page, so that no connection is left out.
                _ if worked_off.cut => {}
                None => worked_off.cut = true,
                Some(ChangedConnection { outcome: Outcome::Refused(refusal), .. }) if is_a_rate(&refusal) => {
                    if worked_off.changes.is_empty() {
                        return Err(refusal);
                    }
                    worked_off.cut = true;
                }
                Some(change) => worked_off.changes.push(change),
            }
        }
        Ok(worked_off)
    }

    /// Changes one connection. `None` if the time for it is over.
    async fn one(&self, call: &Call, connection: Connection) -> Option<ChangedConnection> {
        if Instant::now() >= self.end {
            return None;
        }
        let expected = self.expected(call, &connection);
        if !matches!(expected, Outcome::WouldChange) {
            return Some(ChangedConnection { connection, outcome: expected, affected: Affected::default() });
        }
        let part = call.part_in(self.kind.action(), &self.scope);
        Some(match self.dry_run {
            true => self.try_out(part, connection).await,
            false => self.change(part, connection).await,
        })
    }

    /// What a change of this connection would lead to, as far as the connection itself tells.
    fn expected(&self, call: &Call, connection: &Connection) -> Outcome {
        let mode = call.context.mode(&connection.provider, &connection.auth_mode).ok();
        let stored = connection.current_version > 0;
        let (already, applies) = match self.kind {
            ChangeKind::Disable => (!connection.enabled, true),
            ChangeKind::Enable => (connection.enabled, true),
            ChangeKind::Disconnect => (!stored && connection.state == ConnectionState::Disconnected, true),
            ChangeKind::Refresh => (false, stored && mode.is_some_and(Mode::refreshes)),
            ChangeKind::Test => (false, stored && mode.is_some_and(|mode| mode.test.is_some())),
        };
        match (already, applies) {
            (true, _) => Outcome::Unchanged,
            (false, true) => Outcome::WouldChange,
            (false, false) => Outcome::Inapplicable,
        }
    }

    /// What a dry run tells of one connection.
    async fn try_out(&self, mut part: Call, connection: Connection) -> ChangedConnection {
        match self.foreseen(&mut part, connection.id).await {
            Ok(affected) => ended(connection, Outcome::WouldChange, affected),
            Err(refusal) => ended(connection, Outcome::Refused(refusal), Affected::default()),
        }
    }

    /// Begins like the single RPC, so that it is refused like that, and tells what the change would break.
    async fn foreseen(&self, part: &mut Call, id: ConnectionId) -> Result<Affected, Refusal> {
        let _ = part.connection(id).await?;
        match self.kind {
            ChangeKind::Disable | ChangeKind::Disconnect => affected(part, &self.scope, id).await,
            ChangeKind::Enable | ChangeKind::Refresh | ChangeKind::Test => Ok(Affected::default()),
        }
    }

    /// Makes the change, in a call of its own within this one.
    async fn change(&self, mut part: Call, before: Connection) -> ChangedConnection {
        let id = before.id;
        let changed = match self.kind {
            ChangeKind::Disable | ChangeKind::Enable => {
                let enabled = self.kind == ChangeKind::Enable;
                update(&mut part, Update::enabling(id, enabled)).await
            }
            ChangeKind::Disconnect => disconnect(&mut part, id, None, Ok(None)).await,
            ChangeKind::Refresh => refresh(&mut part, id).await.map(|done| done.map(Stopped::nothing)),
            ChangeKind::Test => {
                let tested = test(&mut part, id).await;
                tested.map(|tested| tested.map(|tested| Stopped::nothing(tested.connection)))
            }
        };
        match changed.map(Recorded::into_inner) {
            Ok(Stopped { connection, affected }) => ended(connection, Outcome::Changed, affected),
            Err(refusal) => {
                record_refusal(&part.context, part.refused_event(&refusal), &refusal).await;
                ended(before, Outcome::Refused(refusal), Affected::default())
            }
        }
    }
}

fn ended(connection: Connection, outcome: Outcome, affected: Affected) -> ChangedConnection {
    ChangedConnection { connection, outcome, affected: affected.at_most(MAX_NAMED_SERVICES) }
}
