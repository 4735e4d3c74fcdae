//! The end of keys at their provider: of those that were replaced, and of new ones that are not used. None ends that serves
//! again: a version with that key was put or rolled back to meanwhile, or another connection of the same owner has it, too.

use std::time::Duration;

use credvault_domain::{AuditOutcome, Connection, ConnectionId, FieldName, Reason, SecretFields, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
};

use super::CredentialRotations;
use crate::change::Change;
use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::connections::lock::locked_at;
use crate::connections::row::connection;
use crate::credential_rotations::keys::{NEW, REPLACED, open};
use crate::credential_rotations::left::{LeftKey, about, leave};
use crate::credential_rotations::row::{find_or_new, save};
use crate::credential_rotations::shared::{KeySharing, is_same_key, serving};
use crate::credentials::open_version;
use crate::entity::rotated_key::Entity;
use crate::entity::{connection as connection_table, credential_rotation, credential_version, rotated_key};
use crate::secrets::at_hand::{InHand, Wanted};
use crate::{ConnectionKey, Error, Recorded};

/// How long after the first attempt the second is made.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(3 * 3600);
/// After how many attempts a key is left at the provider: about a day.
const ATTEMPTS: i64 = 16;

/// A key that is to end at its provider.
#[derive(Debug)]
pub struct KeyToEnd {
    /// The key of the connection.
    pub key: ConnectionKey,
    /// The connection as it is now.
    pub connection: Connection,
    /// Whether another key serves in its place. Otherwise it never served.
    pub replaced: bool,
    /// The secret fields of the credential with this key.
    pub fields: SecretFields,
    /// The secret fields of the credential that serves, if there is one.
    pub serving: Option<SecretFields>,
    /// When the vault got to keep it for its end.
    pub create_time: Timestamp,
    names: Vec<FieldName>,
    number: i64,
    attempts: i64,
}

/// How an attempt to end a key has come out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyEnd {
    /// The provider does not accept it any more.
    Ended,
    /// The provider did not do it, and is asked again.
    Pending,
    /// The provider was not asked, or wants no call before this time has passed. That is no attempt.
    Later(Duration),
    /// No call of the vault can end it.
    ByHand,
}

impl KeyEnd {
    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Pending => "pending",
            Self::Later(_) => "later",
            Self::ByHand => "by_hand",
        }
    }
}

impl CredentialRotations<'_> {
    /// Begins an attempt to end a key of a connection; no other replica makes one for a while. `names` are the fields that a
    /// new key changes. `None` if it is not due, if the same key serves again, if another connection serves it and it is left
    /// for that, or if it is not known whether one serves it: that counts as an attempt. From then on no version with this key
    /// can be rolled back to, unless its end is given up.
    ///
    /// # Errors
    /// [`Error::Integrity`] if the key does not open: [`CredentialRotations::drop_broken`] gives it up. [`Error::Conflict`] if
    /// another connection has changed meanwhile. The database fails.
    pub async fn begin_end(
        &self,
        key: &ConnectionKey,
        number: i64,
        names: &[FieldName],
    ) -> Result<Option<KeyToEnd>, Error> {
        let in_hand = self.store.bring_to_hand(key, Wanted::All).await?;
        let Some(elsewhere) = self.elsewhere(key, number, names).await? else { return Ok(None) };
        let (change, _) = self.store.own_sealing_change(&key.tenant).await?;
        let Some(model) = locked_at(&change.tx, key).await? else { return Ok(None) };
        let id = (model.tenant_id.clone(), model.id, number);
        let due = Entity::find_by_id(id).one(&change.tx).await?;
        let due = due.filter(|due| due.role != NEW && due.due_time <= change.now.micros());
        let Some(due) = due else { return Ok(None) };
        let fields = open(change.keys()?, &model, &due)?;
        let row = find_or_new(&change.tx, &model, false).await?;
        let ending = Ending { change, in_hand, model, row, due, fields, names };
        let serving = match serving(&ending.change, &ending.model, &ending.in_hand).await {
            // It might be this very key.
            Err(Error::Integrity) => return ending.put_off().await,
            serving => serving?,
        };
        if serving.as_ref().is_some_and(|serving| is_same_key(serving, &ending.fields, names)) {
            return ending.dropped().await;
        }
        match elsewhere.sharing(&ending.change.tx, &ending.model).await? {
            KeySharing::Alone => ending.begun(key, serving).await.map(Some),
            KeySharing::Shared => ending.left_to_another().await,
            KeySharing::Unknown => ending.put_off().await,
        }
    }

    /// Records how an attempt came out. A key that has ended goes, with its record; one that cannot be ended is shown as left
    /// at the provider. The answer is whether that is settled.
    ///
    /// # Errors
    /// The database fails; then the attempt is made again.
    pub async fn end_attempted(&self, to_end: &KeyToEnd, end: KeyEnd) -> Result<bool, Error> {
        if let KeyEnd::Later(pause) = end {
            return self.end_later(to_end, pause).await.map(|()| false);
        }
        let is_last = to_end.attempts >= ATTEMPTS;
        if end == KeyEnd::Pending && !is_last {
            return Ok(false);
        }
        let in_hand = match end {
            KeyEnd::Ended => InHand::default(),
            KeyEnd::Pending | KeyEnd::Later(_) | KeyEnd::ByHand => {
                self.store.bring_to_hand(&to_end.key, Wanted::All).await?
            }
        };
        let mut change = self.store.own_opening_change(&to_end.key.tenant).await?;
        let Some(model) = locked_at(&change.tx, &to_end.key).await? else { return Ok(true) };
        let id = (model.tenant_id.clone(), model.id, to_end.number);
        let Some(key) = Entity::find_by_id(id.clone()).one(&change.tx).await? else { return Ok(true) };
        let mut row = find_or_new(&change.tx, &model, false).await?;
        Entity::delete_by_id(id).exec(&change.tx).await?;
        if end == KeyEnd::Ended {
            let mut record = about(&change, &model)?;
            record.version = to_end.replaced.then_some(key.version);
            record.changed.push("rotation.key_revoked".to_owned());
            change.record(record);
        } else {
            if change.keys().is_ok() {
                not_revoked((&mut change, &in_hand), &model, (&to_end.fields, &to_end.names)).await?;
            }
            leave(&mut change, &model, &mut row, LeftKey(key.key_id))?;
        }
        save(&change, &model, row).await?;
        change.commit(true).await.map(Recorded::into_inner)
    }

    /// Takes an attempt back that the provider does not want yet, and makes it after a pause.
    async fn end_later(&self, to_end: &KeyToEnd, pause: Duration) -> Result<(), Error> {
        let in_hand = self.store.bring_to_hand(&to_end.key, Wanted::All).await?;
        let mut change = self.store.own_opening_change(&to_end.key.tenant).await?;
        let Some(model) = locked_at(&change.tx, &to_end.key).await? else { return Ok(()) };
        let id = (model.tenant_id.clone(), model.id, to_end.number);
        let Some(key) = Entity::find_by_id(id).one(&change.tx).await? else { return Ok(()) };
        // No call before has ended it, so it works.
        if to_end.attempts == 1 && change.keys().is_ok() {
            not_revoked((&mut change, &in_hand), &model, (&to_end.fields, &to_end.names)).await?;
        }
        let row = find_or_new(&change.tx, &model, false).await?;
        let mut key = key.into_active_model();
        key.attempts = Set(to_end.attempts - 1);
        key.due_time = Set(change.now.after(pause).micros());
        key.update(&change.tx).await?;
        save(&change, &model, row).await?;
        change.commit(()).await.map(Recorded::into_inner)
    }

    /// Gives up a key that does not open any more: it stays at the provider.
    ///
    /// # Errors
    /// The database fails.
    pub async fn drop_broken(&self, key: &ConnectionKey, number: i64) -> Result<(), Error> {
        let mut change = self.store.own_change(&key.tenant).await?;
        let Some(model) = locked_at(&change.tx, key).await? else { return Ok(()) };
        let id = (model.tenant_id.clone(), model.id, number);
        let Some(broken) = Entity::find_by_id(id.clone()).one(&change.tx).await? else { return Ok(()) };
        let mut row = find_or_new(&change.tx, &model, false).await?;
        Entity::delete_by_id(id).exec(&change.tx).await?;
        let mut record = about(&change, &model)?;
        record.outcome = AuditOutcome::Failed;
        record.reason = Some(Reason::IntegrityFailure);
        change.record(record);
        leave(&mut change, &model, &mut row, LeftKey(broken.key_id))?;
        save(&change, &model, row).await?;
        change.commit(()).await.map(Recorded::into_inner)
    }
}

/// A key whose end begins, in the transaction that decides about it.
struct Ending<'c, 'n> {
    change: Change<'c>,
    in_hand: InHand,
    model: connection_table::Model,
    row: credential_rotation::Model,
    due: rotated_key::Model,
    fields: SecretFields,
    names: &'n [FieldName],
}

impl Ending<'_, '_> {
    /// The attempt is made: until it is given up, no version with this key can be rolled back to.
    async fn begun(mut self, key: &ConnectionKey, serving: Option<SecretFields>) -> Result<KeyToEnd, Error> {
        let (attempts, replaced) = (self.due.attempts + 1, self.due.role == REPLACED);
        let (number, now) = (self.due.number, self.change.now);
        let create_time = Timestamp::from_micros(self.due.create_time);
        mark_revoked((&mut self.change, &self.in_hand), &self.model, (&self.fields, self.names), now).await?;
        let doublings = u32::try_from(attempts - 1).unwrap_or(0).min(16);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        let Self { change, model, row, due, fields, names, .. } = self;
        attempted(&change, due, (attempts, pause)).await?;
        save(&change, &model, row).await?;
        let connection = connection(model)?;
        let _ = change.commit(()).await?;
        let (key, names) = (key.clone(), names.to_vec());
        Ok(KeyToEnd { key, connection, replaced, fields, serving, create_time, names, number, attempts })
    }

    /// The key serves again, so it is not to end.
    async fn dropped(self) -> Result<Option<KeyToEnd>, Error> {
        let Self { change, model, row, due, .. } = self;
        delete(&change, &due).await?;
        save(&change, &model, row).await?;
        change.commit_preparation().await?;
        Ok(None)
    }

    /// Another connection serves the key, and ends it when it has another one.
    async fn left_to_another(self) -> Result<Option<KeyToEnd>, Error> {
        let Self { mut change, model, mut row, due, .. } = self;
        delete(&change, &due).await?;
        let mut record = about(&change, &model)?;
        record.changed.push("rotation.key_shared".to_owned());
        change.record(record);
        leave(&mut change, &model, &mut row, LeftKey(due.key_id))?;
        save(&change, &model, row).await?;
        let _ = change.commit(()).await?;
        Ok(None)
    }

    /// It is not known whether the key serves somewhere, so it is looked at later. That counts as an attempt, for what cannot
    /// be read may never be read again.
    async fn put_off(self) -> Result<Option<KeyToEnd>, Error> {
        let Self { mut change, in_hand, model, mut row, due, fields, names } = self;
        let attempts = due.attempts + 1;
        if attempts < ATTEMPTS {
            attempted(&change, due, (attempts, LONGEST_PAUSE)).await?;
        } else {
            delete(&change, &due).await?;
            not_revoked((&mut change, &in_hand), &model, (&fields, names)).await?;
            leave(&mut change, &model, &mut row, LeftKey(due.key_id))?;
        }
        save(&change, &model, row).await?;
        let _ = change.commit(()).await?;
        Ok(None)
    }
}

/// Counts an attempt to end a key. The next one follows after a pause.
async fn attempted(
    change: &Change<'_>,
    due: rotated_key::Model,
    (attempts, pause): (i64, Duration),
) -> Result<(), Error> {
    let mut due = due.into_active_model();
    due.attempts = Set(attempts);
    due.due_time = Set(change.now.after(pause).micros());
    due.update(&change.tx).await?;
    Ok(())
}

async fn delete(change: &Change<'_>, key: &rotated_key::Model) -> Result<(), Error> {
    let id = (key.tenant_id.clone(), key.connection_id, key.number);
    Entity::delete_by_id(id).exec(&change.tx).await?;
    Ok(())
}

/// Notes at every version with this key since when, or from when on, the provider does not accept it.
///
/// # Errors
/// [`Error::Conflict`] if a version has changed since it was brought to hand. The database fails.
pub(crate) async fn mark_revoked(
    (change, in_hand): (&mut Change<'_>, &InHand),
    model: &connection_table::Model,
    key: (&SecretFields, &[FieldName]),
    time: Timestamp,
) -> Result<(), Error> {
    note_revocation((change, in_hand), model, key, Some(time)).await
}

/// Takes that note back, for the provider accepts the key after all.
async fn not_revoked(
    (change, in_hand): (&mut Change<'_>, &InHand),
    model: &connection_table::Model,
    key: (&SecretFields, &[FieldName]),
) -> Result<(), Error> {
    note_revocation((change, in_hand), model, key, None).await
}

async fn note_revocation(
    (change, in_hand): (&mut Change<'_>, &InHand),
    model: &connection_table::Model,
    (fields, names): (&SecretFields, &[FieldName]),
    time: Option<Timestamp>,
) -> Result<(), Error> {
    use credential_version::Column;
    let noted = Column::KeyRevokeTime;
    let versions = credential_version::Entity::find()
        .filter(Column::TenantId.eq(model.tenant_id.as_str()))
        .filter(Column::ConnectionId.eq(model.id))
        .filter(Column::Sealed.is_not_null())
        .filter(if time.is_some() { noted.is_null() } else { noted.is_not_null() })
        .all(&change.tx)
        .await?;
    for version in versions {
        // What does not open, or is not in its store any more, is not served again either.
        let Ok(content) = open_version(change, model, &version) else { continue };
        let Some(opened) = in_hand.fields(&content)? else { continue };
        if is_same_key(&opened, fields, names) {
            let mut version = version.into_active_model();
            version.key_revoke_time = Set(time.map(Timestamp::micros));
            version.update(&change.tx).await?;
            let subject = ChangeSubject::Connection(ConnectionId::from_uuid(model.id));
            change.record_change(subject, ChangeKind::Updated, None);
        }
    }
    Ok(())
}
