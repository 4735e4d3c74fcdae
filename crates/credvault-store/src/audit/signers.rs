//! The keys that sign checkpoints: the newest, made once for all replicas, and beside it those before, until they retire. Their
//! seeds are sealed under the platform's audit key, which every process has open: checkpoints are signed while the key manager
//! is away. A public half that was put into the database from outside shows in that no seed opens beside it.

use credvault_audit::{Checkpoint, KeyKind, Origin, SignedCheckpoint, SigningKey, VerifierKey};
use credvault_crypto::Context;
use credvault_domain::{Action, AuditEvent, TenantId, TenantScope, Timestamp};
use sea_orm::{ConnectionTrait, QueryResult, Statement};
use zeroize::Zeroizing;

use super::journal::JournalKeys;
use super::tree::LogHead;
use crate::change::{Change, retrying};
use crate::database::pieces::execute;
use crate::database::transaction::{Access, begin};
use crate::hex::hex;
use crate::integrity::alarm;
use crate::{Error, Recorded, Store, Write};

/// The number of the first signer.
const FIRST: i64 = 1;
/// How long a signer that was replaced signs beside the newest: time for verifiers to get the new key.
const OVERLAP: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);
/// How many keys sign a checkpoint at most, however often they are replaced within that time.
const MAX_SIGNERS: usize = 8;
/// How many random bytes name a vault that was given no name.
const NAME_BYTES: usize = 8;

/// The public half of a key that signs checkpoints, or has signed them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditSigner {
    /// Counts the signers of the vault.
    pub number: i64,
    /// The vault's name in the origins of the logs that it signs.
    pub vault: String,
    /// The key itself: Ed25519, 32 bytes.
    pub public_key: [u8; 32],
    /// When the vault made the key, and began to sign with it.
    pub create_time: Timestamp,
    /// Until when it signs beside the signers that follow; none while it is the newest.
    pub retire_time: Option<Timestamp>,
}

/// A row of the table, with the private half sealed.
struct Row {
    signer: AuditSigner,
    key_number: i64,
    sealed: Vec<u8>,
}

/// A signer whose seed has opened.
struct Signer {
    public: AuditSigner,
    key: SigningKey,
}

/// The signers whose seeds open, the newest first. There is one at least.
pub(super) struct Signers(Vec<Signer>);

impl Signers {
    /// The vault's name in the checkpoints that are signed now.
    pub(super) fn vault(&self) -> &str {
        self.0.first().map_or("", |newest| &newest.public.vault)
    }

    /// The origin of a tenant's log in the checkpoints that are signed now.
    pub(super) fn origin(&self, tenant: &TenantId) -> Result<Origin, Error> {
        origin(self.vault(), tenant)
    }

    /// A checkpoint of a tenant's log, signed by the newest signer and those before it that have not retired.
    pub(super) fn sign(
        &self,
        tenant: &TenantId,
        LogHead { size, root }: LogHead,
        now: Timestamp,
    ) -> Result<SignedCheckpoint, Error> {
        let checkpoint = Checkpoint { origin: self.origin(tenant)?, size, root };
        let is_signing = |signer: &AuditSigner| {
            signer.vault == self.vault() && signer.retire_time.is_none_or(|time| time > now)
        };
        let earlier = self.0.iter().skip(1).filter(|signer| is_signing(&signer.public));
        let keys: Vec<_> = self.0.iter().take(1).chain(earlier).map(|signer| &signer.key).collect();
        Ok(SignedCheckpoint::sign(checkpoint, keys.get(..MAX_SIGNERS).unwrap_or(&keys)))
    }

    /// The keys that checkpoints of a tenant's log verify with, and have verified with, the newest first.
    pub(super) fn verifier_keys(&self, tenant: &TenantId) -> Result<Vec<VerifierKey>, Error> {
        let key = |signer: &Signer| {
            let origin = origin(&signer.public.vault, tenant)?;
            Ok(VerifierKey::new(origin, KeyKind::Log, signer.public.public_key))
        };
        self.0.iter().map(key).collect()
    }
}

impl Store {
    /// Warns if the vault signs checkpoints under another name than it is configured with.
    ///
    /// # Errors
    /// The database fails.
    pub async fn check_audit_name(&self) -> Result<(), Error> {
        let Some(configured) = &self.settings().audit_name else { return Ok(()) };
        let rows = self.signer_rows().await?;
        if let Some(newest) = rows.first().filter(|newest| newest.signer.vault != *configured) {
            tracing::warn!(
                configured,
                in_use = newest.signer.vault,
                "audit.name is not the name that checkpoints are signed under; `credvault keys rotate-signer` changes to it"
            );
        }
        Ok(())
    }

    /// Makes another signer of checkpoints, which signs from then on, under the name that this process is configured with. The
    /// one before signs beside it for 30 days, unless it retires at once or has signed under another name. Asks nothing of the
    /// one before, which may not open. `platform` is the platform's own scope.
    ///
    /// # Errors
    /// The platform's key does not open, or the database fails.
    pub async fn rotate_audit_signer(
        &self,
        platform: &TenantScope,
        write: &Write,
        retire_at_once: bool,
    ) -> Result<Recorded<AuditSigner>, Error> {
        retrying(write, || async move {
            let mut change = self.change(platform, write).await?;
            let rows = stored(&change.tx).await?;
            if let Some(prior) = change.prior() {
                let made = rows.into_iter().find(|row| Some(row.signer.number) == prior.version);
                return change.commit(made.ok_or(Error::Integrity)?.signer).await;
            }
            let newest = rows.first().map(|row| row.signer.clone());
            let number = newest.as_ref().map_or(FIRST, |newest| newest.number + 1);
            // A name that was put into the database from outside is not taken over.
            let known = rows.iter().find_map(|row| open(self.journal_keys(), row));
            let vault = self.vault_name(known.as_ref().map(|signer| signer.public.vault.as_str()))?;
            // Another replica has made one at this moment: this is another request for one more.
            let made = insert(&change, number, &vault).await?.ok_or(Error::Conflict)?;
            let keeps_name = newest.is_some_and(|newest| newest.vault == vault);
            let end = if retire_at_once || !keeps_name { change.now } else { change.now.after(OVERLAP) };
            let sql = "UPDATE audit_signers SET retire_time = $2
                WHERE tenant_id = $1 AND number < $3 AND (retire_time IS NULL OR retire_time > $2)";
            let values = [TenantId::PLATFORM.into(), end.micros().into(), number.into()];
            execute(&change.tx, sql, values).await?;
            change.set_subject(self.new_id()?, described(&made), Some(number));
            change.describe(retire_at_once.then(|| "retire_at_once".to_owned()));
            change.commit(made).await
        })
        .await
    }

    /// The signers of checkpoints. The first call of all makes the first one; of several replicas that do so at once, one wins.
    ///
    /// # Errors
    /// [`Error::Integrity`] if the newest does not open; one before it that does not is left out, with an alarm.
    pub(super) async fn audit_signers(&self) -> Result<Signers, Error> {
        let mut rows = self.signer_rows().await?;
        if rows.is_empty() {
            self.make_first_signer().await?;
            rows = self.signer_rows().await?;
        }
        if rows.iter().any(|row| self.journal_keys().get(row.key_number).is_none()) {
            // Another process has sealed it under a newer key than this one has open.
            self.open_journal_key().await?;
        }
        let newest = rows.first().map(|row| row.signer.number);
        let opened: Vec<_> = rows.iter().filter_map(|row| open(self.journal_keys(), row)).collect();
        let is_whole = newest.is_some() && opened.first().map(|signer| signer.public.number) == newest;
        if is_whole { Ok(Signers(opened)) } else { Err(Error::Integrity) }
    }

    async fn signer_rows(&self) -> Result<Vec<Row>, Error> {
        let platform = TenantId::platform();
        let tx = begin(&self.reader(), self.database(), Access::Read, &platform).await?;
        let rows = stored(&tx).await?;
        tx.rollback().await?;
        Ok(rows)
    }

    /// Makes the first signer, unless there is one by now.
    async fn make_first_signer(&self) -> Result<(), Error> {
        let platform = TenantId::platform();
        let mut change = self.own_change(&platform).await?;
        let Some(signer) = insert(&change, FIRST, &self.vault_name(None)?).await? else { return Ok(()) };
        // What checkpoints prove is worth as much as this key: a second one must show in the log.
        let record = self.own_event(&platform, Action::RotateAuditSigner)?;
        change.record(AuditEvent { changed: vec![described(&signer)], ..record });
        let _ = change.commit(()).await?;
        tracing::info!(vault = signer.vault, "the vault has made its signer of checkpoints");
        Ok(())
    }

    /// The name for a new signer: the configured one, or else that of the one before, or else a random one.
    fn vault_name(&self, before: Option<&str>) -> Result<String, Error> {
        if let Some(name) = self.settings().audit_name.as_deref().or(before) {
            return Ok(name.to_owned());
        }
        let mut bytes = [0; NAME_BYTES];
        self.keyring().random().fill(&mut bytes).map_err(|error| Error::Key(error.into()))?;
        Ok(hex(&bytes))
    }
}

fn origin(vault: &str, tenant: &TenantId) -> Result<Origin, Error> {
    Origin::of_tenant(vault, tenant).map_err(|_| Error::Integrity)
}

/// All signers, the newest first, in a transaction of the platform.
async fn stored<C: ConnectionTrait>(db: &C) -> Result<Vec<Row>, Error> {
    let sql =
        "SELECT number, name, public_key, key_number, sealed, create_time, retire_time FROM audit_signers
        WHERE tenant_id = $1 ORDER BY number DESC";
    let asked = Statement::from_sql_and_values(db.get_database_backend(), sql, [TenantId::PLATFORM.into()]);
    db.query_all_raw(asked).await?.iter().map(row).collect()
}

fn row(row: &QueryResult) -> Result<Row, Error> {
    let public_key: Vec<u8> = row.try_get("", "public_key")?;
    let retire_time: Option<i64> = row.try_get("", "retire_time")?;
    let signer = AuditSigner {
        number: row.try_get("", "number")?,
        vault: row.try_get("", "name")?,
        public_key: public_key.try_into().map_err(|_| Error::Integrity)?,
        create_time: Timestamp::from_micros(row.try_get("", "create_time")?),
        retire_time: retire_time.map(Timestamp::from_micros),
    };
    Ok(Row { signer, key_number: row.try_get("", "key_number")?, sealed: row.try_get("", "sealed")? })
}

/// The signer of a row; `None`, with an alarm, if its seed does not open.
fn open(keys: &JournalKeys, row: &Row) -> Option<Signer> {
    let Row { signer: public, key_number, sealed } = row;
    let context = Context::audit_signer(public.number, &public.public_key, &public.vault);
    let seed = keys.get(*key_number).and_then(|key| key.open(&context, sealed).ok());
    let Some(key) = seed.and_then(|seed| SigningKey::from_seed(&seed).ok()) else {
        alarm(&TenantId::platform(), context.what(), context.record());
        return None;
    };
    Some(Signer { public: public.clone(), key })
}

/// Makes the signer with a number; `None` if there is one by now.
async fn insert(change: &Change<'_>, number: i64, vault: &str) -> Result<Option<AuditSigner>, Error> {
    let (store, random) = (change.store, change.store.keyring().random());
    let mut seed = Zeroizing::new([0; 32]);
    random.fill(seed.as_mut_slice()).map_err(|error| Error::Key(error.into()))?;
    let key = SigningKey::from_seed(seed.as_slice()).map_err(|_| Error::Integrity)?;
    let public_key = key.verifier(origin(vault, &TenantId::platform())?, KeyKind::Log).public_key();
    let (key_number, sealing) = store.journal_keys().newest().ok_or(Error::AuditUnavailable)?;
    let context = Context::audit_signer(number, &public_key, vault);
    let sealed = sealing.seal(&context, seed.as_slice(), random)?;
    let sql =
        "INSERT INTO audit_signers (tenant_id, number, name, public_key, key_number, sealed, create_time)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant_id, number) DO NOTHING";
    let values = [
        TenantId::PLATFORM.into(),
        number.into(),
        vault.into(),
        public_key.to_vec().into(),
        key_number.into(),
        sealed.into(),
        change.now.micros().into(),
    ];
    let is_made = execute(&change.tx, sql, values).await? == 1;
    let (create_time, vault) = (change.now, vault.to_owned());
    Ok(is_made.then_some(AuditSigner { number, vault, public_key, create_time, retire_time: None }))
}

/// A signer as audit records name it.
fn described(signer: &AuditSigner) -> String {
    format!("audit_signers/{}", signer.number)
}
