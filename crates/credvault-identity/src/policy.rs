//! Policies in Cedar (<https://cedarpolicy.com>), default deny, validated against the schema when they are loaded.
//!
//! Deciding over all policies costs four times as much as an empty call (measured: 36 µs over 51 policies), so the
//! policies that can matter are picked once for each service and action, together with the entities that they need. Where
//! none of them looks at more than service and action, the decision is always the same and made once.
//!
//! What cannot be decided is denied: a question that lacks a fact, and a policy that cannot be evaluated.

mod problem;
mod self_check;

use std::collections::HashMap;
use std::str::FromStr as _;
use std::sync::{Arc, LazyLock};

use cedar_policy::{
    ActionConstraint, AuthorizationError, Authorizer, Context, Decision, Effect, Entities, Entity, EntityId,
    EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint, Request, ResourceConstraint,
    RestrictedExpression, Schema, ValidationError, ValidationMode, Validator,
};
use credvault_domain::{Action, Owner, ServiceId};

use problem::shown_id;

use crate::question::{Circumstances, Facts, Permit, Resource};
use crate::schema::{Tells, Told, groups, schema_text, tells};
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
    #[error("policy file {file}: {id}the @id was given to another policy, too")]
    DuplicateId {
        /// The file of the second.
        file: String,
        /// The id and a colon, if it looks like one.
        id: String,
    },
    /// What the vault asks does not fit the schema: a fault of this program, not of a file.
    #[error("this program's own question about {action} does not fit the schema: {problem}")]
    Question {
        /// About which action.
        action: &'static str,
        /// What does not fit.
        problem: String,
    },
    /// A file has a template, which nothing would fill.
    #[error("policy file {0} has a template (?principal or ?resource); write the policy out")]
    Template(String),
}

/// A set of policies.
pub struct Policies {
    all: Vec<Policy>,
    schema: &'static Schema,
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
    /// The decision, where no question can change it.
    always: Option<Result<Permit, Denial>>,
}

impl Policies {
    /// Parses and validates policies.
    ///
    /// # Errors
    /// A file is not Cedar, or a policy does not fit the schema.
    pub fn parse(files: &[PolicyFile]) -> Result<Self, PolicyError> {
        let schema = schema()?;
        let (mut all, mut files_of) = (PolicySet::new(), HashMap::new());
        for file in files {
            let broken = |problem: String| PolicyError::Syntax { file: file.name.clone(), problem };
            let parsed = PolicySet::from_str(&file.text)
                .map_err(|error| broken(problem::of_parser(&error, &file.text)))?;
            if parsed.num_of_templates() > 0 {
                return Err(PolicyError::Template(file.name.clone()));
            }
            let mut policies: Vec<_> = parsed.policies().cloned().collect();
            policies.sort_by_key(|policy| position(policy.id()));
            for (index, policy) in policies.into_iter().enumerate() {
                let id = policy.annotation("id").filter(|id| !id.is_empty()).map(str::to_owned);
                let id = id.unwrap_or_else(|| format!("{}#{}", file.name, index + 1));
                let policy = policy.new_id(PolicyId::new(&id));
                let twice = |_| PolicyError::DuplicateId { file: file.name.clone(), id: shown_id(&id) };
                all.add(policy).map_err(twice)?;
                files_of.insert(id, file);
            }
        }
        let result = Validator::new(schema.clone()).validate(&all, ValidationMode::Strict);
        if !result.validation_passed() {
            let problem = |error: &ValidationError| {
                let file: Option<&&PolicyFile> = files_of.get(&error.policy_id().to_string());
                let (name, text) = file.map_or(("a file", ""), |file| (&file.name, &file.text));
                format!("  {}", problem::of_validator(error, name, text))
            };
            let problems: Vec<_> = result.validation_errors().map(problem).collect();
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
        let question = || {
            let fits = self.question(&narrowed, action, resource, circumstances, facts);
            fits.map_err(|problem| {
                tracing::error!(action = action.as_str(), problem, "what cannot be asked is denied");
                denial(service, action)
            })
        };
        match &narrowed.always {
            Some(always) => {
                // Of no use for the answer; but a test must not pass with a question that another policy would miss.
                if cfg!(debug_assertions) {
                    question()?;
                }
                Ok(always.clone()?)
            }
            None => Ok(narrowed.answer(service, action, &question()?)?),
        }
    }

    /// The question, or why it cannot be asked. Where there are debug assertions, so in all tests, it is held against the
    /// schema; a release asks questions of the same shapes, which its start has held against it.
    fn question(
        &self,
        narrowed: &Narrowed,
        action: Action,
        resource: Resource<'_>,
        circumstances: Circumstances<'_>,
        facts: Facts<'_>,
    ) -> Result<Request, String> {
        let context = context(action, circumstances, facts).ok_or("a fact is missing")?;
        let resource = match resource {
            Resource::Tenant(tenant) => uid("Tenant", tenant.as_str()),
            Resource::Platform => uid("Platform", "platform"),
        };
        let schema = cfg!(debug_assertions).then_some(self.schema);
        let (principal, named) = (narrowed.principal.clone(), narrowed.action.clone());
        Request::new(principal, named, resource, context, schema).map_err(|error| error.to_string())
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
            let entities = Entities::from_entities([entity], Some(self.schema));
            let entities = entities.expect("a service has just the attributes that the schema names");
            let constant = policies.iter().all(looks_at_nothing_else);
            let policies =
                PolicySet::from_policies(policies).expect("ids were unique when the set was parsed");
            let named = uid("Action", action.as_str());
            let mut narrowed =
                Narrowed { policies, entities, principal, action: named, permits, always: None };
            narrowed.always = constant.then(|| narrowed.constant(service, action));
            Arc::new(narrowed)
        })
    }
}

impl Narrowed {
    /// What the policies say to a request.
    fn answer(&self, service: &ServiceId, action: Action, request: &Request) -> Result<Permit, Denial> {
        let response = Authorizer::new().is_authorized(request, &self.policies, &self.entities);
        let diagnostics = response.diagnostics();
        let failed: Vec<_> = diagnostics
            .errors()
            .map(|AuthorizationError::PolicyEvaluationError(error)| {
                // Not the error itself, which repeats values of the policy and of the call.
                let id = error.policy_id().to_string();
                tracing::error!(
                    policy = id,
                    action = action.as_str(),
                    "a policy cannot be evaluated, so it denies"
                );
                id
            })
            .collect();
        if !failed.is_empty() {
            return Err(Denial { policies: failed, unevaluated: true, ..denial(service, action) });
        }
        let policies: Vec<_> = diagnostics.reason().map(ToString::to_string).collect();
        match response.decision() {
            Decision::Allow => Ok(Permit { policies }),
            Decision::Deny => {
                let advice = diagnostics.reason().find_map(|id| self.policies.annotation(id, "advice"));
                Err(Denial { policies, advice: advice.map(str::to_owned), ..denial(service, action) })
            }
        }
    }

    /// The answer of policies that look at neither resource nor context, so any will do.
    fn constant(&self, service: &ServiceId, action: Action) -> Result<Permit, Denial> {
        let (principal, named) = (self.principal.clone(), self.action.clone());
        let anywhere = uid("Platform", "platform");
        match Request::new(principal, named, anywhere, Context::empty(), None) {
            Ok(request) => self.answer(service, action, &request),
            Err(_) => Err(denial(service, action)),
        }
    }
}

/// Whether a policy looks at service and action only. Not knowing means no.
fn looks_at_nothing_else(policy: &Policy) -> bool {
    let conditions = policy.to_json().ok();
    let conditions = conditions.as_ref().and_then(|json| json.get("conditions")?.as_array());
    conditions.is_some_and(Vec::is_empty) && policy.resource_constraint() == ResourceConstraint::Any
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies").field("count", &self.all.len()).finish_non_exhaustive()
    }
}

fn denial(service: &ServiceId, action: Action) -> Denial {
    Denial { service: service.clone(), action, policies: Vec::new(), unevaluated: false, advice: None }
}

/// The schema, which every question of this program fits. It is the same for all policies, so it is made and checked
/// once, when the first are read.
fn schema() -> Result<&'static Schema, PolicyError> {
    static SCHEMA: LazyLock<Result<Schema, PolicyError>> = LazyLock::new(|| {
        let (schema, _) =
            Schema::from_cedarschema_str(&schema_text()).expect("the generated schema is sound: tested");
        self_check::every_question_fits(&schema).map(|()| schema)
    });
    SCHEMA.as_ref().map_err(Clone::clone)
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

/// The context of a question; `None` if it lacks a fact that the question must tell.
fn context(action: Action, circumstances: Circumstances<'_>, facts: Facts<'_>) -> Option<Context> {
    let mut pairs = Vec::with_capacity(7);
    let mut add = |name: &str, value: RestrictedExpression| pairs.push((name.to_owned(), value));
    // Addresses of IPv4 seen through an IPv6 socket are IPv4 addresses to whoever writes a policy.
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

/// The fact as the question tells it; nothing at all if it is missing and must not be.
fn told<T>(told: Told, fact: Option<T>) -> Option<Option<T>> {
    match told {
        Told::Always => fact.map(Some),
        Told::Maybe => Some(fact),
        Told::Never => Some(None),
    }
}
