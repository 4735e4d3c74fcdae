//! `rates show`: how consents, refreshes and tests ended, by provider, for administrators.

use clap::{Args, Subcommand};

use super::args::OutputArgs;
use super::client::ClientArgs;
use super::failure::Failure;
use super::live::WatchArgs;
use super::output::Output;
use super::serve::{ONE_THREAD, run as run_on};
use super::shown;
use super::whose::Whose;
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum RatesCommand {
    /// Show how consents, refreshes and tests ended: of one tenant, or of all together.
    Show(ShowArgs),
}

#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    /// The id of the tenant; or name it with --tenant. Without one, all tenants are summed.
    tenant_id: Option<String>,
    /// Sum all tenants, also where the profile names one.
    #[arg(long, conflicts_with_all = ["tenant_id", "tenant"])]
    all: bool,
    /// Only at this provider.
    #[arg(long)]
    provider: Option<String>,
    /// How many days, today included: at most 400, or 31 with --by-day. By default 30.
    #[arg(long, default_value_t = 30)]
    days: u16,
    /// Show each day by itself.
    #[arg(long)]
    by_day: bool,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(command: RatesCommand, output: &mut Output) -> Result<(), Failure> {
    let RatesCommand::Show(arguments) = command;
    run_on(ONE_THREAD, async {
        let ShowArgs { tenant_id, all, provider, days, by_day, watch, client, output: printed } = arguments;
        let tenant = if all { None } else { client.tenant_or(tenant_id.as_deref())? };
        let whose = tenant.map_or(Whose::All, Whose::Tenant);
        let request = v1::GetSuccessRatesRequest {
            tenant_id: whose.tenant_id(),
            provider: provider.unwrap_or_default(),
            days: days.into(),
            by_day,
        };
        watch
            .show(&client, printed.output, output, async |client, format, output| {
                let found = client.admin().get_success_rates(request.clone()).await?.into_inner();
                shown::list_of(&whose, "ProviderRates", &found.rates, format, output, &HEADINGS, row)
            })
            .await
    })
}

const HEADINGS: [&str; 16] = [
    "PROVIDER",
    "DAY",
    "BEGUN",
    "COMPLETED",
    "DENIED",
    "EXPIRED",
    "FAILED",
    "CONSENTS",
    "REFRESHED",
    "NOT REFRESHED",
    "ENDED",
    "REFRESHES",
    "ACCEPTED",
    "REJECTED",
    "UNKNOWN",
    "TESTS",
];

/// The counts of one provider, with the share that went well behind those of consents, refreshes and tests.
fn row(rates: &v1::ProviderRates) -> Vec<String> {
    let day = if rates.day.is_empty() { "-" } else { &rates.day };
    vec![
        rates.provider.clone(),
        day.to_owned(),
        rates.consents_begun.to_string(),
        rates.consents_completed.to_string(),
        rates.consents_denied.to_string(),
        rates.consents_expired.to_string(),
        rates.consents_failed.to_string(),
        percent(rates.consent_success_rate),
        rates.refreshes_succeeded.to_string(),
        rates.refreshes_failed.to_string(),
        rates.refreshes_ended.to_string(),
        percent(rates.refresh_success_rate),
        rates.tests_accepted.to_string(),
        rates.tests_rejected.to_string(),
        rates.tests_unknown.to_string(),
        percent(rates.test_success_rate),
    ]
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_and_no_number_where_nothing_ended() {
        let rates = v1::ProviderRates {
            provider: "xero".to_owned(),
            consents_completed: 2,
            consent_success_rate: Some(2.0 / 3.0),
            ..Default::default()
        };
        let row = row(&rates);
        assert_eq!(
            (row[0].as_str(), row[1].as_str(), row[7].as_str(), row[11].as_str()),
            ("xero", "-", "66.7 %", "-")
        );
    }
}
