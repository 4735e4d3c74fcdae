//! `TailAuditEvents`: the records of a log from an index on, and then each new one. A stream ends by itself when the vault stops,
//! after an hour, and as soon as its caller may not read the log any more. A client that begins again where it has come to loses
//! nothing and reads nothing twice.

use std::sync::Arc;
use std::time::Duration;

use credvault_domain::{TenantScope, TraceId};
use credvault_identity::Facts;
use credvault_store::{AuditFilter, AuditRecord, Recorded, Stretch};
use futures::Stream;
use futures::stream::unfold;
use tokio::time::Instant;

use super::streams::Place;
use crate::{Call, Parsed, Refusal};

/// How often a stream looks for new records.
const LOOK: Duration = Duration::from_millis(300);
/// How long a stream is silent at most.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often a stream asks whether its caller may still read the log.
const CHECK: Duration = Duration::from_secs(1);
/// How long a stream lasts at most: then certificate and token of its caller are looked at anew.
const LONGEST: Duration = Duration::from_secs(3600);

/// Records of a tail, and how far it has come.
#[derive(Clone, Debug)]
pub struct TailPart {
    /// Records with their indexes, in their order. There are none if none matched for a while.
    pub records: Vec<(u64, AuditRecord)>,
    /// The index from which a stream continues after this part.
    pub next: u64,
    /// The index that the next record of the log gets.
    pub end: u64,
}

/// A tail that was begun.
#[derive(Debug)]
pub struct Tail {
    call: Call,
    scope: Arc<TenantScope>,
    filter: AuditFilter,
    place: Place,
    next: u64,
    /// When the caller was last sent something.
    said: Instant,
    checked: Instant,
    until: Instant,
}

/// `TailAuditEvents`: begins with the record at an index, 0 for the first that is kept, or without one with the next record. Gives
/// where it begins, and what gives the rest.
///
/// # Errors
/// Policy does not permit the log as a whole, the filter's user is out of reach, the tenant is suspended, the log has no such
/// index, or too many streams are open.
pub async fn tail(
    call: &mut Call,
    filter: Parsed<AuditFilter>,
    start: Option<u64>,
) -> Result<Recorded<(TailPart, Tail)>, Refusal> {
    let scope = call.scope()?;
    let filter = filter?;
    let permit = call.permit(&scope, Facts::default())?;
    call.reach(&scope, filter.user.as_ref())?;
    call.reach(&scope, filter.owner_user.as_ref())?;
    let place = call.context.audit_streams.begin(scope.tenant())?;
    // A suspended tenant is refused here.
    let end = place.end(&call.context.store, &scope).await?;
    let bounds = call.context.store.audit().bounds(&scope).await?;
    let next = match start {
        None => bounds.end,
        Some(0) => bounds.first,
        Some(index) => index,
    };
    bounds.check(next)?;
    let now = Instant::now();
    let tail = Tail {
        call: call.part(call.action),
        scope,
        filter,
        place,
        next,
        said: now,
        checked: now,
        until: now + LONGEST,
    };
    let first = TailPart { records: Vec::new(), next, end: end.max(next) };
    call.recorded(&permit, (first, tail)).await
}

impl Tail {
    /// The trace of the call that began it.
    pub fn trace(&self) -> TraceId {
        self.call.trace()
    }

    /// What follows the beginning, until the stream ends.
    pub fn parts(self) -> impl Stream<Item = Result<TailPart, Refusal>> + Send {
        unfold(Some(self), |tail| async move {
            let mut tail = tail?;
            match tail.part().await {
                Ok(Some(part)) => Some((Ok(part), Some(tail))),
                Ok(None) => None,
                Err(refusal) => Some((Err(refusal), None)),
            }
        })
    }

    /// The next part; none if the stream ends.
    async fn part(&mut self) -> Result<Option<TailPart>, Refusal> {
        let context = Arc::clone(&self.call.context);
        loop {
            if context.stopping.is_cancelled() || Instant::now() >= self.until {
                return Ok(None);
            }
            self.check().await?;
            let end = self.place.end(&context.store, &self.scope).await?;
            let records = if self.next < end { self.read(end).await? } else { Vec::new() };
            if !records.is_empty() || self.said.elapsed() >= HEARTBEAT {
                self.said = Instant::now();
                return Ok(Some(TailPart { records, next: self.next, end: end.max(self.next) }));
            }
            if self.next >= end {
                // Whether the vault stops is found out above.
                let _ = context.stopping.run_until_cancelled(tokio::time::sleep(LOOK)).await;
            }
        }
    }

    /// Refuses a caller that may not read the log any more, and finds out what it reaches now.
    async fn check(&mut self) -> Result<(), Refusal> {
        if self.checked.elapsed() < CHECK {
            return Ok(());
        }
        self.call.check_source().await?;
        self.scope = self.call.find_scope()?;
        let _ = self.call.permit(&self.scope, Facts::default())?;
        self.call.reach(&self.scope, self.filter.user.as_ref())?;
        self.call.reach(&self.scope, self.filter.owner_user.as_ref())?;
        self.checked = Instant::now();
        Ok(())
    }

    async fn read(&mut self, end: u64) -> Result<Vec<(u64, AuditRecord)>, Refusal> {
        let audit = self.call.context.store.audit();
        let Stretch { mut entries, next } = audit.stretch(&self.scope, &self.filter, self.next..end).await?;
        self.next = next;
        let mut shown = self.call.shown(&self.scope);
        entries.retain(|entry| shown.shows_record(&entry.record));
        Ok(entries.into_iter().map(|entry| (entry.index, entry.record)).collect())
    }
}
