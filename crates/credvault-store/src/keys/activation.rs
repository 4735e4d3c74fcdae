//! Making a root key the one that wraps.

use credvault_crypto::RootKey;
use credvault_domain::Timestamp;
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, DatabaseTransaction, EntityTrait as _, QueryOrder as _, QuerySelect as _,
};

use crate::Error;
use crate::database::pieces::execute;
use crate::database::roots::{RootState, newest_generation, root_id};
use crate::entity::root_key::{ActiveModel, Column, Entity};

/// The kind of a root key that is made of a passphrase.
const PASSPHRASE: &str = "passphrase";

/// Makes a root key the one that wraps, and gives the one that did before, and the new generation. A process that has wrapped
/// a key with the one before finds out when it stores that key.
pub(super) async fn activate(
    tx: &DatabaseTransaction,
    target: &RootKey,
    check_value: &[u8],
    now: Timestamp,
) -> Result<(u32, i64), Error> {
    let rows = Entity::find().order_by_asc(Column::Generation).lock_exclusive().all(tx).await?;
    let active = rows.iter().find(|row| row.state == RootState::Active.as_str()).ok_or(Error::Conflict)?;
    let before = root_id(active)?;
    let generation = newest_generation(tx).await? + 1;
    let id = i64::from(target.id());
    let sql = "UPDATE root_keys SET state = $1 WHERE state = $2 AND root_id <> $3";
    let states = [RootState::Previous.as_str().into(), RootState::Active.as_str().into(), id.into()];
    execute(tx, sql, states).await?;
    if rows.iter().any(|row| row.root_id == id) {
        let sql = "UPDATE root_keys SET generation = $1, state = $2, check_value = $3 WHERE root_id = $4";
        let values =
            [generation.into(), RootState::Active.as_str().into(), check_value.to_vec().into(), id.into()];
        execute(tx, sql, values).await?;
        return Ok((before, generation));
    }
    // How a passphrase was stretched is known only where it was made known.
    if target.kind() == PASSPHRASE {
        return Err(Error::RootKeyUnknown);
    }
    let row = ActiveModel {
        generation: Set(generation),
        root_id: Set(id),
        kind: Set(target.kind().to_owned()),
        kdf: Set(None),
        check_value: Set(check_value.to_vec()),
        create_time: Set(now.micros()),
        name: Set(target.name().to_owned()),
        state: Set(RootState::Active.as_str().to_owned()),
    };
    row.insert(tx).await?;
    Ok((before, generation))
}
