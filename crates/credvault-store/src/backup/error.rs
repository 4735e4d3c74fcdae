//! Why a database is not backed up, or a backup is not restored or verified, with the way out.

use std::sync::Arc;

use credvault_crypto::BackupStreamError;
use sea_orm::{DbErr, RuntimeErr, sqlx};

use crate::database::file::FileError;
use crate::{Error, MigrateError};

/// Why a backup was not made, restored or verified. Nothing was changed in the database then. No error shows a stored value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The backup cannot be read or written.
    #[error("the backup cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
    /// The bytes are of something else.
    #[error("this is not a credvault backup: it does not begin as one")]
    NotABackup,
    /// A later release made it.
    #[error("the backup has the format {0}, which this release does not know; use the release that made it")]
    NewerFormat(u32),
    /// The database has a migration that this release does not know.
    #[error(
        "the database is of a newer release (it has the migration {0}), whose tables this one does not know; back it up \
         with that release"
    )]
    NewerDatabase(String),
    /// The database that was backed up has a migration that this release does not know.
    #[error(
        "the backup is of a newer release (it has the migration {0}); restore it with that release or a later one"
    )]
    NewerRelease(String),
    /// The end is missing.
    #[error("the backup ends too early: it was cut off. Take another copy of it")]
    Truncated,
    /// Something follows its end.
    #[error("the backup has bytes behind its end, so it is not as it was written. Take another copy of it")]
    Trailing,
    /// A frame does not open, or what is in it is not an item.
    #[error("{0}. Take another copy of it")]
    Altered(#[from] BackupStreamError),
    /// Another root key wrapped the backup's key.
    #[error(
        "the backup was made under the root key {needed:08x}, and the configured one is {configured:08x}: it is of \
         another vault, or the root key was rotated since. Configure the root key {needed:08x}"
    )]
    OtherRoot {
        /// The id of the root key that opens the backup.
        needed: u32,
        /// The id of the configured root key.
        configured: u32,
    },
    /// The wrapped key does not unwrap, although the root key has the right id.
    #[error(
        "the key in the backup's header does not unwrap: the header was altered, or the key manager has no longer the \
         version of the root key that the backup was made under. Take another copy of it, or another backup"
    )]
    Header,
    /// The root key cannot be read or used.
    #[error(transparent)]
    RootKey(credvault_crypto::Error),
    /// What was read is not what the manifest says.
    #[error("the backup is not what its manifest says: {0}")]
    Manifest(String),
    /// The signature does not verify.
    #[error(
        "the signature of the backup's manifest does not verify: the manifest was not signed by the vault that it names"
    )]
    Signature,
    /// Another vault than the expected one signed.
    #[error(
        "the backup was signed by the key {0}, which is no public key that was given: it is of another vault, or the vault \
         has replaced its signing key"
    )]
    OtherSigner(String),
    /// A tenant's key in the backup does not unwrap.
    #[error(
        "version {version} of the key of the tenant {tenant} does not unwrap, so the tenant's secrets would not open"
    )]
    TenantKey {
        /// The id of the tenant.
        tenant: String,
        /// The version of the tenant's key.
        version: i64,
    },
    /// The database to restore into has rows.
    #[error(
        "the database is not empty: its table {0} has rows. Restore into a new database; `credvault restore` prepares it"
    )]
    NotEmpty(String),
    /// The database to restore into was prepared for another release.
    #[error(
        "the database was prepared with other migrations than the backup has (they differ at {0}). Restore into one that \
         is not prepared: `credvault restore` does that"
    )]
    OtherMigrations(String),
    /// PostgreSQL: there is no URL to read all tenants with.
    #[error(
        "store.migrate_url is missing: row-level security shows all rows of PostgreSQL only to a member of the role \
         that `credvault migrate` makes for backups"
    )]
    NoMigrateUrl,
    /// PostgreSQL: a table does not show all its rows.
    #[error("the table {0} does not show its rows to the role of backups; run `credvault migrate`")]
    Hidden(String),
    /// The database lacks a table or has a column of an unknown type.
    #[error("the table {0} is missing or has a column that cannot be backed up; run `credvault migrate`")]
    Table(String),
    /// The list of erased tenants cannot be used.
    #[error(
        "the list of erasures cannot be used: {0}; export it with `credvault tenants erasures --output json`"
    )]
    Erasures(&'static str),
    /// The database could not be prepared.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// SQLite: the file is not to be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The vault's own part failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// The database refused or failed.
    #[error("the database failed: {0}")]
    Database(#[source] DbErr),
}

impl BackupError {
    /// Whether the backup, or the database that it should go into, is at fault, and trying again does not help.
    pub fn is_of_the_backup(&self) -> bool {
        match self {
            Self::NotABackup
            | Self::NewerFormat(_)
            | Self::NewerRelease(_)
            | Self::NewerDatabase(_)
            | Self::Truncated
            | Self::Trailing
            | Self::Altered(_)
            | Self::OtherRoot { .. }
            | Self::Header
            | Self::Manifest(_)
            | Self::Signature
            | Self::OtherSigner(_)
            | Self::TenantKey { .. }
            | Self::NotEmpty(_)
            | Self::OtherMigrations(_)
            | Self::Erasures(_) => true,
            Self::Io(_)
            | Self::RootKey(_)
            | Self::NoMigrateUrl
            | Self::Hidden(_)
            | Self::Table(_)
            | Self::Migrate(_)
            | Self::File(_)
            | Self::Store(_)
            | Self::Database(_) => false,
        }
    }
}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error))))
    }
}

impl From<DbErr> for BackupError {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

/// What cannot be in a backup whose frames open, unless a program other than the vault wrote it.
pub(super) fn malformed() -> BackupError {
    BackupError::Altered(BackupStreamError::Altered)
}
