//! How fast credentials move in: `credvault import` of 100,000 rows of CSV into a vault in a process of its own, beside raw
//! inserts of the same bytes into a plain table of the same server, in one run. Writes `docs/benchmarks-import.md`.
//! `CREDVAULT_BENCH_ROWS` asks for another number.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot be set up has failed")]

#[path = "../tests/it"]
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports, reason = "shared with the tests")]
mod it {
    pub mod harness;
}

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use credvault_testkit::Postgres;
use futures::StreamExt as _;
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, Statement};

use it::harness::{DOMAIN, Process, TestVault, VaultBuilder};

/// How many rows a raw insert and a request of the import have.
const BATCH: usize = 100;
/// How many of them are in progress at once.
const AT_ONCE: usize = 4;

fn main() {
    let rows = std::env::var("CREDVAULT_BENCH_ROWS").ok().and_then(|text| text.parse().ok());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(measure(rows.unwrap_or(100_000)));
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks-import.md"), &report).unwrap();
    println!("{report}");
}

/// The credential of a row, as JSON.
fn document(row: usize) -> String {
    let secret = format!("{row:040x}");
    format!(
        "{{\"apiUrl\":\"https://shop-{row}.example.com\",\"consumerKey\":\"ck_{secret}\",\"consumerSecret\":\"cs_{secret}\",\
         \"webhookSecret\":\"{secret}{secret}\"}}"
    )
}

/// A file of PixelPim's table, of this many rows; users from `first` on.
fn write_rows(path: &Path, first: usize, rows: usize) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    writeln!(file, "id,userId,integrationType,isActive,credentials").unwrap();
    for row in first..first + rows {
        writeln!(file, "{row},{row},woocommerce,t,\"{}\"", document(row).replace('"', "\"\"")).unwrap();
    }
}

async fn measure(rows: usize) -> String {
    // A server of its own with its defaults: every commit reaches the disk.
    let server = Postgres::start(&[]);
    let mut vault = VaultBuilder::on(server.database()).start().await;
    vault.tenant("bench").await;
    vault.stop().await;
    let quotas = ["store.tenant_connection_quota=0", "store.user_connection_quota=0"];
    let process = Process::serve(vault.folder.path(), &quotas).unwrap();
    profile(&vault, process.address.port());
    let database = Database::connect(server.database().migrate_url).await.unwrap();
    // Both once without a measurement, for caches and plans.
    let warm = rows / 20;
    raw(&database, 0, warm).await;
    let few = import(&vault, 0, warm).await;
    let raw = raw(&database, warm, rows).await;
    let single = single(&database, rows / 20).await;
    let all = import(&vault, warm, rows).await;
    format!(
        "# Benchmark of moving in\n\nFor the engineer who asks how long an import takes. Measured by `cargo bench --bench import` \
         on {date}, {cores} cores, Linux: PostgreSQL with its defaults (every commit reaches the disk), one vault process and \
         `credvault import` share the machine. A raw insert puts the same documents as text into a plain table with a \
         primary key, {BATCH} rows a statement, {AT_ONCE} at once, as the import sends them. An imported row is parsed, asked \
         about in policy, checked against the catalog and sealed, and becomes rows in five tables, with an audit record. The \
         machine is shared and noisy.\n\n\
         | | |\n|---|---|\n\
         | rows | {rows} |\n\
         | imported per second | {imported:.0} |\n\
         | raw inserts per second, {BATCH} rows a statement | {raw:.0} |\n\
         | imports of these | {share:.2} |\n\
         | raw inserts per second, one row a statement | {single:.0} |\n\
         | resident memory of `credvault import` at its highest, {warm} rows | {few:.0} MiB |\n\
         | {rows} rows | {peak:.0} MiB |\n",
        date = time::OffsetDateTime::now_utc().date(),
        cores = std::thread::available_parallelism().map_or(0, usize::from),
        imported = all.per_second,
        share = all.per_second / raw,
        few = few.peak,
        peak = all.peak,
    )
}

/// Raw inserts of the same documents, and how many rows of them a second.
async fn raw(database: &DatabaseConnection, first: usize, rows: usize) -> f64 {
    let table = "CREATE TABLE IF NOT EXISTS public.raw (id bigint PRIMARY KEY, document text NOT NULL)";
    database.execute_unprepared(table).await.unwrap();
    let begun = Instant::now();
    let batches = (first..first + rows).step_by(BATCH).map(|from| insert(database, from, BATCH));
    futures::stream::iter(batches).buffer_unordered(AT_ONCE).collect::<()>().await;
    rows as f64 / begun.elapsed().as_secs_f64()
}

/// The same with a statement for each row.
async fn single(database: &DatabaseConnection, rows: usize) -> f64 {
    let (first, begun) = (10_000_000, Instant::now());
    let each = (first..first + rows).map(|from| insert(database, from, 1));
    futures::stream::iter(each).buffer_unordered(AT_ONCE).collect::<()>().await;
    rows as f64 / begun.elapsed().as_secs_f64()
}

async fn insert(database: &DatabaseConnection, from: usize, rows: usize) {
    let places: Vec<String> = (0..rows).map(|row| format!("(${}, ${})", 2 * row + 1, 2 * row + 2)).collect();
    let sql = format!("INSERT INTO public.raw (id, document) VALUES {}", places.join(", "));
    let values = (from..from + rows).flat_map(|row| [(row as i64).into(), document(row).into()]);
    let statement = Statement::from_sql_and_values(database.get_database_backend(), sql, values);
    database.execute_raw(statement).await.unwrap();
}

/// A profile of the service `app`.
fn profile(vault: &TestVault, port: u16) {
    vault.write_leaf("app", &vault.authority.service(&format!("spiffe://{DOMAIN}/app")));
    vault.write("authority.pem", vault.authority.pem());
    vault.write("app.toml", &format!(
        "address = 'https://localhost:{port}'\nauthority = 'authority.pem'\ncertificate = 'app.pem'\nkey = 'app.key'\ntenant = 'bench'\n"
    ));
}

struct Import {
    per_second: f64,
    /// The highest resident memory, in MiB.
    peak: f64,
}

/// Imports rows with the program, and watches its memory.
async fn import(vault: &TestVault, first: usize, rows: usize) -> Import {
    write_rows(&vault.folder.path().join("rows.csv"), first, rows);
    let mut command = Process::command();
    command.current_dir(vault.folder.path()).args(["import", "pixelpim", "--from", "rows.csv"]);
    command.args([
        "--profile",
        "app.toml",
        "--batch",
        &BATCH.to_string(),
        "--concurrency",
        &AT_ONCE.to_string(),
    ]);
    let begun = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut peak: f64 = 0.0;
    let status = loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let mib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        peak = peak.max(mib.unwrap_or_default() / 1024.0);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(status.success());
    Import { per_second: rows as f64 / begun.elapsed().as_secs_f64(), peak }
}
