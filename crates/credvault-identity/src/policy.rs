//! Policies in Cedar (<https://cedarpolicy.com>), default deny, validated against the schema when they are loaded.
//!
//! Deciding over all policies costs four times as much as an empty call (measured: 36 µs over 51 policies), so the
//! policies that can matter are picked once for each service and action, together with the entities that they need.

use std::str::FromStr as _;
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Authorizer, Context, Decision, Effect, Entities, Entity, EntityId, EntityTypeName,
    EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint, Request, RestrictedExpression, Schema,
    ValidationMode, Validator,
};
use credvault_domain::{Action, ActionTarget, Owner, ServiceId};

use miette::Diagnostic as _;

use crate::question::{Circumstances, Facts, Permit, Resource};
use crate::schema::{groups, schema_text};
use crate::{Denial, Error};

/// A policy file that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyFile {
    /// Its name, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Why policies are unusable.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A file is not Cedar.
    #[error("policy file {file}: {problem}")]
    Syntax {
        /// Which file.
        file: String,
        /// What is wrong, and where.
        problem: String,
    },
    /// Policies speak of what does not exist.
    #[error("the policies do not fit the schema:\n{0}")]
    Invalid(String),
    /// Two policies have one id.
    #[error("two policies have the @id {0}")]
    DuplicateId(String),
    /// A file has a template, which nothing would fill.
    #[error("policy file {0} has a template (?principal or ?resource); write the policy out")]
    Template(String),
}

/// A set of policies.
pub struct Policies {
    all: Vec<Policy>,
    schema: Schema,
    narrowed: moka::sync::Cache<(ServiceId, Action), Arc<Narrowed>>,
}

/// The policies that can matter for a service's action.
struct Narrowed {
    policies: PolicySet,
    entities: Entities,
    principal: EntityUid,
    action: EntityUid,
    /// Whether any of them permits.
    permits: bool,
}

impl Policies {
    /// Parses and validates policies.
    ///
    /// # Errors
    /// A file is not Cedar, or a policy does not fit the schema.
    pub fn parse(files: &[PolicyFile]) -> Result<Self, PolicyError> {
        let schema = schema();
        let mut all = PolicySet::new();
        for file in files {
            let broken = |problem: String| PolicyError::Syntax { file: file.name.clone(), problem };
            let parsed =
                PolicySet::from_str(&file.text).map_err(|error| broken(detailed(&error, &file.text)))?;
            if parsed.num_of_templates() > 0 {
                return Err(PolicyError::Template(file.name.clone()));
            }
            let mut policies: Vec<_> = parsed.policies().cloned().collect();
            policies.sort_by_key(|policy| position(policy.id()));
            for (index, policy) in policies.into_iter().enumerate() {
                let id = policy.annotation("id").filter(|id| !id.is_empty()).map(str::to_owned);
                let id = id.unwrap_or_else(|| format!("{}#{}", file.name, index + 1));
                let policy = policy.new_id(PolicyId::new(&id));
                all.add(policy).map_err(|_| PolicyError::DuplicateId(id))?;
            }
        }
        let result = Validator::new(schema.clone()).validate(&all, ValidationMode::Strict);
        if !result.validation_passed() {
            let problems: Vec<_> = result.validation_errors().map(|error| format!("  {error}")).collect();
            return Err(PolicyError::Invalid(problems.join("\n")));
        }
        let all = all.policies().cloned().collect();
        Ok(Self { all, schema, narrowed: moka::sync::Cache::new(10_000) })
    }

    /// How many policies there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none, so that everything is denied.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether any policy could permit the service this action, whatever else is known. A service that is not
    /// permitted an action at all is refused before anything is looked up, so it learns nothing.
    ///
    /// # Errors
    /// The denial.
    pub(crate) fn admit(&self, service: &ServiceId, action: Action) -> Result<(), Denial> {
        if self.narrow(service, action).permits { Ok(()) } else { Err(denial(service, action)) }
    }

    /// Decides.
    pub(crate) fn decide(
        &self,
        service: &ServiceId,
        action: Action,
        resource: Resource<'_>,
        circumstances: Circumstances<'_>,
        facts: Facts<'_>,
    ) -> Result<Permit, Error> {
        let narrowed = self.narrow(service, action);
        if !narrowed.permits {
            return Err(denial(service, action).into());
        }
        let context = context(action, circumstances, facts);
        let resource = match resource {
            Resource::Tenant(tenant) => uid("Tenant", tenant.as_str()),
            Resource::Platform => uid("Platform", "platform"),
        };
        // Without a schema here: the request is built from the same table, and a test validates every shape of it.
        let request =
            Request::new(narrowed.principal.clone(), narrowed.action.clone(), resource, context, None);
        let Ok(request) = request else { return Err(denial(service, action).into()) };
        let response = Authorizer::new().is_authorized(&request, &narrowed.policies, &narrowed.entities);
        for error in response.diagnostics().errors() {
            tracing::warn!(%error, "a policy could not be evaluated and was passed over");
        }
        let policies: Vec<_> = response.diagnostics().reason().map(ToString::to_string).collect();
        match response.decision() {
            Decision::Allow => Ok(Permit { policies }),
            Decision::Deny => {
                let advice =
                    response.diagnostics().reason().find_map(|id| narrowed.policies.annotation(id, "advice"));
                let advice = advice.map(str::to_owned);
                Err(Denial { service: service.clone(), action, policies, advice }.into())
            }
        }
    }

    fn narrow(&self, service: &ServiceId, action: Action) -> Arc<Narrowed> {
        self.narrowed.get_with((service.clone(), action), || {
            let principal = uid("Service", service.as_str());
            let names = [vec![action.as_str()], groups(action)].concat();
            let matching = self.all.iter().filter(|policy| {
                let principal_fits = match policy.principal_constraint() {
                    PrincipalConstraint::Eq(named) | PrincipalConstraint::In(named) => named == principal,
                    PrincipalConstraint::Any | PrincipalConstraint::Is(_) => true,
                    PrincipalConstraint::IsIn(_, named) => named == principal,
                };
                let named = |uid: &EntityUid| names.contains(&uid.id().unescaped());
                let action_fits = match policy.action_constraint() {
                    ActionConstraint::Any => true,
                    ActionConstraint::Eq(uid) => named(&uid),
                    ActionConstraint::In(uids) => uids.iter().any(named),
                };
                principal_fits && action_fits
            });
            let policies: Vec<_> = matching.cloned().collect();
            let permits = policies.iter().any(|policy| policy.effect() == Effect::Permit);
            let attributes = [
                ("trust_domain".to_owned(), text(service.trust_domain().as_str())),
                ("path".to_owned(), text(service.path())),
            ];
            let entity = Entity::new(principal.clone(), attributes.into(), std::collections::HashSet::new());
            let entity = entity.expect("attributes that are texts cannot fail to evaluate");
            // With the schema, which adds the actions and their groups.
            let entities = Entities::from_entities([entity], Some(&self.schema));
            let entities = entities.expect("a service has just the attributes that the schema names");
            let policies =
                PolicySet::from_policies(policies).expect("ids were unique when the set was parsed");
            Arc::new(Narrowed {
                policies,
                entities,
                principal,
                action: uid("Action", action.as_str()),
                permits,
            })
        })
    }
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies").field("count", &self.all.len()).finish_non_exhaustive()
    }
}

fn denial(service: &ServiceId, action: Action) -> Denial {
    Denial { service: service.clone(), action, policies: Vec::new(), advice: None }
}

fn schema() -> Schema {
    let (schema, _) =
        Schema::from_cedarschema_str(&schema_text()).expect("the generated schema is sound: tested");
    schema
}

/// The number in an id such as `policy12`, which is the order in the file.
fn position(id: &PolicyId) -> usize {
    id.to_string().trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(usize::MAX)
}

fn uid(kind: &str, id: &str) -> EntityUid {
    let kind = EntityTypeName::from_str(kind).expect("the schema's own names are valid");
    EntityUid::from_type_name_and_id(kind, EntityId::new(id))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn context(action: Action, circumstances: Circumstances<'_>, facts: Facts<'_>) -> Context {
    let mut pairs = Vec::with_capacity(7);
    let mut add = |name: &str, value: RestrictedExpression| pairs.push((name.to_owned(), value));
    // Addresses of IPv4 seen through an IPv6 socket are IPv4 addresses to whoever writes a policy.
    add("source", RestrictedExpression::new_ip(circumstances.source.to_canonical().to_string()));
    add("tenant_source", text(circumstances.tenant_source));
    if let Some(user) = circumstances.user {
        add("user", text(user));
    }
    let lists = matches!(action, Action::ListConnections | Action::GetProvider);
    if action.target() == ActionTarget::Connection || lists {
        if let Some(provider) = facts.provider {
            add("provider", text(provider.as_str()));
        }
        if let Some(owner) = facts.owner {
            add("owner", text(owner.kind()));
            if let Owner::User(user) = owner {
                add("owner_user", text(user.as_str()));
            }
        }
    }
    if let Some(purpose) = facts.purpose
        && !lists
    {
        add("purpose", text(purpose.as_str()));
    }
    Context::from_pairs(pairs).expect("names are distinct and values are texts and an address")
}

/// A parse error with the line that it is on.
fn detailed(error: &cedar_policy::ParseErrors, source: &str) -> String {
    let mut lines = Vec::new();
    for error in error.iter() {
        let label = error.labels().and_then(|mut labels| labels.next());
        let offset = label.map_or(0, |label| label.offset());
        let line = 1 + source.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        lines.push(format!("line {line}: {error}"));
    }
    lines.join("; ")
}
