//! The vault's facts as Cedar's values: entity ids, texts, and the context of a question. Decides nothing.

use std::str::FromStr as _;

use cedar_policy::{Context, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use credvault_domain::{Action, Owner};

use crate::question::{Circumstances, Facts};
use crate::schema::{Tells, Told, tells};

/// The id of an entity; `kind` is a type of the schema.
pub(super) fn uid(kind: &str, id: &str) -> EntityUid {
    let kind = EntityTypeName::from_str(kind).expect("the schema's own names are valid");
    EntityUid::from_type_name_and_id(kind, EntityId::new(id))
}

pub(super) fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

/// The context of a question; `None` if a fact is missing that every question about this action has.
pub(super) fn context(action: Action, circumstances: Circumstances<'_>, facts: Facts<'_>) -> Option<Context> {
    let mut pairs = Vec::with_capacity(7);
    let mut add = |name: &str, value: RestrictedExpression| pairs.push((name.to_owned(), value));
    // An IPv4 address that an IPv6 socket reports is an IPv4 address to the author of a policy.
    add("source", RestrictedExpression::new_ip(circumstances.source.to_canonical().to_string()));
    add("tenant_source", text(circumstances.tenant_source));
    if let Some(user) = circumstances.user {
        add("user", text(user));
    }
    let Tells { provider, owner, purpose } = tells(action);
    if let Some(provider) = told(provider, facts.provider)? {
        add("provider", text(provider.as_str()));
    }
    if let Some(owner) = told(owner, facts.owner)? {
        add("owner", text(owner.kind()));
        if let Owner::User(user) = owner {
            add("owner_user", text(user.as_str()));
        }
    }
    if let Some(purpose) = told(purpose, facts.purpose)? {
        add("purpose", text(purpose.as_str()));
    }
    Some(Context::from_pairs(pairs).expect("names are distinct and values are texts and an address"))
}

/// The fact as the question holds it; the outer `None` if it is missing and must not be.
fn told<T>(told: Told, fact: Option<T>) -> Option<Option<T>> {
    match told {
        Told::Always => fact.map(Some),
        Told::Maybe => Some(fact),
        Told::Never => Some(None),
    }
}
