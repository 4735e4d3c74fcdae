//! Who may read a connection under the policies in use, and who did in a period, by the audit log; or what a service may reach in a
//! tenant, and did.

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use credvault_domain::{
    Action, Connection, Owner, ProviderId, ServiceId, TenantId, TenantScope, Timestamp, TrustDomain,
    Violations,
};
use credvault_identity::{Access, DecidingPolicy, Facts, NeverAsked, Policies, PolicyQuestion};
use credvault_store::{
    AccessUse, AccessUses, CallingService, ConnectionKind, Listed, Period, Recorded, UsesOf,
};

use crate::{Call, Paging, Parsed, Refusal};

/// How many days a report is about if its request does not say.
const DEFAULT_DAYS: u32 = 30;
/// How many days a report is about at most.
const MAX_DAYS: u32 = 400;
/// How many of the latest records about a connection are counted.
const COUNTED_RECORDS: u32 = 1_000_000;
/// How many services a report asks the policies about.
const MAX_SERVICES: usize = 200;
const SECONDS_PER_DAY: u64 = 24 * 3600;

/// How many kinds of connections a report asks the policies about.
const MAX_KINDS: u32 = 500;

/// What a report is about.
#[derive(Clone, Debug)]
pub struct AccessQuestion {
    /// The connection or the service that is asked about.
    pub of: UsesOf,
    /// The first instant of the period; 30 days before its end if there is none.
    pub start: Option<Timestamp>,
    /// The first instant after the period; the present if there is none.
    pub end: Option<Timestamp>,
}

/// Who may read a connection, or what a service may reach; and who did.
#[derive(Clone, Debug)]
pub struct AccessReport {
    /// The connection that it is about, if it is about one.
    pub connection: Option<Connection>,
    /// Who may. The first page about a connection alone has it.
    pub may: Option<WhoMay>,
    /// What the service may reach. The first page about a service alone has it.
    pub reach: Option<Vec<KindAccess>>,
    /// A page of who did.
    pub uses: Listed<AccessUse>,
    /// The period that the uses are from.
    pub period: Period,
}

/// The services that the policies in use permit to read a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WhoMay {
    /// Those that may, and those that may not and have called about the connection in the period.
    pub services: Vec<ServiceAccess>,
    /// The policies that permit it to services by trust domain or path, which no list can name.
    pub by_attributes: Vec<DecidingPolicy>,
    /// Whether there are services about which the policies were not asked.
    pub more: bool,
}

/// What a service may do with a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceAccess {
    /// The service, or all that are alike.
    pub who: Who,
    /// Whether it has called about the connection in the period.
    pub used: bool,
    /// What it may do, or may not.
    pub actions: Vec<Access>,
}

/// What a service may do with the connections of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KindAccess {
    /// The connections, with one of the users who own some.
    pub kind: ConnectionKind,
    /// What it may do, or may not.
    pub actions: Vec<Access>,
}

/// One service, or all that have nothing of their own in the policies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Who {
    /// The service with this id.
    Service(ServiceId),
    /// Every service of this trust domain that no policy names.
    AnyOther(TrustDomain),
}

/// `GetAccessReport`: for a connection of this tenant, or of the platform, or for a service there. A connection is looked for there
/// and nowhere else.
///
/// # Errors
/// There is no such connection, the period is none, or policy does not permit the report.
pub async fn access_report(
    call: &mut Call,
    tenant: Option<TenantId>,
    question: Parsed<AccessQuestion>,
    paging: Parsed<Paging>,
) -> Result<Recorded<AccessReport>, Refusal> {
    let (mut permit, scope) = call.administer(tenant, Facts::default())?;
    let AccessQuestion { of, start, end } = question?;
    let mut connection = None;
    if let UsesOf::Connection(id) = of {
        let (permitted, found) = call.administered_connection(&scope, id).await?;
        permit = permitted;
        connection = Some(found);
    }
    let page = call.page(None, paging).await?;
    let asked = period(start, end, call.now())?;
    let audit = call.context.store.audit();
    let AccessUses { period, listed } = audit.uses(&scope, &of, asked, COUNTED_RECORDS, &page).await?;
    let (mut may, mut reach) = (None, None);
    if page.token.is_empty() {
        match (&connection, &of) {
            (Some(connection), _) => may = Some(who_may(call, &scope, connection, period).await?),
            (None, UsesOf::Service(service)) => reach = Some(reached(call, &scope, service).await?),
            (None, UsesOf::Connection(_)) => {}
        }
    }
    call.recorded(&permit, AccessReport { connection, may, reach, uses: listed, period }).await
}

fn period(start: Option<Timestamp>, end: Option<Timestamp>, now: Timestamp) -> Parsed<Period> {
    let days = |number: u32| Duration::from_secs(u64::from(number) * SECONDS_PER_DAY);
    // The present is in it.
    let end = end.unwrap_or_else(|| now.after(Duration::from_micros(1)));
    let start = start.unwrap_or_else(|| end.before(days(DEFAULT_DAYS)));
    if start >= end {
        return Err(Violations::of(
            "start_time",
            "must be before end_time, which is the present if it is left out",
        ));
    }
    if start.until(end) > days(MAX_DAYS) {
        return Err(Violations::of(
            "start_time",
            "must be at most 400 days before end_time; ask for a part of them",
        ));
    }
    Ok(Period { start, end })
}

/// Asks the policies about the services that they name, those that the audit log names, and any other.
async fn who_may(
    call: &Call,
    scope: &TenantScope,
    connection: &Connection,
    period: Period,
) -> Result<WhoMay, Refusal> {
    // One more, to know whether there are too many.
    let most = u32::try_from(MAX_SERVICES + 1).unwrap_or(u32::MAX);
    let audit = call.context.store.audit();
    let calling = audit.calling_services(scope, connection.id, period, most).await?;
    let (policies, domains) = call.policies_in_use();
    let named = policies.named_services();
    let candidates = Candidates::of(&named, &calling, &domains);
    let asking = Asking::of(call, policies, scope, &connection.provider, &connection.owner);
    let mut services = Vec::new();
    for (who, service) in candidates.asked {
        let used = candidates.used.contains(&service);
        let actions = asking.about(&service);
        let actions = actions.map_err(|never| Violations::of(never.fact, never.rule))?;
        if used || actions.iter().any(|access| access.needs.is_some()) {
            services.push(ServiceAccess { who, used, actions });
        }
        // Many policies take a while, and other calls need this thread, too.
        tokio::task::yield_now().await;
    }
    let by_attributes = asking.policies.permitting_by_attributes(Action::FetchCredential);
    Ok(WhoMay { services, by_attributes, more: candidates.more })
}

/// Asks the policies what a service may do with each kind of connections that the tenant has. A service of a trust domain that the
/// vault does not trust cannot call.
async fn reached(call: &Call, scope: &TenantScope, service: &ServiceId) -> Result<Vec<KindAccess>, Refusal> {
    let (policies, domains) = call.policies_in_use();
    if !domains.contains(&service.trust_domain()) {
        return Ok(Vec::new());
    }
    let mut reach = Vec::new();
    for kind in call.context.store.connections().kinds(scope, MAX_KINDS).await? {
        let actions =
            Asking::of(call, Arc::clone(&policies), scope, &kind.provider, &kind.owner).about(service);
        let actions = actions.map_err(|never| Violations::of(never.fact, never.rule))?;
        reach.push(KindAccess { kind, actions });
        tokio::task::yield_now().await;
    }
    Ok(reach)
}

/// The services about which the policies are asked.
struct Candidates {
    asked: Vec<(Who, ServiceId)>,
    /// Those that have called about the connection.
    used: HashSet<ServiceId>,
    more: bool,
}

impl Candidates {
    /// Those that have called about the connection come first, for the answer must have them. A service of a trust domain
    /// that the vault does not trust cannot call.
    fn of(named: &BTreeSet<ServiceId>, calling: &[CallingService], domains: &[TrustDomain]) -> Self {
        let parsed = |one: &CallingService| Some((ServiceId::parse(&one.service).ok()?, one.used));
        let calling: Vec<(ServiceId, bool)> = calling.iter().filter_map(parsed).collect();
        let used: HashSet<ServiceId> =
            calling.iter().filter(|(_, used)| *used).map(|(service, _)| service.clone()).collect();
        let first = calling.iter().map(|(service, _)| service).filter(|service| used.contains(*service));
        let others = calling.iter().map(|(service, _)| service).filter(|service| !used.contains(*service));
        let (mut known, mut asked, mut more) = (HashSet::new(), Vec::new(), false);
        for service in first.chain(named).chain(others) {
            if !domains.contains(&service.trust_domain()) || !known.insert(service.clone()) {
                continue;
            }
            more = asked.len() == MAX_SERVICES;
            if more {
                break;
            }
            asked.push((Who::Service(service.clone()), service.clone()));
        }
        let others =
            domains.iter().filter_map(|domain| Some((Who::AnyOther(domain.clone()), other(domain, named)?)));
        asked.extend(others);
        Self { asked, used, more }
    }
}

/// A service of a trust domain that no policy names.
fn other(domain: &TrustDomain, named: &BTreeSet<ServiceId>) -> Option<ServiceId> {
    // One more than there are names: one of them is free.
    (0..=named.len())
        .filter_map(|number| {
            ServiceId::parse(&format!("spiffe://{domain}/no-policy-names-this/{number}")).ok()
        })
        .find(|service| !named.contains(service))
}

/// What the policies are asked about each service.
struct Asking<'a> {
    policies: Arc<Policies>,
    scope: &'a TenantScope,
    provider: &'a ProviderId,
    owner: &'a Owner,
    /// Whether the provider signs webhooks, so that the secret checks them.
    webhooks: bool,
}

impl<'a> Asking<'a> {
    fn of(
        call: &Call,
        policies: Arc<Policies>,
        scope: &'a TenantScope,
        provider: &'a ProviderId,
        owner: &'a Owner,
    ) -> Self {
        let known = call.context.catalog.get(provider);
        let webhooks = known.is_some_and(|provider| !provider.webhooks.is_empty());
        Self { policies, scope, provider, owner, webhooks }
    }

    /// What the service may do. Refresh tokens leave with a fetch, so only one that may fetch is asked about them.
    fn about(&self, service: &ServiceId) -> Result<Vec<Access>, NeverAsked> {
        let access = |action| self.policies.access(&self.question(service, action));
        let fetch = access(Action::FetchCredential)?;
        let fetches = fetch.needs.is_some();
        let mut actions = vec![fetch];
        if fetches {
            actions.push(access(Action::FetchRefreshToken)?);
        }
        if self.webhooks {
            actions.push(access(Action::VerifyWebhook)?);
        }
        Ok(actions)
    }

    fn question(&self, service: &ServiceId, action: Action) -> PolicyQuestion {
        let tenant = self.scope.tenant();
        PolicyQuestion {
            service: service.clone(),
            action,
            tenant: Some(tenant.clone()).filter(|tenant| !tenant.is_platform()),
            tenant_source: None,
            user: None,
            source_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            provider: Some(self.provider.clone()),
            owner: Some(self.owner.clone()),
            purpose: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(path: &str) -> ServiceId {
        ServiceId::parse(&format!("spiffe://{path}")).expect("a SPIFFE ID")
    }

    #[test]
    fn a_period_has_a_begin_an_end_and_a_bound() {
        let now = Timestamp::from_micros(4_000_000_000_000_000);
        let day = Duration::from_secs(SECONDS_PER_DAY);
        let usual = period(None, None, now).expect("right");
        let end = now.after(Duration::from_micros(1));
        assert_eq!((usual.start, usual.end), (end.before(day * 30), end));
        let earlier = now.before(day * 100);
        assert_eq!(period(None, Some(earlier), now).expect("right").start, earlier.before(day * 30));
        assert!(period(Some(end.before(day * 400)), None, now).is_ok());
        for (start, end) in [(end, None), (now.before(day * 401), None), (now, Some(earlier))] {
            let violations = period(Some(start), end, now).expect_err("no period");
            assert!(violations.iter().all(|one| one.field == "start_time"));
        }
    }

    #[test]
    fn candidates_are_those_that_called_those_that_are_named_and_any_other() {
        let domain = TrustDomain::parse("one.test").expect("a domain");
        let named: BTreeSet<_> =
            ["one.test/app", "foreign.test/app", "one.test/no-policy-names-this/0"].map(service).into();
        let calling = |path: &str, used| CallingService { service: format!("spiffe://{path}"), used };
        let vault = CallingService { service: ServiceId::VAULT.to_owned(), used: true };
        let calling = [
            calling("one.test/b", true),
            calling("one.test/a", false),
            calling("one.test/app", false),
            vault,
        ];
        let candidates = Candidates::of(&named, &calling, std::slice::from_ref(&domain));
        let (who, asked): (Vec<_>, Vec<_>) = candidates.asked.into_iter().unzip();
        let expected = ["b", "app", "no-policy-names-this/0", "a", "no-policy-names-this/1"];
        assert_eq!(asked, expected.map(|path| service(&format!("one.test/{path}"))));
        assert_eq!(who.last(), Some(&Who::AnyOther(domain)));
        assert!(candidates.used.contains(&service("one.test/b")) && candidates.used.len() == 1);
        assert!(!candidates.more);
    }

    #[test]
    fn the_policies_are_asked_about_so_many_services_and_no_more() {
        let domain = TrustDomain::parse("one.test").expect("a domain");
        let named = |number: usize| {
            (0..number).map(|each| service(&format!("one.test/{each}"))).collect::<BTreeSet<_>>()
        };
        let of = |number| Candidates::of(&named(number), &[], std::slice::from_ref(&domain));
        let (all, some) = (of(MAX_SERVICES), of(MAX_SERVICES + 1));
        assert_eq!((all.asked.len(), all.more), (MAX_SERVICES + 1, false));
        assert_eq!((some.asked.len(), some.more), (MAX_SERVICES + 1, true));
    }
}
