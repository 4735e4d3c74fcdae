//! Proof of life: each process holds a session lock of PostgreSQL for as long as it lives. If another process
//! can take that lock, the first one is gone; a process that is merely slow or stopped still holds it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sea_orm::sqlx::{self, Connection as _, PgConnection};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, Statement};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::database::connect::Connections;
use crate::{Database, Error};

/// How often the connection that holds the lock is asked whether it lives.
const LOCK_CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// How long it may take to answer.
const LOCK_ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// The process as others see it.
pub(crate) struct Liveness {
    process_id: Arc<Mutex<Option<Uuid>>>,
    keeper: Option<JoinHandle<()>>,
}

impl Liveness {
    /// Begins to be present.
    pub(crate) fn start(database: Database, connections: Arc<Connections>, first: Uuid) -> Self {
        match database {
            // One process has the file, so no other can ask.
            Database::Sqlite => Self { process_id: Arc::new(Mutex::new(Some(first))), keeper: None },
            Database::Postgres => {
                let process_id = Arc::new(Mutex::new(None));
                let keeper = tokio::spawn(keep(connections, Arc::clone(&process_id), first));
                Self { process_id, keeper: Some(keeper) }
            }
        }
    }

    /// The name that is held, or `None` while it cannot be proven: nothing may be claimed then.
    pub(crate) fn process_id(&self) -> Option<Uuid> {
        *self.process_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Liveness {
    fn drop(&mut self) {
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
    }
}

/// The number that a name is locked by: its last eight bytes, which are random.
fn lock_number(process_id: Uuid) -> i64 {
    process_id.as_u64_pair().1.cast_signed()
}

/// Whether a process of PostgreSQL's is provably gone: its lock can be taken, which the transaction then does until its end.
///
/// # Errors
/// The database fails.
pub(crate) async fn is_lock_free(tx: &DatabaseTransaction, process_id: Uuid) -> Result<bool, Error> {
    let sql = "SELECT pg_try_advisory_xact_lock($1) AS gone";
    let values = [lock_number(process_id).into()];
    let answer = tx.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
    Ok(answer.ok_or(Error::Integrity)?.try_get("", "gone")?)
}

async fn keep(connections: Arc<Connections>, present: Arc<Mutex<Option<Uuid>>>, first: Uuid) {
    let mut process_id = first;
    loop {
        if let Ok(Ok(mut held)) =
            tokio::time::timeout(LOCK_ANSWER_TIMEOUT, hold(&connections, process_id)).await
        {
            *present.lock().unwrap_or_else(PoisonError::into_inner) = Some(process_id);
            while let Ok(Ok(())) = tokio::time::timeout(LOCK_ANSWER_TIMEOUT, held.ping()).await {
                tokio::time::sleep(LOCK_CHECK_INTERVAL).await;
            }
            // Others may have found the lock free: what was claimed under this name is theirs to take over.
            *present.lock().unwrap_or_else(PoisonError::into_inner) = None;
            tracing::warn!("the connection that proves this process alive was lost; a new one is made");
            process_id = Uuid::from_u128(process_id.as_u128().wrapping_add(1));
        }
        tokio::time::sleep(LOCK_CHECK_INTERVAL).await;
    }
}

/// Takes the lock on a connection outside of the pool.
async fn hold(connections: &Connections, process_id: Uuid) -> Result<PgConnection, sqlx::Error> {
    let mut held = connections.writer().get_postgres_connection_pool().acquire().await?.detach();
    sqlx::query("SELECT pg_advisory_lock($1)").bind(lock_number(process_id)).execute(&mut held).await?;
    Ok(held)
}
