//! Counts that are about to be written, added up by what they have in common, and the statements that add them to the rows
//! of three tables. Rows are written in the order of their keys, table by table, so that no two replicas wait for each
//! other in a circle.

use std::collections::BTreeMap;
use std::sync::Arc;

use credvault_domain::{ConnectionId, Day, TenantId, UsageCounts};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr, Statement};
use serde::Serialize;

use crate::Database;
use crate::database::json_rows::{self, Kind, value};

/// The most rows that one statement adds.
const ROWS_PER_STATEMENT: usize = 5_000;

/// What counts of one tenant are told apart by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct UsageKey {
    pub(crate) connection: ConnectionId,
    pub(crate) day: Day,
    /// Empty where the vault itself counted.
    pub(crate) endpoint: Arc<str>,
    pub(crate) service: Arc<str>,
    /// Empty for calls without a user.
    pub(crate) user: Arc<str>,
}

/// What the rows of a connection say beside its key.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Subject {
    pub(crate) provider: Arc<str>,
    /// Empty for connections of the tenant; two blanks for those of the platform.
    pub(crate) owner_user: Arc<str>,
}

/// Counts of one tenant.
#[derive(Clone, Default, Debug)]
pub(crate) struct Tally(pub(crate) BTreeMap<UsageKey, (Subject, UsageCounts)>);

impl Tally {
    pub(crate) fn add(&mut self, key: UsageKey, subject: Subject, counts: &UsageCounts) {
        self.0.entry(key).or_insert_with(|| (subject, UsageCounts::default())).1.add(counts);
    }

    /// Adds the counts to all tables, in a transaction of the tenant.
    pub(crate) async fn write(
        &self,
        tx: &DatabaseTransaction,
        database: Database,
        tenant: &TenantId,
        shard: i64,
    ) -> Result<(), DbErr> {
        let mut connections: BTreeMap<ConnectionId, (&Subject, Day)> = BTreeMap::new();
        let mut users: BTreeMap<_, UsageCounts> = BTreeMap::new();
        let mut totals: BTreeMap<_, UsageCounts> = BTreeMap::new();
        for (key, (subject, counts)) in &self.0 {
            let last = &mut connections.entry(key.connection).or_insert((subject, key.day)).1;
            *last = key.day.max(*last);
            let coarse = Coarse::of(key, subject, shard);
            users.entry((Arc::clone(&key.user), coarse.clone())).or_default().add(counts);
            totals.entry(coarse).or_default().add(counts);
        }
        let writing = Writing { tx, database, tenant };
        let connection = |(id, (subject, day)): (&ConnectionId, &(&Subject, Day))| {
            let id = id.as_uuid().simple().to_string();
            (id, subject.provider.to_string(), subject.owner_user.to_string(), day.number())
        };
        writing.rows(&CONNECTIONS, connections.iter().map(connection)).await?;
        writing.rows(&DAYS, self.0.iter().map(|(key, (_, counts))| day_row(key, counts))).await?;
        add_users(tx, database, tenant, users).await?;
        writing.rows(&TOTALS, totals.iter().map(|(coarse, counts)| (coarse.row(), numbers(counts)))).await
    }
}

/// What counts are told apart by where connections and users are not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Coarse {
    /// The number of the day.
    pub(crate) day: i64,
    pub(crate) provider: Arc<str>,
    pub(crate) endpoint: Arc<str>,
    pub(crate) service: Arc<str>,
    /// Whether the connections are shared ones.
    pub(crate) shared: bool,
    /// The part of the replicas that has counted.
    pub(crate) shard: i64,
}

impl Coarse {
    fn of(key: &UsageKey, subject: &Subject, shard: i64) -> Self {
        Self {
            day: key.day.number(),
            provider: Arc::clone(&subject.provider),
            endpoint: Arc::clone(&key.endpoint),
            service: Arc::clone(&key.service),
            shared: super::owner::is_shared(&subject.owner_user),
            shard,
        }
    }

    fn row(&self) -> impl Serialize + use<'_> {
        let Self { day, provider, endpoint, service, shared, shard } = self;
        (day, &**provider, &**endpoint, &**service, shared, shard)
    }
}

/// Adds counts to the rows by connection; they are in the order of their keys.
pub(super) async fn add_days(
    tx: &DatabaseTransaction,
    database: Database,
    tenant: &TenantId,
    rows: &[(UsageKey, UsageCounts)],
) -> Result<(), DbErr> {
    let mut summed: BTreeMap<&UsageKey, UsageCounts> = BTreeMap::new();
    for (key, counts) in rows {
        summed.entry(key).or_default().add(counts);
    }
    let rows = summed.into_iter().map(|(key, counts)| day_row(key, &counts));
    Writing { tx, database, tenant }.rows(&DAYS, rows).await
}

/// Adds counts to the rows by user; they are in the order of their keys, each once.
pub(super) async fn add_users(
    tx: &DatabaseTransaction,
    database: Database,
    tenant: &TenantId,
    rows: impl IntoIterator<Item = ((Arc<str>, Coarse), UsageCounts)>,
) -> Result<(), DbErr> {
    let rows: Vec<_> = rows.into_iter().collect();
    let rows = rows.iter().map(|((user, coarse), counts)| (&**user, coarse.row(), numbers(counts)));
    Writing { tx, database, tenant }.rows(&USERS, rows).await
}

fn day_row<'a>(key: &'a UsageKey, counts: &UsageCounts) -> impl Serialize + use<'a> {
    let UsageKey { connection, day, endpoint, service, user } = key;
    let id = connection.as_uuid().simple().to_string();
    (id, day.number(), &**endpoint, &**service, &**user, numbers(counts))
}

fn numbers(counts: &UsageCounts) -> [i64; 5] {
    let UsageCounts { calls, errors, rate_limit_hits, fetches, refreshes } = *counts;
    [calls, errors, rate_limit_hits, fetches, refreshes]
}

/// A table as rows of JSON are added to it: its columns with the places of their values in a row, the columns of its key,
/// and what happens to a row that is there.
struct Table {
    name: &'static str,
    /// Name, path in the JSON of a row, type.
    columns: &'static [(&'static str, &'static str, Kind)],
    key: &'static str,
    /// Whether five counts end the row, at this place.
    counts: Option<usize>,
    there: &'static str,
}

const ADD: &str = "calls = {t}.calls + excluded.calls, errors = {t}.errors + excluded.errors,
    rate_limit_hits = {t}.rate_limit_hits + excluded.rate_limit_hits,
    fetches = {t}.fetches + excluded.fetches, refreshes = {t}.refreshes + excluded.refreshes";

const CONNECTIONS: Table = Table {
    name: "usage_connections",
    columns: &[
        ("connection_id", "0", Kind::Uuid),
        ("provider", "1", Kind::Text),
        ("owner_user", "2", Kind::Text),
        ("last_day", "3", Kind::Number),
    ],
    key: "connection_id",
    counts: None,
    // Once a day for each connection.
    there: "last_day = excluded.last_day WHERE {t}.last_day < excluded.last_day",
};

const DAYS: Table = Table {
    name: "usage_days",
    columns: &[
        ("connection_id", "0", Kind::Uuid),
        ("day", "1", Kind::Number),
        ("endpoint", "2", Kind::Text),
        ("service", "3", Kind::Text),
        ("user_id", "4", Kind::Text),
    ],
    key: "connection_id, day, endpoint, service, user_id",
    counts: Some(5),
    there: ADD,
};

const USERS: Table = Table {
    name: "usage_users",
    columns: &[
        ("user_id", "0", Kind::Text),
        ("day", "1,0", Kind::Number),
        ("provider", "1,1", Kind::Text),
        ("endpoint", "1,2", Kind::Text),
        ("service", "1,3", Kind::Text),
        ("shared", "1,4", Kind::Truth),
        ("shard", "1,5", Kind::Number),
    ],
    key: "user_id, day, provider, endpoint, service, shared, shard",
    counts: Some(2),
    there: ADD,
};

const TOTALS: Table = Table {
    name: "usage_totals",
    columns: &[
        ("day", "0,0", Kind::Number),
        ("provider", "0,1", Kind::Text),
        ("endpoint", "0,2", Kind::Text),
        ("service", "0,3", Kind::Text),
        ("shared", "0,4", Kind::Truth),
        ("shard", "0,5", Kind::Number),
    ],
    key: "day, provider, endpoint, service, shared, shard",
    counts: Some(1),
    there: ADD,
};

const COUNTS: [&str; 5] = ["calls", "errors", "rate_limit_hits", "fetches", "refreshes"];

impl Table {
    /// The statement that adds the rows of `$2`, a JSON array of arrays, to those of the tenant `$1`.
    fn statement(&self, database: Database) -> String {
        let counts =
            self.counts.into_iter().flat_map(|place| (0..).map(move |each| format!("{place},{each}")));
        let counts = COUNTS.into_iter().zip(counts).map(|(name, path)| (name, path, Kind::Number));
        let columns = self.columns.iter().map(|(name, path, kind)| (*name, (*path).to_owned(), *kind));
        let (mut names, mut values) = (vec!["tenant_id"], vec!["$1".to_owned()]);
        for (name, path, kind) in columns.chain(counts) {
            names.push(name);
            values.push(value(database, &path, kind));
        }
        let rows = json_rows::rows(database);
        let (names, values, table, key) = (names.join(", "), values.join(", "), self.name, self.key);
        let there = self.there.replace("{t}", table);
        // Without a condition SQLite takes what follows for one of a join.
        format!(
            "INSERT INTO {table} ({names}) SELECT {values} FROM {rows} WHERE true
             ON CONFLICT (tenant_id, {key}) DO UPDATE SET {there}"
        )
    }
}

/// Where rows are written.
struct Writing<'a> {
    tx: &'a DatabaseTransaction,
    database: Database,
    tenant: &'a TenantId,
}

impl Writing<'_> {
    async fn rows(&self, table: &Table, rows: impl Iterator<Item = impl Serialize>) -> Result<(), DbErr> {
        let rows: Vec<_> = rows.collect();
        let sql = table.statement(self.database);
        for rows in rows.chunks(ROWS_PER_STATEMENT) {
            let json = json_rows::encode(&rows)?;
            let values = [self.tenant.as_str().into(), json.into()];
            let statement = Statement::from_sql_and_values(self.tx.get_database_backend(), &sql, values);
            self.tx.execute_raw(statement).await?;
        }
        Ok(())
    }
}
