//! What is in a dump, read from its own format without the vault, and what a root key opens of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use credvault_crypto::{Binding, Context, FIELDS_SCHEMA, Keyring, RootKeySource, SystemRandom, TenantKey};
use credvault_domain::{ConnectionId, TenantId};
use credvault_testkit::postgres_program;
use sea_orm::{ConnectionTrait as _, Database, Statement};

use super::{Dump, run};

/// A connection: its tenant, its user if it is a user's, and its id.
pub(super) type Connection<'a> = (&'a str, Option<&'a str>, String);

/// What was opened there.
pub(super) struct Opened {
    /// How many keys of the two tenants unwrap.
    pub(super) keys: [usize; 2],
    /// Values in the clear, and as they were sealed.
    pub(super) values: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Opened {
    /// Whether a secret is among what was opened.
    pub(super) fn holds(&self, secret: &str) -> bool {
        self.values
            .iter()
            .any(|(plain, _)| plain.windows(secret.len()).any(|window| window == secret.as_bytes()))
    }
}

impl Dump {
    /// The dump as it can be searched: PostgreSQL's as text, for the file itself is compressed.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match &self.of {
            Some(_) => run(postgres_program("pg_restore").args(["--file", "-"]).arg(&self.path)),
            None => {
                let files = ["", "-wal"].map(|ending| format!("{}{ending}", self.path.display()));
                files.map(|file| std::fs::read(file).unwrap_or_default()).concat()
            }
        }
    }

    /// Every value of bytes in any column of any table.
    pub(super) async fn values(&self) -> BTreeSet<Vec<u8>> {
        if self.of.is_none() {
            return self.values_of_sqlite().await;
        }
        let text = String::from_utf8(self.bytes()).unwrap();
        let fields = text.lines().flat_map(|line| line.split('\t'));
        let values: BTreeSet<_> = fields.filter_map(|field| field.strip_prefix("\\\\x")).map(unhex).collect();
        assert!(values.len() > 3, "bytes are written in hexadecimal");
        values
    }

    async fn values_of_sqlite(&self) -> BTreeSet<Vec<u8>> {
        // A copy: reading changes the files.
        let copy = self.path.with_extension("read");
        super::copy(&self.path, &copy);
        let db = Database::connect(format!("sqlite://{}", copy.display())).await.unwrap();
        let texts = async |sql: String| -> Vec<String> {
            let rows =
                db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
            rows.iter().map(|row| row.try_get("", "v").unwrap()).collect()
        };
        let columns = "SELECT 'SELECT hex(' || p.name || ') AS v FROM ' || m.name AS v
            FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table' AND p.type = 'BLOB'";
        let mut values = BTreeSet::new();
        for each in texts(columns.to_owned()).await {
            values.extend(texts(each).await.iter().map(|hex| unhex(hex)));
        }
        db.close().await.unwrap();
        values
    }
}

/// Whether these bytes are in a dump: as such, or in hexadecimal.
pub(super) fn contains(dump: &[u8], bytes: &[u8]) -> bool {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [bytes, hex.as_bytes()].iter().any(|sought| dump.windows(sought.len()).any(|window| window == *sought))
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Tries every value as a key of each tenant, and then every value under every key in the places of these connections.
pub(super) async fn opened(values: &BTreeSet<Vec<u8>>, root: &Path, places: &[Connection<'_>]) -> Opened {
    let (root, _) = RootKeySource::File(root.to_owned()).load(None, &SystemRandom).unwrap();
    let keyring = Keyring::new(root, Arc::new(SystemRandom));
    let mut of_tenants = Vec::new();
    for tenant in ["acme", "other"] {
        of_tenants.push(keys(values, &keyring, &TenantId::parse(tenant).unwrap()).await);
    }
    let mut all: Vec<_> = of_tenants.iter().flatten().cloned().collect();
    all.extend(keys(values, &keyring, &TenantId::platform()).await);
    let mut found = Vec::new();
    for (tenant, user, id) in places {
        let tenant = TenantId::parse(tenant).unwrap();
        let id = ConnectionId::from_uuid(uuid::Uuid::parse_str(id).unwrap());
        for version in 1..=3 {
            let place = Context::credential(&tenant, id, version, FIELDS_SCHEMA, bound(*user));
            for (key, value) in all.iter().flat_map(|key| values.iter().map(move |value| (key, value))) {
                found.extend(key.open(&place, value).ok().map(|plain| (plain.to_vec(), value.clone())));
            }
        }
    }
    Opened { keys: [of_tenants[0].len(), of_tenants[1].len()], values: found }
}

/// The values that unwrap as keys of a tenant, of whatever version.
async fn keys(values: &BTreeSet<Vec<u8>>, keyring: &Keyring, tenant: &TenantId) -> Vec<Arc<TenantKey>> {
    let mut keys = Vec::new();
    for value in values {
        for version in 1..=3 {
            keys.extend(keyring.unwrap(tenant, version, value).await.ok());
        }
    }
    keys
}

/// What the credential of a connection of the provider `generic` is bound to.
fn bound(user: Option<&str>) -> Binding {
    let kind: &[u8] = if user.is_some() { b"user" } else { b"tenant" };
    Binding::of(&[
        ("owner", kind),
        ("user", user.unwrap_or_default().as_bytes()),
        ("provider", b"generic".as_slice()),
        ("auth_mode", b"fields".as_slice()),
        ("config", b"{}".as_slice()),
    ])
}
