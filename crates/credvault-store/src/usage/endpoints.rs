//! How many endpoints are counted apart: names that a service forgot to normalise must not fill the tables. Replicas that
//! write at the same moment may exceed the numbers slightly.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, Hash, RandomState};

use credvault_domain::{ConnectionId, EndpointName, TenantId};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr, Statement};
use serde::Serialize;

use super::tally::{Tally, UsageKey};
use crate::Database;
use crate::database::json_rows::{self, Kind, value};

/// How many endpoints of a connection are counted apart on one day. The others count as `other`.
const MAX_ENDPOINTS_OF_CONNECTION: usize = 100;
/// How many endpoints of a provider are counted apart on one day, in all connections of a tenant.
const MAX_ENDPOINTS_OF_PROVIDER: usize = 1_000;
/// How many names are remembered as counted, by their hashes.
const MAX_KNOWN: usize = 200_000;

/// Endpoints that are known to be counted apart.
#[derive(Default)]
pub(super) struct KnownEndpoints {
    known: HashSet<u64>,
    hasher: RandomState,
}

impl KnownEndpoints {
    /// Forgets all: what was not committed is not there.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// The same counts, in which endpoints beyond the limits are `other`.
    pub(super) async fn fold(
        &mut self,
        tx: &DatabaseTransaction,
        database: Database,
        tenant: &TenantId,
        tally: Tally,
    ) -> Result<Tally, DbErr> {
        let new = |key: &UsageKey| !matches!(&*key.endpoint, "" | EndpointName::OTHER);
        let unknown = |key: &&UsageKey| new(key) && !self.known.contains(&self.hash(tenant, key));
        let unknown: Vec<&UsageKey> = tally.0.keys().filter(unknown).collect();
        if unknown.is_empty() {
            return Ok(tally);
        }
        let mut counted = Counted::read(tx, database, tenant, &tally, &unknown).await?;
        let mut folded = Tally::default();
        if self.known.len() > MAX_KNOWN {
            self.known.clear();
        }
        for (mut key, (subject, counts)) in tally.0 {
            let hash = self.hash(tenant, &key);
            if new(&key) && !self.known.contains(&hash) {
                if counted.takes(&key, &subject.provider) {
                    self.known.insert(hash);
                } else {
                    key.endpoint = EndpointName::OTHER.into();
                }
            }
            folded.add(key, subject, &counts);
        }
        Ok(folded)
    }

    fn hash(&self, tenant: &TenantId, key: &UsageKey) -> u64 {
        self.hasher.hash_one((tenant, key.connection, key.day, &key.endpoint))
    }
}

/// The endpoints that have rows.
#[derive(Default)]
struct Counted {
    of_connections: HashMap<(ConnectionId, i64), HashSet<String>>,
    of_providers: HashMap<(String, i64), HashSet<String>>,
}

impl Counted {
    async fn read(
        tx: &DatabaseTransaction,
        database: Database,
        tenant: &TenantId,
        tally: &Tally,
        unknown: &[&UsageKey],
    ) -> Result<Self, DbErr> {
        let (mut connections, mut providers) = (HashSet::new(), HashSet::new());
        for key in unknown {
            connections.insert((key.connection.as_uuid().simple().to_string(), key.day.number()));
            let provider = tally.0.get(*key).map(|(subject, _)| subject.provider.to_string());
            providers.extend(provider.map(|provider| (provider, key.day.number())));
        }
        let asking = Asking { tx, database, tenant };
        let mut counted = Self::default();
        for (id, day, endpoint) in
            asking.rows("usage_days", "connection_id", Kind::Uuid, &connections).await?
        {
            let id = ConnectionId::from_uuid(id);
            counted.of_connections.entry((id, day)).or_default().insert(endpoint);
        }
        for (id, day, endpoint) in asking.rows("usage_totals", "provider", Kind::Text, &providers).await? {
            counted.of_providers.entry((id, day)).or_default().insert(endpoint);
        }
        Ok(counted)
    }

    /// Whether an endpoint is counted apart; if so, it is from now on.
    fn takes(&mut self, key: &UsageKey, provider: &str) -> bool {
        let of_connection = self.of_connections.entry((key.connection, key.day.number())).or_default();
        let of_provider = self.of_providers.entry((provider.to_owned(), key.day.number())).or_default();
        let fits = has_room(of_connection, &key.endpoint, MAX_ENDPOINTS_OF_CONNECTION)
            && has_room(of_provider, &key.endpoint, MAX_ENDPOINTS_OF_PROVIDER);
        if fits {
            of_connection.insert(key.endpoint.to_string());
            of_provider.insert(key.endpoint.to_string());
        }
        fits
    }
}

fn has_room(counted: &HashSet<String>, endpoint: &str, most: usize) -> bool {
    counted.len() < most || counted.contains(endpoint)
}

/// Where endpoints are looked up.
struct Asking<'a> {
    tx: &'a DatabaseTransaction,
    database: Database,
    tenant: &'a TenantId,
}

impl Asking<'_> {
    /// The endpoints of `table` with one of these pairs of an id and a day.
    async fn rows<T: sea_orm::TryGetable>(
        &self,
        table: &str,
        column: &str,
        kind: Kind,
        pairs: &HashSet<impl Serialize + Eq + Hash>,
    ) -> Result<Vec<(T, i64, String)>, DbErr> {
        let json = json_rows::encode(&pairs.iter().collect::<Vec<_>>())?;
        let (id, day) = (value(self.database, "0", kind), value(self.database, "1", Kind::Number));
        let from = json_rows::rows(self.database);
        let sql = format!(
            "SELECT DISTINCT u.{column} AS id, u.day, u.endpoint FROM {from}
             JOIN {table} u ON u.tenant_id = $1 AND u.{column} = {id} AND u.day = {day} WHERE u.endpoint <> ''"
        );
        let values = [self.tenant.as_str().into(), json.into()];
        let asked = Statement::from_sql_and_values(self.tx.get_database_backend(), sql, values);
        let rows = self.tx.query_all_raw(asked).await?;
        rows.iter()
            .map(|row| Ok((row.try_get("", "id")?, row.try_get("", "day")?, row.try_get("", "endpoint")?)))
            .collect()
    }
}
