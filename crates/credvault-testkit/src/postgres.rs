//! A real PostgreSQL on a temporary directory. One server serves all tests of a process; each test has a database and
//! a role of its own. `CREDVAULT_TEST_POSTGRES` names a server that is running already (a superuser's URL).

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// A running PostgreSQL server.
pub struct Postgres {
    host: String,
    port: u16,
    password: String,
    /// Stops the server when its input closes, so also when this process is killed.
    _reaper: Option<Child>,
}

/// A test's own database, with a URL for its migrations and one for its own role. It is dropped with the last handle to it:
/// those of all tests take more than ten gigabytes.
#[derive(Clone, Debug)]
pub struct PostgresDatabase {
    /// The URL of the superuser.
    pub migrate_url: String,
    /// The URL of the service's role, which the migrations create.
    pub url: String,
    /// The role that will own the schema.
    pub owner_role: String,
    /// The port of the server.
    pub port: u16,
    _dropped: Arc<Dropped>,
}

/// Drops a database in the end, with whatever is still connected to it.
#[derive(Debug)]
struct Dropped {
    name: String,
    superuser_url: String,
}

impl Postgres {
    /// The server of this process, started at the first call.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var("CREDVAULT_TEST_POSTGRES") {
            Ok(url) => Self::running(&url),
            Err(_) => Self::start(&["fsync=off", "full_page_writes=off"]),
        })
    }

    fn running(url: &str) -> Self {
        let rest =
            url.strip_prefix("postgres://postgres:").expect("CREDVAULT_TEST_POSTGRES: postgres://postgres:…");
        let (password, rest) = rest.split_once('@').expect("a password in CREDVAULT_TEST_POSTGRES");
        let (host, port) = rest.trim_end_matches("/postgres").split_once(':').expect("host:port");
        Self {
            host: host.to_owned(),
            port: port.parse().unwrap(),
            password: password.to_owned(),
            _reaper: None,
        }
    }

    /// Starts a server with settings of its own.
    pub fn start(settings: &[&str]) -> Self {
        let bin = bin_folder();
        let folder = tempfile::Builder::new().prefix("credvault-postgres-").tempdir().unwrap().keep();
        let data = folder.join("data");
        let password = "test-superuser".to_owned();
        let password_file = folder.join("password");
        std::fs::write(&password_file, &password).unwrap();
        run(Command::new("chmod").args(["-R", "go+rX"]).arg(&folder));
        let as_root = is_root();
        if as_root {
            run(Command::new("chown").args(["-R", "postgres"]).arg(&folder));
        }
        run(&mut server_command(&bin.join("initdb"), as_root, |command| {
            command.args([
                "--username=postgres",
                "--auth=scram-sha-256",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
            ]);
            command.arg(format!("--pwfile={}", password_file.display())).arg("-D").arg(&data);
        }));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut options = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories='' -c max_connections=200"
        );
        for setting in settings {
            options.push_str(&format!(" -c {setting}"));
        }
        run(&mut server_command(&bin.join("pg_ctl"), as_root, |command| {
            command.arg("-D").arg(&data).args(["-w", "-o", &options, "start", "-l"]).arg(folder.join("log"));
        }));
        let reaper = reaper(&bin, as_root, &data, &folder);
        Self { host: "127.0.0.1".to_owned(), port, password, _reaper: Some(reaper) }
    }

    /// The URL of the superuser.
    pub fn superuser_url(&self) -> String {
        format!("postgres://postgres:{}@{}:{}/postgres", self.password, self.host, self.port)
    }

    /// An empty database with names of its own.
    pub fn database(&self) -> PostgresDatabase {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Ids of processes come back within one run of all tests.
        let begun =
            std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_millis() % 100_000_000);
        let name = format!("t{}_{begun}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        self.psql(&format!("CREATE DATABASE {name}"));
        let (host, port) = (&self.host, self.port);
        let dropped = Dropped { name: name.clone(), superuser_url: self.superuser_url() };
        PostgresDatabase {
            _dropped: Arc::new(dropped),
            migrate_url: format!("postgres://postgres:{}@{host}:{port}/{name}", self.password),
            url: format!("postgres://app_{name}:test-CANARY-app@{host}:{port}/{name}"),
            owner_role: format!("owner_{name}"),
            port,
        }
    }

    fn psql(&self, sql: &str) -> String {
        psql(&self.superuser_url(), sql)
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        // The server may be gone, which is as good.
        let _ = try_psql(&self.superuser_url, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

impl PostgresDatabase {
    /// This database for the roles of another one of the same server, of which it has a copy.
    #[must_use]
    pub fn with_roles_of(&self, other: &Self) -> Self {
        let (server, _) = other.url.rsplit_once('/').unwrap();
        let (_, name) = self.url.rsplit_once('/').unwrap();
        Self { url: format!("{server}/{name}"), owner_role: other.owner_role.clone(), ..self.clone() }
    }

    /// The name of the service's role.
    pub(crate) fn service_role(&self) -> String {
        let rest = self.url.trim_start_matches("postgres://");
        rest.split(':').next().unwrap_or_default().to_owned()
    }

    /// Runs SQL as the superuser and returns its output, unaligned.
    pub fn psql(&self, sql: &str) -> String {
        psql(&self.migrate_url, sql)
    }

    /// Runs SQL as the service's role and returns the error text if the server refuses it.
    pub fn psql_as_service(&self, sql: &str) -> Result<String, String> {
        try_psql(&self.url, sql)
    }
}

/// A command of one of PostgreSQL's programs, such as `pg_dump`.
pub fn postgres_program(name: &str) -> Command {
    Command::new(bin_folder().join(name))
}

fn psql(url: &str, sql: &str) -> String {
    try_psql(url, sql).unwrap_or_else(|error| panic!("psql: {error}"))
}

fn try_psql(url: &str, sql: &str) -> Result<String, String> {
    let mut command = Command::new(bin_folder().join("psql"));
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-f", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The folder of PostgreSQL's programs: on the path, or the newest of Debian's.
fn bin_folder() -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let linked = std::env::split_paths(&on_path).find_map(|folder| folder.join("initdb").canonicalize().ok());
    if let Some(folder) = linked.as_deref().and_then(Path::parent) {
        return folder.to_owned();
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL's server programs: scripts/test installs them");
    let mut versions: Vec<_> = versions.map(|entry| entry.unwrap().path().join("bin")).collect();
    versions.retain(|bin| bin.join("initdb").exists());
    versions.sort();
    versions.pop().expect("PostgreSQL's server programs: scripts/test installs them")
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// A command of the server, as the user `postgres` if this is root: PostgreSQL refuses to run as root.
fn server_command(program: &Path, as_root: bool, arguments: impl FnOnce(&mut Command)) -> Command {
    let mut command = if as_root {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/");
    arguments(&mut command);
    command
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn reaper(bin: &Path, as_root: bool, data: &Path, folder: &Path) -> Child {
    let script = format!(
        "cat >/dev/null; '{}' -D '{}' -m immediate stop >/dev/null 2>&1; rm -rf '{}'",
        bin.join("pg_ctl").display(),
        data.display(),
        folder.display()
    );
    let mut command = server_command(Path::new("sh"), as_root, |command| {
        command.args(["-c", &script]);
    });
    // A process group of its own, so that an interrupt at the terminal does not end it before its work.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
