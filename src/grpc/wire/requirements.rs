//! Requirements, and the tools that have them, between the wire and the domain.

use credvault_domain::{
    AccountName, AuthMode, MAX_REQUIREMENTS, ProviderId, Requirement, Tool, ToolName, UserId, Violations,
};
use credvault_operations::requirements::{
    Check, CheckRequirements, CheckState, Checked, Problem, PutTool, Step,
};

use super::parse::{etag, optional, printable, repeat, required, scopes};
use super::render::{owner_of, timestamp};
use credvault_proto::v1;

/// The most tools of one check.
const MAX_CHECKED_TOOLS: usize = 100;
/// The most scopes of one requirement: an answer with all of them must fit into a message.
const MAX_REQUIRED_SCOPES: usize = 32;
/// The most auth modes of one requirement.
const MAX_AUTH_MODES: usize = 16;
/// How many characters the description of a tool has at most.
const MAX_DESCRIPTION: usize = 512;

pub(crate) fn tool_name(text: &str) -> Result<ToolName, Violations> {
    required("name", text, ToolName::parse)
}

pub(crate) fn put_tool(request: v1::PutToolRequest) -> Result<PutTool, Violations> {
    let repeat = repeat(&request.request_id, &request);
    let name = tool_name(&request.name)?;
    let rule = "must be at most 512 printable characters";
    let fits = printable("description", &request.description, MAX_DESCRIPTION, rule);
    Ok(PutTool {
        name,
        description: fits.map(|()| request.description),
        requirements: requirements(request.requirements),
        etag: etag("etag", &request.etag)?,
        repeat,
    })
}

pub(crate) fn check_requirements(request: v1::CheckRequirementsRequest) -> CheckRequirements {
    CheckRequirements {
        tools: tools(&request.tools),
        requirements: requirements(request.requirements),
        user: optional("user_id", &request.user_id, UserId::parse),
    }
}

fn tools(names: &[String]) -> Result<Vec<ToolName>, Violations> {
    let mut violations = Violations::default();
    if names.len() > MAX_CHECKED_TOOLS {
        violations.add("tools", "must be at most 100");
    }
    let note =
        |(index, name): (usize, &String)| violations.note(&format!("tools[{index}]"), ToolName::parse(name));
    let parsed = names.iter().enumerate().filter_map(note).collect();
    violations.into_result().map(|()| parsed)
}

fn requirements(given: Vec<v1::Requirement>) -> Result<Vec<Requirement>, Violations> {
    let mut violations = Violations::default();
    if given.len() > MAX_REQUIREMENTS {
        violations.add("requirements", "must be at most 100");
        return Err(violations);
    }
    let mut parsed = Vec::with_capacity(given.len());
    for (index, given) in given.into_iter().enumerate() {
        parsed.extend(violations.collect(requirement(&format!("requirements[{index}]"), given)));
    }
    violations.into_result().map(|()| parsed)
}

fn requirement(field: &str, given: v1::Requirement) -> Result<Requirement, Violations> {
    let v1::Requirement { provider, auth_modes, scopes: wanted, account_name, works_without } = given;
    let mut violations = Violations::default();
    let provider = violations.collect(required(&format!("{field}.provider"), &provider, ProviderId::parse));
    if auth_modes.len() > MAX_AUTH_MODES {
        violations.add(format!("{field}.auth_modes"), "must be at most 16");
    }
    let mut modes = Vec::with_capacity(auth_modes.len());
    for (index, mode) in auth_modes.iter().enumerate() {
        let place = format!("{field}.auth_modes[{index}]");
        modes.extend(violations.note(&place, AuthMode::parse(mode)));
    }
    if wanted.len() > MAX_REQUIRED_SCOPES {
        violations.add(format!("{field}.scopes"), "must be at most 32");
    }
    let scopes = violations.collect(scopes(&format!("{field}.scopes"), wanted)).unwrap_or_default();
    let account = optional(&format!("{field}.account_name"), &account_name, AccountName::parse);
    let account = violations.collect(account).flatten();
    violations.into_result()?;
    let provider = provider.ok_or_else(|| Violations::of(format!("{field}.provider"), "must be given"))?;
    Ok(Requirement { provider, auth_modes: modes, scopes, account, works_without })
}

pub(crate) fn tool(tool: Tool) -> v1::Tool {
    let etag = tool.etag().to_string();
    let Tool { name, description, requirements, revision: _, create_time, update_time } = tool;
    v1::Tool {
        name: name.as_str().to_owned(),
        description,
        requirements: requirements.into_iter().map(requirement_of).collect(),
        etag,
        create_time: Some(timestamp(create_time)),
        update_time: Some(timestamp(update_time)),
    }
}

fn requirement_of(requirement: Requirement) -> v1::Requirement {
    let Requirement { provider, auth_modes, scopes, account, works_without } = requirement;
    v1::Requirement {
        provider: provider.as_str().to_owned(),
        auth_modes: auth_modes.iter().map(|mode| mode.as_str().to_owned()).collect(),
        scopes,
        account_name: account.map(|name| name.as_str().to_owned()).unwrap_or_default(),
        works_without,
    }
}

pub(crate) fn checked(checked: Checked) -> v1::CheckRequirementsResponse {
    let satisfied = checked.satisfied();
    let Checked { checks, unsatisfied_tools } = checked;
    v1::CheckRequirementsResponse {
        satisfied,
        checks: checks.into_iter().map(requirement_check).collect(),
        unsatisfied_tools: unsatisfied_tools.iter().map(|tool| tool.as_str().to_owned()).collect(),
    }
}

fn requirement_check(check: Check) -> v1::RequirementCheck {
    let Check { tool, requirement, state, connection, problem, reason, time, missing_scopes, step, text } =
        check;
    let known = connection.as_ref();
    v1::RequirementCheck {
        requirement: Some(requirement_of(requirement)),
        tool: tool.map(|tool| tool.as_str().to_owned()).unwrap_or_default(),
        state: state_of(state).into(),
        connection_id: known.map(|known| known.id.to_string()).unwrap_or_default(),
        owner: known.map(|known| owner_of(&known.owner)),
        account_name: known.map(|known| known.account_name.as_str().to_owned()).unwrap_or_default(),
        auth_mode: known.map(|known| known.auth_mode.as_str().to_owned()).unwrap_or_default(),
        problem: problem.map_or(v1::RequirementProblem::Unspecified, problem_of).into(),
        reason: reason.unwrap_or_default(),
        problem_time: time.map(timestamp),
        missing_scopes,
        next_step: step_of(step).into(),
        next_step_text: text.to_owned(),
    }
}

fn state_of(state: CheckState) -> v1::RequirementState {
    match state {
        CheckState::Connected => v1::RequirementState::Connected,
        CheckState::Missing => v1::RequirementState::Missing,
        CheckState::Broken => v1::RequirementState::Broken,
    }
}

fn problem_of(problem: Problem) -> v1::RequirementProblem {
    match problem {
        Problem::Disabled => v1::RequirementProblem::Disabled,
        Problem::Credential => v1::RequirementProblem::Credential,
        Problem::Scopes => v1::RequirementProblem::Scopes,
        Problem::AuthMode => v1::RequirementProblem::AuthMode,
        Problem::App => v1::RequirementProblem::App,
        Problem::Catalog => v1::RequirementProblem::Catalog,
        Problem::Denied => v1::RequirementProblem::Denied,
    }
}

fn step_of(step: Step) -> v1::RequirementStep {
    match step {
        Step::None => v1::RequirementStep::Unspecified,
        Step::Connect => v1::RequirementStep::Connect,
        Step::Reauthorize => v1::RequirementStep::Reauthorize,
        Step::Enable => v1::RequirementStep::Enable,
        Step::AskAdministrator => v1::RequirementStep::AskAdministrator,
        Step::WaitForProvider => v1::RequirementStep::WaitForProvider,
    }
}
