//! Questions about a tenant with many connections.

use std::fmt::Write as _;
use std::time::Instant;

use credvault_proto::v1;

use super::{Bench, quantile};
use crate::it::harness::Client;

const CONNECTIONS: u32 = 10_000;
/// How many days have counts; questions are about 30 of them.
const DAYS: u32 = 60;
const TIMES: usize = 30;

/// Counts of a large tenant: 10 providers, 5 endpoints, 2 services, a tenth of the connections shared, the others of 900
/// users.
async fn fill(bench: &Bench) {
    let day = "(extract(epoch FROM clock_timestamp()) / 86400)::bigint - d";
    let owner = "CASE WHEN n % 10 = 0 THEN '' ELSE 'u' || n % 900 END";
    let id = "md5(n::text)::uuid";
    let service = "'spiffe://test.local/s' || n % 2";
    for sql in [
        format!(
            "INSERT INTO usage_connections SELECT 'large', {id}, 'provider' || n % 10, {owner},
             (extract(epoch FROM clock_timestamp()) / 86400)::bigint FROM generate_series(1, {CONNECTIONS}) n"
        ),
        format!(
            "INSERT INTO usage_days SELECT 'large', {id}, {day}, 'endpoint' || e, {service}, {owner}, 100, 1, 1, 0, 0
             FROM generate_series(0, {DAYS} - 1) d, generate_series(1, {CONNECTIONS}) n, generate_series(1, 5) e"
        ),
        // Without statistics, the database would read all days for each connection.
        "ANALYZE".to_owned(),
        "INSERT INTO usage_users SELECT d.tenant_id, d.user_id, d.day, s.provider, d.endpoint, d.service,
            s.owner_user = '', 0, sum(calls), sum(errors), sum(rate_limit_hits), 0, 0
         FROM usage_days d JOIN usage_connections s USING (tenant_id, connection_id)
         WHERE d.tenant_id = 'large' GROUP BY 1, 2, 3, 4, 5, 6, 7"
            .to_owned(),
        "INSERT INTO usage_totals SELECT tenant_id, day, provider, endpoint, service, shared, 0, sum(calls), sum(errors),
            sum(rate_limit_hits), 0, 0 FROM usage_users WHERE tenant_id = 'large' GROUP BY 1, 2, 3, 4, 5, 6"
            .to_owned(),
        "ANALYZE".to_owned(),
    ] {
        bench.vault.sql(&sql).await;
    }
}

async fn ask(client: &Client, request: &v1::GetUsageRequest) -> v1::GetUsageResponse {
    client.connections().get_usage(request.clone()).await.unwrap().into_inner()
}

pub(super) async fn measure(bench: &Bench) -> String {
    let leaf = |name: &str| bench.vault.authority.service(&format!("spiffe://test.local/{name}"));
    let connect = async |name: &str| {
        Client::connect(bench.process.address, bench.vault.authority.pem(), Some(&leaf(name))).await.unwrap()
    };
    let create = v1::CreateTenantRequest { tenant_id: "large".into(), ..Default::default() };
    connect("operator").await.admin().create_tenant(create).await.unwrap();
    fill(bench).await;
    let all = connect("app").await.acting_for("large", None);
    let own = connect("portal").await.acting_for("large", Some("u7"));
    use v1::UsageGroup::{Connection, Day, Endpoint, Provider, Service, User};
    let one =
        ask(&all, &v1::GetUsageRequest { group_by: vec![Connection.into()], ..Default::default() }).await;
    let one = one.rows[0].connection_id.clone();
    let mut text = format!(
        "\n## Questions\n\n30 of {DAYS} days of a tenant with {CONNECTIONS} connections at 10 providers, 5 endpoints each, one row \
         a day for each: {} rows of counts. {TIMES} calls of `GetUsage` each, with pages of 500 rows.\n\n\
         | grouped by | rows of the page | median | slowest |\n|---|---|---|---|\n",
        CONNECTIONS * DAYS * 5,
    );
    let nothing = v1::UsageFilter::default;
    let of_one = || v1::UsageFilter { connection_id: one.clone(), ..nothing() };
    let questions: [(&str, &Client, Vec<v1::UsageGroup>, v1::UsageFilter); 13] = [
        ("nothing (the total)", &all, vec![], nothing()),
        ("day", &all, vec![Day], nothing()),
        ("provider, day", &all, vec![Provider, Day], nothing()),
        ("endpoint, service", &all, vec![Endpoint, Service], nothing()),
        ("provider, endpoint, service, day", &all, vec![Provider, Endpoint, Service, Day], nothing()),
        ("user", &all, vec![User], nothing()),
        ("user, endpoint", &all, vec![User, Endpoint], nothing()),
        ("connection", &all, vec![Connection], nothing()),
        ("connection, endpoint", &all, vec![Connection, Endpoint], nothing()),
        ("connection, day", &all, vec![Connection, Day], nothing()),
        ("endpoint, day of one connection", &all, vec![Endpoint, Day], of_one()),
        ("day, as a user sees it", &own, vec![Day], nothing()),
        ("connection, as a user sees it", &own, vec![Connection], nothing()),
    ];
    for (name, client, groups, filter) in questions {
        let group_by = groups.into_iter().map(i32::from).collect();
        let request =
            v1::GetUsageRequest { filter: Some(filter), group_by, page_size: 500, ..Default::default() };
        let rows = ask(client, &request).await.rows.len();
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let begun = Instant::now();
            ask(client, &request).await;
            times.push(begun.elapsed());
        }
        let (middle, slowest) = (quantile(&mut times, 0.5), quantile(&mut times, 1.0));
        let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        let _ = writeln!(text, "| {name} | {rows} | {:.1} ms | {:.1} ms |", ms(middle), ms(slowest));
    }
    text
}
