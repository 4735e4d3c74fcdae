//! How fast the pages are: the operators' console over a tenant with 100,000 connections, and the connect page of a customer.
//! The vault and the console are processes of their own, on PostgreSQL. Writes `docs/benchmarks-pages.md`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot be set up has failed")]

#[path = "../tests/it"]
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports, reason = "shared with the tests")]
mod it {
    pub mod harness;
}

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use credvault_proto::v1;
use credvault_testkit::Postgres;
use reqwest::header::{COOKIE, HOST, SET_COOKIE};
use reqwest::redirect::Policy;

use it::harness::{Client, DOMAIN, Process, TestVault, VaultBuilder, generic};

/// How many connections the tenant has.
const CONNECTIONS: usize = 100_000;
/// How often each page is asked for.
const TIMES: usize = 30;
const TENANT: &str = "large";

/// What the console's operator needs beside the administration.
const LOOKS_INTO_TENANTS: &str = r#"
@id("operator-looks-into-tenants")
permit (principal == Service::"spiffe://test.local/operator",
    action in [Action::"AssertTenant", Action::"AccessOtherUsers"], resource);
"#;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(measure());
    println!("{report}");
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks-pages.md"), &report).unwrap();
}

/// Connections of ten providers, a tenth of them shared and the others of 900 users; a tenth in an error, and half with a grant
/// that ends.
async fn fill(vault: &TestVault, first: &str) {
    let columns = "SELECT string_agg(column_name::text, ',' ORDER BY ordinal_position)
        FROM information_schema.columns WHERE table_schema = 'credvault' AND table_name = 'connections'";
    let columns = vault.database.as_ref().unwrap().psql(columns);
    let providers =
        "(ARRAY['shopify','xero','klaviyo','hubspot','stripe','woocommerce','bol','etsy','ebay','asana'])";
    let value = |column: &str| match column {
        "id" => "gen_random_uuid()".to_owned(),
        "account_name" => "'account-' || n".to_owned(),
        "provider" => format!("{providers}[1 + n % 10]"),
        "owner_user" => "CASE WHEN n % 10 = 3 THEN '' ELSE 'user-' || n % 900 END".to_owned(),
        "state" => "CASE WHEN n % 10 = 7 THEN 'ERROR' ELSE 'CONNECTED' END".to_owned(),
        "error_reason" => "CASE WHEN n % 10 = 7 THEN 'REAUTHORIZATION_REQUIRED' END".to_owned(),
        "error_time" => "CASE WHEN n % 10 = 7 THEN t.create_time END".to_owned(),
        "is_default" => "FALSE".to_owned(),
        "last_used_time" => "t.create_time + n".to_owned(),
        other => format!("t.{other}"),
    };
    let values: Vec<_> = columns.trim().split(',').map(value).collect();
    let day = "86400000000";
    for sql in [
        format!(
            "INSERT INTO connections ({columns}) SELECT {} FROM connections t, generate_series(2, {CONNECTIONS}) n
             WHERE t.tenant_id = '{TENANT}' AND t.id = '{first}'",
            values.join(", ")
        ),
        format!(
            "INSERT INTO connection_health (tenant_id, connection_id, renewal, begin_time, renew_time, grant_end_time, ending_time)
             SELECT tenant_id, id, 'ENDS', create_time, create_time, create_time + (n - 20) * {day},
                create_time + (n - 27) * {day}
             FROM (SELECT *, row_number() OVER () % 120 AS n FROM connections WHERE tenant_id = '{TENANT}' AND id <> '{first}') c
             WHERE n % 2 = 0"
        ),
        "ANALYZE".to_owned(),
    ] {
        vault.sql(&sql).await;
    }
}

/// The console, in a process of its own, and a browser that it has let in.
struct Console {
    child: Child,
    http: reqwest::Client,
    origin: String,
    cookie: String,
}

impl Console {
    async fn open(vault: &TestVault, port: u16) -> Self {
        vault.write_leaf("operator", &vault.authority.service(&format!("spiffe://{DOMAIN}/operator")));
        let profile = format!(
            "address = 'https://localhost:{port}'\nauthority = 'ca.pem'\ncertificate = 'operator.pem'\nkey = 'operator.key'\n"
        );
        vault.write("console.toml", &profile);
        let mut command = Process::command();
        command.current_dir(vault.folder.path());
        command.args(["console", "--no-browser", "--profile", "console.toml"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines.map_while(Result::ok).find(|line| line.trim().starts_with("http://")).unwrap();
        let url = url.trim().to_owned();
        let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        let entered = http.get(&url).send().await.unwrap();
        let cookie = entered.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
        let (origin, _) = url.split_once("/begin").unwrap();
        Self { child, http, origin: origin.to_owned(), cookie }
    }

    async fn get(&self, path: &str) -> String {
        let request = self.http.get(format!("{}{path}", self.origin)).header(COOKIE, &self.cookie);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.text().await.unwrap()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The median and the slowest of many answers, and the bytes of the last.
async fn timed(get: impl AsyncFn() -> String) -> (Duration, Duration, usize) {
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..TIMES {
        let begun = Instant::now();
        bytes = get().await.len();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    (times[TIMES / 2], times[TIMES - 1], bytes)
}

fn row(name: &str, (median, slowest, bytes): (Duration, Duration, usize)) -> String {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    format!("| {name} | {:.1} ms | {:.1} ms | {:.1} KiB |\n", ms(median), ms(slowest), bytes as f64 / 1024.0)
}

const HEAD: &str = "| page | median | slowest | bytes |\n|---|---|---|---|\n";

async fn measure() -> String {
    // A server of its own with its defaults: every commit reaches the disk.
    let server = Postgres::start(&[]);
    let mut vault = VaultBuilder::on(server.database()).policies(LOOKS_INTO_TENANTS).start().await;
    let first = vault.app(TENANT).await.create(generic("account-1", "CANARY")).await.unwrap().id;
    vault.stop().await;
    fill(&vault, &first).await;
    let process = Process::serve(
        vault.folder.path(),
        &["public.address=127.0.0.1:0", "public.url=http://localhost:7480"],
    );
    let process = process.unwrap();
    let date = time::OffsetDateTime::now_utc().date();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut report = format!(
        "# Benchmark of pages\n\nFor the engineer who asks how fast the pages are. Measured by `cargo bench --bench pages` on {date}, \
         {cores} cores, Linux: one vault process, the console's process, PostgreSQL with its defaults and the client share the \
         machine, which is noisy. {TIMES} requests of each page, one after another, over loopback.\n"
    );
    report += &console_pages(&vault, &process, &first).await;
    report += &connect_pages(&vault, &process).await;
    report
}

async fn console_pages(vault: &TestVault, process: &Process, first: &str) -> String {
    let console = Console::open(vault, process.address.port()).await;
    let mut text = format!(
        "\n## Console\n\nA tenant with {CONNECTIONS} connections at 10 providers, of 900 users; a tenth has an error, half have a \
         grant that ends. A page of the list has 50.\n\n{HEAD}"
    );
    let list = format!("/connections?tenant={TENANT}");
    let page = console.get(&list).await;
    let next =
        page.split("href=\"").find_map(|rest| rest.split('"').next().filter(|url| url.contains("page=")));
    let next = next.unwrap().replace("&amp;", "&");
    for (name, path) in [
        ("list", list.clone()),
        ("list, the next page", next),
        ("list of a provider", format!("{list}&provider=shopify")),
        ("list of those in an error", format!("{list}&health=error")),
        ("list of those that have ended", format!("{list}&health=ended")),
        ("list of those that are well", format!("{list}&health=ok")),
        ("list of a user", format!("{list}&owner=user&user=user-7")),
        ("list by an account's name", format!("{list}&account=account-77777")),
        ("one connection", format!("/connection?tenant={TENANT}&id={first}")),
        ("overview of the tenant", format!("/?tenant={TENANT}")),
        ("overview of all", "/".to_owned()),
        ("tenants", "/tenants".to_owned()),
    ] {
        text += &row(name, timed(async || console.get(&path).await).await);
    }
    text
}

async fn connect_pages(vault: &TestVault, process: &Process) -> String {
    let leaf = vault.authority.service(&format!("spiffe://{DOMAIN}/app"));
    let client = Client::connect(process.address, vault.authority.pem(), Some(&leaf)).await.unwrap();
    let client = client.acting_for(TENANT, Some("user-7"));
    let made = client
        .connections()
        .create_connect_session(v1::CreateConnectSessionRequest::default())
        .await
        .unwrap();
    let (http, site) = (
        reqwest::Client::builder().redirect(Policy::none()).build().unwrap(),
        format!("http://{}", process.public_address.unwrap()),
    );
    let local = |path: &str| path.strip_prefix("http://localhost:7480").unwrap_or(path).to_owned();
    let (mut path, mut cookie) = (local(&made.into_inner().url), String::new());
    loop {
        let request =
            http.get(format!("{site}{path}")).header(HOST, "localhost:7480").header(COOKIE, &cookie);
        let response = request.send().await.unwrap();
        for set in response.headers().get_all(SET_COOKIE) {
            let _ = write!(
                cookie,
                "{}{}",
                if cookie.is_empty() { "" } else { "; " },
                set.to_str().unwrap().split(';').next().unwrap()
            );
        }
        match response.headers().get("location") {
            Some(next) => path = local(next.to_str().unwrap()),
            None => break,
        }
    }
    let get = async |path: &str| {
        let request =
            http.get(format!("{site}{path}")).header(HOST, "localhost:7480").header(COOKIE, &cookie);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.text().await.unwrap()
    };
    let mut text = format!(
        "\n## Connect page\n\nOf a user with {} of the tenant's connections, and the tenant's shared ones. The walk of \
         `tests/browser/connect.mjs` holds the first contentful paint below 100 ms and a page with all its files below 60 KiB.\n\n{HEAD}",
        CONNECTIONS / 1000
    );
    for (name, path) in [
        ("list", path.clone()),
        ("providers", format!("{path}/add")),
        ("a provider", format!("{path}/add/woocommerce")),
    ] {
        text += &row(name, timed(async || get(&path).await).await);
    }
    text
}
