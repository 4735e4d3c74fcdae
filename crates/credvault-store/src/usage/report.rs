//! A report of a service: which of the connections that it names are reached, and its way to the writer.

use std::collections::HashMap;
use std::sync::Arc;

use credvault_crypto::TenantKey;
use credvault_domain::{Action, ConnectionId, Day, EndpointName, Permit, TenantScope, UsageCounts, UserId};
use sea_orm::{ConnectionTrait as _, QueryResult, Statement};
use tokio::sync::oneshot;

use super::batches::Batch;
use super::known::{Known, UsedConnection};
use super::tally::{Tally, UsageKey};
use super::writer::Written;
use super::{Usage, reached, used};
use crate::database::session::Reading;
use crate::{Database, Error, RepeatKey};

/// What a service did with a connection on a day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageItem {
    /// The connection that was used.
    pub connection: ConnectionId,
    /// The provider's endpoint that was called.
    pub endpoint: EndpointName,
    /// The day of the calls.
    pub day: Day,
    /// What happened on it.
    pub counts: UsageCounts,
}

/// What became of a report that is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reported {
    /// It counts from now on.
    Counted,
    /// It was counted before, by an earlier request with this id.
    Before,
}

/// Connections that a scope reaches.
#[derive(Debug)]
pub struct Reachable {
    connections: HashMap<ConnectionId, Arc<Known>>,
    key: Arc<TenantKey>,
}

impl Reachable {
    /// What is known of a connection; `None` if the scope does not reach one of this id.
    pub fn get(&self, id: ConnectionId) -> Option<&UsedConnection> {
        self.connections.get(&id).map(|known| &known.used)
    }
}

impl Usage<'_> {
    /// Those of these connections that the scope reaches, deleted ones included.
    ///
    /// # Errors
    /// The tenant is not served, or the database fails.
    pub async fn reachable(
        &self,
        scope: &TenantScope,
        ids: impl IntoIterator<Item = ConnectionId>,
    ) -> Result<Reachable, Error> {
        let reading = self.store.read(scope).await?;
        let remembered = self.store.known_connections();
        let (mut connections, mut unknown) = (HashMap::new(), Vec::new());
        for id in ids {
            match remembered.get(scope.tenant(), id) {
                Some(known) => drop(connections.insert(id, known)),
                None => unknown.push(id.as_uuid().simple().to_string()),
            }
        }
        for (id, known) in self.look_up(scope, &reading, &unknown).await? {
            remembered.insert(id, &known);
            connections.insert(id, known);
        }
        connections.retain(|_, known| reached(scope, &known.used));
        Ok(Reachable { connections, key: Arc::clone(reading.key()) })
    }

    /// Those of these ids that are connections of the tenant.
    async fn look_up(
        &self,
        scope: &TenantScope,
        reading: &Reading,
        ids: &[String],
    ) -> Result<Vec<(ConnectionId, Arc<Known>)>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids = serde_json::to_string(ids).map_err(|_| Error::TooLarge)?;
        let sql = match self.store.database() {
            Database::Postgres => {
                "SELECT id, provider, owner_user FROM connections WHERE tenant_id = $1 AND id IN
                 (SELECT CAST(value AS uuid) FROM jsonb_array_elements_text(CAST($2 AS jsonb)) AS each(value))"
            }
            Database::Sqlite => {
                "SELECT id, provider, owner_user FROM connections WHERE tenant_id = $1 AND id IN
                 (SELECT unhex(value) FROM json_each($2))"
            }
        };
        let values = [scope.tenant().as_str().into(), ids.into()];
        let asked = Statement::from_sql_and_values(reading.tx.get_database_backend(), sql, values);
        let known = |row: &QueryResult| {
            let owner: String = row.try_get("", "owner_user")?;
            let used = used(scope, row.try_get("", "provider")?, &owner);
            let id = ConnectionId::from_uuid(row.try_get("", "id")?);
            Ok((id, Arc::new(Known::new(scope.tenant(), used))))
        };
        reading.tx.query_all_raw(asked).await?.iter().map(known).collect()
    }

    /// Counts what a report says of connections in `reachable`, once for each request id within 24 hours. It is durable
    /// when this returns; items about other connections do not count.
    ///
    /// # Errors
    /// The request id was used for another request, too many reports wait, or the database fails. Whether the report
    /// counts is then unknown: the same request again counts it once.
    pub async fn report(
        &self,
        scope: &TenantScope,
        _permit: &Permit,
        repeat: &RepeatKey,
        reachable: &Reachable,
        items: Vec<UsageItem>,
    ) -> Result<Reported, Error> {
        let service: Arc<str> = repeat.service.as_str().into();
        let user: Arc<str> = repeat.user.as_ref().map_or("", UserId::as_str).into();
        let action = Action::ReportUsage.as_str().as_bytes();
        let fingerprint = reachable.key.fingerprint(scope.tenant(), &[action, &repeat.payload]).to_vec();
        let mut tally = Tally::default();
        for UsageItem { connection, endpoint, day, counts } in items {
            let known = reachable.connections.get(&connection);
            let Some(subject) = known.and_then(|known| known.subject.as_ref()) else { continue };
            let (endpoint, service, user) = (endpoint.into_text(), Arc::clone(&service), Arc::clone(&user));
            tally.add(UsageKey { connection, day, endpoint, service, user }, subject.clone(), &counts);
        }
        let batch =
            Batch { service, user, id: repeat.id.as_uuid(), fingerprint, time: self.store.now().micros() };
        let (done, written) = oneshot::channel();
        self.store.usage_writer().send(scope.tenant(), batch, tally, done)?;
        match written.await {
            Ok(Written::Counted) => Ok(Reported::Counted),
            Ok(Written::Before) => Ok(Reported::Before),
            Ok(Written::Reused) => Err(Error::RequestIdReused),
            Ok(Written::Failed(error)) => Err(error),
            Err(_) => Err(Error::Conflict),
        }
    }
}
