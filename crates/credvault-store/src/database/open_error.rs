//! Why a database is not served, with the way out.

use std::time::Duration;

use sea_orm::DbErr;

use crate::Error;
use crate::database::file::FileError;
use crate::error::{of_the_url, sql_state};

/// Why a database is not served. Nothing was written, except perhaps the first rows of a new database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is of no database that we know.
    #[error("store.url must begin with postgres:// or sqlite:")]
    Url,
    /// The driver cannot use the URL. Its message is left out, for it repeats the URL.
    #[error(
        "store.url cannot be used: percent-encode special characters of the password, and check the parameters behind \
         the question mark"
    )]
    Unusable,
    /// The database does not answer.
    #[error("the database cannot be opened: {0}. Check store.url, and whether `credvault migrate` has run")]
    Database(#[source] DbErr),
    /// The database took too long.
    #[error(
        "the database did not answer within {limit:?} while {step}; is it reachable, overloaded or locked?"
    )]
    Silent {
        /// The step that took too long.
        step: &'static str,
        /// How long the start waited for the database.
        limit: Duration,
    },
    /// A pooler shares sessions: statements or settings of another client were found.
    #[error(
        "the database seems to be behind a pooler that shares sessions between clients ({0}). credvault needs sessions \
         of its own: set the pooler to session mode, or point store.url at PostgreSQL itself"
    )]
    Pooler(#[source] DbErr),
    /// SQLite: the file is not to be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// PostgreSQL is too old.
    #[error("PostgreSQL {0} is too old: 15 or later is needed")]
    TooOld(i32),
    /// The role of the service could read or do too much.
    #[error(
        "the database role of the service {0}, so row-level security would not hold. Run the service as the role that \
         `credvault migrate` created (the user of store.url); if its rights were changed, run `credvault migrate` again"
    )]
    Role(&'static str),
    /// A view or a function acts with its owner's rights.
    #[error(
        "the schema holds {0}, a view or a SECURITY DEFINER function that acts with its owner's rights and is not \
         credvault's; drop it or take it from the service's role"
    )]
    LentRights(String),
    /// The server acknowledges commits before they are on disk.
    #[error(
        "the database runs with synchronous_commit = off, so an audit record could be lost after its call was answered; \
         set it to on for this database and role"
    )]
    NotDurable,
    /// A table lacks row-level security.
    #[error("the table {0} has no forced row-level security; run `credvault migrate`")]
    Unprotected(String),
    /// The database is of an older release.
    #[error("the database lacks the migration {0}; run `credvault migrate`")]
    Older(String),
    /// The database has a migration that is neither this release's nor a later one's.
    #[error(
        "the database has the migration {0}, which belongs to no release: an unreleased build or another program made \
         it. Use another database"
    )]
    Foreign(String),
    /// The root key cannot be read or is another one.
    #[error(transparent)]
    RootKey(#[from] credvault_crypto::Error),
    /// The root key's record is missing from a database that is not new.
    #[error(
        "the table root_keys has lost its record although the database is not new, so the root key cannot be proven; \
         nothing was written. Restore root_keys from a backup"
    )]
    RootRecordGone,
    /// The first rows could not be written.
    #[error("the new database could not be initialised: {0}")]
    Initialise(#[from] Error),
    /// The platform's audit key does not open.
    #[error("the platform's audit key could not be made or opened, so no call could be recorded: {0}")]
    JournalKey(Error),
}

impl From<DbErr> for OpenError {
    fn from(error: DbErr) -> Self {
        if of_the_url(&error) {
            return Self::Unusable;
        }
        match sql_state(&error).as_deref() {
            // A prepared statement that exists already, or does not; a start-up parameter that is not let through.
            Some("42P05" | "26000" | "08P01") => Self::Pooler(error),
            _ => Self::Database(error),
        }
    }
}

/// Lets a step of the start take no longer than `limit`.
pub(super) async fn within<T, E>(
    limit: Duration,
    step: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, OpenError>
where
    OpenError: From<E>,
{
    match tokio::time::timeout(limit, work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(OpenError::Silent { step, limit }),
    }
}
