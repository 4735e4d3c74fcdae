//! `tenants counts`: how many connections are in each state and health, of one tenant or of all together.

use clap::Args;
use credvault_proto::v1;

use crate::cli::args::OutputArgs;
use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::lookup::word;
use crate::cli::output::Output;
use crate::cli::shown;
use crate::cli::whose::Whose;

#[derive(Args, Debug)]
pub(in crate::cli) struct CountsArgs {
    /// The id of the tenant; or name it with --tenant. Without one, all tenants and the platform are summed.
    tenant_id: Option<String>,
    /// Count the platform's own connections only.
    #[arg(long, conflicts_with_all = ["tenant_id", "tenant"])]
    platform: bool,
    /// Sum all tenants and the platform, also where the profile names a tenant.
    #[arg(long, conflicts_with_all = ["tenant_id", "tenant", "platform"])]
    all: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn count(arguments: CountsArgs, output: &mut Output) -> Result<(), Failure> {
    let tenant = arguments.client.tenant_or(arguments.tenant_id.as_deref())?;
    let whose = match (arguments.platform, tenant) {
        (true, _) => Whose::Platform,
        (false, Some(tenant)) if !arguments.all => Whose::Tenant(tenant),
        (false, _) => Whose::All,
    };
    let client = arguments.client.connect().await?;
    let all_tenants = whose == Whose::All;
    let request = v1::CountConnectionsRequest { all_tenants, tenant_id: whose.tenant_id() };
    let found = client.admin().count_connections(request).await?.into_inner();
    let headings = ["STATE", "HEALTH", "COUNT"];
    shown::list_of(&whose, "ConnectionCount", &found.counts, arguments.output.output, output, &headings, row)
}

fn row(count: &v1::ConnectionCount) -> Vec<String> {
    vec![
        word(count.state().as_str_name(), "CONNECTION_STATE_"),
        word(count.health().as_str_name(), "HEALTH_STATE_"),
        count.count.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_shown_in_the_words_of_the_filters() {
        let count = v1::ConnectionCount {
            state: v1::ConnectionState::Error.into(),
            health: v1::HealthState::ProviderIncident.into(),
            count: 1_200,
        };
        assert_eq!(row(&count), ["error", "provider incident", "1200"]);
    }
}
