//! Listing the versions of a credential: what is known of each without its sealed bytes, which are not read for it.

use credvault_domain::{ConnectionId, CredentialVersion, TenantScope, Timestamp, Version, VersionState};
use futures::StreamExt as _;
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, FromQueryResult, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use uuid::Uuid;

use crate::connections::lock::find;
use crate::connections::row::text_map;
use crate::entity::credential_version::{Column, Entity};
use crate::page::number_position;
use crate::{Credentials, Error, Listed, Page};

/// A version without its sealed bytes, which are there until it is destroyed.
#[derive(FromQueryResult)]
struct Unsealed {
    version: Version,
    hints: serde_json::Value,
    create_time: i64,
    expire_time: Option<i64>,
    destroy_time: Option<i64>,
    rolled_back_from: Option<Version>,
    store: Option<String>,
    payload: Option<Uuid>,
    key_revoke_time: Option<i64>,
}

impl Credentials<'_> {
    /// A page of versions, newest first.
    ///
    /// # Errors
    /// The connection is not there, or the page token is wrong.
    pub async fn list(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        page: &Page,
    ) -> Result<Listed<CredentialVersion>, Error> {
        let reading = self.store.read(scope).await?;
        let before = number_position(page.position(scope.tenant(), &reading)?)?;
        let current = find(&reading.tx, scope, id).await?.current_version;
        let mut query = Entity::find()
            .filter(Column::TenantId.eq(scope.tenant().as_str()))
            .filter(Column::ConnectionId.eq(id.as_uuid()));
        if let Some(before) = before {
            query = query.filter(Column::Version.lt(before));
        }
        let rows = query
            .select_only()
            .columns([
                Column::Version,
                Column::Hints,
                Column::CreateTime,
                Column::ExpireTime,
                Column::DestroyTime,
                Column::RolledBackFrom,
                Column::Store,
                Column::Payload,
                Column::KeyRevokeTime,
            ])
            .order_by_desc(Column::Version)
            .limit(page.limit())
            .into_model::<Unsealed>()
            .stream(&reading.tx)
            .await?
            .map(|row| version(row?, current));
        let position = |last: &CredentialVersion| last.version.to_be_bytes().to_vec();
        page.read(self.store, scope.tenant(), reading.key(), rows, position).await
    }
}

fn version(row: Unsealed, current: Version) -> Result<CredentialVersion, Error> {
    let Unsealed {
        version,
        hints,
        create_time,
        expire_time,
        destroy_time,
        rolled_back_from,
        key_revoke_time,
        store,
        payload,
    } = row;
    let store = store.filter(|_| destroy_time.is_none());
    Ok(CredentialVersion {
        version,
        state: if destroy_time.is_none() { VersionState::Live } else { VersionState::Destroyed },
        current: version == current,
        hints: text_map(hints)?,
        create_time: Timestamp::from_micros(create_time),
        expire_time: expire_time.map(Timestamp::from_micros),
        destroy_time: destroy_time.map(Timestamp::from_micros),
        rolled_back_from,
        adopted: store.is_some() && payload.is_none(),
        store,
        key_revoke_time: key_revoke_time.map(Timestamp::from_micros),
    })
}
