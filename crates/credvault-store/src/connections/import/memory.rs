//! What the vault remembers of imported rows, in the table `imports`: which connection a row has become, and a fingerprint
//! of what it held. So the vault recognises a row whatever became of the connection, and tells a row that has changed there
//! from a connection that has changed here.

use std::collections::{BTreeMap, BTreeSet};

use credvault_crypto::encode_fields;
use credvault_domain::Version;
use sea_orm::{ConnectionTrait as _, DbErr, Statement};
use serde_json::json;

use crate::change::Change;
use crate::connections::import::item::ImportItem;
use crate::connections::import::lookup::Lookup;
use crate::database::json_rows::{self, Kind, value};
use crate::entity::connection::Model;
use crate::error::violates;
use crate::{Error, NewCredential};

/// A row that was imported before.
pub(super) struct Remembered {
    /// The connection that it has become, deleted or not.
    pub(super) connection: Model,
    fingerprint: Vec<u8>,
    key_version: i64,
    /// The connection's version when the row was last imported.
    version: Version,
}

impl Remembered {
    /// Whether the connection has another credential than the row gave it, or none any more.
    pub(super) fn has_moved_on(&self) -> bool {
        self.connection.current_version != self.version
    }

    /// Whether the row holds something else than when it was last imported.
    pub(super) fn has_changed(
        &self,
        change: &Change<'_>,
        item: &ImportItem,
        credential: &NewCredential,
    ) -> Result<bool, Error> {
        // What the vault cannot compare it must not store: the connection may have newer tokens than the row.
        let Some(key) = change.keys()?.version(self.key_version) else {
            return Err(Error::State(
                "the vault cannot tell any more whether the row has changed, for the key that it remembers it by was \
                 destroyed after a rotation; the vault's credential stays. To take the row's, use PutCredential, or purge \
                 the connection and import the row anew",
            ));
        };
        Ok(fingerprint(change, key, item, Some(credential))? != self.fingerprint)
    }
}

impl Remembered {
    /// The version that the connection had when the row was last imported, if the row is to be remembered anew: by the
    /// tenant's newest key, for older ones are destroyed one day.
    pub(super) fn version_under_older_key(&self, change: &Change<'_>) -> Result<Option<Version>, Error> {
        let is_newest = self.key_version == i64::from(change.key()?.version());
        Ok((!is_newest).then_some(self.version))
    }
}

/// A row that the batch has imported, to be remembered.
pub(super) struct Memory {
    source: String,
    connection: uuid::Uuid,
    fingerprint: Vec<u8>,
    key_version: i64,
    version: Version,
}

impl Memory {
    /// What is to be remembered of a row whose connection has this version now.
    pub(super) fn of(
        change: &Change<'_>,
        source: &str,
        (connection, version): (uuid::Uuid, Version),
        item: &ImportItem,
    ) -> Result<Self, Error> {
        let key = change.key()?;
        Ok(Self {
            source: source.to_owned(),
            connection,
            fingerprint: fingerprint(change, key, item, item.credential.as_ref())?,
            key_version: key.version().into(),
            version,
        })
    }
}

/// An HMAC of what a row holds, under a key of the tenant: from a bare hash, a reader of the database could guess short
/// secrets.
fn fingerprint(
    change: &Change<'_>,
    key: &credvault_crypto::TenantKey,
    item: &ImportItem,
    credential: Option<&NewCredential>,
) -> Result<Vec<u8>, Error> {
    let config = json!(item.new.config.as_object()).to_string();
    let fields = credential.map(|credential| encode_fields(&credential.fields)).transpose()?;
    let fields: &[u8] = fields.as_ref().map_or(&[], |fields| fields.as_slice());
    let parts = [&b"import"[..], item.new.auth_mode.as_str().as_bytes(), config.as_bytes(), fields];
    Ok(key.fingerprint(change.tenant(), &parts).to_vec())
}

/// The rows among these sources that were imported before, with their connections, locked.
pub(super) async fn read(
    change: &Change<'_>,
    sources: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Remembered>, Error> {
    let database = change.store.database();
    let lookup = Lookup::new(change, &sources.iter().map(|source| [source]).collect::<Vec<_>>())?;
    let source = value(database, "0", Kind::Text);
    let stored = lookup.stored(&format!("imports c WHERE c.tenant_id = $1 AND c.source = {source}"), false);
    let mut rows = Vec::new();
    for row in change.tx.query_all_raw(stored).await? {
        let id: uuid::Uuid = row.try_get("", "connection_id")?;
        let (source, fingerprint): (String, Vec<u8>) =
            (row.try_get("", "source")?, row.try_get("", "fingerprint")?);
        let versions: (i64, Version) = (row.try_get("", "key_version")?, row.try_get("", "version")?);
        rows.push((source, id, fingerprint, versions));
    }
    if rows.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<_> = rows.iter().map(|(_, id, ..)| [id.simple().to_string()]).collect();
    let id = value(database, "0", Kind::Uuid);
    let connections = Lookup::new(change, &ids)?.connections(&format!("c.id = {id}"), true).await?;
    let connections: BTreeMap<_, _> = connections.into_iter().map(|model| (model.id, model)).collect();
    let remembered = |(source, id, fingerprint, (key_version, version))| {
        let connection = connections.get(&id)?.clone();
        Some((source, Remembered { connection, fingerprint, key_version, version }))
    };
    Ok(rows.into_iter().filter_map(remembered).collect())
}

/// Remembers rows that were imported for the first time.
///
/// # Errors
/// [`Error::Conflict`] if another transaction has imported one of them meanwhile.
pub(super) async fn insert(change: &Change<'_>, memories: &[Memory]) -> Result<(), Error> {
    write(change, memories, "").await.map_err(|error| {
        if violates(&error, "imports_pkey", "imports.source") { Error::Conflict } else { error.into() }
    })
}

/// Remembers what rows hold now that were imported before.
///
/// # Errors
/// The database fails.
pub(super) async fn update(change: &Change<'_>, memories: &[Memory]) -> Result<(), Error> {
    let there = "ON CONFLICT (tenant_id, source) DO UPDATE SET
        fingerprint = excluded.fingerprint, key_version = excluded.key_version, version = excluded.version,
        time = excluded.time";
    Ok(write(change, memories, there).await?)
}

async fn write(change: &Change<'_>, memories: &[Memory], there: &str) -> Result<(), DbErr> {
    if memories.is_empty() {
        return Ok(());
    }
    let row = |memory: &Memory| {
        let fingerprint: String = memory.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
        let id = memory.connection.simple().to_string();
        (memory.source.clone(), id, fingerprint, memory.key_version, memory.version)
    };
    let rows = json_rows::encode(&memories.iter().map(row).collect::<Vec<_>>())?;
    let database = change.store.database();
    let columns =
        [("0", Kind::Text), ("1", Kind::Uuid), ("2", Kind::Bytes), ("3", Kind::Number), ("4", Kind::Number)];
    let columns = columns.map(|(path, kind)| value(database, path, kind)).join(", ");
    let sql = format!(
        "INSERT INTO imports (tenant_id, source, connection_id, fingerprint, key_version, version, time)
         SELECT $1, {columns}, {} FROM {} WHERE true {there}",
        change.now.micros(),
        json_rows::rows(database),
    );
    let values = [change.tenant().as_str().into(), rows.into()];
    let statement = Statement::from_sql_and_values(change.tx.get_database_backend(), sql, values);
    change.tx.execute_raw(statement).await.map(drop)
}
