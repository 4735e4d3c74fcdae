//! The job that replaces credentials when they are due, tests new keys that wait for it, and ends keys that were replaced.

use std::sync::Arc;
use std::time::Duration;

use credvault_catalog::Mode;
use credvault_domain::{Action, Reason, TenantId, chain, jitter};
use credvault_identity::Facts;
use credvault_store::{
    ConnectionKey, Error as StoreError, Full, RotationClaim, RotationWish, RotationWork, Turns,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempt::Attempt;
use super::ends::end_keys;
use super::wish::wish;
use crate::call::{Subject, record_refusal};
use crate::{Call, Context, Refusal};

/// How often the job looks for what is due.
const SEARCH_INTERVAL: Duration = Duration::from_secs(2);
/// How many connections one search finds at most.
const MAX_FOUND: u64 = 64;
/// How many searches one look makes, each without the tenants that have their share.
const MAX_SEARCHES: usize = 4;
/// How many connections are worked on at once.
const MAX_AT_ONCE: usize = 8;
/// How long an attempt may take.
const ATTEMPT_TIME: Duration = Duration::from_secs(120);
/// When what could not be done is looked at again, about: the reason lies in the vault's own configuration or data.
const REST: Duration = Duration::from_secs(3600);

/// Does what is due of rotations, until `stop`; then waits for what is under way.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    let (turns, tasks) = (Turns::new(MAX_AT_ONCE), TaskTracker::new());
    while stop.run_until_cancelled(tokio::time::sleep(SEARCH_INTERVAL)).await.is_some() {
        if let Err(error) = begin_due(&context, &turns, &tasks).await {
            tracing::warn!(error = chain(&error), "due rotations could not be looked for");
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// Begins as much of what is due as there are turns. A tenant that has its share of them must not hide what is due of others.
async fn begin_due(context: &Arc<Context>, turns: &Turns, tasks: &TaskTracker) -> Result<(), StoreError> {
    let mut without: Vec<TenantId> = Vec::new();
    for _ in 0..MAX_SEARCHES {
        let known = without.len();
        let due = context.store.credential_rotations().due(MAX_FOUND, &without).await?;
        let all = (due.len() as u64) < MAX_FOUND;
        for key in due {
            if without.contains(key.tenant()) {
                continue;
            }
            match turns.try_take(key.tenant()) {
                Ok(turn) => {
                    let context = Arc::clone(context);
                    tasks.spawn(async move {
                        if let Err(error) = work_on(&context, &key).await {
                            let connection = key.connection();
                            tracing::warn!(%connection, error = chain(&error), "a rotation is left to the next look");
                        }
                        drop(turn);
                    });
                }
                Err(Full::Tenant) => without.push(key.tenant().clone()),
                Err(Full::All) => return Ok(()),
            }
        }
        if all || without.len() == known {
            break;
        }
    }
    Ok(())
}

/// Does what is due of a connection. The replica that looks at it first has it for itself for a while.
async fn work_on(context: &Arc<Context>, key: &ConnectionKey) -> Result<(), StoreError> {
    let rotations = context.store.credential_rotations();
    let Some(work) = rotations.look(key).await? else { return Ok(()) };
    let Ok(mode) = context.mode(&work.connection.provider, &work.connection.auth_mode) else {
        return rest(context, key).await;
    };
    let mints = mode.mints_with(&work.connection.config);
    // The new key first: what it replaces ends only after that.
    if (work.is_due && mints) || work.has_new_key {
        match rotate_by_vault(context, key, &work, mode).await? {
            Next::Plan => {}
            Next::Rest => {
                end_keys(context, key, &work.ends, mode).await?;
                return rest(context, key).await;
            }
        }
    }
    end_keys(context, key, &work.ends, mode).await?;
    rotations.looked(key, mints).await
}

/// Leaves a connection alone for about an hour.
async fn rest(context: &Context, key: &ConnectionKey) -> Result<(), StoreError> {
    let pause = REST.mul_f64(jitter(&*context.random, 0.5..=1.5));
    context.store.credential_rotations().rest(key, context.now().after(pause)).await
}

/// What follows an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The next look is planned by what is stored now.
    Plan,
    /// The connection is left alone for a while.
    Rest,
}

/// Replaces a credential as the vault's own work, on record whether it succeeds or not.
async fn rotate_by_vault(
    context: &Arc<Context>,
    key: &ConnectionKey,
    work: &RotationWork,
    mode: &Mode,
) -> Result<Next, StoreError> {
    let mut call = Call::of_vault(context, Action::RotateCredential, key.tenant().clone(), ATTEMPT_TIME);
    let mut subject = Subject::default();
    subject.found(&work.connection);
    call.about(subject);
    let Err(refusal) = attempted(&call, key, work, mode).await else { return Ok(Next::Plan) };
    if refusal.reason() == Reason::IntegrityFailure {
        let (action, reason) = (call.action.as_str(), Reason::IntegrityFailure.as_str());
        metrics::counter!("credvault_refusals_total", "action" => action, "reason" => reason).increment(1);
        // With its record.
        context.store.broken(key, &call.event()).await?;
        return Ok(Next::Rest);
    }
    record_refusal(context, call.refused_event(&refusal), &refusal).await;
    let is_planned = matches!(
        refusal,
        Refusal::Rotation(_)
            | Refusal::Store(StoreError::VersionMismatch { .. } | StoreError::CredentialRotationRunning)
    );
    Ok(if is_planned { Next::Plan } else { Next::Rest })
}

async fn attempted(
    call: &Call,
    key: &ConnectionKey,
    work: &RotationWork,
    mode: &Mode,
) -> Result<(), Refusal> {
    let scope = call.scope()?;
    let permit = call.permit(&scope, Facts::default())?;
    let write = call.write(&permit, Ok(None))?;
    mode.check_destinations(&work.connection.config).map_err(Refusal::Settings)?;
    let wish = wish(mode, &work.connection.config);
    let wish = RotationWish { new_key_only: !(work.is_due && wish.mints), ..wish };
    let (context, started) = (Arc::clone(&call.context), Instant::now());
    let claim = context.store.credential_rotations().claim(key, None, wish).await?;
    let RotationClaim::Ours(claimed) = claim else { return Ok(()) };
    Attempt { context, scope, write, claimed, started }.run().await.map(drop)
}
