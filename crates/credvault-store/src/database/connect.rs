//! Opens connections to the database with the settings that every statement relies on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, Database as Connector, DatabaseConnection, DbErr};
use secrecy::ExposeSecret;

use crate::{Database, StoreSettings};

/// How often pools are replaced at most.
const RENEWALS: Duration = Duration::from_secs(5);
/// How long what runs on a pool that was left behind may go on.
const OLD_POOL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the database may take to let go.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections to read with and to write with. On PostgreSQL they are the same pool; SQLite has one writer at a time,
/// and its one connection makes writers queue here instead of failing there. Queries that may take long have connections
/// of their own, so that fetches and audit records never wait for one.
pub(crate) struct Connections {
    database: Database,
    settings: StoreSettings,
    pools: ArcSwap<Pools>,
    renewed: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Pools {
    reader: DatabaseConnection,
    writer: DatabaseConnection,
    queries: DatabaseConnection,
}

impl Connections {
    /// Connects as the service.
    pub(crate) async fn open(database: Database, settings: &StoreSettings) -> Result<Self, DbErr> {
        let pools = ArcSwap::from_pointee(Pools::open(database, settings).await?);
        Ok(Self { database, settings: settings.clone(), pools, renewed: Mutex::default() })
    }

    pub(crate) fn reader(&self) -> DatabaseConnection {
        self.pools.load().reader.clone()
    }

    pub(crate) fn writer(&self) -> DatabaseConnection {
        self.pools.load().writer.clone()
    }

    pub(crate) fn queries(&self) -> DatabaseConnection {
        self.pools.load().queries.clone()
    }

    /// Leaves the connections to PostgreSQL behind and opens new ones, if that works: for when the other end seems to
    /// have vanished without a word, which the driver would notice after many minutes only. Not more often than every
    /// few seconds.
    pub(crate) async fn renew(&self) {
        if self.database != Database::Postgres {
            return;
        }
        let Ok(mut renewed) = self.renewed.try_lock() else { return };
        if renewed.is_some_and(|time| time.elapsed() < RENEWALS) {
            return;
        }
        if let Ok(pools) = Pools::open(self.database, &self.settings).await {
            tracing::warn!("the connections to the database were replaced, for they did not answer");
            let old = self.pools.swap(Arc::new(pools));
            // What still runs there may end there.
            let (writer, queries) = (old.writer.clone(), old.queries.clone());
            let closing = async move { tokio::join!(writer.close(), queries.close()) };
            let closing = tokio::time::timeout(OLD_POOL_TIMEOUT, closing);
            tokio::spawn(async move { drop((closing.await, old)) });
        }
        *renewed = Some(Instant::now());
    }

    /// The same where the other end may as well be busy: not while what was left behind may still be there, so that a
    /// database with too much to do does not get more connections.
    pub(crate) async fn renew_unless_lately(&self) {
        let lately = self.renewed.lock().await.is_some_and(|time| time.elapsed() < OLD_POOL_TIMEOUT);
        if !lately {
            self.renew().await;
        }
    }

    /// Closes all, as far as they let themselves be closed.
    pub(crate) async fn close(&self) {
        let pools = self.pools.load_full();
        for pool in [&pools.reader, &pools.writer, &pools.queries] {
            match tokio::time::timeout(CLOSE_TIMEOUT, pool.close_by_ref()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "closing a connection pool failed"),
                Err(_) => tracing::warn!("the database did not let go of all connections"),
            }
        }
    }
}

impl Pools {
    async fn open(database: Database, settings: &StoreSettings) -> Result<Self, DbErr> {
        match database {
            Database::Postgres => {
                let pool =
                    Connector::connect(postgres(settings, settings.max_connections, Plans::Kept)).await?;
                let queries = postgres(settings, settings.query_connections, Plans::MadeForValues);
                let queries = Connector::connect(queries).await?;
                Ok(Self { reader: pool.clone(), writer: pool, queries })
            }
            Database::Sqlite => {
                let writer = Connector::connect(sqlite(settings, 1)).await?;
                let reader = Connector::connect(sqlite(settings, settings.max_connections)).await?;
                let queries = Connector::connect(sqlite(settings, settings.query_connections)).await?;
                Ok(Self { reader, writer, queries })
            }
        }
    }
}

fn common(settings: &StoreSettings, url: String, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(settings.acquire_timeout)
        .connect_timeout(settings.acquire_timeout)
        // Statements are never logged and never put into spans: they show their values.
        .sqlx_logging(false)
        .record_stmt_in_spans(false);
    options
}

/// How PostgreSQL plans a statement that it has seen before.
#[derive(Clone, Copy)]
enum Plans {
    /// By the plan of earlier calls: right for statements that find few rows by their key.
    Kept,
    /// Anew for the values of each call: a list or a sum reads ten rows or a million, and a plan that fits both is slow.
    MadeForValues,
}

/// Options for PostgreSQL. The session's settings travel with the connection, so every transaction has them.
fn postgres(settings: &StoreSettings, connections: u32, plans: Plans) -> ConnectOptions {
    // The scheme that sea-orm knows.
    let url = settings.url.expose_secret().replacen("postgresql://", "postgres://", 1);
    let mut options = common(settings, url, connections);
    let milliseconds = |duration: Duration| duration.as_millis().to_string();
    let plan_cache_mode = match plans {
        Plans::Kept => "auto",
        Plans::MadeForValues => "force_custom_plan",
    };
    let session = [
        ("search_path", credvault_migrations::SCHEMA.to_owned()),
        ("statement_timeout", milliseconds(settings.statement_timeout)),
        ("lock_timeout", milliseconds(settings.lock_timeout)),
        ("idle_in_transaction_session_timeout", milliseconds(settings.statement_timeout * 4)),
        ("plan_cache_mode", plan_cache_mode.to_owned()),
        // A process whose host has vanished must not hold its proof of life for hours.
        ("tcp_keepalives_idle", "10".to_owned()),
        ("tcp_keepalives_interval", "5".to_owned()),
        ("tcp_keepalives_count", "3".to_owned()),
        ("tcp_user_timeout", "25000".to_owned()),
    ];
    options
        // A ping before each use would be a round trip; only a connection that idled is worth one.
        .test_before_acquire_if_idle_for(Duration::from_secs(30))
        .map_sqlx_postgres_opts(move |options| {
            options.application_name("credvault").options(session.clone())
        });
    options
}

/// Options for SQLite: every commit reaches the disk, what is deleted is overwritten, and the schema is not trusted.
fn sqlite(settings: &StoreSettings, connections: u32) -> ConnectOptions {
    let mut options = common(settings, settings.url.expose_secret().to_owned(), connections);
    let busy = settings.lock_timeout;
    options.map_sqlx_sqlite_opts(move |options| {
        options
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(busy)
            .pragma("secure_delete", "ON")
            .pragma("trusted_schema", "OFF")
            .pragma("cell_size_check", "ON")
    });
    options
}

/// Connects on one connection to prepare the database: as the migrating role, whose transactions set their own limits
/// on time.
pub(crate) async fn preparing(
    database: Database,
    settings: &StoreSettings,
) -> Result<DatabaseConnection, DbErr> {
    let options = match database {
        Database::Postgres => {
            let url = settings.url.expose_secret().replacen("postgresql://", "postgres://", 1);
            let mut options = common(settings, url, 1);
            options.map_sqlx_postgres_opts(|options| options.application_name("credvault migrate"));
            options
        }
        Database::Sqlite => sqlite(settings, 1),
    };
    Connector::connect(options).await
}

/// The file of a SQLite URL.
pub(crate) fn sqlite_file(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    (!path.is_empty() && path != ":memory:")
        .then(|| PathBuf::from(crate::database::settings::percent_decoded(path)))
}
