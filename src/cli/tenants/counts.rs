//! `tenants counts`: how many connections are in each state and health, of one tenant or of all together.

use clap::Args;
use credvault_proto::v1;

use crate::cli::args::OutputArgs;
use crate::cli::client::ClientArgs;
use crate::cli::failure::Failure;
use crate::cli::lookup::word;
use crate::cli::output::Output;
use crate::cli::shown;

#[derive(Args, Debug)]
pub(in crate::cli) struct CountsArgs {
    /// The id of the tenant. Without it, all tenants and the platform are summed.
    tenant_id: Option<String>,
    /// Count the platform's own connections only.
    #[arg(long, conflicts_with = "tenant_id")]
    platform: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn count(arguments: CountsArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let request = v1::CountConnectionsRequest {
        all_tenants: arguments.tenant_id.is_none() && !arguments.platform,
        tenant_id: arguments.tenant_id.unwrap_or_default(),
    };
    let found = client.admin().count_connections(request).await?.into_inner();
    let headings = ["STATE", "HEALTH", "COUNT"];
    shown::list("ConnectionCount", &found.counts, arguments.output.output, output, &headings, row)
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
