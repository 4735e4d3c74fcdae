//! An open database, from which all repositories are reached.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use credvault_crypto::Keyring;
use credvault_domain::{Clock, Timestamp};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};
use uuid::Uuid;

use crate::audit::care::progress::Progress;
use crate::audit::journal::JournalKeys;
use crate::audit::last_uses::noted::LastUses;
use crate::audit::log::AuditLog;
use crate::connections::quota::Quotas;
use crate::database::broken_keys::BrokenKeys;
use crate::database::connect::Connections;
use crate::database::file::Held;
use crate::database::liveness::Liveness;
use crate::database::newest_keys::NewestKeys;
use crate::outcomes::pending::Pending;
use crate::secrets::known::KnownPayloads;
use crate::tenants::rules::known::KnownRules;
use crate::tenants::sightings::seen::Sightings;
use crate::usage::known::KnownConnections;
use crate::usage::writer::UsageWriter;
use crate::{Database, Error, StoreSettings, Turns};

/// How long the database may take to answer a ping.
const PING_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// An open database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) database: Database,
    pub(crate) connections: Arc<Connections>,
    pub(crate) queries: Turns,
    pub(crate) refreshing: Turns,
    pub(crate) settings: StoreSettings,
    pub(crate) keyring: Keyring,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) audit: AuditLog,
    pub(crate) journal_keys: Arc<JournalKeys>,
    /// When connections were used, as far as it is not in the database yet.
    pub(crate) last_uses: LastUses,
    /// When this process last looked after the audit logs of all tenants, in microseconds.
    pub(crate) audit_care: Progress,
    pub(crate) usage: UsageWriter,
    pub(crate) known_connections: KnownConnections,
    pub(crate) last_id: Mutex<Uuid>,
    pub(crate) liveness: Liveness,
    pub(crate) quotas: Quotas,
    pub(crate) known_rules: KnownRules,
    pub(crate) running_claims: Arc<Mutex<HashSet<Uuid>>>,
    /// Random, made anew whenever the database is opened.
    pub(crate) process: Uuid,
    /// Wrapped keys that did not unwrap.
    pub(crate) broken_keys: BrokenKeys,
    /// What this process takes for the newest keys of tenants.
    pub(crate) newest_keys: NewestKeys,
    /// Outcomes at providers that are not in the database yet.
    pub(crate) pending_outcomes: Pending,
    /// The users that this process has seen.
    pub(crate) sightings: Sightings,
    /// Payloads that this process has read from external stores.
    pub(crate) known_payloads: KnownPayloads,
    /// SQLite's file, until the store is closed.
    pub(crate) file: Mutex<Option<Held>>,
}

impl Store {
    pub(crate) fn from_inner(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Which kind of database it is.
    pub fn database(&self) -> Database {
        self.inner.database
    }

    /// Whether the database answers, takes writes, and has not refused audit records a moment ago. Gives the time by the
    /// clock of its server; SQLite has none of its own.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::AuditUnavailable`] if not.
    pub async fn ping(&self) -> Result<Option<Timestamp>, Error> {
        let db = self.writer();
        let sql = match self.database() {
            Database::Postgres => {
                "SELECT current_setting('transaction_read_only') = 'on' AS read_only,
                    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now"
            }
            Database::Sqlite => "SELECT 0 AS read_only",
        };
        let asked = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql));
        let silent = || DbErr::Custom("the database did not answer".to_owned());
        let Ok(row) = tokio::time::timeout(PING_TIMEOUT, asked).await else {
            self.inner.connections.renew().await;
            return Err(silent().into());
        };
        let row = row?.ok_or_else(silent)?;
        if self.database() == Database::Postgres && row.try_get("", "read_only")? {
            return Err(
                DbErr::Custom("the database is read-only: it is a standby, or locked".to_owned()).into()
            );
        }
        if !self.audit_log().is_well() {
            return Err(Error::AuditUnavailable);
        }
        match self.database() {
            Database::Postgres => Ok(Some(Timestamp::from_micros(row.try_get("", "now")?))),
            Database::Sqlite => Ok(None),
        }
    }

    /// Ends the writers of usage and of audit records after their last batches, then closes all connections.
    pub async fn close(&self) {
        self.inner.usage.close().await;
        self.inner.audit.close().await;
        self.inner.connections.close().await;
        self.inner.file.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) fn reader(&self) -> DatabaseConnection {
        self.inner.connections.reader()
    }

    pub(crate) fn writer(&self) -> DatabaseConnection {
        self.inner.connections.writer()
    }

    /// Connections for queries that may take long, and the turns at them.
    pub(crate) fn queries(&self) -> (DatabaseConnection, &Turns) {
        (self.inner.connections.queries(), &self.inner.queries)
    }

    /// Turns at the transactions of refreshes: half of the connections, so that fetches and changes find one however much
    /// is due.
    pub(crate) fn refreshing(&self) -> &Turns {
        &self.inner.refreshing
    }

    pub(crate) fn process(&self) -> Uuid {
        self.inner.process
    }

    pub(crate) fn broken_keys(&self) -> &BrokenKeys {
        &self.inner.broken_keys
    }

    pub(crate) fn newest_keys(&self) -> &NewestKeys {
        &self.inner.newest_keys
    }

    pub(crate) fn known_payloads(&self) -> &KnownPayloads {
        &self.inner.known_payloads
    }

    pub(crate) fn pending_outcomes(&self) -> &Pending {
        &self.inner.pending_outcomes
    }

    pub(crate) fn sightings(&self) -> &Sightings {
        &self.inner.sightings
    }

    pub(crate) fn settings(&self) -> &StoreSettings {
        &self.inner.settings
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.inner.keyring
    }

    pub(crate) fn quotas(&self) -> &Quotas {
        &self.inner.quotas
    }

    pub(crate) fn known_rules(&self) -> &KnownRules {
        &self.inner.known_rules
    }

    pub(crate) fn liveness(&self) -> &Liveness {
        &self.inner.liveness
    }

    /// The refreshes that this process is at.
    pub(crate) fn running_claims(&self) -> &Arc<Mutex<HashSet<Uuid>>> {
        &self.inner.running_claims
    }

    pub(crate) fn audit_log(&self) -> &AuditLog {
        &self.inner.audit
    }

    /// The platform's audit keys, which the journal is sealed under.
    pub(crate) fn journal_keys(&self) -> &JournalKeys {
        &self.inner.journal_keys
    }

    pub(crate) fn audit_care(&self) -> &Progress {
        &self.inner.audit_care
    }

    pub(crate) fn last_uses(&self) -> &LastUses {
        &self.inner.last_uses
    }

    pub(crate) fn known_connections(&self) -> &KnownConnections {
        &self.inner.known_connections
    }

    pub(crate) fn usage_writer(&self) -> &UsageWriter {
        &self.inner.usage
    }

    /// The short public ids of the root keys that this process has.
    pub fn root_ids(&self) -> Vec<u32> {
        self.keyring().roots().map(credvault_crypto::RootKey::id).collect()
    }

    /// Whether this process lacks the root key that wraps: another replica has moved to one that it was not given.
    pub fn lacks_root_key(&self) -> bool {
        self.keyring().lacks_active()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The clock, which says whether it is trusted.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    /// A new id for something that happens now: a UUIDv7. Each is greater than the one before of this process, also
    /// within a millisecond and when the clock is set back (RFC 9562, 6.2, method 2), so order by id is order in time.
    pub(crate) fn new_id(&self) -> Result<Uuid, Error> {
        let mut random = [0; 10];
        self.keyring().random().fill(&mut random).map_err(|error| Error::Key(error.into()))?;
        let now = uuid::Builder::from_unix_timestamp_millis(self.now().millis(), &random).into_uuid();
        let step = u128::from(u32::from_le_bytes([random[0], random[1], random[2], random[3]])) + 1;
        let mut last = self.inner.last_id.lock().unwrap_or_else(PoisonError::into_inner);
        // Steps of at most 2^32 in a field of 62 random bits: a carry into the variant is one in 2^30 bursts, and harmless.
        *last = if now > *last { now } else { Uuid::from_u128(last.as_u128() + step) };
        Ok(*last)
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("database", &self.database).finish_non_exhaustive()
    }
}
