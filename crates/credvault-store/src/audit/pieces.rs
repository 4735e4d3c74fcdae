//! Rows of `audit_bundles`: what the sequencer appends to logs, many tenants in one statement, and what opens again.

use credvault_audit::{Appended, Bundle, TenantLog};
use credvault_crypto::{AuditKey, Context};
use credvault_domain::{Random, TenantId};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, EntityTrait as _,
    QueryFilter as _, QueryOrder as _, Statement,
};

use super::keys::AuditKeys;
use super::packing::{pack, unpack};
use crate::entity::audit_bundle::{ActiveModel, Column, Entity, Model};
use crate::integrity::alarm;
use crate::{Database, Error};

/// How many records a whole bundle has.
pub(super) const BUNDLE_RECORDS: i64 = 256;
/// How many rows one statement of SQLite inserts: well under its limit of 32,766 parameters.
const ROWS_AT_ONCE: usize = 1000;

/// An index or a number of records as a column has it: a tree has fewer than 2^48 leaves.
pub(super) fn column(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// The rows that a tenant's log gets. Without a key, because the tenant was erased, they have hashes and nothing to read.
pub(super) fn rows(
    tenant: &TenantId,
    key: Option<(i64, &AuditKey)>,
    (appended, log): (&Appended, &TenantLog),
    random: &dyn Random,
) -> Result<Vec<Model>, Error> {
    // A piece of a bundle is what the tile of its leaves grows by, in the same order.
    let leaves = appended.tiles.iter().filter(|growth| growth.tile.level == 0);
    let mut rows = Vec::with_capacity(appended.pieces.len());
    for ((number, piece), leaves) in appended.pieces.iter().zip(leaves) {
        let start = column(*number) * BUNDLE_RECORDS + i64::try_from(piece.start()).unwrap_or(0);
        let sealed = key.map(|(_, key)| sealed(tenant, start, key, piece, random)).transpose()?;
        rows.push(Model {
            tenant_id: tenant.as_str().to_owned(),
            start,
            records: i64::try_from(piece.records().len()).unwrap_or(i64::MAX),
            key_number: key.map(|(number, _)| number),
            sealed,
            leaves: Some(leaves.bytes()),
            frontier: None,
            first_id: None,
            last_id: None,
            words: None,
        });
    }
    // The newest row is the one that the log resumes from.
    if let Some(last) = rows.last_mut() {
        last.frontier = Some(log.frontier().encode());
    }
    Ok(rows)
}

/// A bundle or a piece of one, sealed for its place.
pub(super) fn sealed(
    tenant: &TenantId,
    start: i64,
    key: &AuditKey,
    piece: &Bundle,
    random: &dyn Random,
) -> Result<Vec<u8>, Error> {
    Ok(key.seal(&Context::audit_bundle(tenant, start), &pack(&piece.encode()), random)?)
}

/// The bundle, or the piece of one, that a row holds.
///
/// # Errors
/// [`Error::Integrity`] if it does not open, or is not what the row says; an alarm says where.
pub(super) fn opened(tenant: &TenantId, row: &Model, keys: &AuditKeys) -> Result<Bundle, Error> {
    let context = Context::audit_bundle(tenant, row.start);
    let open = || {
        let key = keys.get(&row.key_number?)?.as_ref()?;
        let packed = key.open(&context, row.sealed.as_ref()?).ok()?;
        let bundle = Bundle::decode(&unpack(&packed)?).ok()?;
        let start = usize::try_from(row.start % BUNDLE_RECORDS).ok()?;
        let records = i64::try_from(bundle.records().len()).ok()?;
        (bundle.start() == start && records == row.records).then_some(bundle)
    };
    open().ok_or_else(|| {
        alarm(tenant, context.what(), context.record());
        Error::Integrity
    })
}

/// The newest row of a log, from which it resumes.
pub(super) async fn newest(db: &DatabaseTransaction, tenant: &TenantId) -> Result<Option<Model>, DbErr> {
    let of_tenant = Entity::find().filter(Column::TenantId.eq(tenant.as_str()));
    of_tenant.order_by_desc(Column::Start).one(db).await
}

/// The pieces of a log, oldest first: bundles are completed in their order, so all of them follow the last whole one.
pub(super) async fn pieces(db: &DatabaseTransaction, tenant: &TenantId) -> Result<Vec<Model>, Error> {
    let sql =
        "SELECT start FROM audit_bundles WHERE tenant_id = $1 AND leaves IS NULL ORDER BY start DESC LIMIT 1";
    let asked = Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.as_str().into()]);
    let whole: i64 = match db.query_one_raw(asked).await? {
        Some(row) => row.try_get("", "start")?,
        None => -1,
    };
    let after = Entity::find()
        .filter(Column::TenantId.eq(tenant.as_str()))
        .filter(Column::Start.gt(whole))
        .order_by_asc(Column::Start);
    Ok(after.all(db).await?)
}

/// Inserts rows of many tenants, in a transaction that may: see [`allow_sequencing`].
pub(super) async fn insert(
    tx: &DatabaseTransaction,
    database: Database,
    rows: &[Model],
) -> Result<(), DbErr> {
    match database {
        Database::Postgres => insert_in_postgres(tx, rows).await,
        Database::Sqlite => {
            for rows in rows.chunks(ROWS_AT_ONCE) {
                let rows = rows.iter().cloned().map(active);
                Entity::insert_many(rows).exec_without_returning(tx).await?;
            }
            Ok(())
        }
    }
}

/// Inserts one row, in a transaction of its tenant.
pub(super) async fn insert_one(tx: &DatabaseTransaction, row: Model) -> Result<(), DbErr> {
    Entity::insert(active(row)).exec_without_returning(tx).await?;
    Ok(())
}

fn active(row: Model) -> ActiveModel {
    let Model { tenant_id, start, records, key_number, sealed, leaves, frontier, first_id, last_id, words } =
        row;
    ActiveModel {
        tenant_id: Set(tenant_id),
        start: Set(start),
        records: Set(records),
        key_number: Set(key_number),
        sealed: Set(sealed),
        leaves: Set(leaves),
        frontier: Set(frontier),
        first_id: Set(first_id),
        last_id: Set(last_id),
        words: Set(words),
    }
}

/// One statement with one array for each column. An array has no NULL: 0 and no bytes stand for it.
async fn insert_in_postgres(tx: &DatabaseTransaction, rows: &[Model]) -> Result<(), DbErr> {
    if rows.is_empty() {
        return Ok(());
    }
    let count = rows.len();
    let (mut tenants, mut starts) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut records, mut numbers) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut sealed, mut leaves) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut frontiers = Vec::with_capacity(count);
    for row in rows {
        tenants.push(row.tenant_id.clone());
        starts.push(row.start);
        records.push(row.records);
        numbers.push(row.key_number.unwrap_or_default());
        sealed.push(row.sealed.clone().unwrap_or_default());
        leaves.push(row.leaves.clone().unwrap_or_default());
        frontiers.push(row.frontier.clone().unwrap_or_default());
    }
    let sql = r"INSERT INTO audit_bundles (tenant_id, start, records, key_number, sealed, leaves, frontier)
        SELECT u.tenant_id, u.start, u.records, NULLIF(u.key_number, 0), NULLIF(u.sealed, '\x'::bytea), u.leaves,
            NULLIF(u.frontier, '\x'::bytea)
        FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[], $7::bytea[])
            AS u (tenant_id, start, records, key_number, sealed, leaves, frontier)";
    let values = [
        tenants.into(),
        starts.into(),
        records.into(),
        numbers.into(),
        sealed.into(),
        leaves.into(),
        frontiers.into(),
    ];
    tx.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
    Ok(())
}

/// Lets a transaction insert rows of any tenant's log until its end.
pub(super) async fn allow_sequencing(tx: &DatabaseTransaction, database: Database) -> Result<(), DbErr> {
    if database == Database::Postgres {
        let sql = "SELECT set_config('credvault.sequencing', 'on', true)";
        tx.execute_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    }
    Ok(())
}
