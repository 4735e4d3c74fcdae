//! The source rules of a tenant: from where services may call for it.

use credvault_domain::{SourceRules, TenantId, Timestamp};
use credvault_identity::Facts;
use credvault_store::{Recorded, TenantRules};

use crate::{Call, Parsed, Refusal, Repeat};

/// The source rules of a tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sources {
    /// The rules; without any, services may call from everywhere.
    pub rules: SourceRules,
    /// When they were last set.
    pub update_time: Option<Timestamp>,
}

impl From<TenantRules> for Sources {
    fn from(rules: TenantRules) -> Self {
        Self { rules: rules.sources, update_time: rules.sources_time }
    }
}

/// `GetSourceRules`.
///
/// # Errors
/// There is no such tenant, or policy does not permit it.
pub async fn sources(call: &mut Call, tenant: TenantId) -> Result<Recorded<Sources>, Refusal> {
    let (permit, scope) = call.administer(Some(tenant), Facts::default())?;
    let rules = call.context.store.rules().get(&scope).await?;
    call.recorded(&permit, rules.into()).await
}

/// `SetSourceRules`: replaces the rules of a tenant. They count here when this returns, on every other replica within a second.
///
/// # Errors
/// There is no such tenant, or policy does not permit it.
pub async fn set_sources(
    call: &mut Call,
    tenant: TenantId,
    rules: Parsed<SourceRules>,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<Sources>, Refusal> {
    let (permit, scope) = call.administer(Some(tenant), Facts::default())?;
    let rules = rules?;
    let write = call.write(&permit, repeat)?;
    let set = call.context.store.rules().set_sources(&scope, &rules, &write).await?;
    Ok(set.map(Sources::from))
}
