//! The frame around every call: a handler gets a [`Call`], and what it returns is [`Recorded`], so no answer leaves
//! without its audit record; a refusal is recorded here.

mod answer;
mod shown;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use credvault_domain::{
    Action, AuditEvent, Connection, ConnectionId, Owner, ProviderId, Purpose, TenantId, TenantScope,
    TenantSource, Timestamp, TraceId, UserId, Version,
};
use credvault_identity::{Caller, Facts};
use credvault_store::{Beginner, Bringer, Recorded, RepeatKey, Turn, Weighed as _, Write};
use futures::FutureExt as _;
use prost::Message;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use crate::grpc::Arrived;
use crate::vault::Vault;
use crate::wire;
use credvault_operations::room::{Account, Share};
use credvault_operations::{Class, Refusal};

/// How long the work of a call may take, whether somebody waits for it or not: longer than every deadline and every limit
/// of the database, so it ends only what would never end.
const LONGEST_WORK: std::time::Duration = std::time::Duration::from_secs(120);

/// How long it may take to tell a caller that its time is over.
const MOMENT: std::time::Duration = std::time::Duration::from_millis(500);

/// A call's part of the limit on calls, of its tenant's share, and of the room for its message.
type Permit = (OwnedSemaphorePermit, Turn, Arc<Arrived>);

/// What is known of a call before its message is read. Travels in the request's extensions.
#[derive(Clone)]
pub(crate) struct Ticket(Arc<TicketInner>);

struct TicketInner {
    caller: Caller,
    action: Action,
    trace: TraceId,
    deadline: tokio::time::Instant,
    /// The call's part of what calls share. It goes with the work, which outlives a caller that
    /// hangs up.
    permit: Mutex<Option<Permit>>,
    account: Account,
    entered: AtomicBool,
}

impl Ticket {
    pub(crate) fn new(
        caller: Caller,
        action: Action,
        trace: TraceId,
        deadline: tokio::time::Instant,
        permit: Permit,
        account: Account,
    ) -> Self {
        let (permit, entered) = (Mutex::new(Some(permit)), AtomicBool::new(false));
        Self(Arc::new(TicketInner { caller, action, trace, deadline, permit, account, entered }))
    }

    /// Whether a handler has taken the call on, and with it its audit record.
    pub(crate) fn entered(&self) -> bool {
        self.0.entered.load(Ordering::Acquire)
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.0.caller
    }
}

/// What the audit record of a call will say beyond who called.
#[derive(Clone, Default)]
struct About {
    tenant: Option<TenantId>,
    connection: Option<ConnectionId>,
    owner_user: Option<UserId>,
    provider: Option<ProviderId>,
    version: Option<Version>,
    purpose: Option<Purpose>,
    /// What the call names that is no connection, such as `event_endpoints/ID`.
    other: Option<String>,
    changed: Vec<String>,
    released: Vec<String>,
    policies: Vec<String>,
}

/// A call in progress.
pub(crate) struct Call {
    pub(crate) vault: Arc<Vault>,
    pub(crate) caller: Caller,
    pub(crate) action: Action,
    /// Until when the caller waits.
    deadline: tokio::time::Instant,
    trace: TraceId,
    about: Mutex<About>,
    /// Where its share of the room for answers comes from, unless it is part of another call.
    account: Option<Account>,
    share: Mutex<Option<Share>>,
    _permit: Option<Permit>,
}

/// Serves one call: runs its handler to its end, even if the caller goes away, and answers with what it recorded.
pub(crate) async fn serve<Q, R, F>(
    vault: &Arc<Vault>,
    request: Request<Q>,
    handler: impl FnOnce(Arc<Call>, Q) -> F,
) -> Result<Response<R>, Status>
where
    R: Message + 'static,
    F: Future<Output = Result<Recorded<R>, Refusal>> + Send + 'static,
{
    let (_, extensions, message) = request.into_parts();
    let Some(ticket) = extensions.get::<Ticket>() else {
        tracing::error!("a call came past the gate");
        return Err(wire::status(&Refusal::Internal, ""));
    };
    let call = Arc::new(Call::enter(vault, ticket));
    let handling = handler(Arc::clone(&call), message);
    let answer = {
        let call = Arc::clone(&call);
        async move {
            let work = async {
                call.room(answer::USUAL).await?;
                let done = handling.await?.into_inner();
                // A change is done by now: that there was no room for its answer in time is told as such.
                call.room_for(&done).await.map_err(|_| Refusal::Deadline)?;
                Ok(done)
            };
            // A panic: the runtime has printed where. The vault goes on, and the record says what the caller is told.
            let work = std::panic::AssertUnwindSafe(work).catch_unwind();
            let done = tokio::time::timeout(LONGEST_WORK, work).await;
            match done.unwrap_or(Ok(Err(Refusal::Deadline))).unwrap_or(Err(Refusal::Internal)) {
                Ok(done) => {
                    let mut response = Response::new(done);
                    let share = call.share.lock().unwrap_or_else(PoisonError::into_inner).take();
                    response.extensions_mut().insert(share.map(Arc::new));
                    Ok(response)
                }
                Err(refusal) => Err(call.refuse(refusal).await),
            }
        }
    };
    let trace = call.trace;
    let answer = answer.in_current_span();
    match tokio::spawn(answer).await {
        Ok(answer) => answer,
        // The runtime is ending.
        Err(_) => Err(wire::status(&Refusal::Internal, &trace.to_string())),
    }
}

impl Call {
    fn enter(vault: &Arc<Vault>, ticket: &Ticket) -> Self {
        let TicketInner { caller, action, trace, deadline, permit, account, entered } = &*ticket.0;
        entered.store(true, Ordering::Release);
        let permit = permit.lock().unwrap_or_else(PoisonError::into_inner).take();
        Self {
            vault: Arc::clone(vault),
            caller: caller.clone(),
            action: *action,
            deadline: *deadline,
            trace: *trace,
            about: Mutex::default(),
            account: Some(account.clone()),
            share: Mutex::default(),
            _permit: permit,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.vault.clock.now()
    }

    /// Until when something can be waited for, with a moment left to tell the caller that it did not come.
    pub(crate) fn patience(&self) -> tokio::time::Instant {
        self.deadline.checked_sub(MOMENT).unwrap_or(self.deadline)
    }

    /// The scope that the caller works in, counted against its rate.
    pub(crate) fn scope(&self) -> Result<TenantScope, Refusal> {
        let scope = self.vault.identity.scope(&self.caller)?;
        self.vault.count(&self.caller.service, scope.tenant(), 1)?;
        Ok(scope)
    }

    /// Asks policy whether the caller may do this.
    pub(crate) fn permit(&self, scope: &TenantScope, facts: Facts<'_>) -> Result<(), Refusal> {
        let permit = self.vault.identity.authorize(&self.caller, self.action, scope.tenant(), facts)?;
        self.note(|about| about.policies = permit.policies);
        Ok(())
    }

    /// Refuses to touch what belongs to a user whom the scope does not reach. The record of the call names that user,
    /// whether there is anything or not.
    pub(crate) fn reach(&self, scope: &TenantScope, user: Option<&UserId>) -> Result<(), Refusal> {
        user.into_iter().for_each(|user| self.about_user(user));
        if user.is_some_and(|user| !scope.reaches(user)) {
            let (identity, tenant) = (&self.vault.identity, scope.tenant());
            identity.authorize(&self.caller, Action::AccessOtherUsers, tenant, Facts::default())?;
        }
        Ok(())
    }

    /// Asks policy whether the caller may read the catalog.
    pub(crate) fn permit_catalog(&self, facts: Facts<'_>) -> Result<(), Refusal> {
        let permit = self.vault.identity.authorize_catalog(&self.caller, self.action, facts)?;
        self.note(|about| about.policies = permit.policies);
        Ok(())
    }

    /// The call that a consent begins with.
    pub(crate) fn beginner(&self) -> Beginner {
        Beginner {
            service: self.caller.service.clone(),
            user: self.caller.user().cloned(),
            tenant_source: self.caller.tenant_source(),
            source: Some(self.caller.source),
        }
    }

    /// The call that brings a consent's state back.
    pub(crate) fn bringer<'a>(&'a self, session: Option<&'a str>, public: bool) -> Bringer<'a> {
        Bringer { user: self.caller.user(), session, public }
    }

    /// A call within this one, with a record of its own.
    pub(crate) fn part(&self, action: Action) -> Self {
        let (vault, caller) = (Arc::clone(&self.vault), self.caller.clone());
        let (trace, deadline) = (self.trace, self.deadline);
        let (account, share) = (None, Mutex::default());
        Self {
            vault,
            caller,
            action,
            deadline,
            trace,
            about: Mutex::default(),
            account,
            share,
            _permit: None,
        }
    }

    /// Finds a connection and asks policy about it.
    pub(crate) async fn connection(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
    ) -> Result<Connection, Refusal> {
        self.note(|about| about.connection = Some(id));
        let connection = self.vault.store.connections().get(scope, id).await?;
        self.about(&connection);
        self.room(connection.weight()).await?;
        self.permit(scope, Facts::of(&connection))?;
        Ok(connection)
    }

    fn known(&self) -> About {
        self.about.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, change: impl FnOnce(&mut About)) {
        change(&mut self.about.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Notes which connection the call is about.
    pub(crate) fn about(&self, connection: &Connection) {
        self.note(|about| {
            about.connection = Some(connection.id);
            about.owner_user = connection.owner.user().cloned();
            about.provider = Some(connection.provider.clone());
        });
    }

    /// Notes whose things a call is about.
    pub(crate) fn about_user(&self, user: &UserId) {
        self.note(|about| about.owner_user = Some(user.clone()));
    }

    /// Notes what a call names that is no connection, for the record of its refusal. Where it succeeds, the store names
    /// it.
    pub(crate) fn about_other(&self, name: String) {
        self.note(|about| about.other = Some(name));
    }

    /// Notes which connection a call names, whether there is one or not.
    pub(crate) fn about_id(&self, id: ConnectionId) {
        self.note(|about| about.connection = Some(id));
    }

    pub(crate) fn about_provider(&self, provider: &ProviderId) {
        self.note(|about| about.provider = Some(provider.clone()));
    }

    pub(crate) fn about_version(&self, version: Version) {
        self.note(|about| about.version = Some(version));
    }

    pub(crate) fn about_purpose(&self, purpose: Option<&Purpose>) {
        self.note(|about| about.purpose = purpose.cloned());
    }

    pub(crate) fn about_changed(&self, fields: Vec<String>) {
        self.note(|about| about.changed = fields);
    }

    /// Notes what leaves the vault although it is kept inside otherwise, and the policies that let it.
    pub(crate) fn about_released(&self, fields: Vec<String>, policies: Vec<String>) {
        self.note(|about| {
            about.released = fields;
            let others: Vec<_> =
                policies.into_iter().filter(|policy| !about.policies.contains(policy)).collect();
            about.policies.extend(others);
        });
    }

    pub(crate) fn about_policies(&self, policies: Vec<String>) {
        self.note(|about| about.policies = policies);
    }

    /// Notes the tenant that an administrator works on.
    pub(crate) fn about_tenant(&self, tenant: &TenantId) {
        self.note(|about| about.tenant = Some(tenant.clone()));
    }

    /// The record of the call's success.
    pub(crate) fn event(&self) -> AuditEvent {
        let About {
            tenant,
            connection,
            owner_user,
            provider,
            version,
            purpose,
            other: _,
            changed,
            released,
            policies,
        } = self.known();
        let caller = &self.caller;
        let tenant = tenant.or_else(|| caller.tenant.as_ref().map(|verified| verified.tenant.clone()));
        AuditEvent {
            service: Some(caller.service.clone()),
            user: caller.user().cloned(),
            tenant_source: caller.tenant_source(),
            connection,
            owner_user,
            provider,
            version,
            purpose,
            changed,
            released,
            policies,
            trace: self.trace,
            source: Some(caller.source),
            ..AuditEvent::of(tenant.unwrap_or_else(TenantId::platform), self.action)
        }
    }

    /// The record of the call's refusal. In the caller's tenant's log; in the platform's where there is no such tenant,
    /// and for administration. There it says which tenant the call named.
    pub(crate) fn refused_event(&self, refusal: &Refusal) -> AuditEvent {
        let mut event = self.event();
        let About { tenant: administered, other, .. } = self.known();
        let nowhere = match refusal {
            Refusal::Store(credvault_store::Error::TenantNotFound(tenant)) => Some(tenant.clone()),
            _ => None,
        };
        let tenant = administered.or_else(|| nowhere.clone()).filter(|tenant| !tenant.is_platform());
        event.tenant = match &self.caller.tenant {
            Some(verified) if nowhere.is_none() && !self.action.administers() => verified.tenant.clone(),
            _ => TenantId::platform(),
        };
        let named = tenant.map(|tenant| tenant_name(&tenant)).into_iter().chain(other);
        event.changed.splice(..0, named);
        event.outcome = refusal.outcome();
        event.reason = Some(refusal.recorded_reason());
        event.policies = refusal.policies().to_vec();
        // Nothing leaves with a refusal.
        event.released = Vec::new();
        event
    }

    /// What accompanies a change: its record, and how a repetition is recognised.
    pub(crate) fn write<M: Message>(&self, request_id: &str, message: &M) -> Result<Write, Refusal> {
        let repeat = wire::request_id(request_id)?.map(|id| {
            let mut payload = Vec::with_capacity(message.encoded_len());
            // A vector grows as needed, so this cannot fail.
            let _ = message.encode(&mut payload);
            let (service, user) = (self.caller.service.clone(), self.caller.user().cloned());
            RepeatKey { service, user, id, payload: Arc::new(payload.into()) }
        });
        Ok(Write { event: self.event(), repeat })
    }

    /// Records a call that changed nothing and vouches for its answer.
    pub(crate) async fn recorded<T: Message>(&self, value: T) -> Result<Recorded<T>, Refusal> {
        self.room_for(&value).await?;
        Ok(self.vault.store.audit().record(self.event(), value).await?)
    }

    /// Records and logs a refusal, and makes the status of it.
    async fn refuse(&self, refusal: Refusal) -> Status {
        record_refusal(&self.vault, self.refused_event(&refusal), &refusal).await;
        wire::status(&refusal, &self.trace.to_string())
    }

    /// The owner of something new: whom the request names, or the verified user, or the space that the call works in.
    pub(crate) fn owner(&self, scope: &TenantScope, named: Option<Owner>) -> Result<Owner, Refusal> {
        let owner = match (named, self.caller.user()) {
            (Some(owner), _) => owner,
            (None, _) if scope.tenant().is_platform() => Owner::Platform,
            (None, Some(user)) => Owner::User(user.clone()),
            (None, None) => Owner::Tenant,
        };
        self.check_owner(scope, &owner)?;
        Ok(owner)
    }

    /// Refuses an owner that has nothing in the space that the call works in, or is out of its reach.
    pub(crate) fn check_owner(&self, scope: &TenantScope, owner: &Owner) -> Result<(), Refusal> {
        self.reach(scope, owner.user())?;
        let platform = scope.tenant().is_platform();
        if (*owner == Owner::Platform) == platform {
            return Ok(());
        }
        let rule = if platform {
            "must be OWNER_KIND_PLATFORM in a call that names no tenant"
        } else {
            "must not be OWNER_KIND_PLATFORM in a call for a tenant; leave the tenant out of the call instead"
        };
        Err(credvault_domain::Violations::of("owner.kind", rule).into())
    }
}

/// How records in the platform's log name a tenant that a refused call was about.
pub(crate) fn tenant_name(tenant: &TenantId) -> String {
    format!("tenants/{tenant}")
}

/// Counts a refusal and logs it, with its cause.
pub(crate) fn note_refusal(action: Action, refusal: &Refusal) {
    let (action, reason) = (action.as_str(), refusal.reason().as_str());
    metrics::counter!("credvault_refusals_total", "action" => action, "reason" => reason).increment(1);
    match refusal.class() {
        Class::Unavailable | Class::Broken => {
            tracing::error!(action, reason, error = chain(refusal), "the call failed");
        }
        Class::Denied | Class::Refused | Class::Exhausted => {
            tracing::info!(action, reason, "the call was refused");
        }
    }
}

/// Makes the record of a refusal durable if it can be, counts it and logs it. The refusal stands either way.
pub(crate) async fn record_refusal(vault: &Vault, event: AuditEvent, refusal: &Refusal) {
    note_refusal(event.action, refusal);
    let (action, reason) = (event.action.as_str(), refusal.reason().as_str());
    // What browsers do is done in the name of a service, and must not use up its share.
    let payer = event.service.as_ref().filter(|_| event.tenant_source != TenantSource::State);
    // The log has just not taken the record of this call: to wait for it again would cost the caller a second time-out.
    let no_log = matches!(refusal, Refusal::Store(credvault_store::Error::AuditUnavailable));
    if no_log || !vault.records_refusal(payer) {
        metrics::counter!("credvault_refusals_unrecorded_total", "action" => action).increment(1);
        return;
    }
    if let Err(error) = vault.store.audit().record(event, ()).await.map(Recorded::into_inner) {
        metrics::counter!("credvault_refusals_unrecorded_total", "action" => action).increment(1);
        tracing::error!(action, reason, error = chain(&error), "a refusal could not be recorded");
    }
}

/// An error with its causes, each said once. None of them shows a value: sea-orm's and sqlx's are the database's primary
/// messages, which name a constraint or a condition.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |error| error.source()) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
