//! Rows of `audit_bundles`: what the sequencer appends to logs, many tenants in one statement, and what opens again.

use credvault_audit::{Appended, Bundle, TenantLog};
use credvault_crypto::{AuditKey, Context};
use credvault_domain::{Random, TenantId};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, EntityTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Statement, Value,
};

use super::keys::AuditKeys;
use super::packing::{pack, unpack};
use super::whole::{self, BUNDLE_RECORDS, describe, tile};
use crate::entity::audit_bundle::{ActiveModel, Column, Entity, Model};
use crate::entity::audit_tile;
use crate::integrity::alarm;
use crate::{Database, Error};

/// How many rows one statement of SQLite inserts: well under its limit of 32,766 parameters.
const ROWS_AT_ONCE: usize = 1000;

/// An index or a number of records as a column has it: a tree has fewer than 2^48 leaves.
pub(super) fn column(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// The rows that logs get.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) bundles: Vec<Model>,
    /// The tiles of whole bundles.
    pub(super) tiles: Vec<audit_tile::Model>,
}

/// Adds what a tenant's log gets, and gives the place before which all rows are whole bundles then; `settled` is that place
/// now. Without a key, because the tenant was erased, there are hashes and nothing to read.
pub(super) fn append_rows(
    rows: &mut Rows,
    (tenant, key): (&TenantId, Option<(i64, &AuditKey)>),
    (appended, log): (&Appended, &TenantLog),
    mut settled: i64,
    random: &dyn Random,
) -> Result<i64, Error> {
    // A piece of a bundle is what the tile of its leaves grows by, in the same order.
    let leaves = appended.tiles.iter().filter(|growth| growth.tile.level == 0);
    let first = rows.bundles.len();
    for ((number, piece), leaves) in appended.pieces.iter().zip(leaves) {
        let (number, leaves) = (column(*number), leaves.bytes());
        let start = number * BUNDLE_RECORDS + i64::try_from(piece.start()).unwrap_or(0);
        let mut row = Model {
            tenant_id: tenant.as_str().to_owned(),
            start,
            records: i64::try_from(piece.records().len()).unwrap_or(i64::MAX),
            key_number: key.map(|(number, _)| number),
            sealed: key.map(|(_, key)| sealed(tenant, start, key, piece, random)).transpose()?,
            leaves: None,
            settled: 0,
            frontier: None,
            first_id: None,
            last_id: None,
            first_time: None,
            words: None,
        };
        if row.records == BUNDLE_RECORDS {
            rows.tiles.push(tile(tenant, 0, number, leaves)?);
            if let Some((_, key)) = key {
                describe(&mut row, piece, key);
            }
            if settled == start {
                settled += BUNDLE_RECORDS;
            }
        } else {
            row.leaves = Some(leaves);
        }
        rows.bundles.push(row);
    }
    // The newest row is the one that the log resumes from.
    if let Some(last) = rows.bundles.get_mut(first..).and_then(<[Model]>::last_mut) {
        (last.frontier, last.settled) = (Some(log.frontier().encode()), settled);
    }
    Ok(settled)
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

/// The size of a log, and the place before which all its rows are whole bundles; `None` if it is empty.
pub(super) async fn size(db: &DatabaseTransaction, tenant: &TenantId) -> Result<Option<(i64, i64)>, Error> {
    let sql = "SELECT start + records AS size, settled FROM audit_bundles WHERE tenant_id = $1 ORDER BY start DESC LIMIT 1";
    let asked = Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.as_str().into()]);
    let row = db.query_one_raw(asked).await?;
    row.map(|row| Ok((row.try_get("", "size")?, row.try_get("", "settled")?))).transpose()
}

/// The place of the oldest row of a log that is there; none if the log is empty.
pub(super) async fn first_place(db: &DatabaseTransaction, tenant: &TenantId) -> Result<Option<i64>, Error> {
    let sql = "SELECT start FROM audit_bundles WHERE tenant_id = $1 ORDER BY start LIMIT 1";
    let asked = Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.as_str().into()]);
    Ok(db.query_one_raw(asked).await?.map(|row| row.try_get("", "start")).transpose()?)
}

/// The place before which all rows of a log are whole bundles, from a place on where that is known.
pub(super) async fn whole_until(
    db: &DatabaseTransaction,
    tenant: &TenantId,
    settled: i64,
) -> Result<i64, DbErr> {
    let starts = Entity::find()
        .select_only()
        .column(Column::Start)
        .filter(Column::TenantId.eq(tenant.as_str()))
        .filter(Column::Start.gte(settled))
        .filter(Column::Records.eq(BUNDLE_RECORDS))
        .order_by_asc(Column::Start)
        .into_tuple::<i64>()
        .all(db)
        .await?;
    let mut place = settled;
    for start in starts {
        if start != place {
            break;
        }
        place += BUNDLE_RECORDS;
    }
    Ok(place)
}

/// The pieces of a log from a place on, oldest first. Those of one bundle stand together.
pub(super) async fn pieces(
    db: &DatabaseTransaction,
    tenant: &TenantId,
    settled: i64,
) -> Result<Vec<Model>, DbErr> {
    let pieces = Entity::find()
        .filter(Column::TenantId.eq(tenant.as_str()))
        .filter(Column::Start.gte(settled))
        .filter(Column::Leaves.is_not_null());
    pieces.order_by_asc(Column::Start).all(db).await
}

/// Inserts rows of many tenants, in a transaction that may: see [`allow_sequencing`].
pub(super) async fn insert(
    tx: &DatabaseTransaction,
    database: Database,
    bundles: &[Model],
    tiles: &[audit_tile::Model],
) -> Result<(), DbErr> {
    match database {
        Database::Postgres => {
            insert_bundles(tx, bundles).await?;
            insert_tiles(tx, tiles).await
        }
        Database::Sqlite => {
            for rows in bundles.chunks(ROWS_AT_ONCE) {
                let rows = rows.iter().cloned().map(active);
                Entity::insert_many(rows).exec_without_returning(tx).await?;
            }
            for tiles in tiles.chunks(ROWS_AT_ONCE) {
                let tiles = tiles.iter().cloned().map(whole::active);
                audit_tile::Entity::insert_many(tiles).exec_without_returning(tx).await?;
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
    let Model {
        tenant_id,
        start,
        records,
        key_number,
        sealed,
        leaves,
        settled,
        frontier,
        first_id,
        last_id,
        first_time,
        words,
    } = row;
    ActiveModel {
        tenant_id: Set(tenant_id),
        start: Set(start),
        records: Set(records),
        key_number: Set(key_number),
        sealed: Set(sealed),
        leaves: Set(leaves),
        settled: Set(settled),
        frontier: Set(frontier),
        first_id: Set(first_id),
        last_id: Set(last_id),
        first_time: Set(first_time),
        words: Set(words),
    }
}

/// One statement with one array for each column. An array has no NULL: zeros and no bytes stand for it.
async fn insert_bundles(tx: &DatabaseTransaction, rows: &[Model]) -> Result<(), DbErr> {
    if rows.is_empty() {
        return Ok(());
    }
    let bytes = |bytes: &Option<Vec<u8>>| bytes.clone().unwrap_or_default();
    let sql = r"INSERT INTO audit_bundles
            (tenant_id, start, records, key_number, sealed, leaves, settled, frontier, first_id, last_id, first_time, words)
        SELECT u.tenant_id, u.start, u.records, NULLIF(u.key_number, 0), NULLIF(u.sealed, '\x'::bytea),
            NULLIF(u.leaves, '\x'::bytea), u.settled, NULLIF(u.frontier, '\x'::bytea),
            NULLIF(u.first_id, '00000000-0000-0000-0000-000000000000'::uuid),
            NULLIF(u.last_id, '00000000-0000-0000-0000-000000000000'::uuid), NULLIF(u.first_time, 0),
            NULLIF(u.words, '\x'::bytea)
        FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[], $7::bigint[],
                $8::bytea[], $9::uuid[], $10::uuid[], $11::bigint[], $12::bytea[])
            AS u (tenant_id, start, records, key_number, sealed, leaves, settled, frontier, first_id, last_id, first_time,
                words)";
    let values: [Value; 12] = [
        of_each(rows, |row| row.tenant_id.clone()),
        of_each(rows, |row| row.start),
        of_each(rows, |row| row.records),
        of_each(rows, |row| row.key_number.unwrap_or_default()),
        of_each(rows, |row| bytes(&row.sealed)),
        of_each(rows, |row| bytes(&row.leaves)),
        of_each(rows, |row| row.settled),
        of_each(rows, |row| bytes(&row.frontier)),
        of_each(rows, |row| row.first_id.unwrap_or_default()),
        of_each(rows, |row| row.last_id.unwrap_or_default()),
        of_each(rows, |row| row.first_time.unwrap_or_default()),
        of_each(rows, |row| bytes(&row.words)),
    ];
    tx.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
    Ok(())
}

async fn insert_tiles(tx: &DatabaseTransaction, tiles: &[audit_tile::Model]) -> Result<(), DbErr> {
    if tiles.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO audit_tiles (tenant_id, level, number, hashes, root)
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[])";
    let values: [Value; 5] = [
        of_each(tiles, |tile| tile.tenant_id.clone()),
        of_each(tiles, |tile| tile.level),
        of_each(tiles, |tile| tile.number),
        of_each(tiles, |tile| tile.hashes.clone()),
        of_each(tiles, |tile| tile.root.clone()),
    ];
    tx.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
    Ok(())
}

/// One column of some rows as an array.
fn of_each<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Value
where
    Value: From<Vec<T>>,
{
    rows.iter().map(value).collect::<Vec<T>>().into()
}

/// Lets a transaction insert rows of any tenant's log until its end.
pub(super) async fn allow_sequencing(tx: &DatabaseTransaction, database: Database) -> Result<(), DbErr> {
    if database == Database::Postgres {
        let sql = "SELECT set_config('credvault.sequencing', 'on', true)";
        tx.execute_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    }
    Ok(())
}
