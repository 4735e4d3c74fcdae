//! What callers read of the rotations of connections.

use std::collections::{HashMap, HashSet};

use credvault_domain::{Connection, ConnectionId, TenantScope, Timestamp};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use uuid::Uuid;

use super::CredentialRotations;
use crate::Error;
use crate::credential_rotations::automatic::{adopted, is_paused};
use crate::credential_rotations::keys::{NEW, REPLACED};
use crate::credential_rotations::row::{MINTED, MINTING};
use crate::entity::credential_rotation::{Column, Entity};
use crate::entity::rotated_key;

/// How far a rotation is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum RotationStage {
    /// None is in progress.
    #[default]
    Idle,
    /// The provider is asked for a new key.
    Minting,
    /// A new key is there, and is tested before it is served.
    Testing,
}

/// What is stored of the rotation of a connection's credential.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct RotationRecord {
    /// Whether the vault replaces the credential by itself when that is due.
    pub automatic: bool,
    /// How far it is.
    pub stage: RotationStage,
    /// The reason of the last failure, until a new version is stored.
    pub trouble: Option<String>,
    /// When the next attempt is made after a failure.
    pub retry_time: Option<Timestamp>,
    /// How many keys have still to end at the provider.
    pub ending_keys: u32,
    /// When the first of the replaced ones ends.
    pub end_time: Option<Timestamp>,
    /// When a key was last left at the provider that nothing will revoke.
    pub left_time: Option<Timestamp>,
    /// The id of that key, if it is known.
    pub left_key_id: Option<String>,
    /// How many were left since a person has looked for them.
    pub left_keys: u32,
}

impl CredentialRotations<'_> {
    /// What is stored of the rotations of connections that this scope reaches. What is not in the answer has none.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn of(
        &self,
        scope: &TenantScope,
        connections: &[Connection],
    ) -> Result<HashMap<ConnectionId, RotationRecord>, Error> {
        if connections.is_empty() {
            return Ok(HashMap::new());
        }
        let reading = self.store.read_any(scope.tenant()).await?;
        let ids = || connections.iter().map(|connection| connection.id.as_uuid());
        let rows = Entity::find()
            .filter(Column::TenantId.eq(scope.tenant().as_str()))
            .filter(Column::ConnectionId.is_in(ids()))
            .all(&reading.tx)
            .await?;
        let planned = planned(&reading.tx, scope, connections).await?;
        let mut all = HashMap::with_capacity(rows.len());
        for row in rows {
            let stage = match row.state.as_str() {
                MINTING => RotationStage::Minting,
                MINTED => RotationStage::Testing,
                _ => RotationStage::Idle,
            };
            let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
            let automatic = row.mints && !is_paused(&row) && planned.contains(&row.connection_id);
            let is_tried_again = row.trouble.is_some() && (automatic || stage == RotationStage::Testing);
            let record = RotationRecord {
                automatic,
                stage,
                retry_time: time(row.retry_time).filter(|_| is_tried_again),
                trouble: row.trouble,
                ending_keys: 0,
                end_time: None,
                left_time: time(row.left_time),
                left_key_id: row.left_key_id,
                left_keys: u32::try_from(row.left_keys).unwrap_or(u32::MAX),
            };
            all.insert(ConnectionId::from_uuid(row.connection_id), record);
        }
        use rotated_key::Column as Key;
        let keys: Vec<(Uuid, String, i64)> = rotated_key::Entity::find()
            .filter(Key::TenantId.eq(scope.tenant().as_str()))
            .filter(Key::ConnectionId.is_in(ids()))
            .filter(Key::Role.ne(NEW))
            .order_by_asc(Key::DueTime)
            .select_only()
            .columns([Key::ConnectionId, Key::Role, Key::DueTime])
            .into_tuple()
            .all(&reading.tx)
            .await?;
        for (id, role, due) in keys {
            let record: &mut RotationRecord = all.entry(ConnectionId::from_uuid(id)).or_default();
            record.ending_keys += 1;
            if role == REPLACED && record.end_time.is_none() {
                record.end_time = Some(Timestamp::from_micros(due));
            }
        }
        Ok(all)
    }
}

/// Those of these connections whose credential is to be replaced, and that have a secret which others do not keep.
async fn planned(
    tx: &DatabaseTransaction,
    scope: &TenantScope,
    connections: &[Connection],
) -> Result<HashSet<Uuid>, Error> {
    let ids = connections.iter().map(|connection| connection.id.as_uuid());
    let adopted = adopted(tx, scope.tenant().as_str(), ids).await?;
    let versions = connections
        .iter()
        .filter(|one| one.rotation_period.is_some() || one.rotation_due_time.is_some())
        .map(|connection| (connection.id.as_uuid(), connection.current_version));
    Ok(versions.filter(|version| !adopted.contains(version)).map(|(id, _)| id).collect())
}
