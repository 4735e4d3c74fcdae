//! How fast keys are rotated: the root key over 100,000 tenants, and a tenant's key over 1,000,000 records of 600 bytes, by a
//! vault in a process of its own, beside plain updates of as many rows in a copy of the same table, in one run, on PostgreSQL
//! and on SQLite. Writes `docs/benchmarks-keys.md`. `CREDVAULT_BENCH_TENANTS` and `CREDVAULT_BENCH_ROWS` ask for other numbers.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot be set up has failed")]

#[path = "../tests/it"]
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports, reason = "shared with the tests")]
mod it {
    pub mod harness;
}

#[path = "keys/database.rs"]
mod database;
#[path = "keys/fill.rs"]
mod fill;
#[path = "keys/raw.rs"]
mod raw;
#[path = "keys/rotate.rs"]
mod rotate;

use credvault_proto::v1;
use credvault_testkit::Postgres;

use database::Reached;
use fill::{Filler, OTHER_ROOT, TENANT, secret};
use it::harness::{TestVault, VaultBuilder, by_id, generic, write};
use raw::{How, KEYS, RECORDS, Raw, Table};
use rotate::{Rotated, Rotation, rotate, served};

/// How often each is measured, in turns. An even number, so that the root key ends where it began.
const ROUNDS: usize = 2;

fn main() {
    let number = |name: &str, usual: usize| {
        std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number of rows"))
    };
    let tenants = number("CREDVAULT_BENCH_TENANTS", 100_000);
    let records = number("CREDVAULT_BENCH_ROWS", 1_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(async {
        // A server of its own with its defaults: every commit reaches the disk.
        let server = Postgres::start(&[]);
        let postgres = measure(VaultBuilder::on(server.database()), tenants, records).await;
        let sqlite = measure(VaultBuilder::sqlite(), tenants, records).await;
        report(&postgres, &sqlite)
    });
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks-keys.md"), &report).unwrap();
    println!("{report}");
}

/// What was measured of one kind of rotation.
#[derive(Default)]
struct Measured {
    rows: usize,
    /// Rows a second: the vault's, those of an update for each row, those of an update for each batch.
    rates: [f64; 3],
    /// The vault's highest resident memory in MiB, with a tenth of the rows and with all.
    memory: [f64; 2],
}

impl Measured {
    /// Adds a round's rates, which are means in the end.
    fn round(&mut self, rotated: Rotated, raw: [f64; 2]) {
        self.memory[1] = self.memory[1].max(rotated.peak);
        for (sum, rate) in self.rates.iter_mut().zip([rotated.per_second, raw[0], raw[1]]) {
            *sum += rate / ROUNDS as f64;
        }
    }
}

async fn measure(builder: VaultBuilder, tenants: usize, records: usize) -> [Measured; 2] {
    let with_other = |settings: &mut credvault::settings::RawSettings, folder: &std::path::Path| {
        write(folder, OTHER_ROOT, &format!("{}01", "a5".repeat(31)));
        settings.other_root_key.file = Some(folder.join(OTHER_ROOT));
    };
    let mut vault = builder.settings(with_other).start().await;
    let roots = prepare(&vault).await;
    vault.stop().await;
    let reached = Reached::of(&vault).await;
    let filler = Filler::new(&reached, vault.folder.path());
    let (mut keys, mut sealed) = (Measured::default(), Measured::default());
    filler.tenants(0..tenants / 10).await;
    filler.records(0..records / 10).await;
    reached.settle(None).await;
    for root in [&roots[1], &roots[0]] {
        let few = rotate(&vault, Rotation::Root(root.clone())).await;
        keys.memory[0] = keys.memory[0].max(few.peak);
    }
    sealed.memory[0] = rotate(&vault, Rotation::Tenant).await.peak;
    filler.tenants(tenants / 10..tenants).await;
    filler.records(records / 10..records).await;
    let raw = Raw::copied(&vault, &reached).await;
    for round in 0..ROUNDS {
        let root = roots[(round + 1) % 2].clone();
        for (measured, rotation, table) in
            [(&mut keys, Rotation::Root(root), &KEYS), (&mut sealed, Rotation::Tenant, &RECORDS)]
        {
            reached.settle(Some(table)).await;
            let rotated = rotate(&vault, rotation).await;
            measured.rows = rotated.rows;
            measured.round(rotated, in_turns(&raw, table).await);
        }
    }
    opens(&vault, records).await;
    [keys, sealed]
}

/// The rates of plain updates of a table's copy.
async fn in_turns(raw: &Raw, table: &Table) -> [f64; 2] {
    let mut rates = [0.0; 2];
    for (rate, how) in rates.iter_mut().zip([How::Row, How::Batch]) {
        raw.settle(table).await;
        *rate = raw.update(table, how).await;
    }
    rates
}

/// What rows are copies of. Gives the ids of the root keys, the active one first.
async fn prepare(vault: &TestVault) -> [String; 2] {
    vault.tenant(fill::MODEL).await;
    vault.app(TENANT).await.create(generic("main", "CANARY")).await.unwrap();
    let operator = vault.client("operator").await;
    let status = operator.admin().get_key_status(v1::GetKeyStatusRequest::default()).await.unwrap();
    let roots = status.into_inner().root_keys;
    [roots[0].id.clone(), roots[1].id.clone()]
}

/// Records that were filled in open over the wire.
async fn opens(vault: &TestVault, records: usize) {
    let process = served(vault);
    let app = rotate::client(vault, &process, "app").await.acting_for(TENANT, None);
    for number in [0, records / 10, records - 1] {
        let id = fill::id(number).to_string();
        assert_eq!(app.token(by_id(&id)).await.unwrap(), secret(number));
    }
}

fn report(postgres: &[Measured; 2], sqlite: &[Measured; 2]) -> String {
    let [keys, sealed] = [0, 1].map(|at| table([&postgres[at], &sqlite[at]]));
    format!(
        "# Benchmark of rotations\n\nFor the engineer who asks how long a rotation takes. Measured by `cargo bench --bench keys` \
         on {date}, {cores} cores, Linux: one vault process and the database share the machine, which is noisy; every commit \
         reaches the disk, and PostgreSQL has its defaults. Means of {ROUNDS} rounds in turns, without a limit on records a second; \
         before each, the tables are vacuumed and the write-ahead log is emptied. The plain updates are prepared statements that \
         write random bytes of the same size into a copy of the table with its indexes, without foreign keys and policies, in \
         transactions of as many rows: once with a statement for each row, once with a statement for each transaction.\n\n\
         ## The root key\n\nEach tenant's key is read, unwrapped, wrapped anew, unwrapped once more for comparison, and stored with \
         a row in the change feed. A second pass looks for what came meanwhile. {root} tenants go into one transaction.\n\n{keys}\n\
         ## A tenant's key\n\nEach record of 600 bytes is read with its connection, opened, sealed anew, opened once more for \
         comparison, and stored. A second pass looks for what came meanwhile. {batch} records go into one transaction.\n\n{sealed}",
        date = time::OffsetDateTime::now_utc().date(),
        cores = std::thread::available_parallelism().map_or(0, usize::from),
        root = KEYS.batch,
        batch = RECORDS.batch,
    )
}

fn table(columns: [&Measured; 2]) -> String {
    let row = |name: &str, cell: &dyn Fn(&Measured) -> String| {
        format!("| {name} | {} | {} |\n", cell(columns[0]), cell(columns[1]))
    };
    [
        "| | PostgreSQL | SQLite |\n|---|---|---|\n".to_owned(),
        row("rows", &|measured| measured.rows.to_string()),
        row("rotated a second", &|measured| format!("{:.0}", measured.rates[0])),
        row("plain updates a second, one statement a row", &|measured| format!("{:.0}", measured.rates[1])),
        row("share", &|measured| format!("{:.2}", measured.rates[0] / measured.rates[1])),
        row("plain updates a second, one statement a transaction", &|measured| {
            format!("{:.0}", measured.rates[2])
        }),
        row("share", &|measured| format!("{:.2}", measured.rates[0] / measured.rates[2])),
        row("resident memory of the vault at its highest, MiB", &|measured| {
            format!("{:.0}", measured.memory[1])
        }),
        row("the same, a tenth of the rows", &|measured| format!("{:.0}", measured.memory[0])),
    ]
    .concat()
}
