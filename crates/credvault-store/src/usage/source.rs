//! Which rows answer a question about usage: those of the smallest table that tells apart what the question does, and of
//! those what the scope reaches. A user reaches shared connections and their own, so the counts of both are put together.

use credvault_domain::{
    ConnectionId, Day, EndpointName, ProviderId, Reach, ServiceId, TenantScope, UsageGroup, UserId,
};
use sea_orm::Value;

use super::owner::OF_PLATFORM;

/// Which counts are wanted. Everything given must hold.
#[derive(Clone, Debug)]
pub struct UsageFilter {
    /// The first day that is wanted.
    pub start: Day,
    /// The last day that is wanted.
    pub end: Day,
    /// Only of this connection.
    pub connection: Option<ConnectionId>,
    /// Only of connections at this provider.
    pub provider: Option<ProviderId>,
    /// Only of this endpoint of the provider.
    pub endpoint: Option<EndpointName>,
    /// Only of calls for this user.
    pub user: Option<UserId>,
    /// Only of calls of this service.
    pub service: Option<ServiceId>,
}

/// A statement that grows, with its values.
pub(super) struct Sql {
    pub(super) values: Vec<Value>,
}

impl Sql {
    /// Takes a value and gives its place.
    pub(super) fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }
}

/// Rows of one table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part<'a> {
    /// Without connections and users; of shared connections only, or of all.
    Totals { shared: bool },
    /// By user, without connections.
    Users { shared: bool },
    /// By connection, of these owners.
    Connections(Owners<'a>),
}

/// The owners of connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owners<'a> {
    All,
    Shared,
    /// This user's and shared ones.
    Reached(&'a UserId),
    /// This user's own only.
    Own(&'a UserId),
}

/// The name of a group's column.
pub(super) fn column(group: UsageGroup) -> &'static str {
    match group {
        UsageGroup::Connection => "connection_id",
        UsageGroup::Provider => "provider",
        UsageGroup::Endpoint => "endpoint",
        UsageGroup::User => "user_id",
        UsageGroup::Service => "service",
        UsageGroup::Day => "day",
    }
}

fn parts<'a>(scope: &'a TenantScope, filter: &UsageFilter, groups: &[UsageGroup]) -> Vec<Part<'a>> {
    if filter.connection.is_some() || groups.contains(&UsageGroup::Connection) {
        return vec![Part::Connections(match scope.reach() {
            Reach::AllUsers => Owners::All,
            Reach::Shared => Owners::Shared,
            Reach::User(user) => Owners::Reached(user),
        })];
    }
    let by_user = filter.user.is_some() || groups.contains(&UsageGroup::User);
    let coarse = |shared| if by_user { Part::Users { shared } } else { Part::Totals { shared } };
    match scope.reach() {
        Reach::AllUsers => vec![coarse(false)],
        Reach::Shared => vec![coarse(true)],
        Reach::User(user) => vec![coarse(true), Part::Connections(Owners::Own(user))],
    }
}

/// The rows that answer, with these columns and the counts, as a table expression. `$1` is the tenant.
pub(super) fn rows(
    sql: &mut Sql,
    scope: &TenantScope,
    filter: &UsageFilter,
    groups: &[UsageGroup],
    columns: &[&str],
) -> String {
    let parts = parts(scope, filter, groups);
    let parts: Vec<String> = parts.into_iter().map(|part| of_part(sql, part, filter, columns)).collect();
    parts.join(" UNION ALL ")
}

fn of_part(sql: &mut Sql, part: Part<'_>, filter: &UsageFilter, columns: &[&str]) -> String {
    let (from, of_connection) = match part {
        Part::Totals { .. } => ("usage_totals d", "d"),
        Part::Users { .. } => ("usage_users d", "d"),
        Part::Connections(_) => (
            "usage_connections s JOIN usage_days d ON d.tenant_id = s.tenant_id AND d.connection_id = s.connection_id",
            "s",
        ),
    };
    let place = |column: &str| match column {
        "connection_id" | "provider" | "owner_user" => format!("{of_connection}.{column}"),
        column => format!("d.{column}"),
    };
    let selected: Vec<String> = columns.iter().map(|column| place(column)).collect();
    let counts = "d.calls, d.errors, d.rate_limit_hits, d.fetches, d.refreshes".to_owned();
    let selected = selected.into_iter().chain([counts]).collect::<Vec<_>>().join(", ");
    let mut wanted = vec![format!("{of_connection}.tenant_id = $1")];
    let (from_day, to_day) = (sql.bind(filter.start.number()), sql.bind(filter.end.number()));
    wanted.push(format!("d.day BETWEEN {from_day} AND {to_day}"));
    let texts = [
        ("provider", filter.provider.as_ref().map(|provider| provider.as_str())),
        ("endpoint", filter.endpoint.as_ref().map(|endpoint| endpoint.as_str())),
        ("user_id", filter.user.as_ref().map(|user| user.as_str())),
        ("service", filter.service.as_ref().map(|service| service.as_str())),
    ];
    for (column, text) in texts.into_iter().filter_map(|(column, text)| Some((column, text?))) {
        wanted.push(format!("{} = {}", place(column), sql.bind(text)));
    }
    if let Some(connection) = filter.connection {
        wanted.push(format!("s.connection_id = {}", sql.bind(connection.as_uuid())));
    }
    wanted.extend(reach(sql, part));
    format!("SELECT {selected} FROM {from} WHERE {}", wanted.join(" AND "))
}

/// The condition that keeps a part within the scope's reach.
fn reach(sql: &mut Sql, part: Part<'_>) -> Option<String> {
    match part {
        Part::Totals { shared: false } | Part::Users { shared: false } | Part::Connections(Owners::All) => {
            None
        }
        Part::Totals { shared: true } | Part::Users { shared: true } => {
            Some(format!("d.shared = {}", sql.bind(true)))
        }
        Part::Connections(Owners::Shared) => Some(format!("s.owner_user IN ('', '{OF_PLATFORM}')")),
        Part::Connections(Owners::Reached(user)) => {
            Some(format!("s.owner_user IN ('', '{OF_PLATFORM}', {})", sql.bind(user.as_str())))
        }
        Part::Connections(Owners::Own(user)) => Some(format!("s.owner_user = {}", sql.bind(user.as_str()))),
    }
}
