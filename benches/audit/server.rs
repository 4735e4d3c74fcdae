//! A PostgreSQL of its own, whose CPU is measured, with the database of a vault.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use credvault::SystemClock;
use credvault_crypto::{RootKeySource, SystemRandom};
use credvault_store::{Store, StoreSettings, migrate};
use credvault_testkit::{Postgres, PostgresDatabase};

pub(crate) struct Server {
    pub(crate) database: PostgresDatabase,
    /// The process of which all others of the server are children.
    postmaster: String,
    folder: tempfile::TempDir,
    _server: Postgres,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let server = Postgres::start(&["shared_buffers=512MB", "max_wal_size=8GB"]);
        let database = server.database();
        let pid = database.psql("SELECT pg_read_file('postmaster.pid')");
        let postmaster = pid.lines().next().unwrap().trim().to_owned();
        let folder = tempfile::tempdir().unwrap();
        let settings = StoreSettings::new(database.url.clone().into());
        let migrate_url = database.migrate_url.clone().into();
        migrate(&settings, Some(&migrate_url), &database.owner_role, &SystemRandom).await.unwrap();
        Self { database, postmaster, folder, _server: server }
    }

    pub(crate) async fn store(&self) -> Store {
        let path = self.folder.path().join("root.key");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(format!("{}ff", "01".repeat(31)).as_bytes()).unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(0o600)).unwrap();
        let settings = StoreSettings::new(self.database.url.clone().into());
        let root = RootKeySource::File(path).into();
        Store::open(settings, &root, Arc::new(SystemClock), Arc::new(SystemRandom)).await.unwrap()
    }

    /// The CPU time of the server's processes so far, those that have ended included.
    pub(crate) fn cpu(&self) -> Duration {
        let mut ticks = 0;
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            // The name, in brackets, may have spaces; what follows has the parent second.
            let Some((before, after)) = stat.rsplit_once(") ") else { continue };
            let fields: Vec<&str> = after.split(' ').collect();
            let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            let is_postmaster = before.split(' ').next() == Some(self.postmaster.as_str());
            if is_postmaster {
                ticks += field(11) + field(12) + field(13) + field(14);
            } else if fields.get(1) == Some(&self.postmaster.as_str()) {
                ticks += field(11) + field(12);
            }
        }
        // Linux counts in hundredths of a second.
        Duration::from_millis(ticks * 10)
    }

    /// Has each commit take longer, as on a slow disk.
    pub(crate) async fn delay_commits(&self, delay: Duration) {
        self.database.psql(&format!("ALTER SYSTEM SET commit_delay = {}", delay.as_micros()));
        self.database.psql("ALTER SYSTEM SET commit_siblings = 0");
        self.database.psql("SELECT pg_reload_conf()");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    /// How many bytes a record takes, in the log and in the tree.
    pub(crate) async fn bytes(&self) -> String {
        self.database.psql("VACUUM FULL credvault.audit_bundles");
        let number = |sql: &str| self.database.psql(sql).trim().parse::<f64>().unwrap_or(0.0);
        let size = |table: &str| number(&format!("SELECT pg_total_relation_size('credvault.{table}')"));
        let records = number("SELECT sum(records) FROM credvault.audit_bundles").max(1.0);
        let rows = number("SELECT count(*) FROM credvault.audit_events").max(1.0);
        let part = format!(
            "\n**Bytes.** {records:.0} records take {:.0} bytes each on disk with all indexes: {:.0} in bundles, {:.0} in tiles. A row \
             in `audit_events` takes {:.0}.\n",
            (size("audit_bundles") + size("audit_tiles")) / records,
            size("audit_bundles") / records,
            size("audit_tiles") / records,
            size("audit_events") / rows,
        );
        println!("{part}");
        part
    }
}
