//! Comparing a store with what the database says of it: what the store has and the vault does not know of, and what the
//! vault refers to and the store does not have.

use std::collections::HashSet;

use credvault_crypto::{SecretStoreError, StoredReference};
use credvault_domain::{ConnectionId, TenantId};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use uuid::Uuid;

use super::payloads::PUT_TIME;
use super::{Secrets, failed};
use crate::entity::external_payload::{Column, Entity};
use crate::{ConnectionKey, Error};

/// How many payloads of the database are looked for at a time.
const PIECE: u64 = 50;
/// How many references one statement asks for.
const REFERENCES: usize = 500;

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
    ///
    /// # Errors
    /// This process has no such store, the store or the database fails, or `position` is none that a check has given.
    pub async fn check(&self, name: &str, position: Option<&str>) -> Result<StoreCheck, Error> {
        self.store.secret_store(name).map_err(|_| Error::SecretStoreUnknown)?;
        match position.map(|position| position.split_at_checked(1)) {
            None => self.check_store(name, None).await,
            Some(Some(("s", rest))) => self.check_store(name, Some(rest)).await,
            Some(Some(("d", rest))) => self.check_database(name, rest).await,
            Some(_) => Err(Error::PageToken),
        }
    }

    /// Removes what a check has found and the vault does not know of. `on_removed` learns of each.
    ///
    /// # Errors
    /// Nothing may be removed after a restore, or the store fails; what was removed by then stays so.
    pub async fn remove_orphans(
        &self,
        name: &str,
        orphans: &[String],
        mut on_removed: impl FnMut(&str) + Send,
    ) -> Result<(), Error> {
        let store = self.store.store_to_remove_from(name).await?;
        for orphan in orphans {
            store.remove(orphan).await.map_err(failed(name))?;
            on_removed(orphan);
        }
        Ok(())
    }

    async fn check_store(&self, name: &str, page: Option<&str>) -> Result<StoreCheck, Error> {
        let listed = self.store.secret_store(name)?.list(page).await.map_err(failed(name))?;
        let mut check = StoreCheck { compared: listed.references.len() as u64, ..StoreCheck::default() };
        check.next = Some(listed.next.map_or_else(|| "d".to_owned(), |next| format!("s{next}")));
        // The database is read after the store, so what is put meanwhile is known by then.
        let known = self.known(&listed.references).await?;
        let orphans = listed.references.into_iter().filter(|found| !known.has(found));
        check.orphans = orphans.map(|found| found.reference).collect();
        Ok(check)
    }

    /// What the database knows of what a store has listed.
    async fn known(&self, listed: &[StoredReference]) -> Result<Known, Error> {
        let mut known = Known::default();
        if listed.is_empty() {
            return Ok(known);
        }
        let tx = self.store.read_background().await?;
        // Under any name: the same place may have been configured by another one before.
        let names = store_names(&tx).await?;
        for piece in listed.chunks(REFERENCES) {
            let references: Vec<String> = Entity::find()
                .select_only()
                .column(Column::Reference)
                .filter(Column::Store.is_in(names.iter().map(String::as_str)))
                .filter(Column::Reference.is_in(piece.iter().map(|found| found.reference.as_str())))
                .into_tuple()
                .all(&tx)
                .await?;
            known.references.extend(references);
        }
        let begun = self.store.now().before(PUT_TIME).micros();
        known.in_flight = Entity::find()
            .select_only()
            .column(Column::ConnectionId)
            .distinct()
            .filter(Column::Store.is_in(names))
            .filter(Column::Reference.is_null())
            .filter(Column::CreateTime.gt(begun))
            .into_tuple::<Uuid>()
            .all(&tx)
            .await?
            .into_iter()
            .map(|connection| ConnectionId::from_uuid(connection).to_string())
            .collect();
        tx.rollback().await?;
        Ok(known)
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
            .filter(Column::WriteOffTime.is_null())
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
            match store.get(&reference).await {
                Ok(_) => {}
                // What cannot be read there serves no fetch either.
                Err(SecretStoreError::NotFound | SecretStoreError::Unusable(_)) => {
                    let tenant = TenantId::from_stored(row.tenant_id);
                    let connection = ConnectionId::from_uuid(row.connection_id);
                    check.missing.push((ConnectionKey { tenant, connection }, reference));
                }
                Err(problem) => return Err(failed(name)(problem)),
            }
        }
        Ok(check)
    }
}

/// What the database knows of a page of a store.
#[derive(Default)]
struct Known {
    references: HashSet<String>,
    /// Connections for which a put may be on its way.
    in_flight: HashSet<String>,
}

impl Known {
    fn has(&self, found: &StoredReference) -> bool {
        self.references.contains(&found.reference) || self.in_flight.contains(&found.connection)
    }
}

/// The names of all stores that the vault has, or had, something in.
async fn store_names(tx: &DatabaseTransaction) -> Result<Vec<String>, Error> {
    let mut names: Vec<String> = Vec::new();
    // One look into the index for each, however many rows there are.
    loop {
        let next: Option<String> = Entity::find()
            .select_only()
            .column(Column::Store)
            .filter(Column::Store.gt(names.last().map_or("", String::as_str)))
            .order_by_asc(Column::Store)
            .limit(1)
            .into_tuple()
            .one(tx)
            .await?;
        match next {
            Some(name) => names.push(name),
            None => return Ok(names),
        }
    }
}
