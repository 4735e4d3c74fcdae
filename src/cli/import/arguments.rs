//! The arguments of `import`, and what they open beside the source: the map, the key, an export of secrets.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use credvault_crypto::Pbkdf2Hash;
use credvault_import::{
    Converter, Encoding, Holder, KeyForm, Layout, Map, References, Salt, System, Unsealer, is_variable,
};
use secrecy::SecretString;

use crate::cli::args::OutputArgs;
use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::settings::wrong_toml;

use super::files::{distinct, named, read};

/// The system that moves in.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum SystemName {
    /// PixelPim: its table UserIntegrationCredentials.
    Pixelpim,
    /// Fluxori: its marketplace connections.
    Fluxori,
    /// KPI ETL's table credentials.
    KpiEtl,
    /// The Kustomer integration's table user_kustomer_connections.
    Kustomer,
    /// The integrations module's accounts and global integrations.
    Integrations,
    /// Variables of this environment, or of a .env file.
    Env,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum FormatName {
    Csv,
    Jsonl,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum OwnerName {
    Tenant,
    Platform,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum KeyFormName {
    Utf8,
    Hex,
    Base64,
    Sha256,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum HashName {
    Sha256,
    Sha512,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum SaltName {
    Row,
    Secret,
    User,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum EncodingName {
    Utf8,
    Hex,
    Base64,
    Base64url,
}

#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// The system whose credentials move in.
    #[arg(value_enum)]
    system: SystemName,
    /// A file with the rows, `-` for standard input, or the address of a PostgreSQL database. In the environment variable,
    /// an address with a password is not visible to other users. For env: a .env file instead of the environment.
    #[arg(long, env = "CREDVAULT_IMPORT_FROM", hide_env_values = true, value_name = "FILE|URL")]
    pub(super) from: Option<String>,
    /// The form of the file, if its name does not end with .csv or .jsonl.
    #[arg(long, value_enum)]
    pub(super) format: Option<FormatName>,
    /// The table to read from the database, if not the one of the system's document.
    #[arg(long, conflicts_with = "query")]
    pub(super) table: Option<String>,
    /// A query whose rows are read instead of a table's.
    #[arg(long)]
    pub(super) query: Option<String>,
    /// A file that amends which column and field of theirs is what of ours.
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,
    /// The column that names the tenant, instead of the map's. A row without a value in it is refused, unless --tenant is
    /// given, too: then all rows are for that one, and a row that names another is refused.
    #[arg(long, value_name = "COLUMN")]
    pub(super) tenant_column: Option<String>,
    /// Rows that name another tenant than --tenant are for that of --tenant, too. Without this option they are refused.
    #[arg(long, requires = "tenant", conflicts_with = "tenant_column")]
    merge_tenants: bool,
    /// The owner of everything: the tenant instead of users, or the platform.
    #[arg(long, value_enum)]
    owner: Option<OwnerName>,
    /// A file with the key of the other system, or for kpi-etl with its ENCRYPTION_KEY_SALT.
    #[arg(long, value_name = "FILE", conflicts_with = "key_env")]
    key_file: Option<PathBuf>,
    /// The environment variable that has it: ENCRYPTION_KEY by default, for kpi-etl ENCRYPTION_KEY_SALT.
    #[arg(long, value_name = "NAME")]
    key_env: Option<String>,
    /// How the key is written.
    #[arg(long, value_enum, default_value = "utf8")]
    key_form: KeyFormName,
    /// How a sealed value stands in its column.
    #[arg(long, default_value = "hex:iv:tag:ciphertext")]
    layout: String,
    /// Values that are not sealed are taken as they are: for a system whose key was optional.
    #[arg(long)]
    plain: bool,
    /// For kpi-etl: the hash function of PBKDF2.
    #[arg(long, value_enum, default_value = "sha256")]
    kdf_hash: HashName,
    /// For kpi-etl: what the salt is. row: the row's, with user id and secret as the password, or the secret where a row has
    /// none; secret: the secret, with the user id as the password; user: the user id, with the secret as the password.
    #[arg(long, value_enum, default_value = "row")]
    kdf_salt: SaltName,
    /// For kpi-etl: how a row's salt is written.
    #[arg(long, value_enum, default_value = "hex")]
    salt_encoding: EncodingName,
    /// For fluxori: an export of the secret store, a JSON object from references to credentials. `-` for standard input.
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// Check everything, change nothing, and print what would happen.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Also store a credential that has changed since its row was imported.
    #[arg(long)]
    pub(super) update: bool,
    /// A file that remembers which rows are done, to continue an import. It has no secret.
    #[arg(long, value_name = "FILE")]
    pub(super) journal: Option<PathBuf>,
    /// A file for each row that was refused or left out, and why: JSON lines, or CSV if its name ends with .csv.
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// How many rows go into one request, at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=200))]
    batch: u16,
    /// How many requests are in progress at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) concurrency: u16,
    #[command(flatten)]
    pub(super) client: ClientArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl ImportArgs {
    fn system(&self) -> System {
        match self.system {
            SystemName::Pixelpim => System::PixelPim,
            SystemName::Fluxori => System::Fluxori,
            SystemName::KpiEtl => System::KpiEtl,
            SystemName::Kustomer => System::Kustomer,
            SystemName::Integrations => System::Integrations,
            SystemName::Env => System::Env,
        }
    }

    pub(super) fn batch(&self) -> usize {
        usize::from(self.batch)
    }

    /// The tenant that gets apps; empty for the platform.
    pub(super) fn app_tenant(&self) -> String {
        let tenant = self.client.tenant().filter(|_| self.owner == Some(OwnerName::Tenant));
        tenant.unwrap_or_default().to_owned()
    }

    /// The owner of everything, in the words of the option; empty where rows say it.
    pub(super) fn owner(&self) -> &'static str {
        match self.owner {
            None => "",
            Some(OwnerName::Tenant) => "tenant",
            Some(OwnerName::Platform) => "platform",
        }
    }

    /// Whether all that moves in is the platform's, so that no tenant is needed.
    pub(super) fn is_for_the_platform(&self) -> bool {
        match self.owner {
            Some(OwnerName::Platform) => true,
            Some(OwnerName::Tenant) => false,
            None => matches!(self.system, SystemName::Env),
        }
    }

    /// Refuses to write a file that is read, or one that is written already. Opens none.
    pub(super) fn check_files(&self) -> Result<(), Failure> {
        let written = [("--journal", self.journal.as_deref()), ("--report", self.report.as_deref())];
        let read = [
            ("--from", self.from.as_deref().map(Path::new)),
            ("--map", self.map.as_deref()),
            ("--secrets", self.secrets.as_deref()),
            ("--key-file", self.key_file.as_deref()),
        ];
        distinct(&written, &read)
    }

    /// What turns rows into connections.
    pub(super) fn converter(&self) -> Result<Converter, Failure> {
        let system = self.system();
        let mut converter = Converter::new(system, self.amended_map(system)?);
        if let Some(path) = &self.secrets {
            let references = References::parse(&read(path)?);
            converter.references =
                references.map_err(|rule| Failure::Usage(format!("{} {rule}", named(path))))?;
        }
        converter.holder = self.owner.map(|owner| match owner {
            OwnerName::Tenant => Holder::Tenant,
            OwnerName::Platform => Holder::Platform,
        });
        converter.unsealer = self.unsealer(system)?;
        converter.plain = self.plain;
        let only = self.client.tenant().filter(|_| !self.merge_tenants);
        converter.only_tenant = only.map(str::to_owned);
        Ok(converter)
    }

    fn amended_map(&self, system: System) -> Result<Map, Failure> {
        let mut map = system.map().map_err(|error| Failure::Usage(error.to_string()))?;
        if let Some(path) = &self.map {
            let text = read(path)?;
            let amending = Map::parse(&text).map_err(|error| {
                Failure::Usage(format!("the map {}{}", named(path), wrong_toml(&text, error.cause())))
            })?;
            map = map.amended(amending);
        }
        if let Some(column) = &self.tenant_column {
            map.columns.tenant = vec![column.clone()];
        } else if self.merge_tenants {
            // The command says for whom all rows are, whatever they name.
            map.columns.tenant.clear();
        }
        Ok(map)
    }

    /// The key, if there is one. Where values are sealed or plain, the command must say which.
    fn key(&self, system: System) -> Result<Option<String>, Failure> {
        if self.plain && system.is_sealed() {
            let rule = "what this system stores is always sealed; leave --plain out";
            return Err(Failure::Usage(rule.to_owned()));
        }
        let seals = system.is_sealed() || system.may_be_plain();
        if !seals && (self.plain || self.key_file.is_some() || self.key_env.is_some()) {
            let rule = "what this system stores is not sealed; leave --key-file, --key-env and --plain out";
            return Err(Failure::Usage(rule.to_owned()));
        }
        let usual = if matches!(system, System::KpiEtl) { "ENCRYPTION_KEY_SALT" } else { "ENCRYPTION_KEY" };
        match (&self.key_file, &self.key_env) {
            (Some(path), _) => return Ok(Some(read(path)?.trim_end_matches(['\r', '\n']).to_owned())),
            (None, Some(name)) if is_variable(name) => {
                // The key itself may stand there, so the name is not repeated.
                let unset = || Failure::Usage("the variable that --key-env names is not set".to_owned());
                return std::env::var(name).map(Some).map_err(|_| unset());
            }
            (None, Some(_)) => {
                let rule = "--key-env must be the name of a variable, and not the key itself";
                return Err(Failure::Usage(rule.to_owned()));
            }
            (None, None) => {}
        }
        let key = std::env::var(usual).ok().filter(|_| seals);
        if key.is_none() && system.may_be_plain() && !self.plain {
            let rule = "give the key with --key-file or --key-env, or --plain if nothing is sealed";
            return Err(Failure::Usage(rule.to_owned()));
        }
        Ok(key)
    }

    fn unsealer(&self, system: System) -> Result<Option<Unsealer>, Failure> {
        let Some(key) = self.key(system)?.map(SecretString::from) else { return Ok(None) };
        let layout: Layout =
            self.layout.parse().map_err(|error| Failure::Usage(format!("--layout: {error}")))?;
        if !matches!(system, System::KpiEtl) {
            let form = self.key_form();
            let unsealer = Unsealer::shared(layout, &key, form);
            return unsealer.map(Some).map_err(|error| {
                Failure::Usage(format!("the key cannot be used: {error}; --key-form says how it is written"))
            });
        }
        let hash = match self.kdf_hash {
            HashName::Sha256 => Pbkdf2Hash::Sha256,
            HashName::Sha512 => Pbkdf2Hash::Sha512,
        };
        let salt = match self.kdf_salt {
            SaltName::Row => Salt::RowOrSecret(self.salt_encoding()),
            SaltName::Secret => Salt::Secret,
            SaltName::User => Salt::User,
        };
        Ok(Some(Unsealer::of_users(layout, key, hash, salt)))
    }

    fn key_form(&self) -> KeyForm {
        match self.key_form {
            KeyFormName::Utf8 => KeyForm::Bytes(Encoding::Utf8),
            KeyFormName::Hex => KeyForm::Bytes(Encoding::Hex),
            KeyFormName::Base64 => KeyForm::Bytes(Encoding::Base64),
            KeyFormName::Sha256 => KeyForm::Sha256,
        }
    }

    fn salt_encoding(&self) -> Encoding {
        match self.salt_encoding {
            EncodingName::Utf8 => Encoding::Utf8,
            EncodingName::Hex => Encoding::Hex,
            EncodingName::Base64 => Encoding::Base64,
            EncodingName::Base64url => Encoding::Base64Url,
        }
    }
}
