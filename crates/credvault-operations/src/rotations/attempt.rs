//! One rotation that was claimed, from the call for a key to the version that serves it. What the provider has answered is
//! stored for as long as that takes: only this process has it, and no other one can end its claim while it lives.

use std::sync::Arc;
use std::time::Duration;

use credvault_broker::{RotationError, TestError, pause_of_rotation};
use credvault_catalog::{Mint, Mode, OldKeyEnd, Verdict};
use credvault_domain::{Connection, ConnectionId, Reason, TenantScope, Timestamp, Version};
use credvault_store::{
    ClaimedRotation, Error as StoreError, KeySharing, MintedKey, NewCredential, NewKey, Recorded,
    RotatedFrom, RotationFailure, Write,
};
use tokio::time::Instant;

use super::by_hand;
use crate::{Context, Refusal};

/// The pause before the database is asked for the second time. Doubled each time.
const FIRST_STORE_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two attempts to store an outcome.
const LONGEST_STORE_PAUSE: Duration = Duration::from_secs(5);

/// A new version and its connection.
pub(super) type Served = Recorded<(Connection, Version)>;

/// A rotation that was claimed.
pub(super) struct Attempt {
    pub(super) context: Arc<Context>,
    pub(super) scope: Arc<TenantScope>,
    pub(super) write: Write,
    pub(super) claimed: Box<ClaimedRotation>,
    /// When it was claimed.
    pub(super) started: Instant,
}

impl Attempt {
    /// Carries the rotation to its end, and counts how it ended.
    ///
    /// # Errors
    /// No new version is there. The row says why, and what follows.
    pub(super) async fn run(self) -> Result<Served, Refusal> {
        let served = self.replace().await;
        let outcome = match &served {
            Ok(_) => "rotated",
            Err(Refusal::Rotation(error)) => error.outcome(),
            Err(Refusal::Store(StoreError::VersionMismatch { .. })) => "overtaken",
            Err(_) => "store",
        };
        metrics::counter!("credvault_credential_rotations_total", "outcome" => outcome).increment(1);
        served
    }

    async fn replace(&self) -> Result<Served, Refusal> {
        let connection = &self.claimed.connection;
        let mode = self.context.mode(&connection.provider, &connection.auth_mode)?;
        let Some(mint) = mode.mint() else {
            // The call was taken from the provider's file, or is not yet in the one that this replica has.
            let error = by_hand::error(&self.context, connection, mode);
            let failure = self.failure(&error);
            match &self.claimed.minted {
                Some(_) => self.postpone(failure).await,
                None => self.fail(failure).await,
            }
            return Err(error.into());
        };
        let minted = match &self.claimed.minted {
            Some(minted) => minted.clone(),
            None => self.mint(mode, mint).await?,
        };
        // Where the key before has ended already, the new one serves, whatever a test says of it.
        let old_end = mint.old_key_life().map(|life| minted.create_time.after(life));
        if old_end.is_none_or(|end| self.context.now() < end) {
            self.test((mode, mint), &minted, old_end).await?;
        }
        self.serve((mode, mint), &minted).await
    }

    /// Has the provider make a key, and seals it.
    async fn mint(&self, mode: &Mode, mint: &Mint) -> Result<MintedKey, Refusal> {
        let checked = match self.check_alone(mint).await {
            Ok(()) => self.check_account(mode, mint).await,
            refused => refused,
        };
        if let Err(error) = checked {
            self.fail(self.failure(&error)).await;
            return Err(error.into());
        }
        let new = match self.context.broker.mint(&self.claimed, (mode, mint), self.started).await {
            Ok(new) => new,
            Err(error) => {
                let lost = matches!(error, RotationError::Lost { .. });
                self.fail(RotationFailure { lost, ..self.failure(&error) }).await;
                return Err(error.into());
            }
        };
        match self.keep(&new, mode).await {
            Ok(Some(minted)) => Ok(minted),
            // The job revokes it, or serves it.
            Ok(None) => Err(self.overtaken().await.into()),
            Err(error) => {
                let id = new.key_id.as_deref().unwrap_or("unknown");
                tracing::error!(connection = %self.id(), key = id, %error, "a new key could not be stored");
                let error = RotationError::Lost { retry: self.pause() };
                self.fail(RotationFailure { lost: true, ..self.failure(&error) }).await;
                Err(error.into())
            }
        }
    }

    /// Refuses to have a key made that an account has room for only once, while another connection has the same key: its end
    /// would cut that one off, and without its end there is never room for another one again.
    async fn check_alone(&self, mint: &Mint) -> Result<(), RotationError> {
        if mint.names_keys() {
            return Ok(());
        }
        let (rotations, retry) = (self.context.store.credential_rotations(), self.pause());
        let ClaimedRotation { key, fields, .. } = &*self.claimed;
        match rotations.sharing(key, fields, &mint.field_names()).await? {
            KeySharing::Alone => Ok(()),
            KeySharing::Shared => Err(RotationError::Shared { retry }),
            KeySharing::Unknown => Err(RotationError::Unavailable { retry }),
        }
    }

    /// Refuses to have a key made for another account than the credential's own, where settings name it: the key of that
    /// account would be replaced.
    async fn check_account(&self, mode: &Mode, mint: &Mint) -> Result<(), RotationError> {
        let Connection { provider, config, .. } = &self.claimed.connection;
        let Some(expected) = mode.minted_account(mint, config) else { return Ok(()) };
        let retry = self.pause();
        match self.context.broker.test(&self.scope, provider, mode, config, &self.claimed.fields).await {
            Ok(Verdict::Works { account: Some(account), .. }) if account == expected => Ok(()),
            Ok(Verdict::Works { .. } | Verdict::Limited | Verdict::Refused)
            | Err(TestError::Untestable | TestError::Invalid(_)) => {
                Err(RotationError::OtherAccount { retry })
            }
            Ok(Verdict::Unclear(_)) | Err(TestError::Unavailable) => {
                Err(RotationError::Unavailable { retry })
            }
            Err(TestError::Throttled { retry: asked }) => {
                Err(RotationError::Throttled { retry: asked.max(retry) })
            }
            Err(TestError::Store(error)) => Err(RotationError::Store(error)),
        }
    }

    /// What has overtaken this rotation: another credential, or another rotation.
    async fn overtaken(&self) -> StoreError {
        match self.context.store.connections().get(&self.scope, self.id()).await {
            Ok(now) if now.current_version != self.claimed.version => {
                StoreError::VersionMismatch { current: now.current_version }
            }
            Ok(_) => StoreError::CredentialRotationRunning,
            Err(error) => error,
        }
    }

    async fn keep(&self, new: &NewKey, mode: &Mode) -> Result<Option<MintedKey>, StoreError> {
        let rotations = self.context.store.credential_rotations();
        let to = mode.destinations();
        persisted(self.id(), || rotations.keep(&self.claimed, new, to, &self.write)).await
    }

    /// Asks the provider whether a new key works. If it does not, it is given up; if that is not known, it waits. `old_end` is
    /// when the provider ends the key before by itself.
    async fn test(
        &self,
        (mode, mint): (&Mode, &Mint),
        minted: &MintedKey,
        old_end: Option<Timestamp>,
    ) -> Result<(), Refusal> {
        let connection = &self.claimed.connection;
        // By then the new one must serve.
        let left = old_end.map_or(Duration::MAX, |end| self.context.now().until(end));
        let retry = self.pause().min(left);
        if mode.check_secrets("credential.fields", &minted.fields).is_err() {
            return Err(self.useless(retry, old_end).await);
        }
        let (provider, config) = (&connection.provider, &connection.config);
        let tested = self.context.broker.test(&self.scope, provider, mode, config, &minted.fields).await;
        let is_usable = self.context.now() >= minted.create_time.after(mint.usable_after);
        let error = match tested {
            Ok(Verdict::Works { account: Some(account), .. }) if self.is_other(&account) => {
                return Err(self.useless(retry, old_end).await);
            }
            Ok(Verdict::Works { .. } | Verdict::Limited) => return Ok(()),
            Ok(Verdict::Refused) if is_usable => return Err(self.useless(retry, old_end).await),
            Ok(Verdict::Refused | Verdict::Unclear(_)) | Err(TestError::Unavailable) => {
                RotationError::Untested { retry }
            }
            Err(TestError::Throttled { retry: asked }) => {
                RotationError::Untested { retry: asked.max(retry).min(left) }
            }
            // A setting is missing that the test needs, so no key can be tested.
            Err(TestError::Untestable | TestError::Invalid(_)) => {
                return Err(self.useless(retry, old_end).await);
            }
            Err(TestError::Store(error)) => RotationError::Store(error),
        };
        self.postpone(self.failure(&error)).await;
        Err(error.into())
    }

    /// Whether an account is known to be another one than the credential's.
    fn is_other(&self, account: &str) -> bool {
        self.claimed.connection.confirmed_account_id.as_deref().is_some_and(|known| known != account)
    }

    /// Stores a new key as the version that is served.
    async fn serve(&self, (mode, mint): (&Mode, &Mint), minted: &MintedKey) -> Result<Served, Refusal> {
        let credential = NewCredential {
            hints: mode.hints(&minted.fields),
            fields: minted.fields.clone(),
            adopted: None,
            expire_time: minted.expire_time,
            schedule: None,
            consent_time: None,
            accepted: None,
        };
        let from = self.replaced((mode, mint), minted);
        let (rotations, claimed) = (self.context.store.credential_rotations(), &*self.claimed);
        let stored = persisted(self.id(), || {
            rotations.store(&self.scope, (claimed, minted), &credential, &from, &self.write)
        });
        let refusal = match stored.await {
            Ok(served) => return Ok(served),
            Err(error) => Refusal::Store(error),
        };
        // Where the new key ends the one before, it may be the only one that will work: the next claim looks at what serves.
        let is_only = mint.old_key_life().is_some();
        let is_overtaken =
            matches!(&refusal, Refusal::Store(StoreError::VersionMismatch { .. } | StoreError::State(_)));
        let never_fits =
            matches!(&refusal, Refusal::Store(StoreError::ExpiredAlready | StoreError::TooLarge));
        let is_useless = never_fits || (is_overtaken && !is_only);
        let (retry, reason) = (self.pause(), refusal.reason());
        let failure = RotationFailure { retry, reason, lost: false, in_vain: false, lasting: is_useless };
        if is_useless {
            self.discard(failure).await;
        } else {
            // Another process that has taken it over, or the job, continues from here.
            self.postpone(failure).await;
        }
        Err(refusal)
    }

    /// What becomes of the key before. What the provider ends by itself counts from when the new one was made.
    fn replaced(&self, (mode, mint): (&Mode, &Mint), minted: &MintedKey) -> RotatedFrom {
        let config = &self.claimed.connection.config;
        match mint.end {
            OldKeyEnd::Revoked(overlap) => RotatedFrom::Revoked {
                time: self.context.now().after(overlap),
                key_id: mode.key_id(mint, config, &self.claimed.fields),
            },
            OldKeyEnd::ByItself(time) => {
                RotatedFrom::Ends { time: minted.create_time.after(time), names: mint.field_names() }
            }
            OldKeyEnd::AtOnce => RotatedFrom::Ends { time: minted.create_time, names: mint.field_names() },
        }
    }

    /// A new key does not work. It is given up, unless the one before will end: then it is the only one that can ever work.
    async fn useless(&self, retry: Duration, old_end: Option<Timestamp>) -> Refusal {
        if old_end.is_none() {
            return self.give_up(RotationError::Useless { retry }).await;
        }
        let error = RotationError::Untested { retry };
        self.postpone(self.failure(&error)).await;
        error.into()
    }

    /// Gives a new key up, and says why.
    async fn give_up(&self, error: RotationError) -> Refusal {
        self.discard(self.failure(&error)).await;
        error.into()
    }

    fn id(&self) -> ConnectionId {
        self.claimed.key.connection()
    }

    fn pause(&self) -> Duration {
        pause_of_rotation(self.claimed.failures, &*self.context.random)
    }

    fn failure(&self, error: &RotationError) -> RotationFailure {
        let retry = error.retry().unwrap_or_else(|| self.pause());
        let reason = error.reason().unwrap_or(Reason::StoreUnavailable);
        let (in_vain, lasting) = (error.is_in_vain(), error.is_lasting());
        RotationFailure { retry, reason, lost: false, in_vain, lasting }
    }

    async fn fail(&self, failure: RotationFailure) {
        let rotations = self.context.store.credential_rotations();
        self.note(persisted(self.id(), || rotations.fail(&self.claimed, failure)).await);
    }

    async fn discard(&self, failure: RotationFailure) {
        let rotations = self.context.store.credential_rotations();
        self.note(persisted(self.id(), || rotations.discard(&self.claimed, failure)).await);
    }

    async fn postpone(&self, failure: RotationFailure) {
        let rotations = self.context.store.credential_rotations();
        self.note(persisted(self.id(), || rotations.postpone(&self.claimed, failure)).await);
    }

    /// Logs that the end of the attempt was not stored. The claim ends with this process's work on it, so the next attempt
    /// finds what is there.
    fn note(&self, stored: Result<(), StoreError>) {
        if let Err(error) = stored {
            tracing::error!(connection = %self.id(), %error, "the end of a rotation could not be stored");
        }
    }
}

/// Does what the database does not take yet, until it takes or refuses it.
async fn persisted<T, F>(connection: ConnectionId, mut attempt: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = FIRST_STORE_PAUSE;
    loop {
        match attempt().await {
            Err(error) if error.is_transient() => {
                tracing::error!(%connection, %error, "a step of a rotation could not be stored yet; it is tried again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_STORE_PAUSE);
            }
            result => return result,
        }
    }
}
