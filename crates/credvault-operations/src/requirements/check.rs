//! `CheckRequirements`: judges requirements by the connections that fetches would find, in the order of a fetch.

use std::collections::BTreeSet;

use credvault_domain::{MAX_REQUIREMENTS, Owner, Requirement, ToolName, UserId, Violations};
use credvault_identity::Facts;
use credvault_store::{Candidates, ConnectionStanding, Recorded};

use super::known::check_known;
use super::verdict::{Check, CheckState, Judge};
use crate::{Call, Parsed, Refusal};

/// What a caller has checked.
#[derive(Debug)]
pub struct CheckRequirements {
    /// The tools whose requirements are checked.
    pub tools: Parsed<Vec<ToolName>>,
    /// Requirements of no registered tool.
    pub requirements: Parsed<Vec<Requirement>>,
    /// The user whose connections come first, if the request names one.
    pub user: Parsed<Option<UserId>>,
}

/// What a check has found.
#[derive(Debug)]
pub struct Checked {
    /// One answer for each requirement.
    pub checks: Vec<Check>,
    /// The tools that cannot work yet.
    pub unsatisfied_tools: Vec<ToolName>,
}

impl Checked {
    /// Whether every requirement that is not optional is met.
    pub fn satisfied(&self) -> bool {
        !self.checks.iter().any(Check::blocks)
    }
}

/// `CheckRequirements`.
///
/// # Errors
/// Policy does not permit it, the user is out of reach, or a tool or a provider does not exist.
pub async fn check(call: &mut Call, request: CheckRequirements) -> Result<Recorded<Checked>, Refusal> {
    let CheckRequirements { tools, requirements, user } = request;
    let scope = call.scope()?;
    let user = user?;
    call.reach(&scope, user.as_ref())?;
    let user = user.or_else(|| call.caller().user().cloned());
    let owner = user.clone().map(Owner::User);
    let permit = call.permit(&scope, Facts { owner: owner.as_ref(), ..Facts::default() })?;
    let (tools, requirements) = parsed(tools, requirements)?;
    let context = call.context.clone();
    check_known(&context.catalog, &requirements)?;
    let mut all = Vec::new();
    for tool in context.store.tools().named(&tools).await? {
        all.extend(tool.requirements.into_iter().map(|requirement| (Some(tool.name.clone()), requirement)));
    }
    all.extend(requirements.into_iter().map(|requirement| (None, requirement)));
    if all.len() > MAX_REQUIREMENTS {
        let rule = "must be at most 100, with those of the tools; check fewer tools in one call";
        return Err(Violations::of("requirements", rule).into());
    }
    let providers: BTreeSet<_> = all.iter().map(|(_, requirement)| requirement.provider.clone()).collect();
    let accounts: Vec<_> = all.iter().filter_map(|(_, requirement)| requirement.account.clone()).collect();
    let connections = context.store.connections();
    let found = connections.candidates(&scope, user.as_ref(), &providers, &accounts).await?;
    let mut shown = call.shown(&scope);
    let incidents = context.broker.refresher().incidents();
    let incidents = incidents.into_iter().map(|incident| incident.provider).collect();
    let judge = Judge { context: &context, apps: &found.apps, incidents };
    let judged = |(tool, requirement): (Option<ToolName>, Requirement)| {
        let connection = candidate(&found, &requirement);
        let owner = connection.map(|connection| &connection.owner);
        let shows = shown.shows(Some(&requirement.provider), owner);
        judge.check(tool, requirement, connection, shows)
    };
    let checks: Vec<Check> = all.into_iter().map(judged).collect();
    let blocked =
        |tool: &ToolName| checks.iter().any(|check| check.tool.as_ref() == Some(tool) && check.blocks());
    let unsatisfied_tools = tools.into_iter().filter(blocked).collect();
    call.recorded(&permit, Checked { checks, unsatisfied_tools }).await
}

/// What the caller asks for, once, or everything that is wrong with it.
fn parsed(
    tools: Parsed<Vec<ToolName>>,
    requirements: Parsed<Vec<Requirement>>,
) -> Parsed<(Vec<ToolName>, Vec<Requirement>)> {
    let mut violations = Violations::default();
    let tools = violations.collect(tools).unwrap_or_default();
    let requirements = violations.collect(requirements).unwrap_or_default();
    if tools.is_empty() && requirements.is_empty() && violations.is_empty() {
        violations.add("requirements", "must be given, or tools that have some");
    }
    violations.into_result()?;
    let mut once = Vec::with_capacity(tools.len());
    for tool in tools {
        if !once.contains(&tool) {
            once.push(tool);
        }
    }
    Ok((once, requirements))
}

/// The connection that a fetch would take: the first with a credential, of the user, the tenant, the platform. Without
/// one, the first that waits for a credential.
fn candidate<'a>(found: &'a Candidates, requirement: &Requirement) -> Option<&'a ConnectionStanding> {
    let fits = |connection: &&ConnectionStanding| {
        connection.provider == requirement.provider
            && match &requirement.account {
                Some(account) => connection.account_name == *account,
                None => connection.default,
            }
    };
    let mut fitting = found.connections.iter().filter(fits);
    let first = fitting.clone().next();
    fitting.find(|connection| connection.current_version > 0).or(first)
}

impl Check {
    /// Whether the tool cannot work without this.
    fn blocks(&self) -> bool {
        self.state != CheckState::Connected && !self.requirement.works_without
    }
}
