//! Questions about usage: sums by what they are grouped by, in pages, and the sum of all.

use credvault_domain::{ConnectionId, Day, Owner, ProviderId, TenantScope, UsageCounts, UsageGroup};
use futures::StreamExt as _;
use sea_orm::{ConnectionTrait, QueryResult, Statement, StreamTrait as _, Value};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::source::{Sql, UsageFilter, column, rows};
use super::{Usage, used};
use crate::database::session::Reading;
use crate::{Error, Listed, Page, Weighed};

/// A sum. The fields that it is not grouped by are `None`, but for provider and owner of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageRow {
    /// The connection that was used.
    pub connection: Option<ConnectionId>,
    /// The provider of the connections.
    pub provider: Option<ProviderId>,
    /// Its owner; `None` also if it was a user who was deleted.
    pub owner: Option<Owner>,
    /// The endpoint; empty where the vault itself counted.
    pub endpoint: Option<String>,
    /// The user of the calls; empty for calls without one.
    pub user: Option<String>,
    /// The service that called.
    pub service: Option<String>,
    /// The day of the calls.
    pub day: Option<Day>,
    /// The counts, added up.
    pub counts: UsageCounts,
}

/// What a question is answered with.
#[derive(Clone, Debug)]
pub struct UsageSums {
    /// A page of sums, ordered by their groups.
    pub rows: Listed<UsageRow>,
    /// The sum of all that passes the filter, beyond the page, too.
    pub total: UsageCounts,
}

const SUMS: &str = "CAST(COALESCE(sum(u.calls), 0) AS bigint) AS calls,
    CAST(COALESCE(sum(u.errors), 0) AS bigint) AS errors,
    CAST(COALESCE(sum(u.rate_limit_hits), 0) AS bigint) AS rate_limit_hits,
    CAST(COALESCE(sum(u.fetches), 0) AS bigint) AS fetches,
    CAST(COALESCE(sum(u.refreshes), 0) AS bigint) AS refreshes";

impl Usage<'_> {
    /// Sums of what a scope reaches: of one user's, that of its own and of shared connections; of what is shared, that of
    /// shared connections. `groups` are in their order, each once; without any there are no rows, only the total.
    ///
    /// # Errors
    /// The tenant is not served, the page token is wrong, or the database fails.
    pub async fn sums(
        &self,
        scope: &TenantScope,
        filter: &UsageFilter,
        groups: &[UsageGroup],
        page: &Page,
    ) -> Result<UsageSums, Error> {
        let reading = self.store.query(scope).await?;
        let total = total(&reading, scope, filter).await?;
        let after = page.position(scope.tenant(), &reading)?;
        if groups.is_empty() {
            let rows = Listed { items: Vec::new(), next_page_token: String::new() };
            return Ok(UsageSums { rows, total });
        }
        let statement = statement(&reading, scope, filter, groups, after, page.limit())?;
        let summed = reading.tx.stream_raw(statement).await?.map(|row| read(scope, groups, &row?));
        let position = |last: &UsageRow| position(groups, last);
        let rows = page.read(self.store, scope.tenant(), reading.key(), summed, position).await?;
        Ok(UsageSums { rows, total })
    }
}

async fn total(reading: &Reading, scope: &TenantScope, filter: &UsageFilter) -> Result<UsageCounts, Error> {
    let mut sql = Sql { values: vec![scope.tenant().as_str().into()] };
    let from = rows(&mut sql, scope, filter, &[], &[]);
    let text = format!("SELECT {SUMS} FROM ({from}) u");
    let asked = prepared(reading, text, sql);
    counts(&reading.tx.query_one_raw(asked).await?.ok_or(Error::Integrity)?)
}

fn statement(
    reading: &Reading,
    scope: &TenantScope,
    filter: &UsageFilter,
    groups: &[UsageGroup],
    after: Option<Vec<u8>>,
    limit: u64,
) -> Result<Statement, Error> {
    let keys: Vec<&str> = groups.iter().map(|group| column(*group)).collect();
    let mut columns = keys.clone();
    if groups.contains(&UsageGroup::Connection) {
        columns.extend(["provider", "owner_user"].into_iter().filter(|column| !keys.contains(column)));
    }
    let mut sql = Sql { values: vec![scope.tenant().as_str().into()] };
    let from = rows(&mut sql, scope, filter, groups, &columns);
    let beyond = match after {
        None => String::new(),
        Some(position) => {
            let values = after_values(groups, &position)?;
            let first = values.first().cloned().ok_or(Error::PageToken)?;
            let places: Vec<String> = values.into_iter().map(|value| sql.bind(value)).collect();
            // The first condition adds nothing, but the database finds the beginning by it.
            let (names, places) = (keys.join(", "), places.join(", "));
            format!("WHERE u.{} >= {} AND ({names}) > ({places})", keys[0], sql.bind(first))
        }
    };
    let (columns, keys) = (columns.join(", "), keys.join(", "));
    let text = format!(
        "SELECT {columns}, {SUMS} FROM ({from}) u {beyond} GROUP BY {columns} ORDER BY {keys} LIMIT {limit}"
    );
    Ok(prepared(reading, text, sql))
}

fn prepared(reading: &Reading, text: String, sql: Sql) -> Statement {
    Statement::from_sql_and_values(ConnectionTrait::get_database_backend(&reading.tx), text, sql.values)
}

fn counts(row: &QueryResult) -> Result<UsageCounts, Error> {
    Ok(UsageCounts {
        calls: row.try_get("", "calls")?,
        errors: row.try_get("", "errors")?,
        rate_limit_hits: row.try_get("", "rate_limit_hits")?,
        fetches: row.try_get("", "fetches")?,
        refreshes: row.try_get("", "refreshes")?,
    })
}

fn read(scope: &TenantScope, groups: &[UsageGroup], row: &QueryResult) -> Result<UsageRow, Error> {
    let has = |group| groups.contains(&group);
    let text = |group| -> Result<Option<String>, Error> {
        has(group).then(|| row.try_get("", column(group))).transpose().map_err(Error::from)
    };
    let (mut connection, mut owner, mut provider) = (None, None, text(UsageGroup::Provider)?);
    if has(UsageGroup::Connection) {
        connection = Some(ConnectionId::from_uuid(row.try_get("", "connection_id")?));
        let owner_user: String = row.try_get("", "owner_user")?;
        let of_connection: String = row.try_get("", "provider")?;
        owner = used(scope, of_connection.clone(), &owner_user).owner;
        provider = Some(of_connection);
    }
    Ok(UsageRow {
        connection,
        provider: provider.map(ProviderId::from_stored),
        owner,
        endpoint: text(UsageGroup::Endpoint)?,
        user: text(UsageGroup::User)?,
        service: text(UsageGroup::Service)?,
        day: has(UsageGroup::Day).then(|| row.try_get("", "day")).transpose()?.map(Day::from_number),
        counts: counts(row)?,
    })
}

/// The groups of a row, for the token of the page after it.
fn position(groups: &[UsageGroup], row: &UsageRow) -> Vec<u8> {
    let key = |group: &UsageGroup| match group {
        UsageGroup::Connection => json!(row.connection.map(|id| id.to_string())),
        UsageGroup::Provider => json!(row.provider.as_ref().map(ProviderId::as_str)),
        UsageGroup::Endpoint => json!(row.endpoint),
        UsageGroup::User => json!(row.user),
        UsageGroup::Service => json!(row.service),
        UsageGroup::Day => json!(row.day.map(Day::number)),
    };
    Json::Array(groups.iter().map(key).collect()).to_string().into_bytes()
}

/// The values that [`position`] wrote.
fn after_values(groups: &[UsageGroup], position: &[u8]) -> Result<Vec<Value>, Error> {
    let keys: Vec<Json> = serde_json::from_slice(position).map_err(|_| Error::PageToken)?;
    if keys.len() != groups.len() {
        return Err(Error::PageToken);
    }
    let value = |(group, key): (&UsageGroup, &Json)| -> Option<Value> {
        Some(match group {
            UsageGroup::Connection => Uuid::try_parse(key.as_str()?).ok()?.into(),
            UsageGroup::Day => key.as_i64()?.into(),
            UsageGroup::Provider | UsageGroup::Endpoint | UsageGroup::User | UsageGroup::Service => {
                key.as_str()?.into()
            }
        })
    };
    groups.iter().zip(&keys).map(|pair| value(pair).ok_or(Error::PageToken)).collect()
}

impl Weighed for UsageRow {
    fn weight(&self) -> usize {
        let texts = [&self.endpoint, &self.user, &self.service];
        let texts: usize = texts.into_iter().flatten().map(|text| text.len() + 8).sum();
        256 + texts + self.provider.as_ref().map_or(0, |provider| provider.as_str().len())
    }
}
