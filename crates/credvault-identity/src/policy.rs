//! Policies in Cedar (<https://cedarpolicy.com>), default deny, validated against the schema when they are loaded.
//!
//! A decision over all policies costs four times as much as an empty call (measured: 36 µs over 51 policies). So the
//! policies that can apply are selected once for each service and action, together with the entities that they need. If
//! none of them looks at more than service and action, the decision is always the same and made once.
//!
//! A question that lacks a fact is denied, and so is one whose policies cannot be evaluated.

mod access;
mod cedar;
mod error;
mod explained;
mod literals;
mod narrowed;
mod problem;
mod self_check;

use std::collections::HashMap;
use std::str::FromStr as _;
use std::sync::{Arc, LazyLock};

use cedar_policy::{
    Policy, PolicyId, PolicySet, Request, Schema, ValidationError, ValidationMode, ValidationResult,
    Validator,
};
use credvault_domain::{Action, Permit, ServiceId};

use cedar::{context, uid};
use narrowed::{Narrowed, denial};
use problem::shown_id;

use crate::question::{Circumstances, Facts, Resource};
use crate::schema::schema_text;
use crate::{Denial, Error};

pub use access::{Access, AccessNeeds, PurposeRule};
pub use error::{PolicyError, PolicyFile};
pub use explained::{DecidingPolicy, Explanation, NeverAsked, PolicyDecision, PolicyQuestion};

/// The largest number of pairs of service and action whose policies are cached.
const MAX_NARROWED: u64 = 10_000;

/// A validated set of policies.
pub struct Policies {
    all: Vec<Policy>,
    /// The name of the file that each policy stands in, by the policy's id.
    files: HashMap<String, String>,
    schema: &'static Schema,
    narrowed: moka::sync::Cache<(ServiceId, Action), Arc<Narrowed>>,
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
            for (id, policy) in policies_of(file)? {
                let twice = |_| PolicyError::DuplicateId { file: file.name.clone(), id: shown_id(&id) };
                all.add(policy).map_err(twice)?;
                files_of.insert(id, file);
            }
        }
        let result = Validator::new(schema.clone()).validate(&all, ValidationMode::Strict);
        if !result.validation_passed() {
            return Err(PolicyError::Invalid(problems(&result, &files_of)));
        }
        let all = all.policies().cloned().collect();
        let files = files_of.into_iter().map(|(id, file)| (id, file.name.clone())).collect();
        Ok(Self { all, files, schema, narrowed: moka::sync::Cache::new(MAX_NARROWED) })
    }

    /// The number of policies.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are no policies, so that every call is denied.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Checks that some policy can permit the action to the service. A service without any is refused before anything is
    /// looked up, so the refusal reveals nothing.
    ///
    /// # Errors
    /// The denial, if no policy can permit it.
    pub(crate) fn admit(&self, service: &ServiceId, action: Action) -> Result<(), Denial> {
        if self.narrow(service, action).permits { Ok(()) } else { Err(denial(service, action)) }
    }

    fn narrow(&self, service: &ServiceId, action: Action) -> Arc<Narrowed> {
        let select = || Arc::new(Narrowed::select(&self.all, self.schema, service, action));
        self.narrowed.get_with((service.clone(), action), select)
    }

    /// Decides whether the service may do this.
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
                tracing::error!(
                    action = action.as_str(),
                    problem,
                    "the question cannot be asked, so the call is denied"
                );
                denial(service, action)
            })
        };
        match &narrowed.always {
            Some(always) => {
                // The answer does not need it, but a test must fail if another policy could not answer the question.
                if cfg!(debug_assertions) {
                    question()?;
                }
                Ok(always.clone()?)
            }
            None => Ok(narrowed.answer(service, action, &question()?)?),
        }
    }

    /// The question, or the reason why it cannot be asked. Debug builds, so all tests, validate it against the schema. A
    /// release asks questions of the same shapes, which `self_check` has validated at the start.
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
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies").field("count", &self.all.len()).finish_non_exhaustive()
    }
}

/// The policies of a file with their ids: the annotation `@id`, or the file's name and the policy's number in it.
fn policies_of(file: &PolicyFile) -> Result<Vec<(String, Policy)>, PolicyError> {
    let broken = |problem: String| PolicyError::Syntax { file: file.name.clone(), problem };
    let parsed =
        PolicySet::from_str(&file.text).map_err(|error| broken(problem::of_parser(&error, &file.text)))?;
    if parsed.num_of_templates() > 0 {
        return Err(PolicyError::Template(file.name.clone()));
    }
    let mut policies: Vec<_> = parsed.policies().cloned().collect();
    policies.sort_by_key(|policy| position(policy.id()));
    let named = policies.into_iter().enumerate().map(|(index, policy)| {
        let id = policy.annotation("id").filter(|id| !id.is_empty()).map(str::to_owned);
        let id = id.unwrap_or_else(|| format!("{}#{}", file.name, index + 1));
        let policy = policy.new_id(PolicyId::new(&id));
        (id, policy)
    });
    Ok(named.collect())
}

/// What the validator found, one problem a line, each with its file.
fn problems(result: &ValidationResult, files: &HashMap<String, &PolicyFile>) -> String {
    let problem = |error: &ValidationError| {
        let file = files.get(&error.policy_id().to_string());
        let (name, text) = file.map_or(("a file", ""), |file| (&file.name, &file.text));
        format!("  {}", problem::of_validator(error, name, text))
    };
    result.validation_errors().map(problem).collect::<Vec<_>>().join("\n")
}

/// The schema, which every question of this program fits. It is the same for all policies, so it is made and checked
/// once, when the first policies are read.
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
