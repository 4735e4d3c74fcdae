//! The arguments of `import`, and what they open: the map, the key, the source.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::{Args, ValueEnum};
use credvault_crypto::Pbkdf2Hash;
use credvault_import::{
    Converter, Encoding, Format, Holder, KeyForm, Layout, Map, References, Salt, Source, System, Unsealer,
    Where,
};
use secrecy::SecretString;

use crate::cli::args::OutputArgs;
use crate::cli::client::{ClientArgs, unreadable};
use crate::cli::failure::Failure;

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
enum FormatName {
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
    from: Option<String>,
    /// The form of the file, if its name does not end with .csv or .jsonl.
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// The table to read from the database, if not the one of the system's document.
    #[arg(long, conflicts_with = "query")]
    table: Option<String>,
    /// A query whose rows are read instead of a table's.
    #[arg(long)]
    query: Option<String>,
    /// A file that amends which column and field of theirs is what of ours.
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,
    /// The column that names the tenant. Rows without one are for the tenant of --tenant or of the profile.
    #[arg(long, value_name = "COLUMN")]
    tenant_column: Option<String>,
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
    /// For fluxori: an export of the secret store, a JSON object from references to credentials.
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

/// How far a file was read, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Size {
    pub(super) whole: u64,
    pub(super) read: Arc<AtomicU64>,
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

    /// What turns rows into connections.
    pub(super) fn converter(&self) -> Result<Converter, Failure> {
        let system = self.system();
        let usage = |error: &dyn std::error::Error| Failure::Usage(error.to_string());
        let mut map = system.map().map_err(|error| usage(&error))?;
        if let Some(path) = &self.map {
            map = map.amended(Map::parse(&read(path)?).map_err(|error| usage(&error))?);
        }
        if let Some(column) = &self.tenant_column {
            map.columns.tenant = vec![column.clone()];
        } else if self.client.tenant().is_some() {
            // The command says for whom all rows are.
            map.columns.tenant.clear();
        }
        let references = match &self.secrets {
            None => References::default(),
            Some(path) => References::parse(&read(path)?).ok_or_else(|| {
                let rule = "must be a JSON object from references to credentials";
                Failure::Usage(format!("{} {rule}", path.display()))
            })?,
        };
        let holder = self.owner.map(|owner| match owner {
            OwnerName::Tenant => Holder::Tenant,
            OwnerName::Platform => Holder::Platform,
        });
        let unsealer = self.unsealer(system)?;
        Ok(Converter { system, map, unsealer, references, holder })
    }

    fn unsealer(&self, system: System) -> Result<Option<Unsealer>, Failure> {
        let named = if matches!(system, System::KpiEtl) { "ENCRYPTION_KEY_SALT" } else { "ENCRYPTION_KEY" };
        let seals = system.is_sealed() || matches!(system, System::Kustomer);
        let asked = self.key_file.is_some() || self.key_env.is_some();
        let key = match (&self.key_file, &self.key_env) {
            (Some(path), _) => Some(read(path)?.trim_end_matches(['\r', '\n']).to_owned()),
            (None, Some(name)) => Some(std::env::var(name).map_err(|_| {
                Failure::Usage(format!("the variable {name}, which --key-env names, is not set"))
            })?),
            (None, None) if seals => std::env::var(named).ok(),
            (None, None) => None,
        };
        let Some(key) = key.filter(|_| seals || asked).map(SecretString::from) else { return Ok(None) };
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

    /// The rows, and how far they are read where that can be said.
    pub(super) async fn source(&self, converter: &Converter) -> Result<(Source, Option<Size>), Failure> {
        let from = self.from.as_deref();
        if matches!(converter.system, System::Env) {
            let record = match from {
                Some(path) => System::variables(&read(Path::new(path))?),
                None => credvault_import::Record::new(
                    std::env::vars().map(|(name, value)| (name, value.into())).collect(),
                ),
            };
            return Ok((Source::one(record), None));
        }
        let from = from.ok_or_else(|| {
            Failure::Usage("--from must name a file or a PostgreSQL address with the rows".to_owned())
        })?;
        let failed = |error: credvault_import::SourceError| Failure::Usage(error.to_string());
        if from.starts_with("postgres://") || from.starts_with("postgresql://") {
            let rows = match (&self.query, self.table.as_ref().or(converter.map.table.as_ref())) {
                (Some(query), _) => Where::Query(query.clone()),
                (None, Some(table)) => Where::Table(table.clone()),
                (None, None) => return Err(Failure::Usage("--table or --query must be given".to_owned())),
            };
            return Ok((Source::postgres(from, &rows).await.map_err(failed)?, None));
        }
        let format = self.format(from)?;
        if from == "-" {
            return Ok((
                Source::file(Box::new(BufReader::new(std::io::stdin())), format).map_err(failed)?,
                None,
            ));
        }
        let path = Path::new(from);
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (whole, file) = opened.map_err(|error| unreadable(path, &error))?;
        let size = Size { whole, read: Arc::default() };
        let counted = BufReader::new(Counted { file, read: Arc::clone(&size.read) });
        Ok((Source::file(Box::new(counted), format).map_err(failed)?, Some(size)))
    }

    fn format(&self, from: &str) -> Result<Format, Failure> {
        let extension = Path::new(from).extension().and_then(|extension| extension.to_str());
        match (self.format, extension) {
            (Some(FormatName::Csv), _) | (None, Some("csv")) => Ok(Format::Csv),
            (Some(FormatName::Jsonl), _) | (None, Some("jsonl" | "ndjson")) => Ok(Format::JsonLines),
            (None, _) => Err(Failure::Usage("--format must say whether the file is csv or jsonl".to_owned())),
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

/// A file that counts what is read of it.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
