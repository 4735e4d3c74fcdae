//! Proving the root key against the database; a new database gets its check value and the platform's own namespace.

use std::sync::Arc;
use std::time::Duration;

use credvault_crypto::{KdfParameters, Keyring, RootKey, RootKeySource};
use credvault_domain::{Clock, Random, TenantId};
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait as _, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait as _};

use crate::database::open_error::{OpenError, within};
use crate::database::transaction::begin_write;
use crate::entity::{root_key, tenant};
use crate::error::violates;
use crate::tenants::new_tenant::NewTenant;
use crate::{Database, Error};

/// The only generation of the root key so far.
const GENERATION: i64 = 1;

/// Loads the root key and proves it against the database; a new database is given its check value.
pub(super) async fn prove_root(
    db: &DatabaseConnection,
    database: Database,
    source: &RootKeySource,
    clock: &dyn Clock,
    random: &Arc<dyn Random>,
    patience: Duration,
) -> Result<RootKey, OpenError> {
    // Only the database has a limit: making a key of a passphrase takes what it takes.
    let look_up = || within(patience, "the root key's record was read", record(db));
    if let Some(stored) = look_up().await? {
        return prove(source, &stored, &**random);
    }
    let (root, parameters) = source.load(None, &**random)?;
    let keyring = Keyring::new(root, Arc::clone(random));
    let initialising = initialise(db, database, &keyring, source.kind(), parameters.as_ref(), clock);
    match within(patience, "the first rows were written", initialising).await {
        Ok(()) => Ok(keyring.into_root()),
        // Another replica was first; its root key decides.
        Err(OpenError::Initialise(Error::Unavailable(error)))
            if violates(&error, "root_keys_pkey", "root_keys.generation") =>
        {
            let vanished = || DbErr::Custom("the root key's check value vanished".to_owned());
            prove(source, &look_up().await?.ok_or_else(vanished)?, &**random)
        }
        Err(error) => Err(error),
    }
}

/// The root key's record, if there is one.
async fn record<C: ConnectionTrait>(db: &C) -> Result<Option<root_key::Model>, DbErr> {
    root_key::Entity::find_by_id(GENERATION).one(db).await
}

fn prove(
    source: &RootKeySource,
    stored: &root_key::Model,
    random: &dyn Random,
) -> Result<RootKey, OpenError> {
    let parameters = stored.kdf.as_deref().map(str::parse::<KdfParameters>).transpose()?;
    let (root, _) = source.load(parameters.as_ref(), random)?;
    root.prove(&stored.check_value)?;
    Ok(root)
}

async fn initialise(
    db: &DatabaseConnection,
    database: Database,
    keyring: &Keyring,
    kind: &str,
    parameters: Option<&KdfParameters>,
    clock: &dyn Clock,
) -> Result<(), OpenError> {
    let (platform, now) = (TenantId::platform(), clock.now().micros());
    // Before the transaction: the root key may be in a key manager on the network.
    let wrapped = keyring.generate(&platform, 1).await?;
    let check_value = keyring.root().check_value(keyring.random())?;
    let tx = begin_write(db, database, &platform).await?;
    // Looked up together: another replica may have made both a moment ago, and then its root key decides.
    let known = tenant::Entity::find_by_id(platform.as_str()).one(&tx).await?.is_some();
    if known && record(&tx).await?.is_none() {
        return Err(OpenError::RootRecordGone);
    }
    let root = root_key::ActiveModel {
        generation: Set(GENERATION),
        root_id: Set(i64::from(keyring.root().id())),
        kind: Set(kind.to_owned()),
        kdf: Set(parameters.map(ToString::to_string)),
        check_value: Set(check_value),
        create_time: Set(now),
    };
    root.insert(&tx).await.map_err(Error::from)?;
    let new = NewTenant { id: &platform, display_name: "", root_id: keyring.root().id(), wrapped };
    new.insert(&tx, now).await?;
    tx.commit().await.map_err(Error::from)?;
    Ok(())
}
