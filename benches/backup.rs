//! How long a backup and a restore of 1,000,000 records of 600 bytes take, beside `pg_dump` and `pg_restore` of the same
//! database, in one run. Writes `docs/benchmarks-backup.md`. `CREDVAULT_BENCH_ROWS` asks for another number.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot be set up has failed")]

#[path = "../tests/it"]
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports, reason = "shared with the tests")]
mod it {
    pub mod harness;
}

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use credvault_testkit::{Postgres, PostgresDatabase, postgres_program};

use it::harness::{Process, TestVault, VaultBuilder, generic};

/// How often each is measured, in turns.
const ROUNDS: usize = 2;
/// How many different sealed values the records share; far apart, so that no compression finds them.
const POOL: usize = 4096;

fn main() {
    let rows = std::env::var("CREDVAULT_BENCH_ROWS").ok().and_then(|text| text.parse().ok());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(measure(rows.unwrap_or(1_000_000)));
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks-backup.md"), &report).unwrap();
    println!("{report}");
}

/// How long a program ran, and its highest resident memory in MiB.
#[derive(Clone, Copy, Default)]
struct Run {
    time: Duration,
    peak: f64,
}

impl Run {
    fn and(self, other: Self) -> Self {
        Self { time: self.time + other.time, peak: self.peak.max(other.peak) }
    }
}

async fn measure(rows: usize) -> String {
    // A server of its own with its defaults: every commit reaches the disk.
    let server = Postgres::start(&[]);
    let mut vault = VaultBuilder::on(server.database()).start().await;
    let app = vault.app("acme").await;
    app.create(generic("main", "CANARY secret")).await.unwrap();
    vault.stop().await;
    let few = {
        fill(vault.database.as_ref().unwrap(), 1, rows / 10);
        let few = back_up(&vault, "few.backup");
        std::fs::remove_file(vault.folder.path().join("few.backup")).unwrap();
        few
    };
    fill(vault.database.as_ref().unwrap(), rows / 10 + 1, rows);
    let (mut ours, mut theirs) = ([Run::default(); 2], [Run::default(); 2]);
    let mut sizes = [0.0, 0.0];
    for _ in 0..ROUNDS {
        theirs[0] = theirs[0].and(dump(&vault));
        ours[0] = ours[0].and(back_up(&vault, "vault.backup"));
        theirs[1] = theirs[1].and(load(&vault, &server.database()));
        ours[1] = ours[1].and(restore(&vault, &server.database()));
        for (size, name) in sizes.iter_mut().zip(["vault.dump", "vault.backup"]) {
            let path = vault.folder.path().join(name);
            *size = path.metadata().unwrap().len() as f64 / (1024.0 * 1024.0);
            std::fs::remove_file(path).unwrap();
        }
    }
    report(rows, few, ours, theirs, sizes)
}

/// Makes records as copies of the one that is there, from one number to another: each is a connection with a version, whose
/// sealed value is as long as that of 600 bytes and looks as random.
fn fill(database: &PostgresDatabase, from: usize, to: usize) {
    let columns = |table: &str| {
        database.psql(&format!(
            "SELECT string_agg(column_name, ',' ORDER BY ordinal_position) FROM information_schema.columns
             WHERE table_schema = 'credvault' AND table_name = '{table}'"
        ))
    };
    let copies = |table: &str, condition: &str, other: &dyn Fn(&str) -> Option<&'static str>| {
        let columns = columns(table);
        let values: Vec<_> = columns.split(',').map(|column| other(column).unwrap_or(column)).collect();
        format!(
            "INSERT INTO {table} ({columns}) SELECT {} FROM {table} t, made WHERE {condition};",
            values.join(", ")
        )
    };
    let connections = copies("connections", "account_name = 'main'", &|column| match column {
        "id" => Some("made.new_id"),
        "account_name" => Some("'account-' || made.number"),
        "is_default" => Some("false"),
        _ => None,
    });
    let main = "t.connection_id = (SELECT id FROM connections WHERE account_name = 'main')";
    let versions = copies("credential_versions", main, &|column| match column {
        "connection_id" => Some("made.new_id"),
        "sealed" => Some(
            "(SELECT overlay(p.bytes PLACING decode(md5(made.number::text), 'hex') FROM 9) FROM pool p
              WHERE p.number = made.number % (SELECT count(*) FROM pool))",
        ),
        _ => None,
    });
    database.psql(&format!(
        "SET search_path = credvault; BEGIN;
         CREATE TEMP TABLE pool ON COMMIT DROP AS SELECT i AS number, (
             SELECT substring(string_agg(decode(md5(i || '-' || j), 'hex'), '') FROM 1 FOR 1124)
             FROM generate_series(1, 71) j) AS bytes
         FROM generate_series(0, {POOL} - 1) i;
         CREATE UNIQUE INDEX ON pool (number);
         CREATE TEMP TABLE made ON COMMIT DROP AS
             SELECT i AS number, gen_random_uuid() AS new_id FROM generate_series({from}, {to}) i;
         {connections} {versions} COMMIT; ANALYZE;"
    ));
}

fn back_up(vault: &TestVault, file: &str) -> Run {
    let mut command = Process::command();
    command.args(["backup", "--config", "credvault.toml", "--to", file]);
    run(vault.folder.path(), command)
}

fn restore(vault: &TestVault, to: &PostgresDatabase) -> Run {
    let mut command = Process::command();
    command.args(["restore", "--from", "vault.backup", "--no-later-erasures", "--config", "credvault.toml"]);
    command.args(["--set", &format!("store.url={}", to.url)]);
    command.args(["--set", &format!("store.migrate_url={}", to.migrate_url)]);
    command.args(["--set", &format!("store.owner_role={}", to.owner_role)]);
    run(vault.folder.path(), command)
}

fn dump(vault: &TestVault) -> Run {
    let mut command = postgres_program("pg_dump");
    let url = &vault.database.as_ref().unwrap().migrate_url;
    command.args(["--format=custom", "--schema=credvault", "--file=vault.dump", "--dbname", url]);
    run(vault.folder.path(), command)
}

fn load(vault: &TestVault, to: &PostgresDatabase) -> Run {
    let mut command = postgres_program("pg_restore");
    command.args(["--exit-on-error", "--dbname", &to.migrate_url, "vault.dump"]);
    run(vault.folder.path(), command)
}

/// Runs a program to its end, and watches its memory.
fn run(folder: &Path, mut command: Command) -> Run {
    let begun = Instant::now();
    let mut child = command.current_dir(folder).stdout(std::process::Stdio::null()).spawn().unwrap();
    let mut peak: f64 = 0.0;
    let status = loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let mib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        peak = peak.max(mib.unwrap_or_default() / 1024.0);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{command:?}");
    Run { time: begun.elapsed(), peak }
}

fn report(rows: usize, few: Run, ours: [Run; 2], theirs: [Run; 2], sizes: [f64; 2]) -> String {
    let seconds = |run: Run| run.time.as_secs_f64() / ROUNDS as f64;
    let ratio = |at: usize| seconds(theirs[at]) / seconds(ours[at]);
    format!(
        "# Benchmark of backups\n\nFor the engineer who asks how long a backup takes, and how long the way back. Measured by `cargo \
         bench --bench backup` on {date}, {cores} cores, Linux: PostgreSQL with its defaults (every commit reaches the disk) shares \
         the machine, which is noisy. Each record is a connection and one version with a sealed value of 600 bytes, \
         which no compression makes smaller. `pg_dump --format=custom` and `pg_restore` with one process each, in {ROUNDS} rounds in \
         turns; the times are means. A backup is sealed, hashed and signed, and reaches the disk before the command ends; a \
         restore checks all of that, makes the same keys and indexes as `pg_restore`, and looks at every table for its plans.\n\n\
         | | credvault | PostgreSQL's program | how many times as fast |\n|---|---|---|---|\n\
         | records | {rows} | {rows} | |\n\
         | backup, seconds | {a:.1} | {b:.1} | {c:.1} |\n\
         | restore, seconds | {d:.1} | {e:.1} | {f:.1} |\n\
         | size, MiB | {g:.0} | {h:.0} | |\n\
         | resident memory of the backup at its highest, MiB | {i:.0} | {j:.0} | |\n\
         | the same, a tenth of the records | {k:.0} | | |\n\
         | resident memory of the restore at its highest, MiB | {l:.0} | {m:.0} | |\n",
        date = time::OffsetDateTime::now_utc().date(),
        cores = std::thread::available_parallelism().map_or(0, usize::from),
        a = seconds(ours[0]),
        b = seconds(theirs[0]),
        c = ratio(0),
        d = seconds(ours[1]),
        e = seconds(theirs[1]),
        f = ratio(1),
        g = sizes[1],
        h = sizes[0],
        i = ours[0].peak,
        j = theirs[0].peak,
        k = few.peak,
        l = ours[1].peak,
        m = theirs[1].peak,
    )
}
