//! The folder of `dev` and `demo`: certificates, keys, policies and a configuration. What is missing is made; nothing in it
//! is overwritten but the file of the simulator's provider, and the port in profiles that are still as they were made.

mod authority;

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use credvault_domain::{Clock as _, Random as _};

use authority::{Authority, Issued};

use super::failure::Failure;
use super::profile::Profile;
use crate::SystemClock;
use crate::settings::RawSettings;

/// The tenant that is seeded.
pub(super) const TENANT: &str = "demo";

/// The services that get a certificate: the app that may, one that may not, and the operators' own.
const SERVICES: [&str; 3] = ["app", "reporter", "operator"];

/// The profiles, each with its service.
const PROFILES: [(&str, &str); 2] = [("profile.toml", "app"), ("operator.toml", "operator")];

const POLICIES: &str = r#"// Who may do what. The vault loads changes while it runs; `credvault config check` checks them.
// `credvault config show --policy-schema` shows what policies may name.

// The app stores and fetches for whichever tenant it names in the header x-tenant-id, for all its users: without
// AccessOtherUsers, a call that names no user reaches only the tenant's own connections. A service that answers users must
// not have it: with it, a call that names one user reaches the connections of all.
@id("app-works-for-tenants")
permit (
    principal == Service::"spiffe://dev.local/app",
    action in [
        Action::"AssertTenant", Action::"AccessOtherUsers",
        Action::"VaultService", Action::"ConnectionService", Action::"AuditService"
    ],
    resource
);

// The reporter sees which connections there are, and no credential.
@id("reporter-sees-connections")
permit (
    principal == Service::"spiffe://dev.local/reporter",
    action in [Action::"AssertTenant", Action::"ListConnections", Action::"GetConnection"],
    resource
);

// The operator administers tenants and the platform's own connections.
@id("operator-administers")
permit (
    principal == Service::"spiffe://dev.local/operator",
    action in [Action::"AdminService", Action::"ActForPlatform", Action::"ConnectionService", Action::"AuditService"],
    resource
);

// The operator looks into tenants, too: their audit log, usage and versions, for the console. It fetches nothing.
@id("operator-looks-into-tenants")
permit (
    principal == Service::"spiffe://dev.local/operator",
    action in [Action::"AssertTenant", Action::"AccessOtherUsers", Action::"ListCredentialVersions"],
    resource
);

// No service outside of this machine may fetch.
@id("only-from-here")
@advice("call from the machine that the vault runs on")
forbid (principal, action in Action::"Fetching", resource)
unless { context.source.isLoopback() };
"#;

const CONFIGURATION: &str = r#"# A vault on a laptop. docs/configuration.md lists every setting.
[server]
certificate = "server.pem"
key = "server.key"
reflection = true

[store]
url = "sqlite:vault.db"

[root_key]
file = "root.key"

[identity]
trust_domains = { "dev.local" = "ca.pem" }
policies = ["policies.cedar"]

[telemetry]
log_format = "text"
log_level = "warn"
"#;

/// A dev folder that has everything.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Opens the folder and makes what is missing in it.
    pub(super) fn open(path: &Path, address: SocketAddr) -> Result<Self, Failure> {
        let builder = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        builder.with_context(|| format!("the folder {} cannot be made", path.display()))?;
        let folder = Self(path.to_owned());
        folder.fill(address)?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn fill(&self, address: SocketAddr) -> anyhow::Result<()> {
        let now = SystemClock.now();
        self.write_pair("ca", || Authority::generate(now))?;
        let authority = || Authority::read(&self.read("ca.pem")?, &self.read("ca.key")?, now);
        self.write_pair("server", || authority()?.issue("spiffe://dev.local/credvault", Some(address.ip())))?;
        for service in SERVICES {
            self.write_pair(service, || authority()?.issue(&format!("spiffe://dev.local/{service}"), None))?;
        }
        self.write("root.key", || {
            let mut key = [0; 32];
            credvault_crypto::SystemRandom.fill(&mut key)?;
            Ok(key.iter().map(|byte| format!("{byte:02x}")).collect())
        })?;
        self.write("policies.cedar", || Ok(POLICIES.to_owned()))?;
        self.write("credvault.toml", || Ok(CONFIGURATION.to_owned()))?;
        for (file, service) in PROFILES {
            self.write(file, || profile_text(service, address.port()))?;
        }
        Ok(())
    }

    /// Has the profiles name the port that is served. One that is not as it was made belongs to the reader, and stays.
    pub(super) fn follow(&self, port: u16) -> anyhow::Result<()> {
        for (file, service) in PROFILES {
            let text = self.read(file)?;
            let before = toml::from_str(&text).ok().and_then(|profile: Profile| {
                let port = profile.address.strip_prefix("https://localhost:")?;
                port.parse::<u16>().ok()
            });
            let Some(before) = before.filter(|before| *before != port) else { continue };
            if text == profile_text(service, before)? {
                self.replace(file, &profile_text(service, port)?)?;
            }
        }
        Ok(())
    }

    fn write_pair(&self, name: &str, make: impl FnOnce() -> anyhow::Result<Issued>) -> anyhow::Result<()> {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        match (self.0.join(&certificate).exists(), self.0.join(&key).exists()) {
            (true, true) => return Ok(()),
            (false, false) => {}
            _ => anyhow::bail!(
                "{name}.pem and {name}.key belong together and one is missing: delete the other, too"
            ),
        }
        let issued = make()?;
        // The key first: a certificate without its key would look complete after a crash in between.
        self.write(&key, || Ok(issued.key))?;
        self.write(&certificate, || Ok(issued.certificate))
    }

    /// Writes a file that only its owner may read, unless it exists.
    fn write(&self, name: &str, make: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<()> {
        if self.0.join(name).exists() { Ok(()) } else { self.replace(name, &make()?) }
    }

    /// Writes a file that only its owner may read. It appears whole or not at all.
    fn replace(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.0.join(name);
        let failed = || format!("{} cannot be written", path.display());
        let unfinished = self.0.join(format!(".{name}.unfinished"));
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
        let mut file = file.with_context(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(failed)?;
        std::fs::rename(&unfinished, &path).with_context(failed)
    }

    /// Writes a provider's file, which is the program's own and so overwritten, and tells in which folder.
    pub(super) fn write_provider(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let folder = self.0.join("catalog");
        let path = folder.join(format!("{name}.toml"));
        let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, text));
        written.with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(folder)
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        let path = self.0.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
    }

    /// The folder's configuration with the settings of these variables, served at these addresses.
    pub(super) fn settings(
        &self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        address: SocketAddr,
        admin: SocketAddr,
    ) -> RawSettings {
        let overrides = [("server.address", address), ("server.admin_address", admin)];
        let overrides = overrides.map(|(key, address)| (key.to_owned(), address.to_string()));
        RawSettings::read(Some(&self.0.join("credvault.toml")), variables, &overrides)
    }

    /// The address that the folder's profile names.
    pub(super) fn served_at(&self) -> Result<String, Failure> {
        let text = self.read("profile.toml")?;
        Ok(Profile::parse(&self.0.join("profile.toml"), &text)?.address)
    }

    /// How a service of the folder calls a vault at `port`.
    pub(super) fn profile(&self, service: &str, port: u16) -> Profile {
        profile(service, port, &self.0)
    }
}

/// A profile of the folder as its file is made.
fn profile_text(service: &str, port: u16) -> anyhow::Result<String> {
    Ok(toml::to_string(&profile(service, port, Path::new("")))?)
}

fn profile(service: &str, port: u16, folder: &Path) -> Profile {
    Profile {
        address: format!("https://localhost:{port}"),
        authority: folder.join("ca.pem"),
        certificate: folder.join(format!("{service}.pem")),
        key: folder.join(format!("{service}.key")),
        // The operator works on all tenants and so for none.
        tenant: (service != "operator").then(|| TENANT.to_owned()),
        user: None,
        token_file: None,
        environment: None,
        file: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_follow_the_port_until_a_reader_changes_them() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(place.path(), SocketAddr::from(([127, 0, 0, 1], 7443))).expect("made");
        let read = |name: &str| std::fs::read_to_string(place.path().join(name)).expect("a profile");
        let made = ["profile.toml", "operator.toml"].map(read);
        folder.follow(7999).expect("written");
        assert_eq!(folder.served_at().expect("a profile"), "https://localhost:7999");
        assert_eq!(read("operator.toml"), made[1].replace(":7443", ":7999"));
        let changed = format!("# Mine.\n{}", read("operator.toml"));
        std::fs::write(place.path().join("operator.toml"), &changed).expect("written");
        folder.follow(7443).expect("written");
        assert_eq!((read("profile.toml"), read("operator.toml")), (made[0].clone(), changed));
    }
}
