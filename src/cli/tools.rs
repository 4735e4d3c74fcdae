//! `tools put|list|delete`: what the platform's tools require, for its administrators.

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::args::{ConfirmArgs, OutputArgs, PageArgs};
use super::client::ClientArgs;
use super::failure::Failure;
use super::lookup::request_id;
use super::output::{Format, Output};
use super::requirement::{REQUIREMENT, requirement};
use super::serve::{ONE_THREAD, run as run_on};
use super::shown;
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum ToolsCommand {
    /// Register what a tool requires, in place of what was registered before.
    Put(PutArgs),
    /// List the tools of the platform.
    List(ListArgs),
    /// Delete what a tool has registered.
    Delete(DeleteArgs),
}

#[derive(Args, Debug)]
pub(super) struct PutArgs {
    /// The name of the tool.
    name: String,
    /// What it is, for people.
    #[arg(long, default_value = "")]
    description: String,
    /// A provider that the tool requires, with the auth modes that it supports, the account and the scopes that it needs:
    /// `shopify@oauth2_code/shop-1:read_orders,read_products`. Repeatable.
    #[arg(long, value_name = REQUIREMENT)]
    requires: Vec<String>,
    /// The same for a provider that the tool can work without. Repeatable.
    #[arg(long, value_name = REQUIREMENT)]
    uses: Vec<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct DeleteArgs {
    /// The name of the tool.
    name: String,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) fn run(command: ToolsCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            ToolsCommand::Put(arguments) => {
                let client = arguments.client.connect().await?;
                let required = arguments.requires.iter().map(|text| requirement(text, false));
                let request = v1::PutToolRequest {
                    requirements: required
                        .chain(arguments.uses.iter().map(|text| requirement(text, true)))
                        .collect(),
                    name: arguments.name,
                    description: arguments.description,
                    request_id: request_id()?,
                    ..Default::default()
                };
                let stored = client.admin().put_tool(request).await?.into_inner();
                let tool = stored.tool.context("the vault answered without a tool")?;
                match arguments.output.output {
                    Format::Json => output.json("Tool", &tool),
                    Format::Table => output.table(&HEADINGS, &[row(&tool)]),
                }
            }
            ToolsCommand::List(arguments) => list(arguments, output).await,
            ToolsCommand::Delete(arguments) => {
                let question = "? Only `credvault tools put` with the same requirements brings it back.";
                arguments.confirm.ask(&format!("Delete the tool {}{question}", arguments.name))?;
                let client = arguments.client.connect().await?;
                let request = v1::DeleteToolRequest { name: arguments.name, request_id: request_id()? };
                client.admin().delete_tool(request).await?;
                Ok(())
            }
        }
    })
}

const HEADINGS: [&str; 4] = ["TOOL", "REQUIRES", "USES", "DESCRIPTION"];

async fn list(arguments: ListArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let (all, next) = arguments
        .page
        .items(async |page_size, page_token| {
            let request = v1::ListToolsRequest { page_size, page_token };
            let page = client.admin().list_tools(request).await?.into_inner();
            Ok((page.tools, page.next_page_token))
        })
        .await?;
    shown::page("Tool", (&all, &next), arguments.output.output, output, &HEADINGS, row)
}

fn row(tool: &v1::Tool) -> Vec<String> {
    let providers = |optional: bool| {
        let wanted = tool.requirements.iter().filter(|one| one.works_without == optional);
        wanted.map(|one| one.provider.as_str()).collect::<Vec<_>>().join(" ")
    };
    vec![tool.name.clone(), providers(false), providers(true), tool.description.clone()]
}
