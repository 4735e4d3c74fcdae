//! `services list|set|delete`: internal services that are switched on or off, with the connections that they use.

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::args::{ConfirmArgs, OutputArgs, PageArgs, pair};
use super::client::ClientArgs;
use super::completion::connections_completer;
use super::failure::Failure;
use super::lookup::{connection_id, owner_text, print_next, request_id, settings, word};
use super::output::{Format, Output};
use super::serve::{ONE_THREAD, run as run_on};
use crate::grpc::struct_of;
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum ServicesCommand {
    /// List the services of the tenant and of the user, and whether their connections work.
    List(ListArgs),
    /// Switch a service on or off, or change one of its mappings.
    Set(SetArgs),
    /// Delete the config of a service, and print it as it was.
    Delete(DeleteArgs),
}

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// List only this service.
    #[arg(long)]
    service: Option<String>,
    /// List only services that use this connection.
    #[arg(long, value_name = "ID|PROVIDER[/ACCOUNT]", add = connections_completer())]
    connection: Option<String>,
    /// List only services that are switched on, or off.
    #[arg(long, value_parser = ["on", "off"])]
    switched: Option<String>,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct SetArgs {
    /// The name of the service.
    service: String,
    /// Whether the service is switched on; a new one is on unless this says `off`.
    #[arg(value_parser = ["on", "off"])]
    switch: Option<String>,
    /// The connection of the mapping, by its id or by provider and account name. A new mapping needs one.
    #[arg(long, value_name = "ID|PROVIDER[/ACCOUNT]", add = connections_completer())]
    connection: Option<String>,
    /// The mapping to set; `default` unless it is named.
    #[arg(long)]
    mapping: Option<String>,
    /// A setting of the mapping. Repeatable; all of them together replace those that are stored.
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// A mapping to remove, with its settings. Repeatable.
    #[arg(long, value_name = "MAPPING")]
    remove: Vec<String>,
    /// Set the tenant's own config, also where the profile names a user.
    #[arg(long)]
    shared: bool,
    /// The etag that the stored config must have, as JSON shows it.
    #[arg(long, default_value = "")]
    etag: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct DeleteArgs {
    /// The name of the service.
    service: String,
    /// Delete the tenant's own config, also where the profile names a user.
    #[arg(long)]
    shared: bool,
    #[command(flatten)]
    confirm: ConfirmArgs,
    /// The etag that the stored config must have, as JSON shows it.
    #[arg(long, default_value = "")]
    etag: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(command: ServicesCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            ServicesCommand::List(arguments) => list(arguments, output).await,
            ServicesCommand::Set(arguments) => {
                let client = arguments.client.connect().await?;
                let connection = match &arguments.connection {
                    Some(named) => connection_id(&client, named, arguments.shared).await?,
                    None => String::new(),
                };
                let request = arguments.request(connection)?;
                let set = client.connections().set_service_config(request).await?.into_inner();
                print(set.service_config, arguments.output.output, output)
            }
            ServicesCommand::Delete(arguments) => {
                let undo = "? `credvault services set` with what is printed then brings it back.";
                arguments.confirm.ask(&format!("Delete the config of {}{undo}", arguments.service))?;
                let client = arguments.client.connect().await?;
                let request = v1::DeleteServiceConfigRequest {
                    service: arguments.service,
                    owner: tenant(arguments.shared),
                    etag: arguments.etag,
                    request_id: request_id()?,
                };
                let deleted = client.connections().delete_service_config(request).await?.into_inner();
                print(deleted.service_config, arguments.output.output, output)
            }
        }
    })
}

/// Whether `on` or `off` was given, if one was.
fn is_on(switch: Option<&String>) -> Option<bool> {
    switch.map(|switch| switch == "on")
}

/// The tenant as the owner, or nothing, which means the user of the call if it has one.
fn tenant(shared: bool) -> Option<v1::Owner> {
    shared.then(|| v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: String::new() })
}

impl SetArgs {
    fn request(&self, connection_id: String) -> Result<v1::SetServiceConfigRequest, Failure> {
        let names_one = self.mapping.is_some() || self.connection.is_some() || !self.settings.is_empty();
        let given = (!self.settings.is_empty()).then(|| struct_of(&settings(&self.settings)));
        let mapping = names_one.then(|| v1::ServiceMapping {
            mapping: self.mapping.clone().unwrap_or_default(),
            connection_id,
            settings: given,
            ..Default::default()
        });
        Ok(v1::SetServiceConfigRequest {
            service: self.service.clone(),
            owner: tenant(self.shared),
            enabled: is_on(self.switch.as_ref()),
            mappings: mapping.into_iter().collect(),
            remove_mappings: self.remove.clone(),
            etag: self.etag.clone(),
            request_id: request_id()?,
        })
    }
}

async fn list(arguments: ListArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let connection_id = match &arguments.connection {
        Some(named) => connection_id(&client, named, false).await?,
        None => String::new(),
    };
    let filter = v1::ListServiceConfigsRequest {
        service: arguments.service.unwrap_or_default(),
        connection_id,
        enabled: is_on(arguments.switched.as_ref()),
        ..Default::default()
    };
    let (all, next) = arguments
        .page
        .items(async |page_size, page_token| {
            let request = v1::ListServiceConfigsRequest { page_size, page_token, ..filter.clone() };
            let page = client.connections().list_service_configs(request).await?.into_inner();
            Ok((page.service_configs, page.next_page_token))
        })
        .await?;
    match arguments.output.output {
        Format::Json => output.json_page("ServiceConfig", &all, &next),
        Format::Table => {
            let rows = all.iter().flat_map(rows).collect::<Vec<_>>();
            output.table_with_spare::<Failure>(&HEADINGS, 1, &rows)?;
            print_next(&next, output)
        }
    }
}

const HEADINGS: [&str; 7] = ["SERVICE", "OWNER", "ENABLED", "MAPPING", "PROVIDER", "STATE", "CONNECTION"];

fn print(config: Option<v1::ServiceConfig>, format: Format, output: &mut Output) -> Result<(), Failure> {
    let config = config.context("the vault answered without a config")?;
    match format {
        Format::Json => output.json("ServiceConfig", &config),
        Format::Table => output.table(&HEADINGS, &rows(&config)),
    }
}

/// A row for each mapping; one for a service without any.
fn rows(config: &v1::ServiceConfig) -> Vec<Vec<String>> {
    let enabled = if config.enabled { "yes" } else { "no" };
    let begin = || vec![config.service.clone(), owner_text(config.owner.as_ref()), enabled.to_owned()];
    if config.mappings.is_empty() {
        return vec![begin()];
    }
    let row = |mapping: &v1::ServiceMapping| {
        let state = word(mapping.state().as_str_name(), "MAPPING_STATE_");
        let state = if mapping.reason.is_empty() { state } else { format!("{state} {}", mapping.reason) };
        let rest = [mapping.mapping.clone(), mapping.provider.clone(), state, mapping.connection_id.clone()];
        begin().into_iter().chain(rest).collect()
    };
    config.mappings.iter().map(row).collect()
}
