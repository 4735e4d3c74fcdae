//! `requirements check`: what tools require, against the connections of a tenant and a user.

use clap::{Args, Subcommand};
use tonic::Status;

use super::args::OutputArgs;
use super::client::ClientArgs;
use super::failure::Failure;
use super::lookup::{owner_text, word};
use super::output::{Format, Output};
use super::requirement::{REQUIREMENT, requirement};
use super::rpcs::in_commands;
use super::serve::{ONE_THREAD, run as run_on};
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum RequirementsCommand {
    /// Show which requirements are met, and what to do about the others. Ends with code 5 if one is not met.
    Check(CheckArgs),
}

#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    /// A provider that is required, with the auth modes that will do, the account and the scopes if they matter:
    /// `shopify@oauth2_code/shop-1:read_orders`. Repeatable.
    #[arg(value_name = REQUIREMENT)]
    requirements: Vec<String>,
    /// A registered tool whose requirements are checked. Repeatable.
    #[arg(long = "tool", value_name = "NAME")]
    tools: Vec<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(command: RequirementsCommand, output: &mut Output) -> Result<(), Failure> {
    let RequirementsCommand::Check(arguments) = command;
    run_on(ONE_THREAD, async {
        let client = arguments.client.connect().await?;
        let required = |text: &String| requirement(text, false);
        let request = v1::CheckRequirementsRequest {
            tools: arguments.tools,
            requirements: arguments.requirements.iter().map(required).collect(),
            user_id: String::new(),
        };
        let answer = client.connections().check_requirements(request).await?.into_inner();
        print(&answer, arguments.output.output, output)?;
        if answer.satisfied {
            return Ok(());
        }
        Err(Status::failed_precondition("not all requirements are met; the output says what to do next")
            .into())
    })
}

fn print(answer: &v1::CheckRequirementsResponse, format: Format, output: &mut Output) -> Result<(), Failure> {
    match format {
        Format::Json => output.json("CheckRequirementsResponse", answer),
        Format::Table => output.table(&HEADINGS, &answer.checks.iter().map(row).collect::<Vec<_>>()),
    }
}

const HEADINGS: [&str; 7] = ["TOOL", "PROVIDER", "STATE", "CONNECTION", "OWNER", "REASON", "NEXT"];

fn row(check: &v1::RequirementCheck) -> Vec<String> {
    let requirement = check.requirement.clone().unwrap_or_default();
    let state = word(check.state().as_str_name(), "REQUIREMENT_STATE_");
    let state = if requirement.works_without { format!("{state}, optional") } else { state };
    vec![
        check.tool.clone(),
        requirement.provider,
        state,
        check.connection_id.clone(),
        check.owner.as_ref().map(|owner| owner_text(Some(owner))).unwrap_or_default(),
        check.reason.clone(),
        in_commands(&check.next_step_text),
    ]
}
