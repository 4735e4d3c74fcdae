//! An open database.

use std::sync::Arc;

use credvault_crypto::Keyring;
use credvault_domain::{Clock, Timestamp};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use uuid::Uuid;

use crate::audit_log::AuditLog;
use crate::connect::Connections;
use crate::{Database, Error, StoreSettings};

/// An open database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) database: Database,
    pub(crate) connections: Connections,
    pub(crate) settings: StoreSettings,
    pub(crate) keyring: Keyring,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) audit: AuditLog,
    pub(crate) root_source: &'static str,
}

impl Store {
    pub(crate) fn from_inner(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Which kind of database it is.
    pub fn database(&self) -> Database {
        self.inner.database
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        let db = self.reader();
        db.query_one_raw(Statement::from_string(db.get_database_backend(), "SELECT 1")).await?;
        Ok(())
    }

    /// Ends the audit writer after its last batch, then closes all connections.
    pub async fn close(&self) {
        self.inner.audit.close().await;
        for pool in [&self.inner.connections.reader, &self.inner.connections.writer] {
            if let Err(error) = pool.close_by_ref().await {
                tracing::warn!(%error, "closing a connection pool failed");
            }
        }
    }

    pub(crate) fn reader(&self) -> &DatabaseConnection {
        &self.inner.connections.reader
    }

    pub(crate) fn writer(&self) -> &DatabaseConnection {
        &self.inner.connections.writer
    }

    pub(crate) fn settings(&self) -> &StoreSettings {
        &self.inner.settings
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.inner.keyring
    }

    pub(crate) fn audit_log(&self) -> &AuditLog {
        &self.inner.audit
    }

    pub(crate) fn root_source(&self) -> &'static str {
        self.inner.root_source
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// A new id for something that happens now.
    pub(crate) fn new_id(&self) -> Result<Uuid, Error> {
        let mut random = [0; 10];
        self.keyring().random().fill(&mut random).map_err(|error| Error::Key(error.into()))?;
        Ok(uuid::Builder::from_unix_timestamp_millis(self.now().millis(), &random).into_uuid())
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("database", &self.database).finish_non_exhaustive()
    }
}
