//! One change of many connections of a tenant, a page at a time. Each connection is changed by the operation of its single
//! RPC, with the permission and the record of that, so a page that ends half-way leaves nothing half done.

use std::sync::Arc;
use std::time::Duration;

use credvault_catalog::Mode;
use credvault_domain::{Action, Connection, ConnectionState, HealthState, TenantId, TenantScope};
use credvault_identity::Facts;
use credvault_store::{ConnectionFilter, Recorded};
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::connections::{Stopped, Update, disconnect, health_filter, update};
use crate::tokens::{refresh, test};
use crate::{Call, Class, Paging, Parsed, Refusal, record_refusal};

/// How many connections are changed at once.
const CHANGES_AT_ONCE: usize = 4;

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
            return Some(ChangedConnection { connection, outcome: expected });
        }
        if !self.dry_run {
            return Some(self.change(call, connection).await);
        }
        let outcome = self.permitted(call, &connection);
        Some(ChangedConnection { connection, outcome })
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

    /// Whether policy permits the single action, for a dry run.
    fn permitted(&self, call: &Call, connection: &Connection) -> Outcome {
        let part = call.part_in(self.kind.action(), &self.scope);
        match part.permit(&self.scope, Facts::of(connection)) {
            Ok(_) => Outcome::WouldChange,
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// Makes the change, in a call of its own within this one.
    async fn change(&self, call: &Call, before: Connection) -> ChangedConnection {
        let mut part = call.part_in(self.kind.action(), &self.scope);
        let id = before.id;
        let changed = match self.kind {
            ChangeKind::Disable | ChangeKind::Enable => {
                let enabled = self.kind == ChangeKind::Enable;
                update(&mut part, Update::enabling(id, enabled)).await.map(connection_of)
            }
            ChangeKind::Disconnect => disconnect(&mut part, id, None, Ok(None)).await.map(connection_of),
            ChangeKind::Refresh => refresh(&mut part, id).await,
            ChangeKind::Test => {
                test(&mut part, id).await.map(|tested| tested.map(|tested| tested.connection))
            }
        };
        match changed {
            Ok(changed) => ChangedConnection { connection: changed.into_inner(), outcome: Outcome::Changed },
            Err(refusal) => {
                record_refusal(&part.context, part.refused_event(&refusal), &refusal).await;
                ChangedConnection { connection: before, outcome: Outcome::Refused(refusal) }
            }
        }
    }
}

/// The connection alone: which services a change stops is asked for one connection at a time.
fn connection_of(stopped: Recorded<Stopped>) -> Recorded<Connection> {
    stopped.map(|stopped| stopped.connection)
}
