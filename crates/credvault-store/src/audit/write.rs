//! One write of the journal: a row of records, sealed and inserted within a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use credvault_domain::{Clock, Random, chain};
use sea_orm::{ConnAcquireErr, DbErr};

use super::journal::{Entry, JournalKeys, insert};
use crate::database::connect::Connections;
use crate::entity::audit_journal::Model;
use crate::error::violates;

/// How long a failure counts against the log's health.
const UNHEALTHY_AFTER_FAILURE: Duration = Duration::from_secs(10);

/// What the writers of the journal work with.
pub(crate) struct JournalWriter {
    connections: Arc<Connections>,
    keys: Arc<JournalKeys>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// How long one write may take before its connection counts as dead.
    patience: Duration,
    failed: Failed,
}

/// When a write last failed, unless one has succeeded since.
#[derive(Default)]
pub(crate) struct Failed(Mutex<Option<Instant>>);

impl Failed {
    fn note(&self, written: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (!written).then(Instant::now);
    }
}

impl JournalWriter {
    pub(crate) fn new(
        connections: Arc<Connections>,
        keys: Arc<JournalKeys>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        patience: Duration,
    ) -> Self {
        Self { connections, keys, clock, random, patience, failed: Failed::default() }
    }

    /// Whether no write has failed a moment ago.
    pub(super) fn is_well(&self) -> bool {
        let failed = *self.failed.0.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_none_or(|time| time.elapsed() > UNHEALTHY_AFTER_FAILURE)
    }

    /// A row of these records; `None` if they cannot be sealed.
    pub(super) fn seal(&self, entries: &[Entry]) -> Option<Model> {
        match self.keys.seal(entries, (self.clock.now(), 0), &*self.random) {
            Ok(row) => Some(row),
            Err(error) => {
                tracing::error!(error = chain(&error), "audit records could not be sealed");
                self.failed.note(false);
                None
            }
        }
    }

    /// Writes a row, and says whether it is durable. It is, too, if an attempt before has written it.
    pub(super) async fn write(&self, row: Model) -> bool {
        let written = self.insert(row).await;
        self.failed.note(written);
        written
    }

    async fn insert(&self, row: Model) -> bool {
        // A connection whose other end vanished without a word would otherwise hold the log for many minutes.
        let db = self.connections.writer();
        let written = tokio::time::timeout(self.patience, insert(&db, vec![row])).await;
        drop(db);
        match written {
            Ok(Ok(())) => true,
            Ok(Err(error)) if violates(&error, "audit_journal_pkey", "audit_journal.id") => true,
            Ok(Err(error)) => {
                tracing::error!(%error, "audit records could not be written");
                // Connections that were not returned in all that time wait for the same silent server.
                if matches!(error, DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)) {
                    self.connections.renew_unless_lately().await;
                }
                false
            }
            Err(_) => {
                tracing::error!("the database did not answer the audit log");
                self.connections.renew().await;
                false
            }
        }
    }
}
