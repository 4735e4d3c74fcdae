//! `sources show|set`: the addresses from which services may call for a tenant, for its administrators.

use clap::{Args, Subcommand};

use super::administered::{NamedTenantArgs, TenantArgs};
use super::args::pair;
use super::failure::Failure;
use super::output::{Format, Output};
use super::serve::{ONE_THREAD, run as run_on};
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum SourcesCommand {
    /// Show from where services may call for a tenant.
    Show(NamedTenantArgs),
    /// Replace the rules from where services may call for a tenant.
    Set(SetArgs),
}

#[derive(Args, Debug)]
#[group(required = true, multiple = true, args = ["allow", "allow_for", "allow_all"])]
pub(super) struct SetArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    /// An address or a range, such as 10.1.0.0/16, from which services may call. Repeatable.
    #[arg(long, value_name = "RANGE")]
    allow: Vec<String>,
    /// The same for one service alone, by its SPIFFE ID. Repeatable.
    #[arg(long, value_name = "SERVICE=RANGE", value_parser = pair)]
    allow_for: Vec<(String, String)>,
    /// Remove all rules: services may call from every address.
    #[arg(long, conflicts_with_all = ["allow", "allow_for"])]
    allow_all: bool,
}

impl SetArgs {
    fn rules(&self) -> Vec<v1::SourceRule> {
        let general = self.allow.iter().map(|range| (String::new(), range.clone()));
        let rule = |(service, range)| v1::SourceRule { range, service };
        general.chain(self.allow_for.iter().cloned()).map(rule).collect()
    }
}

pub(super) fn run(command: SourcesCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            SourcesCommand::Show(tenant) => {
                let (client, tenant_id) = tenant.connect().await?;
                let request = v1::GetSourceRulesRequest { tenant_id };
                let found = client.admin().get_source_rules(request).await?.into_inner();
                print(&found.rules, tenant.output.output, output)
            }
            SourcesCommand::Set(arguments) => {
                let rules = arguments.rules();
                let tenant = arguments.tenant;
                let client = tenant.connect().await?;
                let request = v1::SetSourceRulesRequest { tenant_id: tenant.id, rules, ..Default::default() };
                let set = client.admin().set_source_rules(request).await?.into_inner();
                print(&set.rules, tenant.output.output, output)
            }
        }
    })
}

fn print(rules: &[v1::SourceRule], format: Format, output: &mut Output) -> Result<(), Failure> {
    if format == Format::Json {
        return output.json_list("SourceRule", rules);
    }
    let all = v1::SourceRule { range: "every address".to_owned(), service: String::new() };
    let rules = if rules.is_empty() { std::slice::from_ref(&all) } else { rules };
    let row = |rule: &v1::SourceRule| {
        let service = if rule.service.is_empty() { "any other" } else { &rule.service };
        vec![service.to_owned(), rule.range.clone()]
    };
    output.table(&["SERVICE", "ALLOWED FROM"], &rules.iter().map(row).collect::<Vec<_>>())
}
