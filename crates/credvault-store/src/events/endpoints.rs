//! The repository of event endpoints: the URLs that a tenant, or the platform, wants events at, and their secrets.

use credvault_domain::{EventEndpointId, EventType, SecretFields, TenantId, TenantScope, Timestamp};
use futures::stream;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Query, SelectStatement};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, EntityTrait as _, IntoActiveModel as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::change::{Change, PriorResult, retrying};
use crate::entity::endpoint_deletion;
use crate::entity::event_endpoint::{ActiveModel, Column, Entity, Model};
use crate::events::endpoint_secrets::{EventTarget, NewEventEndpoint, SECRET, URL, open, opened, reseal};
use crate::page::uuid_position;
use crate::{Error, Listed, Page, Recorded, Store, Write};

/// The most endpoints of a tenant, and of the platform.
const MAX_ENDPOINTS: u64 = 16;

/// An endpoint without its secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventEndpoint {
    /// The id of the endpoint.
    pub id: EventEndpointId,
    /// Where events are sent to.
    pub url: String,
    /// Which events; none means all.
    pub types: Vec<EventType>,
    /// What it is, for people.
    pub description: String,
    /// Whether events are sent to it.
    pub enabled: bool,
    /// Until when the previous secret signs events, too.
    pub previous_expire_time: Option<Timestamp>,
    /// How many attempts have failed since one succeeded.
    pub failures: i64,
    /// When the endpoint last accepted an event.
    pub success_time: Option<Timestamp>,
    /// When a delivery to it last failed.
    pub failure_time: Option<Timestamp>,
    /// Why that delivery failed.
    pub failure: Option<String>,
    /// When it was created.
    pub create_time: Timestamp,
    /// The time of its last change by a caller.
    pub update_time: Timestamp,
}

/// The repository of event endpoints.
#[derive(Clone, Copy, Debug)]
pub struct EventEndpoints<'a> {
    pub(super) store: &'a Store,
}

impl Store {
    /// The repository of event endpoints.
    pub fn event_endpoints(&self) -> EventEndpoints<'_> {
        EventEndpoints { store: self }
    }
}

impl EventEndpoints<'_> {
    /// Stores an endpoint of this namespace and enables it. Returns its secret if this request makes one.
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
            if let Some(prior) = change.prior() {
                return self.replay(change, new, prior).await;
            }
            let stored = match new.id {
                Some(id) => Some(locked(&change.tx, scope.tenant(), id).await?),
                None => None,
            };
            let (mut row, before) = match stored {
                Some(model) => {
                    let before = open(scope.tenant(), change.keys()?, &model)?;
                    (model.into_active_model(), before)
                }
                None => (self.fresh(&change).await?, SecretFields::default()),
            };
            let id = *row.id.as_ref();
            let (fields, secret) = reseal(&change, &mut row, before, new)?;
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
            let kind = if new.id.is_some() { ChangeKind::Updated } else { ChangeKind::Created };
            let endpoint_id = EventEndpointId::from_uuid(id);
            change.set_subject(id, endpoint_name(endpoint_id), Some(generation));
            change.record_change(ChangeSubject::EventEndpoint(endpoint_id), kind, None);
            change.commit((endpoint(model, Some(&fields))?, secret)).await
        })
        .await
    }

    /// The answer to a repeated request: the endpoint as it is now.
    async fn replay(
        &self,
        mut change: Change<'_>,
        new: &NewEventEndpoint,
        prior: PriorResult,
    ) -> Result<Recorded<(EventEndpoint, Option<SecretString>)>, Error> {
        let id =
            prior.subject.map(EventEndpointId::from_uuid).or(new.id).ok_or(Error::EventEndpointNotFound)?;
        let model = locked(&change.tx, change.tenant(), id).await?;
        let fields = open(change.tenant(), change.keys()?, &model)?;
        // A secret that a later request has made is not this one's to show.
        let own = new.makes_secret() && prior.version == Some(model.generation);
        let secret = fields.get(SECRET).cloned().filter(|_| own);
        change.set_subject(model.id, endpoint_name(id), None);
        change.commit((endpoint(model, Some(&fields))?, secret)).await
    }

    /// A row with everything that does not come from the request, but for its secret.
    async fn fresh(&self, change: &Change<'_>) -> Result<ActiveModel, Error> {
        let all = Entity::find()
            .filter(Column::TenantId.eq(change.tenant().as_str()))
            .filter(Column::Id.not_in_subquery(deleted(change.tenant())));
        if all.count(&change.tx).await? >= MAX_ENDPOINTS {
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

    /// A page of this namespace's endpoints, the oldest first.
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
            let fields = match open(scope.tenant(), &reading.keys, &model) {
                Err(Error::Integrity) => None,
                opened => Some(opened?),
            };
            items.push(endpoint(model, fields.as_ref())?);
        }
        let position = |last: &EventEndpoint| last.id.as_uuid().as_bytes().to_vec();
        let items = stream::iter(items.into_iter().map(Ok));
        page.read(self.store, scope.tenant(), reading.key(), items, position).await
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
        opened(scope.tenant(), &reading.keys, &model, self.store.now())
    }
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
pub(super) async fn locked(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    id: EventEndpointId,
) -> Result<Model, Error> {
    let key = (tenant.as_str().to_owned(), id.as_uuid());
    let model = Entity::find_by_id(key.clone()).lock_exclusive().one(tx).await?;
    // Asked while the row is locked, so no deletion is in progress.
    match endpoint_deletion::Entity::find_by_id(key).one(tx).await? {
        Some(_) => Err(Error::EventEndpointNotFound),
        None => model.ok_or(Error::EventEndpointNotFound),
    }
}

/// The endpoints of a tenant that are being deleted, which callers no longer see.
pub(crate) fn deleted(tenant: &TenantId) -> SelectStatement {
    use endpoint_deletion::Column;
    Query::select()
        .column(Column::EndpointId)
        .from(endpoint_deletion::Entity)
        .and_where(Column::TenantId.eq(tenant.as_str()))
        .to_owned()
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
