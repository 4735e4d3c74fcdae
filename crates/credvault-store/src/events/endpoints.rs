//! The repository of event endpoints: the URLs that a tenant, or the platform, wants events at, and their secrets.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credvault_crypto::{Context, FIELDS_SCHEMA, encode_fields};
use credvault_domain::{
    EventEndpointId, EventType, FieldName, Random, SecretFields, TenantId, TenantScope, Timestamp,
};
use futures::stream;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Query, SelectStatement};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, EntityTrait as _, IntoActiveModel as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::change::{Changing, retrying};
use crate::credentials::open_sealed;
use crate::database::pieces::{self, PIECE};
use crate::entity::event_endpoint::{ActiveModel, Column, Entity, Model};
use crate::entity::{endpoint_deletion, tenant_key};
use crate::page::uuid_position;
use crate::{Error, Listed, Page, Recorded, Store, Write};

/// The most endpoints of a tenant, and of the platform.
const MOST: u64 = 16;
/// How long the secret before signs beside the new one.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// What every secret begins with (Standard Webhooks).
const PREFIX: &str = "whsec_";

const SECRET: &str = "secret";
const PREVIOUS: &str = "previous_secret";
const URL: &str = "url";

/// An endpoint without its secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventEndpoint {
    /// Its id.
    pub id: EventEndpointId,
    /// Where events are sent to.
    pub url: String,
    /// Which events; none means all.
    pub types: Vec<EventType>,
    /// What it is, for people.
    pub description: String,
    /// Whether events are sent to it.
    pub enabled: bool,
    /// Until when the secret before signs, too.
    pub previous_expire_time: Option<Timestamp>,
    /// How many attempts have failed since one succeeded.
    pub failures: i64,
    /// When it last took an event.
    pub success_time: Option<Timestamp>,
    /// When it last did not.
    pub failure_time: Option<Timestamp>,
    /// Why it did not.
    pub failure: Option<String>,
    /// When it was created.
    pub create_time: Timestamp,
    /// When somebody last changed it.
    pub update_time: Timestamp,
}

/// An endpoint to be stored.
#[derive(Clone, Debug)]
pub struct NewEventEndpoint {
    /// Which one is changed; `None` makes a new one.
    pub id: Option<EventEndpointId>,
    /// Where events are to be sent to.
    pub url: String,
    /// Which events; none means all.
    pub types: Vec<EventType>,
    /// What it is, for people.
    pub description: String,
    /// Whether it gets a new secret.
    pub rotate_secret: bool,
}

/// Where to send, and what to sign with.
#[derive(Clone, Debug)]
pub struct EventTarget {
    /// Where to.
    pub url: String,
    /// The live secrets, the newest first: each `whsec_` and base64.
    pub secrets: Vec<SecretString>,
}

/// The repository of event endpoints.
#[derive(Clone, Copy, Debug)]
pub struct EventEndpoints<'a> {
    store: &'a Store,
}

impl Store {
    /// The repository of event endpoints.
    pub fn event_endpoints(&self) -> EventEndpoints<'_> {
        EventEndpoints { store: self }
    }
}

impl EventEndpoints<'_> {
    /// Stores an endpoint of this space and enables it. Gives its secret where this very request makes one.
    ///
    /// # Errors
    /// There is no endpoint of that id, or there are as many as may be.
    pub async fn put(
        &self,
        scope: &TenantScope,
        new: &NewEventEndpoint,
        write: &Write,
    ) -> Result<Recorded<(EventEndpoint, Option<SecretString>)>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            let made = new.id.is_none() || new.rotate_secret;
            if let Some(done) = change.done {
                let id = done.connection.map(|id| EventEndpointId::from_uuid(id.as_uuid())).or(new.id);
                let id = id.ok_or(Error::EventEndpointNotFound)?;
                let model = locked(&change.tx, scope.tenant(), id).await?;
                let fields = self.open(&change.tx, scope.tenant(), &model).await?;
                // A secret that a later request has made is not this one's to show.
                let own = made && done.version == Some(model.generation);
                let secret = fields.get(SECRET).cloned().filter(|_| own);
                change.about_other(model.id, endpoint_name(id), None);
                return change.commit((endpoint(model, Some(&fields))?, secret)).await;
            }
            let stored = match new.id {
                Some(id) => Some(locked(&change.tx, scope.tenant(), id).await?),
                None => None,
            };
            let (mut row, before) = match stored {
                Some(model) => {
                    let before = self.open(&change.tx, scope.tenant(), &model).await?;
                    (model.into_active_model(), before)
                }
                None => (self.fresh(&change).await?, SecretFields::default()),
            };
            let id = *row.id.as_ref();
            let (fields, secret) = self.reseal(&change, &mut row, before, (&new.url, made))?;
            let generation = *row.generation.as_ref();
            row.url = Set(origin_of(&new.url));
            row.types = Set(types_column(&new.types));
            row.description = Set(new.description.clone());
            row.enabled = Set(true);
            row.failures = Set(0);
            row.update_time = Set(change.now.micros());
            let model = match new.id {
                Some(_) => row.update(&change.tx).await?,
                None => row.insert(&change.tx).await?,
            };
            let name = endpoint_name(EventEndpointId::from_uuid(id));
            change.about_other(id, name, Some(generation));
            let stored = endpoint(model, Some(&fields))?;
            change.commit((stored, secret)).await
        })
        .await
    }

    /// A row with everything that does not come from the request, but for its secret.
    async fn fresh(&self, change: &Changing<'_>) -> Result<ActiveModel, Error> {
        let all = Entity::find()
            .filter(Column::TenantId.eq(change.tenant().as_str()))
            .filter(Column::Id.not_in_subquery(deleted(change.tenant())));
        if all.count(&change.tx).await? >= MOST {
            return Err(Error::TooManyEventEndpoints);
        }
        Ok(ActiveModel {
            tenant_id: Set(change.tenant().as_str().to_owned()),
            id: Set(self.store.new_id()?),
            generation: Set(0),
            previous_expire_time: Set(None),
            success_time: Set(None),
            failure_time: Set(None),
            failure: Set(None),
            create_time: Set(change.now.micros()),
            ..Default::default()
        })
    }

    /// Seals an endpoint's URL and secrets. Gives a new secret if one is to be made: the one before goes on signing for a
    /// while, the one before that does not.
    ///
    /// The URL is sealed, too: receivers have secrets in its path or query, and what is sealed together cannot be parted,
    /// so that nothing signed goes to another URL.
    fn reseal(
        &self,
        change: &Changing<'_>,
        row: &mut ActiveModel,
        before: SecretFields,
        (url, made): (&str, bool),
    ) -> Result<(SecretFields, Option<SecretString>), Error> {
        let random = self.store.keyring().random();
        let mut fields = before;
        if let Ok(name) = FieldName::parse(URL) {
            fields.set(name, url.to_owned().into());
        }
        let secret = if made { Some(new_secret(random)?) } else { None };
        if let Some(secret) = &secret {
            let previous = fields.get(SECRET).cloned();
            let expire_time = previous.is_some().then(|| change.now.after(OVERLAP).micros());
            row.previous_expire_time = Set(expire_time);
            let pairs = [(PREVIOUS, previous), (SECRET, Some(secret.clone()))];
            for (name, value) in pairs {
                if let (Ok(name), Some(value)) = (FieldName::parse(name), value) {
                    fields.set(name, value);
                }
            }
        }
        let generation = row.generation.as_ref() + 1;
        let id = row.id.as_ref().into_bytes();
        let context = Context::event_endpoint(change.tenant(), id, generation, FIELDS_SCHEMA);
        row.sealed = Set(change.key.seal(&context, &encode_fields(&fields)?, random)?);
        row.generation = Set(generation);
        row.schema = Set(i64::from(FIELDS_SCHEMA));
        row.key_version = Set(i64::from(change.key.version()));
        Ok((fields, secret))
    }

    /// A page of this space's endpoints, the oldest first.
    ///
    /// # Errors
    /// The tenant is not served, the page token is wrong, or the database fails.
    pub async fn list(&self, scope: &TenantScope, page: &Page) -> Result<Listed<EventEndpoint>, Error> {
        let reading = self.store.read(scope).await?;
        let mut query = Entity::find()
            .filter(Column::TenantId.eq(scope.tenant().as_str()))
            .filter(Column::Id.not_in_subquery(deleted(scope.tenant())));
        if let Some(after) = uuid_position(page.position(scope.tenant(), &reading)?)? {
            query = query.filter(Column::Id.gt(after));
        }
        let rows = query.order_by_asc(Column::Id).limit(page.limit()).all(&reading.tx).await?;
        let mut items = Vec::with_capacity(rows.len());
        for model in rows {
            // One that does not open is listed with its host alone, so that it can be found and deleted.
            let fields = match self.open(&reading.tx, scope.tenant(), &model).await {
                Err(Error::Integrity) => None,
                opened => Some(opened?),
            };
            items.push(endpoint(model, fields.as_ref())?);
        }
        let position = |last: &EventEndpoint| last.id.as_uuid().as_bytes().to_vec();
        let items = stream::iter(items.into_iter().map(Ok));
        page.read(self.store, scope.tenant(), &reading.key, items, position).await
    }

    /// Removes an endpoint with everything that was or is to be sent there. Nobody sees it any more once this returns; what
    /// is not removed by `until` then, because it is much, upkeep removes.
    ///
    /// # Errors
    /// There is no endpoint of that id.
    pub async fn delete(
        &self,
        scope: &TenantScope,
        id: EventEndpointId,
        write: &Write,
        until: Instant,
    ) -> Result<Recorded<()>, Error> {
        let begun = retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            if change.done.is_none() {
                let model = locked(&change.tx, scope.tenant(), id).await?;
                let mark = endpoint_deletion::ActiveModel {
                    tenant_id: Set(model.tenant_id.clone()),
                    endpoint_id: Set(model.id),
                    create_time: Set(change.now.micros()),
                };
                mark.insert(&change.tx).await?;
                let mut row = model.into_active_model();
                row.enabled = Set(false);
                row.update_time = Set(change.now.micros());
                row.update(&change.tx).await?;
            }
            change.about_other(id.as_uuid(), endpoint_name(id), None);
            change.commit(()).await
        })
        .await?;
        // It is deleted for whoever asks; its rows are a matter of time.
        if let Err(error) = self.store.delete_endpoint(scope.tenant(), id, Some(until)).await {
            tracing::warn!(%error, endpoint = %id, "an endpoint's rows could not be deleted yet");
        }
        Ok(begun)
    }

    /// Where an endpoint is and what is signed with, whether it is enabled or not.
    ///
    /// # Errors
    /// There is no endpoint of that id.
    pub async fn target(&self, scope: &TenantScope, id: EventEndpointId) -> Result<EventTarget, Error> {
        let reading = self.store.read(scope).await?;
        let key = (scope.tenant().as_str().to_owned(), id.as_uuid());
        let stored = Entity::find_by_id(key).filter(Column::Id.not_in_subquery(deleted(scope.tenant())));
        let model = stored.one(&reading.tx).await?.ok_or(Error::EventEndpointNotFound)?;
        self.opened(&reading.tx, scope.tenant(), &model).await
    }

    /// What a row's sealed secrets are for.
    pub(crate) async fn opened(
        &self,
        tx: &DatabaseTransaction,
        tenant: &TenantId,
        model: &Model,
    ) -> Result<EventTarget, Error> {
        let fields = self.open(tx, tenant, model).await?;
        let now = self.store.now().micros();
        let previous = fields.get(PREVIOUS).filter(|_| model.previous_expire_time > Some(now));
        let secrets = fields.get(SECRET).into_iter().chain(previous).cloned().collect();
        let url = fields.get(URL).ok_or(Error::Integrity)?.expose_secret().to_owned();
        Ok(EventTarget { url, secrets })
    }

    async fn open(
        &self,
        tx: &DatabaseTransaction,
        tenant: &TenantId,
        model: &Model,
    ) -> Result<SecretFields, Error> {
        let key = (model.tenant_id.clone(), model.key_version);
        let key = tenant_key::Entity::find_by_id(key).one(tx).await?.ok_or(Error::Integrity)?;
        let key = (model.key_version, key.wrapped.as_slice());
        open_sealed(self.store, tenant, model.schema, &model.sealed, key, |schema| {
            Context::event_endpoint(tenant, model.id.into_bytes(), model.generation, schema)
        })
    }
}

fn new_secret(random: &dyn Random) -> Result<SecretString, Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    random.fill(bytes.as_mut_slice()).map_err(|error| Error::Key(error.into()))?;
    Ok(format!("{PREFIX}{}", STANDARD.encode(bytes.as_slice())).into())
}

/// How records name an endpoint.
pub fn endpoint_name(id: EventEndpointId) -> String {
    format!("event_endpoints/{id}")
}

/// What is shown of a URL without opening it: scheme, host and port.
fn origin_of(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return String::new() };
    format!("{scheme}://{}", rest.split(['/', '?', '#']).next().unwrap_or_default())
}

/// The row of an endpoint, held until the end of the transaction.
async fn locked(tx: &DatabaseTransaction, tenant: &TenantId, id: EventEndpointId) -> Result<Model, Error> {
    let key = (tenant.as_str().to_owned(), id.as_uuid());
    let model = Entity::find_by_id(key.clone()).lock_exclusive().one(tx).await?;
    // Asked once the row is held: whoever was deleting it has ended.
    match endpoint_deletion::Entity::find_by_id(key).one(tx).await? {
        Some(_) => Err(Error::EventEndpointNotFound),
        None => model.ok_or(Error::EventEndpointNotFound),
    }
}

/// The endpoints of a tenant that are being deleted: nobody sees them any more.
pub(crate) fn deleted(tenant: &TenantId) -> SelectStatement {
    use endpoint_deletion::Column;
    Query::select()
        .column(Column::EndpointId)
        .from(endpoint_deletion::Entity)
        .and_where(Column::TenantId.eq(tenant.as_str()))
        .to_owned()
}

impl Store {
    /// Deletes an endpoint that is marked: its deliveries piece by piece, then itself. `until` is when to leave the rest.
    async fn delete_endpoint(
        &self,
        tenant: &TenantId,
        id: EventEndpointId,
        until: Option<Instant>,
    ) -> Result<(), Error> {
        let marked =
            "EXISTS (SELECT 1 FROM endpoint_deletions m WHERE m.tenant_id = $1 AND m.endpoint_id = $2)";
        let theirs = format!("tenant_id = $1 AND endpoint_id = $2 AND {marked}");
        let piece = pieces::piece(self.database(), "event_deliveries", &theirs);
        let (piece, itself) = (
            format!("DELETE FROM event_deliveries WHERE {piece}"),
            format!("DELETE FROM event_endpoints WHERE tenant_id = $1 AND id = $2 AND {marked}"),
        );
        let values = || [tenant.as_str().into(), id.as_uuid().into()];
        while until.is_none_or(|until| Instant::now() < until) {
            let tx = self.background_write(tenant).await?;
            let left = pieces::execute(&tx, &piece, values()).await? > 0;
            if !left {
                pieces::execute(&tx, &itself, values()).await?;
            }
            tx.commit().await?;
            if !left {
                break;
            }
        }
        Ok(())
    }

    /// Goes on with the deletions that a crash, or the end of a call, left undone.
    pub(crate) async fn finish_endpoint_deletions(&self) -> Result<(), Error> {
        let everywhere = self.read_background().await?;
        let marks = endpoint_deletion::Entity::find()
            .order_by_asc(endpoint_deletion::Column::CreateTime)
            .limit(PIECE)
            .all(&everywhere)
            .await?;
        everywhere.rollback().await?;
        for mark in marks {
            let (tenant, id) =
                (TenantId::from_stored(mark.tenant_id), EventEndpointId::from_uuid(mark.endpoint_id));
            // One that fails must not keep the others: it is tried again the next time.
            if let Err(error) = self.delete_endpoint(&tenant, id, None).await {
                tracing::warn!(%error, %tenant, endpoint = %id, "an endpoint could not be deleted yet");
            }
        }
        Ok(())
    }
}

/// Types as they are stored: with a blank around each, so that one can be looked for.
fn types_column(types: &[EventType]) -> String {
    if types.is_empty() {
        return String::new();
    }
    let types: Vec<_> = types.iter().map(|kind| kind.as_str()).collect();
    format!(" {} ", types.join(" "))
}

/// An endpoint; without the fields that were sealed, the origin of its URL only.
fn endpoint(model: Model, fields: Option<&SecretFields>) -> Result<EventEndpoint, Error> {
    let types = model.types.split_whitespace().map(EventType::parse);
    let url = fields.and_then(|fields| fields.get(URL)).map(|url| url.expose_secret().to_owned());
    Ok(EventEndpoint {
        id: EventEndpointId::from_uuid(model.id),
        url: url.unwrap_or(model.url),
        types: types.collect::<Option<_>>().ok_or(Error::Integrity)?,
        description: model.description,
        enabled: model.enabled,
        previous_expire_time: model.previous_expire_time.map(Timestamp::from_micros),
        failures: model.failures,
        success_time: model.success_time.map(Timestamp::from_micros),
        failure_time: model.failure_time.map(Timestamp::from_micros),
        failure: model.failure,
        create_time: Timestamp::from_micros(model.create_time),
        update_time: Timestamp::from_micros(model.update_time),
    })
}
