//! What witnesses have cosigned of tenants' logs: the newest checkpoint of each witness, as a note with its signatures.

use std::collections::BTreeMap;

use credvault_audit::{Origin, SignedCheckpoint, Trust};
use credvault_domain::{TenantId, Timestamp};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, Statement};

use super::pieces::column;
use crate::database::pieces::execute;
use crate::database::settings::Witness;
use crate::{Error, Store};

/// The newest checkpoint that a witness has cosigned.
pub(super) struct Cosigned {
    pub(super) signed: SignedCheckpoint,
    time: Timestamp,
}

/// The newest checkpoint of a log that each of these witnesses has cosigned, by the text of the witness's key.
pub(super) async fn newest(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    witnesses: &[Witness],
) -> Result<BTreeMap<String, Cosigned>, Error> {
    if witnesses.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = "SELECT witness, note, time FROM audit_cosignatures WHERE tenant_id = $1";
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, [tenant.as_str().into()]);
    let mut found = BTreeMap::new();
    for row in tx.query_all_raw(asked).await? {
        let (witness, note): (String, String) = (row.try_get("", "witness")?, row.try_get("", "note")?);
        let is_configured = witnesses.iter().any(|configured| configured.key.to_string() == witness);
        let time = Timestamp::from_micros(row.try_get("", "time")?);
        // A note that was altered is as good as none: the witness is asked again.
        if is_configured && let Ok(signed) = SignedCheckpoint::parse(&note) {
            found.insert(witness, Cosigned { signed, time });
        }
    }
    Ok(found)
}

/// A checkpoint with the cosignatures that are known of it.
pub(super) async fn with_cosignatures(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    mut signed: SignedCheckpoint,
    witnesses: &[Witness],
) -> Result<SignedCheckpoint, Error> {
    let found = newest(tx, tenant, witnesses).await?;
    add(&mut signed, found.values(), witnesses);
    Ok(signed)
}

/// The checkpoint of a log of this origin that most of the witnesses have cosigned, of several the newest, and when the last of
/// them did.
pub(super) async fn cosigned(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    origin: &Origin,
    witnesses: &[Witness],
) -> Result<Option<(SignedCheckpoint, Timestamp)>, Error> {
    let found = newest(tx, tenant, witnesses).await?;
    let mut by_size: BTreeMap<u64, Vec<&Cosigned>> = BTreeMap::new();
    for one in found.values().filter(|one| one.signed.unverified().origin == *origin) {
        by_size.entry(one.signed.unverified().size).or_default().push(one);
    }
    // Of several that are alike, this gives the last one.
    let Some((_, most)) = by_size.iter().max_by_key(|(_, found)| found.len()) else { return Ok(None) };
    let Some(mut signed) = most.first().map(|one| one.signed.clone()) else { return Ok(None) };
    add(&mut signed, most.iter().copied(), witnesses);
    Ok(most.iter().map(|one| one.time).max().map(|time| (signed, time)))
}

/// Adds what witnesses have cosigned of the same text.
fn add<'a>(signed: &mut SignedCheckpoint, found: impl Iterator<Item = &'a Cosigned>, witnesses: &[Witness]) {
    let trust = Trust::new(witnesses.iter().map(|witness| witness.key.clone()).collect(), 0);
    for one in found {
        if one.signed.note().text() == signed.note().text()
            && let Err(error) = trust.accept_cosignatures(signed, one.signed.note().signatures().to_vec())
        {
            tracing::warn!(%error, "a cosignature was altered outside of the vault and is left out");
        }
    }
}

impl Store {
    /// Keeps the checkpoint that a witness has cosigned, in place of an earlier one.
    pub(super) async fn keep_cosigned(
        &self,
        tenant: &TenantId,
        witness: &Witness,
        signed: &SignedCheckpoint,
    ) -> Result<(), Error> {
        let tx = self.begin_bookkeeping(tenant).await?;
        let sql = "INSERT INTO audit_cosignatures (tenant_id, witness, size, note, time) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (tenant_id, witness) DO UPDATE SET size = excluded.size, note = excluded.note, time = excluded.time";
        let values = [
            tenant.as_str().into(),
            witness.key.to_string().into(),
            column(signed.unverified().size).into(),
            signed.to_string().into(),
            self.now().micros().into(),
        ];
        execute(&tx, sql, values).await?;
        Ok(tx.commit().await?)
    }
}
