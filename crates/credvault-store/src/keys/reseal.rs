//! Sealing a tenant's records anew under its newest key, table by table, a batch at a time. The place of a record, and
//! so what it is bound to, does not change; nothing that a caller sees does.
//!
//! Consents in progress have no record here: their values are derived from the key they began with, and they end within
//! the hour.

mod replace;
mod tables;

use std::collections::BTreeMap;

use credvault_crypto::{Context, TenantKey};
use credvault_domain::TenantId;
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, QueryResult, Statement, Value};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::change::Change;
use crate::hex::hex;
use crate::integrity::alarm;
use crate::{Database, Error};
use tables::{AUDIT_KEYS, CREDENTIALS, KeyType, Row, TABLES, Table};

/// How many records a batch has at most.
pub(crate) const BATCH: u64 = 500;
/// How many rows a batch looks at, at most, for those that are under an older key: of a large tenant only few may be.
const LOOKED_AT: usize = 10_000;

/// What a batch has done.
pub(crate) struct Resealed {
    pub(crate) resealed: i64,
    /// How many records do not open; they stay as they are.
    pub(crate) failed: i64,
    /// Where the next batch begins; none at the end of a pass.
    pub(crate) next: Option<Cursor>,
    /// Whether this pass has sealed something anew so far, or has left something that others hold.
    pub(crate) wrote: bool,
}

/// Where a batch begins: all tables are gone through until a pass finds nothing to do.
#[derive(Clone)]
pub(crate) struct Cursor {
    pass: u32,
    /// How many records this pass has sealed anew, or has left because others hold them.
    wrote: u64,
    table: usize,
    /// The key of the last row, each part as text.
    after: Vec<String>,
}

/// Seals the next records anew, in the transaction of `change`, which has the tenant's keys.
pub(crate) async fn batch(
    change: &Change<'_>,
    cursor: &Cursor,
    target: i64,
    size: u64,
) -> Result<Resealed, Error> {
    let mut cursor = cursor.clone();
    while let Some(table) = TABLES.get(cursor.table) {
        let Page { rows, held, until } = table.page(change, &cursor, (target, size)).await?;
        cursor.wrote += held;
        let is_empty = rows.is_empty() && until.is_none();
        (cursor.table, cursor.after) = match until {
            Some(until) => (cursor.table, until),
            None => (cursor.table + 1, Vec::new()),
        };
        if is_empty {
            continue;
        }
        let (mut values, mut failed) = (Vec::with_capacity(rows.len()), 0);
        for row in &rows {
            match table.resealed(change, row)? {
                Some(sealed) => values.push((table.key_values(row)?, sealed)),
                None => failed += 1,
            }
        }
        let resealed = i64::try_from(values.len()).unwrap_or(i64::MAX);
        table.store(change, values, target).await?;
        cursor.wrote += resealed.unsigned_abs();
        return Ok(Resealed { resealed, failed, wrote: cursor.wrote(), next: Some(cursor) });
    }
    Ok(Resealed { resealed: 0, failed: 0, wrote: cursor.wrote(), next: None })
}

/// How many records are sealed under keys before `target`.
pub(crate) async fn count_below(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    target: i64,
) -> Result<i64, Error> {
    let count = |table: &Table| {
        let name = table.name;
        format!("(SELECT count(*) FROM {name} WHERE tenant_id = $1 AND key_version < $2)")
    };
    let counts: Vec<_> = TABLES.iter().map(count).collect();
    let sql = format!("SELECT {} AS records", counts.join(" + "));
    let values = [tenant.as_str().into(), target.into()];
    let row =
        tx.query_one_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
    Ok(row.ok_or(Error::Integrity)?.try_get("", "records")?)
}

/// How many values are sealed under a key.
#[derive(Clone, Copy, Default)]
pub(crate) struct SealedUnder {
    /// How many credential versions.
    pub(crate) credentials: i64,
    /// Values of all kinds.
    pub(crate) records: i64,
}

/// How many values are sealed under each key of a tenant.
pub(crate) async fn count_by_key(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
) -> Result<BTreeMap<i64, SealedUnder>, Error> {
    let of = |table: &Table| {
        let (name, credential) = (table.name, i32::from(table.name == CREDENTIALS));
        format!(
            "SELECT key_version, {credential} AS credential FROM {name} WHERE tenant_id = $1 AND sealed IS NOT NULL"
        )
    };
    let all: Vec<_> = TABLES.iter().map(of).collect();
    let sql = format!(
        "SELECT key_version, count(*) AS records, CAST(sum(credential) AS bigint) AS credentials FROM ({}) r
         GROUP BY key_version",
        all.join(" UNION ALL ")
    );
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, [tenant.as_str().into()]);
    let rows = tx.query_all_raw(asked).await?;
    let counted = |row: &QueryResult| {
        let (credentials, records) = (row.try_get("", "credentials")?, row.try_get("", "records")?);
        Ok((row.try_get("", "key_version")?, SealedUnder { credentials, records }))
    };
    rows.iter().map(counted).collect()
}

/// Some rows of a table.
struct Page {
    /// Those under an older key, locked.
    rows: Vec<QueryResult>,
    /// How many under an older key another transaction holds.
    held: u64,
    /// The key of the last row that was looked at; none behind the last one of the table.
    until: Option<Vec<String>>,
}

impl Table {
    /// The next rows under an older key, locked, of a few that are looked at. Those that another transaction holds are left for
    /// the next pass. In the first pass all rows are under an older key, and a second one follows in any case.
    async fn page(
        &self,
        change: &Change<'_>,
        cursor: &Cursor,
        (target, size): (i64, u64),
    ) -> Result<Page, Error> {
        let (database, after) = (change.store.database(), cursor.after.as_slice());
        let end = if cursor.is_first_pass() { None } else { self.end_of_page(change, after).await? };
        let names = self.names();
        // A CROSS JOIN has SQLite begin with the page. PostgreSQL would merge all connections of the tenant with the rows, if
        // the page were not cut off before.
        let join = match self.columns.contains("c.") {
            true => "CROSS JOIN connections c WHERE c.tenant_id = r.tenant_id AND c.id = r.connection_id",
            false => "",
        };
        let mut values: Vec<Value> = vec![
            change.tenant().as_str().into(),
            target.into(),
            i64::try_from(size).unwrap_or(i64::MAX).into(),
        ];
        let between = self.between(after, end.as_deref(), &mut values)?;
        let lock = if database == Database::Postgres { "FOR UPDATE OF r SKIP LOCKED" } else { "" };
        // These have one encoding, and no column for it. PostgreSQL's plain 1 is of a smaller type than what is read.
        let schema = match self.name {
            "callbacks" | AUDIT_KEYS | "signing_keys" => "CAST(1 AS bigint) AS schema",
            _ => "r.schema",
        };
        let sql = format!(
            "SELECT {names}, {schema}, r.key_version, r.sealed, {columns} FROM (
                SELECT * FROM {table} r WHERE r.tenant_id = $1 AND r.key_version < $2 {between}
                ORDER BY {names} LIMIT $3 {lock}
             ) r {join} ORDER BY {names}",
            columns = self.columns,
            table = self.name,
        );
        let asked = Statement::from_sql_and_values(change.tx.get_database_backend(), sql, values);
        let rows = change.tx.query_all_raw(asked).await?;
        let is_full = rows.len() as u64 == size;
        let until = match rows.last().filter(|_| is_full) {
            Some(last) => Some(self.key_text(last)?),
            None => end,
        };
        let held = match database {
            Database::Postgres if !cursor.is_first_pass() => {
                self.count(change, (after, until.as_deref()), target).await?
            }
            Database::Postgres | Database::Sqlite => 0,
        };
        Ok(Page { held: held.saturating_sub(rows.len() as u64), rows, until })
    }

    /// The columns that find a row, as a list.
    fn names(&self) -> String {
        self.key.iter().map(|(name, _)| format!("r.{name}")).collect::<Vec<_>>().join(", ")
    }

    /// The key of the last row that a page looks at; none if the table ends before.
    async fn end_of_page(&self, change: &Change<'_>, after: &[String]) -> Result<Option<Vec<String>>, Error> {
        let mut values: Vec<Value> = vec![change.tenant().as_str().into()];
        let between = self.between(after, None, &mut values)?;
        let (table, names, last) = (self.name, self.names(), LOOKED_AT - 1);
        let sql = format!(
            "SELECT {names} FROM {table} r WHERE r.tenant_id = $1 {between} ORDER BY {names} LIMIT 1 OFFSET {last}"
        );
        let asked = Statement::from_sql_and_values(change.tx.get_database_backend(), sql, values);
        change.tx.query_one_raw(asked).await?.map(|row| self.key_text(&row)).transpose()
    }

    /// How many rows under an older key there are between two.
    async fn count(
        &self,
        change: &Change<'_>,
        (after, until): (&[String], Option<&[String]>),
        target: i64,
    ) -> Result<u64, Error> {
        let mut values: Vec<Value> = vec![change.tenant().as_str().into(), target.into()];
        let between = self.between(after, until, &mut values)?;
        let sql = format!(
            "SELECT count(*) AS records FROM {table} r WHERE r.tenant_id = $1 AND r.key_version < $2 {between}",
            table = self.name,
        );
        let asked = Statement::from_sql_and_values(change.tx.get_database_backend(), sql, values);
        let row = change.tx.query_one_raw(asked).await?.ok_or(Error::Integrity)?;
        Ok(row.try_get::<i64>("", "records")?.unsigned_abs())
    }

    /// The condition that a row stands behind one key, and not behind another.
    fn between(
        &self,
        after: &[String],
        until: Option<&[String]>,
        values: &mut Vec<Value>,
    ) -> Result<String, Error> {
        let mut conditions = String::new();
        for (bound, sign) in [(after, ">"), (until.unwrap_or_default(), "<=")] {
            let mut places = Vec::with_capacity(bound.len());
            for ((_, kind), text) in self.key.iter().zip(bound) {
                values.push(kind.value(text)?);
                places.push(format!("${}", values.len()));
            }
            if !places.is_empty() {
                conditions.push_str(&format!(" AND ({}) {sign} ({})", self.names(), places.join(", ")));
            }
        }
        Ok(conditions)
    }

    /// A row's value, sealed anew: none where it was destroyed. `None` if it does not open.
    fn resealed(&self, change: &Change<'_>, row: &QueryResult) -> Result<Option<Option<Vec<u8>>>, Error> {
        let Some(sealed) = row.try_get::<Option<Vec<u8>>>("", "sealed")? else { return Ok(Some(None)) };
        let tenant = change.tenant();
        let place = (self.place)(&Row { tenant, row });
        let old = change.keys()?.version(row.try_get("", "key_version")?);
        // Under another encoding than its own a record does not open.
        let schema = u16::try_from(row.try_get::<i64>("", "schema")?);
        let (Ok(place), Some(old), Ok(schema)) = (place, old, schema) else { return Ok(None) };
        let context = place.context(tenant, schema);
        match reseal(old, change.key()?, &context, &sealed, change) {
            Ok(anew) => Ok(Some(Some(anew))),
            Err(Error::Integrity) => {
                alarm(tenant, context.what(), context.record());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn key_values(&self, row: &QueryResult) -> Result<Vec<Value>, Error> {
        let value = |(name, kind): &(&str, KeyType)| {
            Ok(match kind {
                KeyType::Uuid => row.try_get::<Uuid>("", name)?.into(),
                KeyType::Int => row.try_get::<i64>("", name)?.into(),
                KeyType::Text => row.try_get::<String>("", name)?.into(),
                KeyType::Bytes => row.try_get::<Vec<u8>>("", name)?.into(),
            })
        };
        self.key.iter().map(value).collect()
    }

    fn key_text(&self, row: &QueryResult) -> Result<Vec<String>, Error> {
        let text = |(name, kind): &(&str, KeyType)| {
            Ok(match kind {
                KeyType::Uuid => row.try_get::<Uuid>("", name)?.to_string(),
                KeyType::Int => row.try_get::<i64>("", name)?.to_string(),
                KeyType::Text => row.try_get::<String>("", name)?,
                KeyType::Bytes => hex(&row.try_get::<Vec<u8>>("", name)?),
            })
        };
        self.key.iter().map(text).collect()
    }
}

/// Opens under the old key, seals under the new one, and makes sure that the result opens to the same.
fn reseal(
    old: &TenantKey,
    new: &TenantKey,
    context: &Context<'_>,
    sealed: &[u8],
    change: &Change<'_>,
) -> Result<Vec<u8>, Error> {
    let plain = old.open(context, sealed)?;
    let anew = new.seal(context, &plain, change.store.keyring().random())?;
    let again = new.open(context, &anew)?;
    if bool::from(again.as_slice().ct_eq(plain.as_slice())) { Ok(anew) } else { Err(Error::Integrity) }
}

impl Cursor {
    pub(crate) fn parse(text: &str) -> Self {
        let first = Self { pass: 1, wrote: 0, table: 0, after: Vec::new() };
        serde_json::from_str(text).map_or(first, |(pass, wrote, table, after)| Self {
            pass,
            wrote,
            table,
            after,
        })
    }

    /// Where the tenant's audit keys begin, which an earlier release overlooks.
    pub(crate) fn of_audit_keys() -> Self {
        let table = TABLES.iter().position(|table| table.name == AUDIT_KEYS).unwrap_or_default();
        Self { pass: 1, wrote: 0, table, after: Vec::new() }
    }

    pub(crate) fn text(&self) -> String {
        serde_json::json!([self.pass, self.wrote, self.table, self.after]).to_string()
    }

    pub(crate) fn is_first_pass(&self) -> bool {
        self.pass == 1
    }

    pub(crate) fn wrote(&self) -> bool {
        self.wrote > 0
    }

    pub(crate) fn next_pass(&self) -> Self {
        Self { pass: self.pass + 1, wrote: 0, table: 0, after: Vec::new() }
    }
}
