//! How fast credentials move in: `credvault import` of 100,000 rows of CSV into a vault in a process of its own, beside raw
//! inserts of the rows that it has stored, in one run. Writes `docs/benchmarks-import.md`.
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
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, Statement, TransactionTrait as _};

use it::harness::{DOMAIN, Process, TestVault, VaultBuilder};

/// How many rows a request of the import and a transaction of raw inserts have.
const BATCH: usize = 100;
/// How often rows are imported and inserted, in turns, each time for another tenant.
const ROUNDS: usize = 5;
/// Where an imported connection has rows.
const TABLES: [&str; 5] =
    ["connections", "credential_versions", "connection_health", "changes", "audit_bundles"];
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

/// A file of PixelPim's table, of this many rows, each of another user.
fn write_rows(path: &Path, rows: usize) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    writeln!(file, "id,userId,integrationType,isActive,credentials").unwrap();
    for row in 0..rows {
        writeln!(file, "{row},{row},woocommerce,t,\"{}\"", document(row).replace('"', "\"\"")).unwrap();
    }
}

async fn measure(rows: usize) -> String {
    // A server of its own with its defaults: every commit reaches the disk.
    let server = Postgres::start(&[]);
    let mut vault = VaultBuilder::on(server.database()).start().await;
    for round in 0..=ROUNDS {
        vault.tenant(&tenant(round)).await;
    }
    let url = vault.database.as_ref().unwrap().migrate_url.clone();
    vault.stop().await;
    let quotas = ["store.tenant_connection_quota=0", "store.user_connection_quota=0"];
    let process = Process::serve(vault.folder.path(), &quotas).unwrap();
    profile(&vault, process.address.port());
    let database = Database::connect(url).await.unwrap();
    database.execute_unprepared("CREATE SCHEMA raw").await.unwrap();
    for table in TABLES {
        let like = format!("CREATE TABLE raw.{table} (LIKE credvault.{table} INCLUDING ALL)");
        database.execute_unprepared(&like).await.unwrap();
    }
    // The first round is not measured, for caches and plans. It is a small one, to compare the memory.
    let few = import(&vault, 0, rows / ROUNDS / 10).await;
    raw(&database, 0).await;
    let (mut imported, mut inserted, mut peak) = (Duration::ZERO, Duration::ZERO, 0f64);
    for round in 1..=ROUNDS {
        let import = import(&vault, round, rows / ROUNDS).await;
        imported += import.time;
        peak = peak.max(import.peak);
        inserted += raw(&database, round).await;
    }
    format!(
        "# Benchmark of moving in\n\nFor the engineer who asks how long an import takes. Measured by `cargo bench --bench import` \
         on {date}, {cores} cores, Linux: PostgreSQL with its defaults (every commit reaches the disk), one vault process and \
         `credvault import` share the machine, which is noisy. In {ROUNDS} rounds in turns. {BATCH} rows go into one transaction, {AT_ONCE} of these at \
         once. An imported row is parsed, asked about in policy, checked against the catalog, sealed, and stored in several \
         tables with its audit record. The raw inserts put the very rows that the import has stored into tables of the same \
         columns and indexes, without foreign keys and policies, as literals in one statement for each table.\n\n\
         | | |\n|---|---|\n\
         | rows | {rows} |\n\
         | imported per second | {imported:.0} |\n\
         | raw inserts of the same per second | {raw:.0} |\n\
         | share | {share:.2} |\n\
         | resident memory of `credvault import` at its highest, {warm} rows | {few:.0} MiB |\n\
         | the same, {each} rows | {peak:.0} MiB |\n",
        date = time::OffsetDateTime::now_utc().date(),
        cores = std::thread::available_parallelism().map_or(0, usize::from),
        imported = rows as f64 / imported.as_secs_f64(),
        raw = rows as f64 / inserted.as_secs_f64(),
        share = inserted.as_secs_f64() / imported.as_secs_f64(),
        warm = rows / ROUNDS / 10,
        few = few.peak,
        each = rows / ROUNDS,
    )
}

/// The tenant of a round.
fn tenant(round: usize) -> String {
    format!("bench-{round}")
}

/// Stores what the import of a round has stored once more, in tables without the vault.
async fn raw(database: &DatabaseConnection, round: usize) -> Duration {
    let mut batches: Vec<Vec<String>> = Vec::new();
    for table in TABLES {
        let rows = literals(database, table, round).await;
        if table == "connections" {
            batches.resize_with(rows.len().div_ceil(BATCH), Vec::new);
        }
        let share = rows.len().div_ceil(batches.len()).max(1);
        for (batch, rows) in batches.iter_mut().zip(rows.chunks(share)) {
            batch.push(format!("INSERT INTO raw.{table} OVERRIDING SYSTEM VALUE VALUES {}", rows.join(", ")));
        }
    }
    let begun = Instant::now();
    let all = batches.iter().map(|batch| async move {
        let tx = database.begin().await.unwrap();
        for sql in batch {
            tx.execute_unprepared(sql).await.unwrap();
        }
        tx.commit().await.unwrap();
    });
    futures::stream::iter(all).buffer_unordered(AT_ONCE).collect::<()>().await;
    begun.elapsed()
}

/// The rows of a tenant in one of the vault's tables as lists of literals.
async fn literals(database: &DatabaseConnection, table: &str, round: usize) -> Vec<String> {
    let texts = async |sql: &str| -> Vec<String> {
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let rows = database.query_all_raw(statement).await.unwrap();
        rows.iter().map(|row| row.try_get("", "v").unwrap()).collect()
    };
    let columns = format!(
        "SELECT string_agg('quote_nullable(t.' || column_name || '::text)', ' || '','' || ' ORDER BY ordinal_position) AS v
         FROM information_schema.columns WHERE table_schema = 'credvault' AND table_name = '{table}'"
    );
    let columns = texts(&columns).await.remove(0);
    let tenant = tenant(round);
    texts(&format!(
        "SELECT '(' || {columns} || ')' AS v FROM credvault.{table} t WHERE tenant_id = '{tenant}'"
    ))
    .await
}

/// A profile of the service `app`.
fn profile(vault: &TestVault, port: u16) {
    vault.write_leaf("app", &vault.authority.service(&format!("spiffe://{DOMAIN}/app")));
    vault.write("authority.pem", vault.authority.pem());
    vault.write("app.toml", &format!(
        "address = 'https://localhost:{port}'\nauthority = 'authority.pem'\ncertificate = 'app.pem'\nkey = 'app.key'\n"
    ));
}

struct Import {
    time: Duration,
    /// The highest resident memory, in MiB.
    peak: f64,
}

/// Imports rows with the program, and watches its memory.
async fn import(vault: &TestVault, round: usize, rows: usize) -> Import {
    write_rows(&vault.folder.path().join("rows.csv"), rows);
    let mut command = Process::command();
    command.current_dir(vault.folder.path()).args(["import", "pixelpim", "--from", "rows.csv"]);
    command.args([
        "--tenant",
        &tenant(round),
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
    Import { time: begun.elapsed(), peak }
}
