//! The repository of apps: what the platform, or one tenant, has registered at providers.

use std::collections::BTreeMap;

use credvault_crypto::{Binding, Context};
use credvault_domain::{AppPlace, FieldName, SecretFields, TenantId, TenantScope, Timestamp};
use futures::StreamExt as _;
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QueryResult, QuerySelect as _,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use uuid::Uuid;

use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::change::{Change, retrying};
use crate::connections::row::text_map;
use crate::database::tenant_keys::TenantKeys;
use crate::entity::oauth_app::{ActiveModel, Column, Entity, Model};
use crate::page::text_position;
use crate::sealed::{Sealed, SealedRecord};
use crate::tenants::new_app::{NewApp, PREVIOUS, SECRET, bound};
use crate::{ConnectionKey, Error, Listed, Page, Recorded, Store, Write};

/// An app without its secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OAuthApp {
    /// The provider of the app, and the server there if it stands for many.
    pub place: AppPlace,
    /// The app's id at the provider.
    pub client_id: String,
    /// Where the provider sends browsers back to. Registered there, too.
    pub redirect_uri: String,
    /// The scopes of a consent that names none.
    pub scopes: Vec<String>,
    /// Further values that the provider's file refers to as `{app.X}`.
    pub settings: BTreeMap<String, String>,
    /// Masked hints of its secrets.
    pub hints: BTreeMap<String, String>,
    /// When it was first stored.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
}

/// An app with its secrets, ready to be used.
#[derive(Clone, Debug)]
pub struct UsableApp {
    /// What is not secret.
    pub app: OAuthApp,
    /// The app's revision, which changes with every PutOAuthApp.
    pub revision: AppRevision,
    /// Whose it is: the tenant's own or the platform's.
    pub namespace: TenantId,
    /// The app's secret at the provider.
    pub client_secret: Option<SecretString>,
    /// The previous secret, while it is valid.
    pub previous_client_secret: Option<SecretString>,
    /// Further values that are secret.
    pub secrets: BTreeMap<String, SecretString>,
}

/// The revision of an app. Every PutOAuthApp makes a new one; [`AppRevision::NONE`] stands for no app.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct AppRevision(Option<(Uuid, i64)>);

impl AppRevision {
    /// There is no app.
    pub const NONE: Self = Self(None);

    pub(crate) fn from_stored(text: &str) -> Self {
        let parts = text.split_once('/');
        Self(parts.and_then(|(id, generation)| Some((id.parse().ok()?, generation.parse().ok()?))))
    }
}

impl std::fmt::Display for AppRevision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some((id, generation)) => write!(f, "{id}/{generation}"),
            None => f.write_str("none"),
        }
    }
}

/// The repository of apps.
#[derive(Clone, Copy, Debug)]
pub struct Apps<'a> {
    store: &'a Store,
}

impl Store {
    /// The repository of apps.
    pub fn apps(&self) -> Apps<'_> {
        Apps { store: self }
    }
}

impl Apps<'_> {
    /// Stores the app of this namespace at a place, instead of the one that is there.
    ///
    /// # Errors
    /// The tenant is not served, or the database fails.
    pub async fn put(
        &self,
        scope: &TenantScope,
        new: &NewApp,
        write: &Write,
    ) -> Result<Recorded<OAuthApp>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            let key = (scope.tenant().as_str().to_owned(), new.place.to_stored());
            let stored = Entity::find_by_id(key).lock_exclusive().one(&change.tx).await?;
            if change.prior().is_some() {
                return change.commit(app(stored.ok_or(Error::Conflict)?)?).await;
            }
            let before = match &stored {
                Some(model) => open(scope.tenant(), change.keys()?, model)?,
                None => SecretFields::default(),
            };
            let other = stored.as_ref().is_some_and(|stored| stored.client_id != new.client_id);
            if other && new.leaves_out_any_of(&before) {
                return Err(Error::State(
                    "the secrets that are stored belong to another client_id; give the new one's",
                ));
            }
            let fields = new.sealed_fields(before);
            let row = self.row(&change, new, &fields, stored.as_ref())?;
            let before_exists = stored.is_some();
            let model = match stored {
                Some(_) => row.update(&change.tx).await?,
                None => row.insert(&change.tx).await?,
            };
            let kind = if before_exists { ChangeKind::Updated } else { ChangeKind::Created };
            change.record_change(ChangeSubject::App(new.place.provider().clone()), kind, None);
            change.commit(app(model)?).await
        })
        .await
    }

    pub(super) fn store(&self) -> &Store {
        self.store
    }

    /// Inserts an app where there is none, in a change that the vault makes by itself. Whether there was none.
    pub(super) async fn insert_if_absent(
        &self,
        change: &mut Change<'_>,
        new: &NewApp,
    ) -> Result<bool, Error> {
        let key = (change.tenant().as_str().to_owned(), new.place.to_stored());
        if Entity::find_by_id(key).one(&change.tx).await?.is_some() {
            return Ok(false);
        }
        let fields = new.sealed_fields(SecretFields::default());
        self.row(change, new, &fields, None)?.insert(&change.tx).await?;
        let subject = ChangeSubject::App(new.place.provider().clone());
        change.record_change(subject, ChangeKind::Created, None);
        Ok(true)
    }

    /// A page of this namespace's apps, ordered by provider.
    ///
    /// # Errors
    /// The tenant is not served, the page token is wrong, or the database fails.
    pub async fn list(&self, scope: &TenantScope, page: &Page) -> Result<Listed<OAuthApp>, Error> {
        let reading = self.store.read(scope).await?;
        let after = text_position(page.position(scope.tenant(), &reading)?)?.unwrap_or_default();
        let rows = Entity::find()
            .filter(Column::TenantId.eq(scope.tenant().as_str()))
            .filter(Column::Provider.gt(after))
            .order_by_asc(Column::Provider)
            .limit(page.limit())
            .stream(&reading.tx)
            .await?
            .map(|row| app(row?));
        let position = |last: &OAuthApp| last.place.to_stored().into_bytes();
        page.read(self.store, scope.tenant(), reading.key(), rows, position).await
    }

    /// Removes the app of this namespace at a place; `false` if there was none.
    ///
    /// # Errors
    /// The tenant is not served, or the database fails.
    pub async fn delete(
        &self,
        scope: &TenantScope,
        place: &AppPlace,
        write: &Write,
    ) -> Result<Recorded<bool>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            let key = (scope.tenant().as_str().to_owned(), place.to_stored());
            let removed = match change.prior() {
                Some(_) => true,
                None => Entity::delete_by_id(key).exec(&change.tx).await?.rows_affected > 0,
            };
            if removed {
                change.record_change(ChangeSubject::App(place.provider().clone()), ChangeKind::Deleted, None);
            }
            change.commit(removed).await
        })
        .await
    }

    /// The app that a connection is made with: its tenant's own, or else the platform's.
    ///
    /// # Errors
    /// A sealed value does not open, or the database fails.
    pub async fn usable_at(&self, key: &ConnectionKey, place: &AppPlace) -> Result<Option<UsableApp>, Error> {
        self.usable(key.tenant(), place).await
    }

    /// The app that this scope's connections are made with: the tenant's own, or else the platform's.
    ///
    /// # Errors
    /// A sealed value does not open, or the database fails.
    pub async fn usable_in(&self, scope: &TenantScope, place: &AppPlace) -> Result<Option<UsableApp>, Error> {
        self.usable(scope.tenant(), place).await
    }

    /// Those of these places at which neither this scope's tenant nor the platform has an app.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn missing_at(
        &self,
        scope: &TenantScope,
        mut places: Vec<AppPlace>,
    ) -> Result<Vec<AppPlace>, Error> {
        let platform = TenantId::platform();
        for namespace in [scope.tenant(), &platform] {
            if places.is_empty() {
                break;
            }
            let reading = self.store.read_any(namespace).await?;
            let stored: Vec<String> = Entity::find()
                .filter(Column::TenantId.eq(namespace.as_str()))
                .filter(Column::Provider.is_in(places.iter().map(AppPlace::to_stored)))
                .select_only()
                .column(Column::Provider)
                .into_tuple()
                .all(&reading.tx)
                .await?;
            places.retain(|place| !stored.contains(&place.to_stored()));
        }
        Ok(places)
    }

    /// Which app a connection is made with now.
    ///
    /// # Errors
    /// The database fails.
    pub async fn revision_at(&self, key: &ConnectionKey, place: &AppPlace) -> Result<AppRevision, Error> {
        let platform = TenantId::platform();
        for namespace in [key.tenant(), &platform] {
            let reading = self.store.read_any(namespace).await?;
            let key = (namespace.as_str().to_owned(), place.to_stored());
            if let Some(model) = Entity::find_by_id(key).one(&reading.tx).await? {
                return Ok(AppRevision(Some((model.id, model.generation))));
            }
        }
        Ok(AppRevision::NONE)
    }

    async fn usable(&self, tenant: &TenantId, place: &AppPlace) -> Result<Option<UsableApp>, Error> {
        let platform = TenantId::platform();
        for namespace in [tenant, &platform] {
            let reading = self.store.read_any(namespace).await?;
            let key = (namespace.as_str().to_owned(), place.to_stored());
            let Some(model) = Entity::find_by_id(key).one(&reading.tx).await? else { continue };
            let fields = open(namespace, &reading.keys, &model)?;
            let own = |name: &FieldName| !matches!(name.as_str(), SECRET | PREVIOUS);
            let secrets = fields.iter().filter(|(name, _)| own(name));
            return Ok(Some(UsableApp {
                revision: AppRevision(Some((model.id, model.generation))),
                namespace: namespace.clone(),
                app: app(model)?,
                client_secret: fields.get(SECRET).cloned(),
                previous_client_secret: fields.get(PREVIOUS).cloned(),
                secrets: secrets.map(|(name, value)| (name.as_str().to_owned(), value.clone())).collect(),
            }));
        }
        Ok(None)
    }

    /// The row of an app, in place of the one that is stored.
    fn row(
        &self,
        change: &Change<'_>,
        new: &NewApp,
        fields: &SecretFields,
        stored: Option<&Model>,
    ) -> Result<ActiveModel, Error> {
        let masked = |(name, value): (&FieldName, &SecretString)| {
            Some((name.as_str().to_owned(), credvault_domain::mask(value.expose_secret())?))
        };
        let hints: BTreeMap<_, _> = fields.iter().filter_map(masked).collect();
        let now = change.now.micros();
        let (id, generation, create_time) = match stored {
            Some(model) => (model.id, model.generation + 1, model.create_time),
            None => (self.store.new_id()?, 1, now),
        };
        let bound = bound(&new.place, &new.client_id, &new.redirect_uri, &new.scopes, &new.settings);
        let sealed = Sealed::seal(fields, change.key()?, self.store.keyring().random(), |schema| {
            Context::app(change.tenant(), id.into_bytes(), generation, schema, bound)
        })?;
        Ok(ActiveModel {
            tenant_id: Set(change.tenant().as_str().to_owned()),
            provider: Set(new.place.to_stored()),
            id: Set(id),
            client_id: Set(new.client_id.clone()),
            redirect_uri: Set(new.redirect_uri.clone()),
            scopes: Set(json!(new.scopes)),
            settings: Set(json!(new.settings)),
            generation: Set(generation),
            schema: Set(sealed.schema),
            key_version: Set(sealed.key_version),
            sealed: Set(sealed.bytes),
            hints: Set(json!(hints)),
            create_time: Set(create_time),
            update_time: Set(now),
        })
    }
}

fn open(tenant: &TenantId, keys: &TenantKeys, model: &Model) -> Result<SecretFields, Error> {
    let app = app(model.clone())?;
    let bound = bound(&app.place, &app.client_id, &app.redirect_uri, &app.scopes, &app.settings);
    let record = SealedRecord { schema: model.schema, key_version: model.key_version, bytes: &model.sealed };
    record.open(tenant, keys, |schema| {
        Context::app(tenant, model.id.into_bytes(), model.generation, schema, bound)
    })
}

/// What the secrets of an app are bound to, of a row that was read without them.
pub(crate) fn bound_of(row: &QueryResult) -> Result<Binding, Error> {
    let provider: String = row.try_get("", "provider")?;
    let json = |column: &str| row.try_get::<serde_json::Value>("", column);
    let scopes: Vec<String> = serde_json::from_value(json("scopes")?).map_err(|_| Error::Integrity)?;
    let (client, redirect) =
        (row.try_get::<String>("", "client_id")?, row.try_get::<String>("", "redirect_uri")?);
    Ok(bound(&AppPlace::from_stored(&provider), &client, &redirect, &scopes, &text_map(json("settings")?)?))
}

fn app(model: Model) -> Result<OAuthApp, Error> {
    Ok(OAuthApp {
        place: AppPlace::from_stored(&model.provider),
        client_id: model.client_id,
        redirect_uri: model.redirect_uri,
        scopes: serde_json::from_value(model.scopes).map_err(|_| Error::Integrity)?,
        settings: text_map(model.settings)?,
        hints: text_map(model.hints)?,
        create_time: Timestamp::from_micros(model.create_time),
        update_time: Timestamp::from_micros(model.update_time),
    })
}
