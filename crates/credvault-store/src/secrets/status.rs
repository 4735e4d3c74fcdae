//! Where the secrets of a tenant are kept.

use credvault_domain::TenantScope;
use sea_orm::{ConnectionTrait as _, EntityTrait as _, Statement};

use super::{DATABASE, Secrets};
use crate::Error;
use crate::entity::tenant;
use crate::keys::rotation::{Rotation, RotationKind, rotation};

/// Where the secrets of a tenant, or the platform's own, are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretPlaces {
    /// The store that the tenant has chosen; none if it has not.
    pub chosen: Option<String>,
    /// Where its new secrets go: a store, or `database`.
    pub target: String,
    /// The stores that this process is configured with, and the database, which comes first.
    pub places: Vec<SecretPlace>,
    /// The latest move of its secrets.
    pub latest_move: Option<Rotation>,
}

/// A place where secrets are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretPlace {
    /// The name of the store in the settings, or `database`.
    pub name: String,
    /// The kind of store; `database`, or empty for a store that this process is not configured with.
    pub kind: String,
    /// Where it is, as the store itself says.
    pub location: String,
    /// How many versions of credentials are there, adopted ones not among them.
    pub versions: i64,
    /// How many versions refer to secrets of others there.
    pub adopted: i64,
}

impl Secrets<'_> {
    /// Where the secrets of the scope's tenant are kept.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn places(&self, scope: &TenantScope) -> Result<SecretPlaces, Error> {
        let reading = self.store.query_any(scope.tenant()).await?;
        let of = scope.tenant().as_str();
        let chosen = tenant::Entity::find_by_id(of)
            .one(&reading.tx)
            .await?
            .ok_or_else(|| Error::TenantNotFound(scope.tenant().clone()))?
            .secret_store;
        let sql = "SELECT store, CASE WHEN payload IS NULL THEN 1 ELSE 0 END AS adopted, count(*) AS versions
            FROM credential_versions WHERE tenant_id = $1 AND sealed IS NOT NULL
            GROUP BY store, CASE WHEN payload IS NULL THEN 1 ELSE 0 END";
        let asked = Statement::from_sql_and_values(reading.tx.get_database_backend(), sql, [of.into()]);
        let settings = &self.store.settings().secrets;
        let mut places = vec![place(DATABASE, DATABASE, "")];
        places.extend(
            settings.by_name.iter().map(|(name, entry)| place(name, entry.store.kind(), entry.store.place())),
        );
        for row in reading.tx.query_all_raw(asked).await? {
            let store: Option<String> = row.try_get("", "store")?;
            let (adopted, versions) = (row.try_get::<i32>("", "adopted")? == 1, row.try_get("", "versions")?);
            let name = store.as_deref().unwrap_or(DATABASE);
            let index = places.iter().position(|place| place.name == name).unwrap_or_else(|| {
                places.push(place(name, "", ""));
                places.len() - 1
            });
            let Some(place) = places.get_mut(index) else { continue };
            let counted = if adopted && store.is_some() { &mut place.adopted } else { &mut place.versions };
            *counted = versions;
        }
        let key = (of.to_owned(), RotationKind::Secrets.as_str().to_owned());
        let latest = crate::entity::rotation::Entity::find_by_id(key).one(&reading.tx).await?;
        let target =
            chosen.clone().or_else(|| settings.default.clone()).unwrap_or_else(|| DATABASE.to_owned());
        Ok(SecretPlaces { chosen, target, places, latest_move: latest.map(rotation).transpose()? })
    }
}

fn place(name: &str, kind: &str, location: &str) -> SecretPlace {
    SecretPlace {
        name: name.to_owned(),
        kind: kind.to_owned(),
        location: location.to_owned(),
        versions: 0,
        adopted: 0,
    }
}
