//! Comparing a store with what the database says of it: what the store has and the vault does not know of, and what the
//! vault refers to and the store does not have.

use std::collections::HashSet;

use credvault_domain::{ConnectionId, TenantId};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use super::{Secrets, failed};
use crate::entity::external_payload::{Column, Entity, Model};
use crate::{ConnectionKey, Error};

/// How many payloads of the database are looked for at a time.
const PIECE: u64 = 100;

/// A page of what differs between a store and the database.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct StoreCheck {
    /// How many payloads were compared.
    pub compared: u64,
    /// What the store has and the vault does not know of, by reference.
    pub orphans: Vec<String>,
    /// Connections whose secret the store does not have any more, with the reference.
    pub missing: Vec<(ConnectionKey, String)>,
    /// Where the check goes on; none at its end.
    pub next: Option<String>,
}

impl Secrets<'_> {
    /// Compares a page of a store with the database: first all that the store has, then all that the database refers to.
    /// `repair` removes what the vault does not know of.
    ///
    /// # Errors
    /// This process has no such store, the store or the database fails, or `position` is none that a check has given.
    pub async fn check(&self, name: &str, position: Option<&str>, repair: bool) -> Result<StoreCheck, Error> {
        self.store.secret_store(name).map_err(|_| Error::SecretStoreUnknown)?;
        match position.map(|position| position.split_at_checked(1)) {
            None => self.check_store(name, None, repair).await,
            Some(Some(("s", rest))) => self.check_store(name, Some(rest), repair).await,
            Some(Some(("d", rest))) => self.check_database(name, rest).await,
            Some(_) => Err(Error::PageToken),
        }
    }

    async fn check_store(&self, name: &str, page: Option<&str>, repair: bool) -> Result<StoreCheck, Error> {
        let store = self.store.secret_store(name)?;
        let listed = store.list(page).await.map_err(failed(name))?;
        let mut check = StoreCheck { compared: listed.references.len() as u64, ..StoreCheck::default() };
        check.next = Some(listed.next.map_or_else(|| "d".to_owned(), |next| format!("s{next}")));
        // The database is read after the store, so what is put meanwhile is known by then.
        let known = self.known(name, &listed.references).await?;
        for found in listed.references {
            let in_flight = known
                .iter()
                .any(|row| row.reference.is_none() && row.connection_id.to_string() == found.connection);
            let is_known = known.iter().any(|row| row.reference.as_deref() == Some(found.reference.as_str()));
            if is_known || in_flight {
                continue;
            }
            if repair {
                store.remove(&found.reference).await.map_err(failed(name))?;
            }
            check.orphans.push(found.reference);
        }
        Ok(check)
    }

    /// The rows of what a store has listed, and of what is being put for the same connections.
    async fn known(
        &self,
        name: &str,
        listed: &[credvault_crypto::StoredReference],
    ) -> Result<Vec<Model>, Error> {
        if listed.is_empty() {
            return Ok(Vec::new());
        }
        let connections: HashSet<Uuid> =
            listed.iter().filter_map(|found| Uuid::parse_str(&found.connection).ok()).collect();
        let tx = self.store.read_background().await?;
        let these = Condition::any()
            .add(Column::Reference.is_in(listed.iter().map(|found| found.reference.as_str())))
            .add(
                Condition::all()
                    .add(Column::Reference.is_null())
                    .add(Column::ConnectionId.is_in(connections)),
            );
        let rows = Entity::find().filter(Column::Store.eq(name)).filter(these).all(&tx).await?;
        tx.rollback().await?;
        Ok(rows)
    }

    async fn check_database(&self, name: &str, after: &str) -> Result<StoreCheck, Error> {
        let after = match after {
            "" => Uuid::nil(),
            text => Uuid::parse_str(text).map_err(|_| Error::PageToken)?,
        };
        let tx = self.store.read_background().await?;
        let rows = Entity::find()
            .filter(Column::Store.eq(name))
            .filter(Column::Reference.is_not_null())
            .filter(Column::DropTime.is_null())
            .filter(Column::Id.gt(after))
            .order_by_asc(Column::Id)
            .limit(PIECE)
            .all(&tx)
            .await?;
        tx.rollback().await?;
        let store = self.store.secret_store(name)?;
        let mut check = StoreCheck { compared: rows.len() as u64, ..StoreCheck::default() };
        check.next = rows.last().map(|row| format!("d{}", row.id));
        for row in rows {
            let Some(reference) = row.reference else { continue };
            let connection = ConnectionId::from_uuid(row.connection_id);
            let found =
                store.find(&connection.to_string(), &row.id.to_string()).await.map_err(failed(name))?;
            if found.is_none() {
                let tenant = TenantId::from_stored(row.tenant_id);
                check.missing.push((ConnectionKey { tenant, connection }, reference));
            }
        }
        Ok(check)
    }
}
