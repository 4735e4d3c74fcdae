//! What the vault asks of witnesses, and what it makes of their answers. Sends nothing itself.

use credvault_audit::{AddCheckpoint, Plan, SignedCheckpoint, Trust, WitnessAnswer};
use credvault_domain::TenantId;
use sea_orm::{ConnectionTrait as _, Statement};

use super::cosignatures::newest;
use super::lease;
use super::tree::{head, read_tiles};
use crate::database::settings::Witness;
use crate::database::transaction::{Access, begin};
use crate::integrity::alarm;
use crate::{Error, Store};

/// How many tenants are looked up at a time.
const TENANTS_AT_ONCE: i64 = 200;

/// A request to a witness: to cosign a checkpoint of a tenant's log.
#[derive(Clone, PartialEq, Debug)]
pub struct WitnessRequest {
    tenant: TenantId,
    witness: Witness,
    signed: SignedCheckpoint,
    body: String,
}

/// What came of a request to a witness.
#[derive(Clone, PartialEq, Debug)]
pub enum WitnessAsked {
    /// The witness has cosigned, and its cosignature is kept.
    Cosigned,
    /// The witness has cosigned another size last, from which this request proves the log.
    Again(Box<WitnessRequest>),
    /// The witness has not cosigned; the text says why, for operators.
    Failed(String),
}

impl WitnessRequest {
    /// Where the request is sent to.
    pub fn url(&self) -> String {
        format!("{}/add-checkpoint", self.witness.url)
    }

    /// The body of the request, as C2SP tlog-witness has it.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The name of the witness.
    pub fn witness(&self) -> &str {
        self.witness.name()
    }

    /// The tenant whose log it is about.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

impl Store {
    /// Whether this process sequences the audit log at this moment.
    ///
    /// # Errors
    /// The database fails.
    pub async fn sequences(&self) -> Result<bool, Error> {
        lease::is_held(self).await
    }

    /// The tenants behind one, in the order of their ids, with the platform and those that were erased; none at the end.
    ///
    /// # Errors
    /// The database fails.
    pub async fn tenants_behind(&self, tenant: Option<&TenantId>) -> Result<Vec<TenantId>, Error> {
        let everywhere = self.read_background().await?;
        let sql = "SELECT tenant_id FROM tenants WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2";
        let values = [tenant.map_or("", TenantId::as_str).into(), TENANTS_AT_ONCE.into()];
        let backend = everywhere.get_database_backend();
        let rows = everywhere.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
        everywhere.rollback().await?;
        rows.iter().map(|row| Ok(TenantId::from_stored(row.try_get("", "tenant_id")?))).collect()
    }

    /// Signs the newest state of a tenant's log, and gives a request for each witness that has not cosigned it.
    ///
    /// # Errors
    /// [`Error::Integrity`] if the log does not continue what was signed of it, or the signer does not open; the database fails.
    pub async fn witness_requests(&self, tenant: &TenantId) -> Result<Vec<WitnessRequest>, Error> {
        let head = self.advance_any(tenant).await?.head;
        let witnesses = &self.settings().witnesses;
        if witnesses.is_empty() || head.size == 0 {
            return Ok(Vec::new());
        }
        let signed = self.audit_signers().await?.sign(tenant, head, self.now())?;
        let tx = begin(&self.reader(), self.database(), Access::Read, tenant).await?;
        let known = newest(&tx, tenant, witnesses).await?;
        tx.rollback().await?;
        let mut requests = Vec::new();
        for witness in witnesses {
            let known = known.get(&witness.key.to_string()).map(|cosigned| cosigned.signed.unverified());
            let old = known.filter(|known| known.origin == signed.unverified().origin);
            let old_size = old.map_or(0, |old| old.size);
            if old_size != head.size {
                requests.extend(self.witness_request(tenant, witness, &signed, old_size).await?);
            }
        }
        Ok(requests)
    }

    /// A request that proves a checkpoint from a size; `None` if the checkpoint is of fewer records.
    async fn witness_request(
        &self,
        tenant: &TenantId,
        witness: &Witness,
        signed: &SignedCheckpoint,
        old_size: u64,
    ) -> Result<Option<WitnessRequest>, Error> {
        let Some(plan) = Plan::consistency(old_size, signed.unverified().size) else { return Ok(None) };
        let tx = begin(&self.reader(), self.database(), Access::Read, tenant).await?;
        let tiles = read_tiles(&tx, tenant, std::slice::from_ref(&plan), &[]).await?;
        tx.rollback().await?;
        let proof = plan.hashes(&tiles).map_err(|_| {
            alarm(tenant, "audit_log", [0; 16]);
            Error::Integrity
        })?;
        let body = AddCheckpoint { old_size, proof, checkpoint: signed.clone() }.to_string();
        let (tenant, witness, signed) = (tenant.clone(), witness.clone(), signed.clone());
        Ok(Some(WitnessRequest { tenant, witness, signed, body }))
    }

    /// Keeps what a witness has answered, with this status and body.
    ///
    /// # Errors
    /// [`Error::Integrity`] if the log was altered; the database fails.
    pub async fn witness_answered(
        &self,
        request: &WitnessRequest,
        status: u16,
        body: &str,
    ) -> Result<WitnessAsked, Error> {
        let WitnessRequest { tenant, witness, signed, body: _ } = request;
        match WitnessAnswer::parse(status, body) {
            Ok(WitnessAnswer::Cosigned(signatures)) => {
                let (trust, mut cosigned) = (Trust::new(vec![witness.key.clone()], 0), signed.clone());
                match trust.accept_cosignatures(&mut cosigned, signatures) {
                    Ok(0) => Ok(WitnessAsked::Failed("no signature is of the configured key".to_owned())),
                    Ok(_) => {
                        self.keep_cosigned(tenant, witness, &cosigned).await?;
                        Ok(WitnessAsked::Cosigned)
                    }
                    Err(error) => Ok(WitnessAsked::Failed(error.to_string())),
                }
            }
            Ok(WitnessAnswer::OtherSize(size)) => {
                match self.witness_request(tenant, witness, signed, size).await? {
                    Some(again) => Ok(WitnessAsked::Again(Box::new(again))),
                    None => self.witness_is_ahead(tenant, size).await,
                }
            }
            Ok(WitnessAnswer::Refused(status) | WitnessAnswer::Unavailable(status)) => {
                Ok(WitnessAsked::Failed(format!("it answered with status {status}")))
            }
            Err(error) => Ok(WitnessAsked::Failed(error.to_string())),
        }
    }

    /// What it means that a witness has cosigned more records than were sent to it.
    async fn witness_is_ahead(&self, tenant: &TenantId, size: u64) -> Result<WitnessAsked, Error> {
        let tx = begin(&self.reader(), self.database(), Access::Read, tenant).await?;
        let now = head(&tx, tenant).await?;
        tx.rollback().await?;
        if now.size >= size {
            return Ok(WitnessAsked::Failed(
                "another replica has asked it for a later checkpoint".to_owned(),
            ));
        }
        alarm(tenant, "audit_log", [0; 16]);
        let has = now.size;
        let failure = format!(
            "it has cosigned a log of {size} records, and this one has {has}: the database was set back, or another vault signs \
             under the same name"
        );
        Ok(WitnessAsked::Failed(failure))
    }
}
