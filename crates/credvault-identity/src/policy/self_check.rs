//! Validates every shape of question that the vault can ask against the schema: at every start, before a policy is used,
//! and in every test. No policy could be sure to apply to a question that does not fit.

use cedar_policy::{Request, Schema};
use credvault_domain::{Action, Owner, ProviderId, Purpose, TenantSource, UserId};

use super::cedar::{context, uid};
use super::error::PolicyError;
use crate::question::{Circumstances, Facts};
use crate::schema::{Told, resources, tells};

/// Checks all combinations of action, facts and resource.
///
/// # Errors
/// The first question that does not fit.
pub(super) fn every_question_fits(schema: &Schema) -> Result<(), PolicyError> {
    let provider = ProviderId::from_stored("p".to_owned());
    let purpose = Purpose::parse("p").ok();
    let owners = [Owner::Platform, Owner::Tenant, Owner::User(UserId::from_stored("u".to_owned()))];
    for action in Action::ALL {
        let tells = tells(*action);
        for provider in shapes(tells.provider, &[&provider]) {
            for owner in shapes(tells.owner, &owners.each_ref()) {
                for purpose in shapes(tells.purpose, &purpose.iter().collect::<Vec<_>>()) {
                    fits(schema, *action, Facts { provider, owner, purpose })?;
                }
            }
        }
    }
    Ok(())
}

/// The values that a fact can have in a question.
fn shapes<T: Copy>(told: Told, values: &[T]) -> Vec<Option<T>> {
    let given = values.iter().copied().map(Some);
    match told {
        Told::Always => given.collect(),
        Told::Maybe => given.chain([None]).collect(),
        Told::Never => vec![None],
    }
}

fn fits(schema: &Schema, action: Action, facts: Facts<'_>) -> Result<(), PolicyError> {
    let wrong = |problem: String| PolicyError::Question { action: action.as_str(), problem };
    for (resource, user) in resources(action).iter().flat_map(|kind| [(*kind, None), (*kind, Some("u"))]) {
        let source = std::net::IpAddr::from([127, 0, 0, 1]);
        let circumstances = Circumstances { source, tenant_source: TenantSource::None.as_str(), user };
        let context =
            context(action, circumstances, facts).ok_or_else(|| wrong("a fact is missing".to_owned()))?;
        let named = uid("Action", action.as_str());
        Request::new(uid("Service", "s"), named, uid(resource, "r"), context, Some(schema))
            .map_err(|error| wrong(error.to_string()))?;
    }
    Ok(())
}
