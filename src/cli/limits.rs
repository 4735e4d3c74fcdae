//! `limits show|set`: the limits of a tenant, for its administrators.

use clap::{Args, Subcommand};

use super::administered::{NamedTenantArgs, TenantArgs};
use super::args::pair;
use super::failure::Failure;
use super::output::{Format, Output};
use super::serve::{ONE_THREAD, run as run_on};
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum LimitsCommand {
    /// Show every limit of a tenant: default, own number, and how much of it is in use.
    Show(NamedTenantArgs),
    /// Give limits of a tenant numbers of its own, or the defaults again.
    Set(SetArgs),
}

#[derive(Args, Debug)]
pub(super) struct SetArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    /// A limit and its number, such as `connections=500`; `connections=default` gives the default again. Repeatable.
    #[arg(required = true, value_name = "LIMIT=NUMBER", value_parser = pair)]
    limits: Vec<(String, String)>,
}

pub(super) fn run(command: LimitsCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            LimitsCommand::Show(tenant) => {
                let (client, tenant_id) = tenant.connect().await?;
                let request = v1::GetTenantLimitsRequest { tenant_id };
                let found = client.admin().get_tenant_limits(request).await?.into_inner();
                print(&found.limits, tenant.output.output, output)
            }
            LimitsCommand::Set(SetArgs { tenant, limits }) => {
                let changes = limits.iter().map(change).collect::<Result<_, _>>()?;
                let client = tenant.connect().await?;
                let request =
                    v1::SetTenantLimitsRequest { tenant_id: tenant.id, changes, ..Default::default() };
                let set = client.admin().set_tenant_limits(request).await?.into_inner();
                print(&set.limits, tenant.output.output, output)
            }
        }
    })
}

/// A change as the command line has it.
fn change((limit, value): &(String, String)) -> Result<v1::LimitChange, Failure> {
    let kind = v1::LimitKind::from_str_name(&format!("LIMIT_KIND_{}", limit.to_uppercase()));
    let kind = kind.filter(|kind| *kind != v1::LimitKind::Unspecified);
    let kind = kind
        .ok_or_else(|| Failure::Usage("LIMIT must be one that `credvault limits show` prints".to_owned()))?;
    let value =
        match value.as_str() {
            "default" => None,
            number => Some(number.parse().map_err(|_| {
                Failure::Usage("NUMBER must be a whole number, or the word default".to_owned())
            })?),
        };
    Ok(v1::LimitChange { kind: kind.into(), value })
}

fn print(limits: &[v1::TenantLimit], format: Format, output: &mut Output) -> Result<(), Failure> {
    if format == Format::Json {
        return output.json_list("TenantLimit", limits);
    }
    let row = |limit: &v1::TenantLimit| {
        let name = limit.kind().as_str_name().trim_start_matches("LIMIT_KIND_").to_lowercase();
        let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        vec![
            name,
            limit.value.to_string(),
            limit.default_value.to_string(),
            number(limit.override_value),
            number(limit.in_use),
        ]
    };
    let rows: Vec<_> = limits.iter().map(row).collect();
    output.table(&["LIMIT", "COUNTS", "DEFAULT", "OWN", "IN USE"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_limit_and_a_number_or_the_default() {
        let read = |limit: &str, value: &str| change(&(limit.to_owned(), value.to_owned()));
        let set = read("connections", "500").expect("right");
        assert_eq!((set.kind(), set.value), (v1::LimitKind::Connections, Some(500)));
        assert_eq!(read("tests_per_minute", "default").expect("right").value, None);
        for (limit, value) in
            [("unspecified", "1"), ("speed", "1"), ("connections", "many"), ("connections", "")]
        {
            assert!(matches!(read(limit, value), Err(Failure::Usage(_))), "{limit} {value}");
        }
    }
}
