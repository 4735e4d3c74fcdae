//! The frame of a call: who asks, for which tenant, about what, until when, and what the audit log says of it. Calls over
//! gRPC are made by [`run()`] from begin to end. The steps of browsers and the vault's own work have a [`Call`], too: they
//! ask policy and write their records through it, but end in their own way.
//!
//! What the frame keeps:
//!
//! - no change without permission: [`Call::write`] takes a [`Permit`](crate::Permit), which only the methods in
//!   `call/permission.rs` give;
//! - no answer without permission and record: an operation returns a [`Recorded`](crate::Recorded), which only the store makes, of a
//!   permission and an audit record;
//! - no call for a tenant from where its source rules allow none: `Call::enter`, before anything is read for it;
//! - no refused call without record: [`run()`] makes it, with the subject that the operation has set by then;
//! - no half a change: [`run()`] drives an operation to its end, even if its caller has gone, and a vault that stops waits
//!   for it.
//!
//! # A forgotten permission does not compile
//!
//! ```
//! use credvault_domain::ConnectionId;
//! use credvault_operations::{Call, Recorded, Refusal};
//!
//! async fn show(call: &mut Call, id: ConnectionId) -> Result<Recorded<String>, Refusal> {
//!     let (permit, connection) = call.connection(id).await?;
//!     call.recorded(&permit, connection.account_name.to_string()).await
//! }
//! ```
//!
//! Without the permit there is no answer:
//!
//! ```compile_fail,E0061
//! use credvault_domain::ConnectionId;
//! use credvault_operations::{Call, Recorded, Refusal};
//!
//! async fn show(call: &mut Call, id: ConnectionId) -> Result<Recorded<String>, Refusal> {
//!     call.recorded(id.to_string()).await
//! }
//! ```
//!
//! Nor is there a change:
//!
//! ```
//! use credvault_domain::ConnectionId;
//! use credvault_operations::{Call, Refusal, Write};
//!
//! async fn begin(call: &mut Call, id: ConnectionId) -> Result<Write, Refusal> {
//!     let (permit, _) = call.connection(id).await?;
//!     call.write(&permit, Ok(None))
//! }
//! ```
//!
//! ```compile_fail,E0061
//! use credvault_domain::ConnectionId;
//! use credvault_operations::{Call, Refusal, Write};
//!
//! async fn begin(call: &mut Call, id: ConnectionId) -> Result<Write, Refusal> {
//!     call.write(Ok(None))
//! }
//! ```
//!
//! A permit cannot be made by hand:
//!
//! ```compile_fail,E0451
//! let permit = credvault_domain::Permit { policies: Vec::new() };
//! ```
//!
//! # A forgotten record does not compile
//!
//! ```compile_fail,E0308
//! use credvault_domain::ConnectionId;
//! use credvault_operations::{Call, Recorded, Refusal};
//!
//! async fn show(call: &mut Call, id: ConnectionId) -> Result<Recorded<String>, Refusal> {
//!     let (permit, connection) = call.connection(id).await?;
//!     Ok(connection.account_name.to_string())
//! }
//! ```

mod allowance;
mod answer_room;
mod context;
mod list;
mod permission;
mod record;
mod run;
mod subject;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use credvault_domain::{
    Action, ConnectSessionId, LimitValues, TenantId, TenantScope, TenantSource, Timestamp, TraceId,
};
use credvault_identity::{Caller, VerifiedTenant};
use credvault_store::{Beginner, Bringer, ConnectSession};
use tokio::time::Instant;

use crate::Refusal;
use crate::room::{Account, Reservation};

pub(crate) use allowance::SOURCE_RULES;
pub use context::{Context, Parts};
pub(crate) use list::of_record;
pub(crate) use record::note_refusal;
pub use record::{Repeat, record_refusal, tenant_name};
pub use run::{Done, Ended, run};
pub(crate) use subject::Subject;

/// How much of a call's time is kept for telling the caller that the time is over.
const REPLY_RESERVE: Duration = Duration::from_millis(500);

/// How long the work of a call may take, whether its caller waits or not: longer than every deadline and every limit of
/// the database, so it ends only what would never end.
const LONGEST_WORK: Duration = Duration::from_secs(120);

/// How long the browser of a connect page waits for what a person has asked for, as a call of a service without a deadline
/// does.
const PAGE_PATIENCE: Duration = Duration::from_secs(30);

/// A call that a transport has let in: what is known of it before its message is read.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The service, user and tenant that call.
    pub caller: Arc<Caller>,
    /// What is asked for.
    pub action: Action,
    /// The trace that the call belongs to.
    pub trace: TraceId,
    /// Until when the caller waits.
    pub deadline: Instant,
    /// Where the answer takes its room from.
    pub account: Account,
}

/// The origin of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    /// A service, over an authenticated connection.
    Service,
    /// A browser at this address, which continues what a service began.
    Browser(IpAddr),
    /// A connect page in a browser at this address, for which a service has made this session.
    Page(IpAddr, ConnectSessionId),
    /// The vault itself, on a schedule.
    Vault,
}

/// A call in progress.
pub struct Call {
    pub(crate) context: Arc<Context>,
    pub(crate) action: Action,
    /// What the call is about.
    pub(crate) subject: Subject,
    caller: Arc<Caller>,
    origin: Origin,
    pub(crate) trace: TraceId,
    /// Until when the caller waits.
    deadline: Instant,
    /// The namespace that the caller works in. None for administration and the catalog.
    scope: Option<Arc<TenantScope>>,
    /// The limits of the tenant.
    limits: LimitValues,
    answer: Option<Reservation>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("action", &self.action)
            .field("trace", &self.trace)
            .finish_non_exhaustive()
    }
}

impl Call {
    /// The time by the clock that everything is judged by.
    pub fn now(&self) -> Timestamp {
        self.context.now()
    }

    /// A call of a service.
    pub fn of_service(context: &Arc<Context>, entry: Entry) -> Self {
        let Entry { caller, action, trace, deadline, account } = entry;
        let answer = Some(Reservation::of(account));
        Self { deadline, answer, ..Self::new(context, caller, Origin::Service, action, trace) }
    }

    /// A request of a browser at `address`, which continues the consent that a service began. Policy decides about that
    /// service, whose call it was.
    pub(crate) fn of_browser(
        context: &Arc<Context>,
        action: Action,
        tenant: &TenantId,
        beginner: &Beginner,
        address: IpAddr,
    ) -> Self {
        let caller = Arc::new(continued(tenant, beginner));
        Self::new(context, caller, Origin::Browser(address), action, context.new_trace())
    }

    /// A request of a connect page in the browser at `address`: a call of the service that has made the session, for the
    /// session's user. It reaches that user's connections and shared ones, whatever else policy lets the service reach.
    pub(crate) fn of_page(
        context: &Arc<Context>,
        action: Action,
        session: &ConnectSession,
        address: IpAddr,
    ) -> Self {
        let caller = Arc::new(continued(&session.tenant, &session.maker));
        let origin = Origin::Page(address, session.id);
        let call = Self::new(context, caller, origin, action, context.new_trace());
        Self { deadline: Instant::now() + PAGE_PATIENCE, ..call }
    }

    /// What the vault does by itself for a tenant, within `time`.
    #[expect(clippy::disallowed_methods, reason = "the frame of the vault's own work")]
    pub(crate) fn of_vault(context: &Arc<Context>, action: Action, tenant: TenantId, time: Duration) -> Self {
        let verified = VerifiedTenant { tenant: tenant.clone(), user: None, source: TenantSource::None };
        let caller = Caller {
            service: credvault_domain::ServiceId::vault(),
            tenant: Some(verified),
            source_address: IpAddr::from([0; 4]),
        };
        let (scope, _) = context.identity.own_work(tenant);
        let call = Self::new(context, Arc::new(caller), Origin::Vault, action, context.new_trace());
        Self { deadline: Instant::now() + time + REPLY_RESERVE, scope: Some(Arc::new(scope)), ..call }
    }

    fn new(
        context: &Arc<Context>,
        caller: Arc<Caller>,
        origin: Origin,
        action: Action,
        trace: TraceId,
    ) -> Self {
        Self {
            context: Arc::clone(context),
            action,
            subject: Subject::default(),
            caller,
            origin,
            trace,
            deadline: Instant::now() + LONGEST_WORK,
            scope: None,
            limits: *context.limits.defaults(),
            answer: None,
        }
    }

    /// A call within this one, with a record of its own. Its answer is part of this one's.
    pub(crate) fn part(&self, action: Action) -> Self {
        Self {
            context: Arc::clone(&self.context),
            action,
            subject: Subject::default(),
            caller: Arc::clone(&self.caller),
            scope: self.scope.clone(),
            answer: None,
            ..*self
        }
    }

    /// The same in a namespace that the caller was permitted to administer.
    pub(crate) fn part_in(&self, action: Action, scope: &Arc<TenantScope>) -> Self {
        let subject = Subject { tenant: Some(scope.tenant().clone()), ..Subject::default() };
        Self { scope: Some(Arc::clone(scope)), subject, ..self.part(action) }
    }

    /// The trace that the call belongs to.
    pub fn trace(&self) -> TraceId {
        self.trace
    }

    /// The service, user and tenant that call.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The namespace that the caller works in.
    ///
    /// # Errors
    /// [`Refusal::Internal`] for administration and the catalog, which work in none.
    pub fn scope(&self) -> Result<Arc<TenantScope>, Refusal> {
        self.scope.clone().ok_or(Refusal::Internal)
    }

    /// The deadline for waiting, minus a reserve for sending the error.
    pub(crate) fn patience(&self) -> Instant {
        self.deadline.checked_sub(REPLY_RESERVE).unwrap_or(self.deadline)
    }

    /// The caller as the beginner of a consent.
    pub(crate) fn beginner(&self) -> Beginner {
        Beginner {
            service: self.caller.service.clone(),
            user: self.caller.user().cloned(),
            tenant_source: self.caller.tenant_source(),
            source_address: Some(self.caller.source_address),
        }
    }

    /// The caller as the bringer of a consent's state.
    pub(crate) fn bringer<'a>(&'a self, session: Option<&'a str>, public: bool) -> Bringer<'a> {
        Bringer { user: self.caller.user(), session, public }
    }
}

/// The caller of a call that a browser continues.
fn continued(tenant: &TenantId, beginner: &Beginner) -> Caller {
    let Beginner { service, user, tenant_source, source_address } = beginner.clone();
    let verified = VerifiedTenant { tenant: tenant.clone(), user, source: tenant_source };
    Caller {
        service,
        tenant: Some(verified).filter(|verified| !verified.tenant.is_platform()),
        source_address: source_address.unwrap_or(IpAddr::from([0; 4])),
    }
}
