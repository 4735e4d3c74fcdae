//! Configuration: flag over environment over file over default. An unknown key is fatal.
//!
//! The file is TOML or YAML. Every single value can be given in the environment as `CREDVAULT__SECTION__KEY` (tables and
//! lists, `identity.trust_domains`, `.policies` and `.issuers`, in the file only); secret ones
//! ([`SECRETS`]) also as the name of a file that holds them, `CREDVAULT__SECTION__KEY_FILE`. Relative paths begin at the
//! configuration file's folder, or else at the working directory.

mod bounds;
mod database;
mod read;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use config::{Config, Environment};
use credvault_broker::{Guard, NetworkError, RefreshLimits};
use credvault_crypto::{PassphraseKdf, RootKeySource};
use credvault_store::StoreSettings;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::{Host, Url};

pub(crate) use read::wrong_toml;
use read::{ConfigFile, wrong};

/// The keys whose values are secret.
pub const SECRETS: [&str; 3] = ["store.url", "store.migrate_url", "root_key.passphrase"];

/// Why a configuration is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A key is unknown, missing or of the wrong type.
    #[error("{0}")]
    Wrong(String),
    /// A file named by a variable cannot be read.
    #[error("{variable} names {path}, which cannot be read: {source}")]
    SecretFile {
        /// The variable.
        variable: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key is given twice.
    #[error("{0} and {0}_FILE are both set; keep one of them")]
    Twice(String),
}

/// Everything that can be configured.
#[derive(Deserialize, Serialize, Clone, Default, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Addresses and the server's certificate.
    pub server: Server,
    /// How much is served at once.
    pub limits: Limits,
    /// The database.
    pub store: StoreSection,
    /// The root key. Exactly one source.
    pub root_key: RootKeySection,
    /// Who is trusted, and with what.
    pub identity: IdentitySection,
    /// Providers.
    pub catalog: CatalogSection,
    /// Calls to providers.
    pub broker: BrokerSection,
    /// The port for browsers.
    pub public: PublicSection,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// The file that these came from.
    #[serde(skip)]
    file: Option<ConfigFile>,
}

/// `server`: addresses and the server's certificate.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where gRPC with mTLS is served.
    pub address: SocketAddr,
    /// Where `/livez`, `/readyz`, `/metrics` and plain gRPC health are served. Keep it private.
    pub admin_address: SocketAddr,
    /// The server's certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Whether gRPC reflection answers (on the mTLS port).
    pub reflection: bool,
    /// How long calls in progress may take once SIGTERM has come.
    pub drain_seconds: u64,
    /// How often certificates, bundles, policies and key files are looked at for changes. SIGHUP does so at once.
    pub reload_seconds: u64,
    /// Threads that serve calls; 0 means one for each core.
    pub worker_threads: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 7443)),
            admin_address: SocketAddr::from(([127, 0, 0, 1], 7481)),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            reflection: false,
            drain_seconds: 30,
            reload_seconds: 2,
            worker_threads: 0,
        }
    }
}

/// `limits`: how much is served at once.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at once; further ones are closed.
    pub connections: usize,
    /// How many of them one address may have (with IPv6 a /64); 0 means all.
    pub connections_per_address: usize,
    /// TLS handshakes at once; further ones wait.
    pub handshakes: usize,
    /// How many of them one address may have; 0 means all.
    pub handshakes_per_address: usize,
    /// Calls at once; further ones are refused with `RATE_LIMITED`.
    pub calls: usize,
    /// Calls per second of one service for one tenant; 0 means no limit.
    pub rate_per_second: u32,
    /// How many of them may come at once; 0 means as many as `rate_per_second`.
    pub rate_burst: u32,
    /// How long a call may take if it does not say so itself (it may ask for up to 60 s).
    pub deadline_seconds: u64,
    /// How old a connection gets, give or take a tenth, before it is asked to reconnect.
    pub connection_age_seconds: u64,
    /// How long callers may keep a fetched credential.
    pub cache_seconds: u64,
    /// How many bytes of answers may be in memory at once, in the making or unread; 16 MiB at least. A service has a
    /// quarter at most.
    pub answer_bytes: usize,
    /// How long a client may leave an answer unread, up to twice that, before its connection ends.
    pub answer_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: 1024,
            handshakes: 256,
            handshakes_per_address: 32,
            calls: 2048,
            rate_per_second: 0,
            rate_burst: 0,
            deadline_seconds: 10,
            connection_age_seconds: 1800,
            cache_seconds: 60,
            answer_bytes: 64 * 1024 * 1024,
            answer_seconds: 30,
        }
    }
}

/// `store`: the database.
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
    /// The role that is to own the schema. `credvault migrate` creates it.
    pub owner_role: String,
    /// The most connections of one process.
    pub max_connections: u32,
    /// The most connections beside those for lists and queries of the audit log. A tenant gets three quarters at most.
    pub query_connections: u32,
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
    pub connections_of_tenant: u32,
    /// The same for each user.
    pub connections_of_user: u32,
    /// By how much the clock may differ from the database's before this process is not ready. PostgreSQL only; 0 means
    /// that they are not compared.
    pub max_clock_difference_seconds: u64,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self {
            url: SecretString::default(),
            migrate_url: None,
            allow_unencrypted: false,
            owner_role: "credvault_owner".to_owned(),
            max_connections: 16,
            query_connections: 4,
            acquire_timeout_ms: 2000,
            statement_timeout_ms: 5000,
            lock_timeout_ms: 2000,
            audit_timeout_ms: 2000,
            versions_kept: 10,
            undelete_days: 30,
            connections_of_tenant: 100_000,
            connections_of_user: 1000,
            max_clock_difference_seconds: 30,
        }
    }
}

impl StoreSection {
    /// Checks how the URLs have their traffic travel.
    ///
    /// # Errors
    /// One of them would reach another machine without TLS, and that is not allowed.
    pub fn check(&self) -> Result<(), SettingsError> {
        let urls = [("store.url", Some(&self.url)), ("store.migrate_url", self.migrate_url.as_ref())];
        let mut given = urls.into_iter().filter_map(|(key, url)| Some((key, url?)));
        if self.allow_unencrypted {
            Ok(())
        } else {
            given.try_for_each(|(key, url)| database::check(key, url))
        }
    }

    /// The same as the store wants it.
    pub fn to_store(&self) -> StoreSettings {
        StoreSettings {
            max_connections: self.max_connections,
            query_connections: self.query_connections,
            acquire_timeout: Duration::from_millis(self.acquire_timeout_ms),
            statement_timeout: Duration::from_millis(self.statement_timeout_ms),
            lock_timeout: Duration::from_millis(self.lock_timeout_ms),
            audit_timeout: Duration::from_millis(self.audit_timeout_ms),
            versions_kept: self.versions_kept,
            undelete_period: Duration::from_secs(self.undelete_days.saturating_mul(24 * 3600)),
            connections_of_tenant: self.connections_of_tenant,
            connections_of_user: self.connections_of_user,
            ..StoreSettings::new(self.url.clone())
        }
    }
}

/// How a key is made of a passphrase.
#[derive(ValueEnum, Serialize, Clone, Copy, Default, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Kdf {
    /// Argon2id (RFC 9106).
    #[default]
    Argon2id,
    /// PBKDF2-HMAC-SHA256 (RFC 8018).
    Pbkdf2,
}

/// `root_key`: exactly one source.
#[derive(Deserialize, Serialize, Clone, Default, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct RootKeySection {
    /// A file with 32 bytes in hexadecimal or base64, readable by its owner and group only.
    pub file: Option<PathBuf>,
    /// The name of a variable that holds the same.
    pub environment: Option<String>,
    /// A passphrase of at least 16 characters. Secret.
    #[serde(serialize_with = "hidden_option")]
    pub passphrase: Option<SecretString>,
    /// How the key of a new database is made of the passphrase; an existing one remembers.
    #[serde(deserialize_with = "word")]
    pub kdf: Kdf,
}

impl RootKeySection {
    /// Where the key comes from.
    ///
    /// # Errors
    /// None or several are given.
    pub fn source(&self) -> Result<RootKeySource, SettingsError> {
        let kdf = match self.kdf {
            Kdf::Argon2id => PassphraseKdf::Argon2id,
            Kdf::Pbkdf2 => PassphraseKdf::Pbkdf2,
        };
        match (&self.file, &self.environment, &self.passphrase) {
            (Some(path), None, None) => Ok(RootKeySource::File(path.clone())),
            (None, Some(name), None) => Ok(RootKeySource::Environment(name.clone())),
            (None, None, Some(passphrase)) => Ok(RootKeySource::Passphrase(passphrase.clone(), kdf)),
            _ => Err(SettingsError::Wrong(
                "exactly one of root_key.file, root_key.environment and root_key.passphrase must be given"
                    .to_owned(),
            )),
        }
    }
}

/// `identity`: who is trusted, and with what.
#[derive(Deserialize, Serialize, Clone, Default, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct IdentitySection {
    /// SPIFFE trust domain to the PEM bundle of its authorities.
    pub trust_domains: BTreeMap<String, PathBuf>,
    /// Cedar policy files, or folders of `*.cedar` files.
    pub policies: Vec<PathBuf>,
    /// Issuers of tokens.
    pub issuers: Vec<IssuerSection>,
}

/// What an issuer's tokens say.
#[derive(ValueEnum, Serialize, Clone, Copy, Default, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum IssuerKindSetting {
    /// A user's token: who the platform's own front end has signed in.
    #[default]
    User,
    /// An assertion of the platform, bound to the calling service by `act.sub`.
    Assertion,
}

/// `identity.issuers`: an issuer of tokens.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct IssuerSection {
    /// A name for logs and metrics.
    pub name: String,
    /// What its tokens say.
    #[serde(deserialize_with = "word")]
    pub kind: IssuerKindSetting,
    /// The `iss` claim, exactly.
    pub issuer: String,
    /// A JWKS file; or else `jwks_url`.
    pub jwks_file: Option<PathBuf>,
    /// Where the JWKS is fetched: https, or http on the same machine.
    pub jwks_url: Option<String>,
    /// The claim that says whom a token is for: `aud`, or Clerk's `azp`.
    pub audience_claim: String,
    /// Its accepted values.
    pub audiences: Vec<String>,
    /// The claim that names the tenant, such as `org_id`, or `o.id` for one within an object.
    pub tenant_claim: String,
    /// The claim that names the user.
    pub user_claim: String,
    /// The longest life of a token.
    pub max_lifetime_seconds: Option<u64>,
}

impl Default for IssuerSection {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: IssuerKindSetting::User,
            issuer: String::new(),
            jwks_file: None,
            jwks_url: None,
            audience_claim: "aud".to_owned(),
            audiences: Vec::new(),
            tenant_claim: "tenant".to_owned(),
            user_claim: "sub".to_owned(),
            max_lifetime_seconds: None,
        }
    }
}

/// `catalog`: providers.
#[derive(Deserialize, Serialize, Clone, Default, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogSection {
    /// A folder of provider files. One replaces the embedded provider of the same id.
    pub folder: Option<PathBuf>,
}

/// `broker`: calls to providers.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct BrokerSection {
    /// Addresses that are not public and may be called nevertheless, and by plain http if they stand in the URL: those of
    /// stores on the operator's own network. Addresses or ranges such as `10.1.0.0/16`.
    pub allowed_networks: Vec<String>,
    /// How many refreshes of one app a provider gets in any second at most, from all replicas together; 0 means no limit.
    pub refreshes_per_second: u32,
    /// For how long a refresh whose outcome is unclear is repeated, with growing pauses, before the account's owner is asked
    /// to consent again. It counts where the provider's refresh tokens work once, and for refusals without a known reason.
    pub refresh_persistence_hours: u64,
    /// How many refreshes callers of one tenant may insist on in a minute (RefreshConnection, and TestConnection of a
    /// token that is refused), in each process; 0 means no limit.
    pub forced_refreshes_per_minute: u32,
    /// How often stored credentials are tested at their provider, give or take a fifth; 0 means never.
    pub verify_hours: u64,
}

impl Default for BrokerSection {
    fn default() -> Self {
        Self {
            allowed_networks: Vec::new(),
            refreshes_per_second: 50,
            refresh_persistence_hours: 168,
            forced_refreshes_per_minute: 60,
            verify_hours: 24,
        }
    }
}

impl BrokerSection {
    /// How fast tokens are refreshed, and for how long.
    pub fn refresh_limits(&self) -> RefreshLimits {
        let hours = self.refresh_persistence_hours;
        RefreshLimits {
            per_second: self.refreshes_per_second,
            persistence: Duration::from_secs(hours.saturating_mul(3600)),
        }
    }

    /// The guard of outgoing calls.
    ///
    /// # Errors
    /// Something in the list is no range of addresses.
    pub fn guard(&self) -> Result<Guard, SettingsError> {
        let network = |text: &String| {
            let wrong = |rule: NetworkError| SettingsError::Wrong(format!("broker.allowed_networks {rule}"));
            text.parse().map_err(wrong)
        };
        Ok(Guard::new(self.allowed_networks.iter().map(network).collect::<Result<_, _>>()?))
    }
}

/// `public`: the port for browsers that come back from providers.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct PublicSection {
    /// Where plain HTTP is served for browsers. TLS is the reverse proxy's before it.
    pub address: SocketAddr,
    /// How browsers reach it, such as `https://connect.example.com`: https, or http on the same machine. Without it the
    /// port stays closed.
    pub url: Option<String>,
    /// Origins of the pages that may be told of a browser's return, such as `https://app.example.com`.
    pub origins: Vec<String>,
    /// How many connections of 1,024 one address may have; 0 means all. Behind a reverse proxy the address is the
    /// proxy's.
    pub connections_per_address: usize,
}

impl Default for PublicSection {
    fn default() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 7480));
        Self { address, url: None, origins: Vec::new(), connections_per_address: 256 }
    }
}

impl PublicSection {
    /// The URL without a slash at its end.
    ///
    /// # Errors
    /// It, or one of the origins, is not what it must be.
    pub fn base(&self) -> Result<Option<String>, SettingsError> {
        for origin in &self.origins {
            let parsed = web_url(origin, "public.origins")?;
            if parsed.origin().ascii_serialization() != *origin {
                return Err(SettingsError::Wrong(
                    "public.origins must hold origins, such as https://app.example.com, without a path"
                        .to_owned(),
                ));
            }
        }
        let Some(text) = &self.url else { return Ok(None) };
        let url = web_url(text, "public.url")?;
        if url.query().is_some() || url.fragment().is_some() || url.path() != "/" {
            return Err(SettingsError::Wrong("public.url must have no path, query or fragment".to_owned()));
        }
        Ok(Some(url.origin().ascii_serialization()))
    }
}

/// A URL that browsers may use: https, or http on the same machine.
fn web_url(text: &str, key: &str) -> Result<Url, SettingsError> {
    let url = Url::parse(text).ok();
    let local = |url: &Url| match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.filter(|url| url.scheme() == "https" || (url.scheme() == "http" && local(url)))
        .filter(|url| url.username().is_empty() && url.password().is_none())
        .ok_or_else(|| {
            SettingsError::Wrong(format!("{key} must be an https URL, or an http one on the same machine"))
        })
}

/// How log lines look.
#[derive(ValueEnum, Serialize, Clone, Copy, Default, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// How much is logged.
#[derive(ValueEnum, Serialize, Clone, Copy, Default, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl std::fmt::Display for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

/// `telemetry`: logs and traces.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// How log lines look.
    #[serde(deserialize_with = "word")]
    pub log_format: LogFormat,
    /// What is logged.
    #[serde(deserialize_with = "word")]
    pub log_level: LogLevel,
    /// An OTLP collector over gRPC, such as `http://localhost:4317`. Without one no traces are sent.
    pub otlp_endpoint: Option<String>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log_format: LogFormat::Json, log_level: LogLevel::Info, otlp_endpoint: None }
    }
}

/// One of a few words.
fn word<'de, D: Deserializer<'de>, T: ValueEnum>(deserializer: D) -> Result<T, D::Error> {
    let given = String::deserialize(deserializer)?;
    T::from_str(&given, false).map_err(|_| {
        let words = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let words: Vec<_> = words.map(|word| word.get_name().to_owned()).collect();
        D::Error::custom(format!("must be one of {}", words.join(", ")))
    })
}

fn hidden<S: Serializer>(_: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("(secret)")
}

fn hidden_option<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => hidden(secret, serializer),
        None => serializer.serialize_none(),
    }
}

impl Settings {
    /// Reads the configuration. `variables` is the environment, `overrides` are flags.
    ///
    /// # Errors
    /// A key is unknown, given twice, or has a value that it cannot have; the message names the key.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
        overrides: &[(String, String)],
    ) -> Result<Self, SettingsError> {
        let mut builder = Config::builder();
        let read = file.map(ConfigFile::read).transpose()?;
        if let Some(read) = &read {
            builder = builder.add_source(read.source()?);
        }
        let environment = Environment::with_prefix("CREDVAULT")
            .prefix_separator("__")
            .separator("__")
            .source(Some(resolve_files(variables)?));
        builder = builder.add_source(environment);
        for (key, value) in overrides {
            builder = builder.set_override(key, value.as_str()).map_err(|error| wrong(&error))?;
        }
        let built = builder.build().map_err(|error| wrong(&error))?;
        let mut settings: Self = built.try_deserialize().map_err(|error| wrong(&error))?;
        bounds::check(&settings)?;
        settings.resolve(file.and_then(Path::parent).unwrap_or(Path::new("")));
        settings.file = read;
        Ok(settings)
    }

    /// Whether the file that these came from still holds what was read.
    pub(crate) fn are_unchanged(&self) -> bool {
        self.file.as_ref().is_none_or(ConfigFile::is_unchanged)
    }

    /// Makes relative paths begin at `base`.
    fn resolve(&mut self, base: &Path) {
        let issuers = self.identity.issuers.iter_mut().filter_map(|issuer| issuer.jwks_file.as_mut());
        let optional = [self.root_key.file.as_mut(), self.catalog.folder.as_mut()].into_iter().flatten();
        let fixed = [&mut self.server.certificate, &mut self.server.key];
        let lists = self.identity.trust_domains.values_mut().chain(&mut self.identity.policies);
        for path in issuers.chain(optional).chain(fixed).chain(lists) {
            if !path.as_os_str().is_empty() {
                *path = base.join(&*path);
            }
        }
        let relative = self
            .store
            .url
            .expose_secret()
            .strip_prefix("sqlite:")
            .filter(|path| !path.starts_with([':', '/']));
        if let Some(path) = relative {
            // In a URL, these two have a meaning.
            let base = base.join("").display().to_string().replace('%', "%25").replace('?', "%3F");
            self.store.url = format!("sqlite:{base}{path}").into();
        }
    }
}

/// Replaces `…_FILE` variables of secret keys by what their files hold.
fn resolve_files(
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<HashMap<String, String>, SettingsError> {
    let mut variables: HashMap<String, String> =
        variables.into_iter().filter(|(name, _)| name.starts_with("CREDVAULT__")).collect();
    for key in SECRETS {
        let name = format!("CREDVAULT__{}", key.replace('.', "__").to_uppercase());
        let Some(path) = variables.remove(&format!("{name}_FILE")).map(PathBuf::from) else { continue };
        let failed = |source| SettingsError::SecretFile {
            variable: format!("{name}_FILE"),
            path: path.clone(),
            source,
        };
        let text = crate::files::read_private(&path).map_err(failed)?;
        let not_text = |_| failed(std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8"));
        let text = String::from_utf8(text).map_err(not_text)?;
        if variables.insert(name.clone(), text.trim_end_matches(['\r', '\n']).to_owned()).is_some() {
            return Err(SettingsError::Twice(name));
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests;
