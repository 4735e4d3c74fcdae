//! Claiming a refresh: before anything is sent, so that a crash leaves a trace.

use std::time::Duration;

use credvault_domain::{AuthMode, Connection, ProviderId, Reason, SecretFields, Timestamp, Version};
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait as _, IntoActiveModel as _};
use uuid::Uuid;

use super::Refreshes;
use crate::change::Change;
use crate::claims::{Holder, Running, lease_from};
use crate::connections::lock::locked_at;
use crate::connections::row::connection;
use crate::credentials::current::open_current;
use crate::database::session::served;
use crate::entity::{connection as connection_table, refresh};
use crate::refreshes::pause::Pause;
use crate::refreshes::row::{IDLE, IN_FLIGHT, UNCERTAIN, find};
use crate::refreshes::shown::give_up;
use crate::secrets::at_hand::{InHand, Wanted};
use crate::{ConnectionKey, Error, Recorded};

/// For how long nothing is sent, while the provider has an incident, that may cost other consents.
const INCIDENT_PAUSE: Duration = Duration::from_secs(60);

/// What became of an attempt to claim a refresh.
#[derive(Debug)]
pub enum Claim {
    /// It is ours: call the provider now.
    Ours(Box<Claimed>),
    /// Nothing is to be sent now, and the claim can be tried again: another process has claimed the refresh, or this one
    /// cannot prove at the moment that it lives.
    Busy,
    /// The last attempts failed, so the next one must wait.
    Later {
        /// When the next attempt makes sense.
        time: Timestamp,
        /// The reason of the pause.
        pause: Pause,
        /// The connection whose refresh waits.
        connection: Box<Connection>,
    },
    /// The tokens are newer than the caller knew, or the credential is another one: read again.
    Changed,
    /// Only a new consent helps.
    Dead,
    /// There is nothing to refresh: deleted, disabled, or without a credential.
    Nothing,
}

/// A refresh that this process has claimed.
#[derive(Debug)]
pub struct Claimed {
    /// The key of the connection.
    pub key: ConnectionKey,
    /// The connection as it is now.
    pub connection: Connection,
    /// All secret fields, the newest tokens among them.
    pub fields: SecretFields,
    /// The version that they belong to.
    pub version: Version,
    /// When the access token ends, if it does.
    pub expire_time: Option<Timestamp>,
    /// How many attempts have failed in a row.
    pub failures: u32,
    /// Whether an earlier attempt was sent and its answer was lost.
    pub uncertain: bool,
    /// With which app the tokens were got, if that is known: no other can refresh them.
    pub client_id: Option<String>,
    /// Whether the provider had an incident, so that its silence and its refusals count for nothing.
    pub spared: bool,
    pub(super) generation: i64,
    pub(super) claim_id: Uuid,
    process: Uuid,
    pub(super) marked_before: bool,
    _running: Running,
}

/// When the vault gives up a refresh whose outcome the provider does not tell.
#[derive(Clone, Copy)]
pub struct GiveUp<'a> {
    /// How long an unsettled outcome is looked into where a repeat may be refused because the first attempt worked. Time in
    /// which nothing was sent, or the provider asked for patience, does not count.
    pub give_up_after: Duration,
    /// What repeating a refresh token risks, by provider and auth mode.
    pub risk: &'a (dyn Fn(&ProviderId, &AuthMode) -> RepeatRisk + Sync),
    /// Whether a provider has an incident: then nothing is given up.
    pub has_incident: &'a (dyn Fn(&ProviderId) -> bool + Sync),
}

/// What it risks to send a refresh token again after an attempt of unknown outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RepeatRisk {
    /// Nothing, because the token works again.
    Nothing,
    /// This consent, which giving up would end as well.
    Consent,
    /// Other consents as well, because the provider revokes them together.
    OtherConsents,
}

impl GiveUp<'_> {
    /// Whether the vault sends nothing more by itself: the outcome has been unsettled for too long, or one more request may
    /// cost more than it can bring.
    fn is_reached(
        self,
        row: &refresh::Model,
        uncertain: bool,
        risk: RepeatRisk,
        (unsettled_time, now): (Option<i64>, i64),
    ) -> bool {
        let after = i64::try_from(self.give_up_after.as_micros()).unwrap_or(i64::MAX);
        let too_long = unsettled_time.is_some_and(|since| since.saturating_add(after) <= now);
        match (uncertain, risk) {
            (true, RepeatRisk::OtherConsents) if row.marked => true,
            // An outage is no reason to give up what works again when it is over.
            (true, RepeatRisk::Nothing) => false,
            _ => too_long,
        }
    }
}

impl Refreshes<'_> {
    /// Claims the refresh of tokens of generation `seen`. `forced` ignores that the last attempt failed a moment ago, and
    /// that a refresh was given up, unless the provider itself has refused.
    ///
    /// # Errors
    /// The tenant is not served, a sealed value does not open, a secret store does not give one, or the database fails.
    pub async fn claim(
        &self,
        key: &ConnectionKey,
        seen: i64,
        give_up_when: GiveUp<'_>,
        forced: bool,
    ) -> Result<Claim, Error> {
        let Some(process) = self.store.liveness().process_id() else { return Ok(Claim::Busy) };
        // Nothing is claimed that could not be sent.
        let in_hand = self.store.bring_to_hand(key, Wanted::Current).await?;
        let _turn = self.store.refreshing().take(&key.tenant).await;
        let (mut change, state) = self.store.own_sealing_change(&key.tenant).await?;
        served(&key.tenant, state)?;
        let now = self.store.database_time(&change.tx).await?;
        let Some(model) = locked_at(&change.tx, key).await? else { return Ok(Claim::Nothing) };
        if model.delete_time.is_some() || !model.enabled || model.current_version == 0 {
            return Ok(Claim::Nothing);
        }
        let Some(row) = find(&change.tx, key).await? else { return Ok(Claim::Nothing) };
        if row.generation != seen {
            return Ok(Claim::Changed);
        }
        let asks_consent = model.error_reason.as_deref() == Some(Reason::ReauthorizationRequired.as_str());
        if asks_consent && (row.refused || (!forced && row.retry_time.is_none_or(|retry| retry > now))) {
            return Ok(Claim::Dead);
        }
        let uncertain = match row.state.as_str() {
            IDLE => false,
            UNCERTAIN => true,
            _ if self.store.is_gone(&change.tx, holder(&row), process, now).await? => true,
            _ => return Ok(Claim::Busy),
        };
        let provider = ProviderId::from_stored(model.provider.clone());
        let risk = (give_up_when.risk)(&provider, &AuthMode::from_stored(model.auth_mode.clone()));
        if let Some(retry) = row.retry_time.filter(|retry| *retry > now) {
            let pause = Pause::of_row(&row);
            if !forced || pause.binds_all() {
                let (time, connection) = (Timestamp::from_micros(retry), Box::new(connection(model)?));
                return Ok(Claim::Later { time, pause, connection });
            }
        }
        // Time without requests, while the vault was down or the connection disabled, does not count.
        let unasked =
            row.retry_time.zip(row.unsettled_time).map_or(0, |(retry, since)| now - retry.max(since));
        let unsettled_time = row.unsettled_time.map(|since| since.saturating_add(unasked.max(0)));
        let spared = (give_up_when.has_incident)(&provider);
        let reached = !forced && give_up_when.is_reached(&row, uncertain, risk, (unsettled_time, now));
        if reached && spared && risk == RepeatRisk::OtherConsents {
            return after_incident(model, now);
        }
        if reached && !spared {
            give_up(&mut change, key, model, row, now).await?;
            return change.commit(Claim::Dead).await.map(Recorded::into_inner);
        }
        // After an incident, the outcome is looked into for the full time again.
        let unsettled_time = unsettled_time.filter(|_| !reached).or(uncertain.then_some(now));
        let times = (process, now, uncertain, unsettled_time);
        let claimed = Claimed { spared, ..self.take((&change, in_hand), key, model, row, times).await? };
        change.commit(Claim::Ours(Box::new(claimed))).await.map(Recorded::into_inner)
    }

    /// Writes a claim of this process, as of now.
    async fn take(
        &self,
        (change, in_hand): (&Change<'_>, InHand),
        key: &ConnectionKey,
        model: connection_table::Model,
        row: refresh::Model,
        (process, now, uncertain, unsettled_time): (Uuid, i64, bool, Option<i64>),
    ) -> Result<Claimed, Error> {
        let (content, expire_time) = open_current(&change.tx, change.keys()?, &model).await?;
        let fields = in_hand.into_fields(&content)?;
        let claim_id = self.store.new_id()?;
        let failures = u32::try_from(row.failures).unwrap_or(u32::MAX);
        let generation = row.generation;
        let (marked_before, client_id) = (row.marked, row.client_id.clone());
        let marked = row.marked || uncertain;
        let version = model.current_version;
        // Whatever can fail fails before the claim stands.
        let connection = connection(model)?;
        let running = Running::begin(self.store.running_claims(), claim_id);
        let mut row = row.into_active_model();
        let lease = lease_from(now);
        row.state = Set(IN_FLIGHT.to_owned());
        row.marked = Set(marked);
        row.unsettled_time = Set(unsettled_time);
        row.claim_id = Set(Some(claim_id));
        row.process_id = Set(Some(process));
        row.lease_time = Set(Some(lease));
        // The search for due refreshes looks at it again after the lease.
        row.due_time = Set(Some(lease));
        row.update(&change.tx).await?;
        let key = key.clone();
        Ok(Claimed {
            key,
            connection,
            fields,
            version,
            expire_time,
            failures,
            uncertain,
            client_id,
            generation,
            claim_id,
            process,
            marked_before,
            spared: false,
            _running: running,
        })
    }

    /// Whether what was claimed may still be sent: this process is still provably the one that claimed.
    pub fn may_send(&self, claimed: &Claimed) -> bool {
        self.store.liveness().process_id() == Some(claimed.process)
    }
}

fn holder(row: &refresh::Model) -> Holder {
    Holder { process_id: row.process_id, claim_id: row.claim_id, lease_time: row.lease_time }
}

/// The attempt waits until the incident of the provider may be over.
fn after_incident(model: connection_table::Model, now: i64) -> Result<Claim, Error> {
    let time = Timestamp::from_micros(now).after(INCIDENT_PAUSE);
    Ok(Claim::Later { time, pause: Pause::Unavailable, connection: Box::new(connection(model)?) })
}
