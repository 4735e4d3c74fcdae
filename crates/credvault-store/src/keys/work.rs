//! Working on rotations: a job of every replica.

use std::time::{Duration, Instant};

use credvault_domain::chain;

use super::Keys;
use super::rotation::{Claimed, RotationKind, Urgency};
use crate::Error;

/// How long a process stays at one rotation before it looks for others that wait.
const TURN: Duration = Duration::from_secs(5);

/// The pause after a batch that has written nothing.
const HELD: Duration = Duration::from_millis(100);

/// What a batch has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Batch {
    /// There may be more; so many records were written.
    Written(u64),
    /// The rotation has ended.
    Ended,
}

impl Keys<'_> {
    /// Works on the rotations of this urgency that wait, each for some seconds, and tells how many of them got on. Dropped at
    /// any moment, it leaves what it has committed; another process takes the rest on. A process works on both kinds side by
    /// side, so that a slow one holds none up that has to be over soon.
    ///
    /// # Errors
    /// The database fails; what was not done is done the next time.
    pub async fn work(&self, urgency: Urgency) -> Result<usize, Error> {
        let mut advanced = 0;
        for (tenant, kind) in self.waiting(urgency).await? {
            let Some(claimed) = self.claim(&tenant, &kind).await? else { continue };
            match self.turn(claimed).await {
                Ok(got_on) => advanced += usize::from(got_on),
                // One tenant keeps no other from its turn. Another process takes this one on when its lease is over.
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        tenant = tenant.as_str(),
                        "a rotation could not be let go"
                    )
                }
            }
        }
        Ok(advanced)
    }

    /// Works on one rotation for a while. Gives whether it got on.
    async fn turn(&self, mut claimed: Claimed) -> Result<bool, Error> {
        let begun = Instant::now();
        while begun.elapsed() < TURN {
            let batch_begun = Instant::now();
            match self.batch(&mut claimed).await {
                Ok(Batch::Ended) => return Ok(true),
                // What others hold needs a moment.
                Ok(Batch::Written(0)) => tokio::time::sleep(HELD).await,
                Ok(Batch::Written(records)) => pace(&claimed, records, batch_begun.elapsed()).await,
                // Another process has it, or another transaction was in the way.
                Err(Error::Conflict) => {
                    claimed.release(self.store, None).await?;
                    return Ok(true);
                }
                Err(error) => {
                    let what = match claimed.kind() {
                        Ok(RotationKind::Secrets) => "a move of secrets",
                        Ok(RotationKind::Root | RotationKind::Tenant) | Err(_) => "a rotation of keys",
                    };
                    tracing::warn!(
                        error = chain(&error),
                        tenant = claimed.tenant.as_str(),
                        "{what} does not get on; it is tried again"
                    );
                    claimed.release(self.store, Some(&chain(&error).to_string())).await?;
                    return Ok(false);
                }
            }
        }
        claimed.release(self.store, None).await?;
        Ok(true)
    }

    async fn batch(&self, claimed: &mut Claimed) -> Result<Batch, Error> {
        match claimed.kind()? {
            RotationKind::Root => self.rewrap_batch(claimed).await,
            RotationKind::Tenant => self.reseal_batch(claimed).await,
            RotationKind::Secrets => self.move_batch(claimed).await,
        }
    }
}

/// How large a batch is, of at most `most`: a second's worth, so that a slow rotation neither holds locks for long nor seems
/// to be left by its process.
pub(crate) fn batch_size(claimed: &Claimed, most: u64) -> u64 {
    match u64::try_from(claimed.row.records_per_second) {
        Ok(rate) if rate > 0 => rate.min(most),
        _ => most,
    }
}

/// Waits until a batch has taken as long as its rate allows.
async fn pace(claimed: &Claimed, records: u64, taken: Duration) {
    let rate = claimed.row.records_per_second;
    if rate > 0 {
        let due = Duration::from_secs_f64(records as f64 / rate as f64);
        tokio::time::sleep(due.saturating_sub(taken)).await;
    }
}
