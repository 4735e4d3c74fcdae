//! `store`: the database, and how much each tenant may keep in it.

use std::num::NonZeroU64;
use std::path::Path;
use std::time::Duration;

use credvault_store::{Database, ROLE_NAME_RULE, StoreSettings, is_role_name};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::problem::Problems;
use super::store_url;
use super::value::{DAY_SECONDS, YEAR_SECONDS, hidden, hidden_option};

/// The longest time-out of the database, in milliseconds: ten minutes.
const MAX_TIMEOUT_MS: u64 = 10 * 60 * 1000;

/// `store` as it was given.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSection {
    /// `postgres://user:password@host/database` or `sqlite:path/to/file`. Secret.
    #[serde(serialize_with = "hidden")]
    pub url: SecretString,
    /// `credvault migrate` connects to PostgreSQL with this: a role that may create roles and a schema. Secret.
    #[serde(serialize_with = "hidden_option")]
    pub migrate_url: Option<SecretString>,
    /// Whether PostgreSQL on another machine may be reached without TLS.
    pub allow_unencrypted: bool,
    /// The role that owns the schema. `credvault migrate` creates it.
    pub owner_role: String,
    /// The most connections of one process to the database.
    pub max_connections: u32,
    /// The most connections for lists and queries of the audit log, beside `max_connections`. A tenant gets three
    /// quarters at most.
    pub max_query_connections: u32,
    /// How long a call waits for a connection.
    pub acquire_timeout_ms: u64,
    /// How long a statement may run. PostgreSQL only.
    pub statement_timeout_ms: u64,
    /// How long a statement waits for a lock.
    pub lock_timeout_ms: u64,
    /// How long a call waits for its audit record to be durable.
    pub audit_timeout_ms: u64,
    /// How many versions of a credential are kept.
    pub versions_kept: u32,
    /// How many days a deleted connection can be undeleted.
    pub undelete_days: u64,
    /// How many connections a tenant, or the platform, may have, deleted ones that are not purged included; 0 means no
    /// limit.
    pub tenant_connection_quota: u32,
    /// How many connections a user may have, counted in the same way; 0 means no limit.
    pub user_connection_quota: u32,
    /// How many days counts of usage are kept.
    pub usage_days: u32,
    /// By how much the clock may differ from the database's before this process is not ready. PostgreSQL only; 0 means
    /// that they are not compared.
    pub max_clock_skew_seconds: u64,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self {
            url: SecretString::default(),
            migrate_url: None,
            allow_unencrypted: false,
            owner_role: "credvault_owner".to_owned(),
            max_connections: 16,
            max_query_connections: 4,
            acquire_timeout_ms: 2000,
            statement_timeout_ms: 5000,
            lock_timeout_ms: 2000,
            audit_timeout_ms: 2000,
            versions_kept: 10,
            undelete_days: 30,
            tenant_connection_quota: 100_000,
            user_connection_quota: 1000,
            usage_days: 400,
            max_clock_skew_seconds: 30,
        }
    }
}

/// The database, and how much each tenant may keep in it.
#[derive(Clone, Debug)]
pub struct Store {
    /// How the database is reached, and what is kept.
    pub database: StoreSettings,
    /// What `credvault migrate` connects to PostgreSQL with.
    pub migrate_url: Option<SecretString>,
    /// The role that owns the schema.
    pub owner_role: String,
    /// The largest difference of clocks at which this process is ready; `None` means that they are not compared.
    pub max_clock_skew: Option<Duration>,
}

impl StoreSection {
    /// Makes the path of an SQLite URL begin at `base`.
    pub(super) fn resolve(&mut self, base: &Path) {
        let path = self.url.expose_secret().strip_prefix("sqlite:");
        if let Some(path) = path.filter(|path| !path.starts_with([':', '/'])) {
            // In a URL, these two characters have a meaning.
            let base = base.join("").display().to_string().replace('%', "%25").replace('?', "%3F");
            self.url = format!("sqlite:{base}{path}").into();
        }
    }

    pub(super) fn check(&self, problems: &mut Problems) -> Store {
        self.check_urls(problems);
        let skew = self.max_clock_skew_seconds;
        let skew = problems.number("store.max_clock_skew_seconds", skew, 0..=YEAR_SECONDS);
        Store {
            database: self.database(problems),
            migrate_url: self.migrate_url.clone(),
            owner_role: self.checked_owner_role(problems),
            max_clock_skew: NonZeroU64::new(skew).map(|seconds| Duration::from_secs(seconds.get())),
        }
    }

    fn check_urls(&self, problems: &mut Problems) {
        if self.url.expose_secret().is_empty() {
            problems.refuse("store.url", "must be given: the URL of the database, such as sqlite:vault.db");
        } else if Database::of_url(&self.url).is_none() {
            let rule = "must be the URL of a PostgreSQL or SQLite database, such as sqlite:vault.db";
            problems.refuse("store.url", rule);
        }
        if self.migrate_url.as_ref().is_some_and(|url| Database::of_url(url) != Some(Database::Postgres)) {
            let rule = "must begin with postgres://; a SQLite database needs no second URL";
            problems.refuse("store.migrate_url", rule);
        }
        let urls = [("store.url", Some(&self.url)), ("store.migrate_url", self.migrate_url.as_ref())];
        for (key, url) in urls.into_iter().filter_map(|(key, url)| Some((key, url?))) {
            let url = problems.take(key, store_url::parse(url));
            if let Some(url) = url.filter(|_| !self.allow_unencrypted) {
                problems.take(key, store_url::check_encryption(&url));
            }
        }
    }

    fn checked_owner_role(&self, problems: &mut Problems) -> String {
        if !is_role_name(&self.owner_role) {
            problems.refuse("store.owner_role", ROLE_NAME_RULE);
        }
        self.owner_role.clone()
    }

    fn database(&self, problems: &mut Problems) -> StoreSettings {
        let mut timeout = |key, value| problems.milliseconds(key, value, 1..=MAX_TIMEOUT_MS);
        let acquire_timeout = timeout("store.acquire_timeout_ms", self.acquire_timeout_ms);
        let statement_timeout = timeout("store.statement_timeout_ms", self.statement_timeout_ms);
        let lock_timeout = timeout("store.lock_timeout_ms", self.lock_timeout_ms);
        let audit_timeout = timeout("store.audit_timeout_ms", self.audit_timeout_ms);
        let mut count = |key, value| problems.number(key, value, 1..=10_000);
        let max_connections = count("store.max_connections", self.max_connections);
        let query_connections = count("store.max_query_connections", self.max_query_connections);
        let versions_kept = count("store.versions_kept", self.versions_kept);
        let undelete_days = problems.number("store.undelete_days", self.undelete_days, 1..=3650);
        let usage_days = problems.number("store.usage_days", self.usage_days, 31..=3650);
        StoreSettings {
            max_connections,
            query_connections,
            acquire_timeout,
            statement_timeout,
            lock_timeout,
            audit_timeout,
            versions_kept,
            undelete_period: Duration::from_secs(undelete_days * DAY_SECONDS),
            connections_of_tenant: self.tenant_connection_quota,
            connections_of_user: self.user_connection_quota,
            usage_days,
            ..StoreSettings::new(self.url.clone())
        }
    }
}
