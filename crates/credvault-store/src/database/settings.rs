//! How a database is reached.

use std::time::Duration;

use credvault_audit::{KeyKind, Origin, VerifierKey};
use credvault_crypto::SecretStores;
use credvault_domain::{LimitKind, TenantId};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Which kind of database a URL names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Database {
    /// PostgreSQL 15 or later.
    Postgres,
    /// SQLite, embedded in this process.
    Sqlite,
}

impl Database {
    /// The kind of database that `url` names; `None` if it is neither `postgres://…` nor `sqlite:…`.
    pub fn of_url(url: &SecretString) -> Option<Self> {
        let url = url.expose_secret();
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Some(Self::Postgres)
        } else if url.starts_with("sqlite:") {
            Some(Self::Sqlite)
        } else {
            None
        }
    }
}

/// A witness that cosigns checkpoints of audit logs (C2SP tlog-witness).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Witness {
    /// The URL to which `/add-checkpoint` is added, without a slash at its end.
    pub url: String,
    /// The key that its cosignatures verify with.
    pub(crate) key: VerifierKey,
}

/// The text is not the key of a witness.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("must be the verifier key of a witness, NAME+ID+BASE64 with an Ed25519 key of the type 4")]
pub struct WitnessError;

impl Witness {
    /// The witness at a URL, with its verifier key.
    ///
    /// # Errors
    /// The text is not the key of a witness.
    pub fn new(url: &str, key: &str) -> Result<Self, WitnessError> {
        let key: VerifierKey = key.parse().map_err(|_| WitnessError)?;
        if key.kind() != KeyKind::Witness {
            return Err(WitnessError);
        }
        Ok(Self { url: url.trim_end_matches('/').to_owned(), key })
    }

    /// The name of the witness, which its cosignatures have.
    pub fn name(&self) -> &str {
        self.key.name().as_str()
    }
}

/// The longest name of a vault: the origin of a log has at most 255 bytes, with the name and a tenant's id.
const MAX_VAULT_NAME_BYTES: usize = 128;
/// The rule of [`is_vault_name`].
pub const VAULT_NAME_RULE: &str =
    "must have 1 to 128 bytes without spaces, plus signs, slashes and control characters";

/// Whether a text can be the vault's name in the checkpoints of its audit logs.
pub fn is_vault_name(text: &str) -> bool {
    text.len() <= MAX_VAULT_NAME_BYTES && Origin::of_tenant(text, &TenantId::platform()).is_ok()
}

/// How a database is reached and how long it may take.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// `postgres://user:password@host/database` or `sqlite:///path/to/file`. Secret for its password.
    pub url: SecretString,
    /// The most connections of this process.
    pub max_connections: u32,
    /// The most connections beside those for queries that may take long: lists, and the audit log.
    pub query_connections: u32,
    /// How long a call waits for a connection.
    pub acquire_timeout: Duration,
    /// How long a statement may run. PostgreSQL only.
    pub statement_timeout: Duration,
    /// How long a statement waits for a lock.
    pub lock_timeout: Duration,
    /// How long a call waits for its audit record to be durable.
    pub audit_timeout: Duration,
    /// How many versions of a credential are kept.
    pub versions_kept: u32,
    /// How long a deleted connection can be undeleted.
    pub undelete_period: Duration,
    /// How many connections a tenant, or the platform, may have; 0 means no limit.
    pub connections_of_tenant: u32,
    /// How many connections a user may have; 0 means no limit.
    pub connections_of_user: u32,
    /// How many days counts of usage are kept.
    pub usage_days: u32,
    /// How many days backups are kept: statements about erased tenants say so.
    pub backup_retention_days: u32,
    /// The vault's name in checkpoints of audit logs, if it was given one: see [`is_vault_name`].
    pub audit_name: Option<String>,
    /// The witnesses that cosign checkpoints.
    pub witnesses: Vec<Witness>,
    /// The external stores of secrets.
    pub secrets: SecretStores,
    /// SQLite: whether another process may have the file, for this one only makes a backup beside it.
    pub shares_file: bool,
}

impl StoreSettings {
    /// The settings for `url` with everything else as it is by default.
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            max_connections: 16,
            query_connections: 4,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            audit_timeout: Duration::from_secs(2),
            versions_kept: 10,
            undelete_period: Duration::from_secs(30 * 24 * 3600),
            connections_of_tenant: 100_000,
            connections_of_user: 1000,
            usage_days: 400,
            backup_retention_days: 35,
            audit_name: None,
            witnesses: Vec::new(),
            secrets: SecretStores::default(),
            shares_file: false,
        }
    }
}

impl StoreSettings {
    /// The default of a limit that the store keeps; 0, which means no limit, of any other.
    pub fn limit(&self, kind: LimitKind) -> u64 {
        let limit = match kind {
            LimitKind::Connections => self.connections_of_tenant,
            LimitKind::UserConnections => self.connections_of_user,
            LimitKind::CredentialVersions => self.versions_kept,
            LimitKind::ResponseBytes
            | LimitKind::CallsPerSecond
            | LimitKind::ServiceCallsPerSecond
            | LimitKind::FetchesPerSecond
            | LimitKind::ExchangesPerMinute
            | LimitKind::RefreshesPerMinute
            | LimitKind::TestsPerMinute
            | LimitKind::UserSharePercent
            | LimitKind::ServiceSharePercent => 0,
        };
        u64::from(limit)
    }
}

/// User and password of a PostgreSQL URL, percent-decoded.
pub(crate) fn credentials_of(url: &SecretString) -> Option<(String, Option<SecretString>)> {
    let url = Url::parse(url.expose_secret()).ok()?;
    let user = Some(percent_decoded(url.username())).filter(|user| !user.is_empty())?;
    Some((user, url.password().map(percent_decoded).map(SecretString::from)))
}

/// A part of a URL without its percent-encoding.
pub(crate) fn percent_decoded(text: &str) -> String {
    let query = format!("v={}", text.replace('&', "%26").replace('+', "%2B"));
    url::form_urlencoded::parse(query.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_tells_its_database_user_and_password() {
        let url = SecretString::from("postgres://app:p%40ss+w@h/db");
        assert_eq!(Database::of_url(&url), Some(Database::Postgres));
        let (user, password) = credentials_of(&url).expect("user");
        assert_eq!((user.as_str(), password.expect("password").expose_secret()), ("app", "p@ss+w"));
        assert_eq!(Database::of_url(&"mysql://h".into()), None);
        assert!(credentials_of(&"postgres://h/db".into()).is_none());
    }
}
