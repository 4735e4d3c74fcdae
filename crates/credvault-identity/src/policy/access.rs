//! Which services policies permit a call, whatever a service may choose itself: what vouches for the tenant, the user, the
//! purpose, the address. A call is tried with each of the values that the policies name, and with values that none names.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use cedar_policy::Effect;
use credvault_domain::{Action, Owner, Purpose, ServiceId, TenantSource, UserId};

use super::Policies;
use super::explained::{DecidingPolicy, Explanation, NeverAsked, PolicyQuestion};
use super::literals;
use super::narrowed::fits_action;
use crate::schema::groups;

/// How many of the purposes that policies name are tried for one service and action.
const MAX_PURPOSES: usize = 16;
/// How many of the networks that policies name are tried for one service and action.
const MAX_NETWORKS: usize = 8;
/// A purpose that policies do not name: what permits a call with it permits a call with any.
const ANY_PURPOSE: &str = "a purpose that no policy names";
/// A user that policies do not name.
const ANY_USER: &str = "a-user-that-no-policy-names";
/// An address that policies do not name: it is kept for documentation (RFC 5737).
const ANY_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The network of the machine itself, which policies name by `isLoopback` as well.
const LOOPBACK: &str = "127.0.0.0/8";
/// What may vouch for a tenant.
const SOURCES: [TenantSource; 3] = [TenantSource::Token, TenantSource::Assertion, TenantSource::Header];

/// Whether a service may make a call, and what the call needs for that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Access {
    /// The RPC or the permission.
    pub action: Action,
    /// What a permitted call needs; `None` if no call is permitted that was tried.
    pub needs: Option<AccessNeeds>,
    /// The policies that permit such a call; otherwise those that deny the simplest one. Empty if no policy permits it.
    pub policies: Vec<DecidingPolicy>,
}

/// What a permitted call needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessNeeds {
    /// What may vouch for the tenant: each of these suffices. A call for the platform has no tenant.
    pub tenant_sources: Vec<TenantSource>,
    /// The purpose that the caller must give.
    pub purpose: PurposeRule,
    /// Whether the call must be for a user, although the connection is shared.
    pub user_required: bool,
    /// Whether a call reaches a user's connection for other users, too, and for none.
    pub other_users: bool,
    /// The networks that the call must come from, as policies name them; empty if any will do.
    pub networks: Vec<String>,
}

/// The purpose that the caller of a permitted call must give.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PurposeRule {
    /// The caller need not give one.
    NotNeeded,
    /// The caller must give one, and any will do.
    Any,
    /// The caller must give one of these.
    OneOf(Vec<Purpose>),
}

/// The values that a call is tried with.
struct Tried {
    tenant_sources: Vec<Option<TenantSource>>,
    users: Vec<Option<UserId>>,
    purposes: Vec<Option<Purpose>>,
    /// Addresses, each with the network that it stands for.
    addresses: Vec<(IpAddr, Option<String>)>,
}

impl Policies {
    /// The services that policies name by their ids.
    pub fn named_services(&self) -> BTreeSet<ServiceId> {
        let named = self.all.iter().flat_map(literals::services);
        named.filter_map(|id| ServiceId::parse(&id).ok()).collect()
    }

    /// The policies that permit an action to services by trust domain or path, so that their services cannot be listed.
    pub fn permitting_by_attributes(&self, action: Action) -> Vec<DecidingPolicy> {
        let names = [vec![action.as_str()], groups(action)].concat();
        let open = self.all.iter().filter(|policy| {
            policy.effect() == Effect::Permit
                && fits_action(policy, &names)
                && literals::chooses_by_attributes(policy)
        });
        open.map(|policy| self.deciding(policy.id().to_string(), false)).collect()
    }

    /// Whether the service of a question may make its call, and what the call needs for that. Service, action, tenant, provider
    /// and owner are those of the question; all else is found out.
    ///
    /// # Errors
    /// The vault never asks such a question.
    pub fn access(&self, asked: &PolicyQuestion) -> Result<Access, NeverAsked> {
        let tried = self.tried(asked);
        let mut simplest = None;
        for question in tried.questions(asked) {
            let explanation = self.explain(&question)?;
            let Some(denial) = explanation.denial() else {
                let needs = Some(self.needs(&question, &tried)?);
                return Ok(Access { action: asked.action, needs, policies: last(&explanation) });
            };
            // What cannot be evaluated denies every call, and is logged each time.
            let hopeless = denial.unevaluated || !self.narrow(&asked.service, asked.action).permits;
            simplest = simplest.or_else(|| Some(denying(&explanation)));
            if hopeless {
                break;
            }
        }
        Ok(Access { action: asked.action, needs: None, policies: simplest.unwrap_or_default() })
    }

    /// What a call needs that is permitted as `question` has it.
    fn needs(&self, question: &PolicyQuestion, tried: &Tried) -> Result<AccessNeeds, NeverAsked> {
        let mut tenant_sources: Vec<TenantSource> = Vec::new();
        for source in tried.tenant_sources.iter().copied() {
            if self.permits(&PolicyQuestion { tenant_source: source, ..question.clone() })? {
                tenant_sources.extend(source);
            }
        }
        let mut networks: Vec<String> = Vec::new();
        if question.source_address != ANY_ADDRESS {
            for (address, network) in &tried.addresses {
                if self.permits(&PolicyQuestion { source_address: *address, ..question.clone() })? {
                    networks.extend(network.clone());
                }
            }
        }
        let users = matches!(question.owner, Some(Owner::User(_)));
        let others = PolicyQuestion {
            action: Action::AccessOtherUsers,
            provider: None,
            owner: None,
            purpose: None,
            ..question.clone()
        };
        Ok(AccessNeeds {
            tenant_sources: tenant_sources
                .into_iter()
                .filter(|source| *source != TenantSource::None)
                .collect(),
            purpose: self.purpose_rule(question, tried)?,
            user_required: !users && question.user.is_some(),
            other_users: users && self.permits(&others)?,
            networks,
        })
    }

    fn purpose_rule(&self, question: &PolicyQuestion, tried: &Tried) -> Result<PurposeRule, NeverAsked> {
        match &question.purpose {
            None => return Ok(PurposeRule::NotNeeded),
            Some(purpose) if purpose.as_str() == ANY_PURPOSE => return Ok(PurposeRule::Any),
            Some(_) => {}
        }
        let mut purposes = Vec::new();
        for purpose in tried.purposes.iter().flatten() {
            if self.permits(&PolicyQuestion { purpose: Some(purpose.clone()), ..question.clone() })? {
                purposes.push(purpose.clone());
            }
        }
        Ok(PurposeRule::OneOf(purposes))
    }

    fn permits(&self, question: &PolicyQuestion) -> Result<bool, NeverAsked> {
        Ok(self.explain(question)?.denial().is_none())
    }

    /// The values that the policies about this service and action name, after those that none names.
    fn tried(&self, asked: &PolicyQuestion) -> Tried {
        let narrowed = self.narrow(&asked.service, asked.action);
        let named = |fact: &str| -> BTreeSet<String> {
            narrowed.policies().flat_map(|policy| literals::compared(policy, fact)).collect()
        };
        let purposes = named("purpose").into_iter().filter_map(|text| Purpose::parse(&text).ok());
        let mut networks = named("source");
        networks.remove(LOOPBACK);
        let networks = std::iter::once(LOOPBACK.to_owned()).chain(networks.into_iter().take(MAX_NETWORKS));
        let addresses = networks.filter_map(|network| Some((first_of(&network)?, Some(network))));
        let any_user = UserId::parse(ANY_USER).ok();
        let (tenant_sources, users) = match (&asked.tenant, &asked.owner) {
            (None, _) => (vec![Some(TenantSource::None)], vec![None]),
            (Some(_), Some(Owner::User(user))) => {
                (SOURCES.map(Some).to_vec(), vec![Some(user.clone()), None])
            }
            (Some(_), _) => (SOURCES.map(Some).to_vec(), vec![None, any_user]),
        };
        Tried {
            tenant_sources,
            users,
            purposes: [None, Purpose::parse(ANY_PURPOSE).ok()]
                .into_iter()
                .chain(purposes.take(MAX_PURPOSES).map(Some))
                .collect(),
            addresses: [(ANY_ADDRESS, None)].into_iter().chain(addresses).collect(),
        }
    }
}

impl Tried {
    /// The calls that are tried, the simplest first.
    fn questions<'a>(&'a self, asked: &'a PolicyQuestion) -> impl Iterator<Item = PolicyQuestion> + 'a {
        let of_address = move |address: IpAddr| {
            let users = self.users.iter();
            users.flat_map(move |user| {
                let purposes = self.purposes.iter();
                purposes.flat_map(move |purpose| {
                    let sources = self.tenant_sources.iter();
                    sources.map(move |source| PolicyQuestion {
                        tenant_source: *source,
                        user: user.clone(),
                        source_address: address,
                        purpose: purpose.clone(),
                        ..asked.clone()
                    })
                })
            })
        };
        self.addresses.iter().flat_map(move |(address, _)| of_address(*address))
    }
}

/// The policies of the decision about the action itself.
fn last(explanation: &Explanation) -> Vec<DecidingPolicy> {
    explanation.decisions.last().map(|decision| decision.policies.clone()).unwrap_or_default()
}

/// The policies of the first decision that denies the call.
fn denying(explanation: &Explanation) -> Vec<DecidingPolicy> {
    let denying = explanation.decisions.iter().find(|decision| decision.denial.is_some());
    denying.map(|decision| decision.policies.clone()).unwrap_or_default()
}

/// The first address of a network such as `10.0.0.0/8`, or the address itself.
fn first_of(network: &str) -> Option<IpAddr> {
    network.split('/').next()?.parse().ok()
}
