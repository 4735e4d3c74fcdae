//! How commands reach a running vault: like any client, with a profile.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use super::distrust::cause;
use super::environment;
use super::failure::Failure;
use super::profile::{DEV_OPERATOR_PROFILE, DEV_PROFILE, Profile, Said};
use super::whose::Whose;
use crate::trace;
use credvault_proto::v1::admin_service_client::AdminServiceClient;
use credvault_proto::v1::audit_service_client::AuditServiceClient;
use credvault_proto::v1::connection_service_client::ConnectionServiceClient;
use credvault_proto::v1::vault_service_client::VaultServiceClient;

/// How long a command waits for a response.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// The profile of this process, once a vault was reached with it.
static CALLED: OnceLock<Profile> = OnceLock::new();
/// The heading of the options for the vault and the caller in the help of each command that has them.
const HEADING: &str = "Vault and caller";

/// Which vault to call, and as which caller.
#[derive(Args, Default, Debug)]
pub(super) struct ClientArgs {
    /// A profile: address, certificates, tenant; or the variable CREDVAULT_PROFILE. Without one, that of `credvault dev` in
    /// this folder.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    profile: Option<PathBuf>,
    /// The vault's address, such as https://localhost:7443, instead of the profile's; or CREDVAULT_ADDRESS.
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new(), help_heading = HEADING)]
    address: Option<String>,
    /// The tenant that the command is about, instead of the profile's; or CREDVAULT_TENANT.
    #[arg(long, value_name = "ID", alias = "of-tenant", value_parser = NonEmptyStringValueParser::new(),
        help_heading = HEADING)]
    tenant: Option<String>,
    /// The user to act for, instead of the profile's; or CREDVAULT_USER.
    #[arg(long, value_parser = NonEmptyStringValueParser::new(), help_heading = HEADING)]
    user: Option<String>,
    /// The authorities that vouch for the vault, PEM, instead of the profile's; or CREDVAULT_AUTHORITY.
    #[arg(long, value_name = "FILE", hide_short_help = true, help_heading = HEADING)]
    authority: Option<PathBuf>,
    /// The caller's certificate chain, PEM, instead of the profile's; or CREDVAULT_CERTIFICATE.
    #[arg(long, value_name = "FILE", hide_short_help = true, help_heading = HEADING)]
    certificate: Option<PathBuf>,
    /// The private key of that certificate, PEM, instead of the profile's; or CREDVAULT_KEY.
    #[arg(long, value_name = "FILE", hide_short_help = true, help_heading = HEADING)]
    key: Option<PathBuf>,
}

impl ClientArgs {
    /// The tenant that the command line names.
    pub(super) fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The tenant that option or variable names.
    pub(super) fn said_tenant(&self) -> Result<Option<String>, Failure> {
        Ok(self.said()?.tenant)
    }

    /// The tenant that a command of administrators is about: the one that stands where the command expects its id, which an
    /// option must not contradict, or else that of the option, the variable or the profile.
    pub(super) fn tenant_or(&self, named: Option<&str>) -> Result<Option<String>, Failure> {
        match (named, self.tenant()) {
            (Some(named), Some(option)) if named != option => Err(Failure::Usage(
                "TENANT_ID and --tenant name two tenants: leave out one of them".to_owned(),
            )),
            (Some(named), _) => Ok(Some(named.to_owned())),
            (None, _) => match self.said_tenant()? {
                Some(said) => Ok(Some(said)),
                None => Ok(self.read()?.tenant().map(str::to_owned)),
            },
        }
    }

    /// What options and variables say. An option wins over its variable.
    fn said(&self) -> Result<Said, Failure> {
        let text =
            |option: &Option<String>, name| environment::text(option.as_ref(), name).map_err(Failure::Usage);
        let path = |option: &Option<PathBuf>, name| environment::path(option.as_ref(), name);
        Ok(Said {
            profile: path(&self.profile, "CREDVAULT_PROFILE"),
            address: text(&self.address, "CREDVAULT_ADDRESS")?,
            authority: path(&self.authority, "CREDVAULT_AUTHORITY"),
            certificate: path(&self.certificate, "CREDVAULT_CERTIFICATE"),
            key: path(&self.key, "CREDVAULT_KEY"),
            tenant: text(&self.tenant, "CREDVAULT_TENANT")?,
            user: text(&self.user, "CREDVAULT_USER")?,
        })
    }

    /// The options that another command needs to reach the same vault as the same caller, each with a blank in front. What
    /// variables say is named, too: the command may be copied to another terminal.
    pub(super) fn repeated(&self) -> String {
        // What cannot be said was refused before there is anything to repeat.
        let Ok(said) = self.said() else { return String::new() };
        let file = |path: Option<PathBuf>| path.map(|path| path.display().to_string());
        let options = [
            ("profile", file(said.profile)),
            ("address", said.address),
            ("tenant", said.tenant),
            ("user", said.user),
            ("authority", file(said.authority)),
            ("certificate", file(said.certificate)),
            ("key", file(said.key)),
        ];
        let given = options.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given.map(|(name, value)| format!(" --{name} {}", quoted(&value))).collect()
    }

    /// The profile, with what options and variables say otherwise.
    pub(super) fn read(&self) -> Result<Profile, Failure> {
        self.said()?.profile(DEV_PROFILE)
    }

    /// Reads the profile and connects.
    pub(super) async fn connect(&self) -> Result<Client, Failure> {
        Client::connect(&self.read()?).await
    }

    /// The profile, and where none is named that of the operator of `credvault dev`.
    pub(super) fn read_as_operator(&self) -> Result<Profile, Failure> {
        self.said()?.profile(DEV_OPERATOR_PROFILE)
    }
}

/// The profile with which this process has reached a vault, if it has.
pub(super) fn called() -> Option<&'static Profile> {
    CALLED.get()
}

/// A word as a shell takes it: in quotes, if it has more than letters, digits and what stands in paths and URLs.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// An open connection to a vault.
#[derive(Clone)]
pub(super) struct Client {
    channel: Channel,
    headers: Headers,
    user: Option<String>,
    whose: Whose,
}

/// A channel that says who calls.
pub(super) type Calling = InterceptedService<Channel, Headers>;

/// What every call carries.
#[derive(Clone)]
pub(super) struct Headers(Vec<(&'static str, MetadataValue<Ascii>)>);

impl tonic::service::Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (name, value) in &self.0 {
            request.metadata_mut().insert(*name, value.clone());
        }
        request.metadata_mut().as_mut().extend(trace::outgoing());
        request.set_timeout(CALL_TIMEOUT);
        Ok(request)
    }
}

impl Client {
    pub(super) async fn connect(profile: &Profile) -> Result<Self, Failure> {
        let endpoint = Endpoint::from_shared(profile.address.clone()).ok();
        // The library calls any other address in the clear, whatever certificates it has.
        let endpoint = endpoint.filter(|endpoint| endpoint.uri().scheme_str() == Some("https"));
        let endpoint = endpoint.ok_or_else(|| {
            let rule = "must begin with https://, such as https://localhost:7443";
            Failure::Usage(format!("the address, in the profile or after --address, {rule}"))
        })?;
        let read = |path: &Path| std::fs::read(path).map_err(|error| unreadable(path, &error));
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(&profile.authority)?))
            .identity(Identity::from_pem(read(&profile.certificate)?, read(&profile.key)?));
        let endpoint = endpoint.connect_timeout(CALL_TIMEOUT).tls_config(tls).map_err(|error| {
            let files = "authority, certificate or key";
            Failure::Usage(format!("the profile's {files} cannot be used: {}", chain(&error)))
        })?;
        let channel = endpoint.connect().await.map_err(|error| {
            let (address, why) = (&profile.address, chain(&error));
            let (why, way_out) = match cause(&why) {
                Some(cause) => (cause.text.to_owned(), cause.advice),
                None => (why, "`credvault doctor` looks for the cause"),
            };
            Failure::from(Status::unavailable(format!("{address} cannot be reached: {why}; {way_out}")))
        })?;
        // Kept for the case that the connection breaks. The first one is the one that the command line means.
        let _ = CALLED.set(profile.clone());
        let whose = match profile.token_file {
            Some(_) => Whose::OfToken,
            None => Whose::of(profile.tenant.clone()),
        };
        Ok(Self { channel, headers: Headers::of(profile)?, user: profile.user.clone(), whose })
    }

    /// The same connection, acting for another tenant.
    pub(super) fn acting_for(&self, tenant: &str) -> Result<Self, Failure> {
        let headers = Headers(vec![("x-tenant-id", header("tenant", tenant)?)]);
        Ok(Self {
            channel: self.channel.clone(),
            headers,
            user: None,
            whose: Whose::Tenant(tenant.to_owned()),
        })
    }

    /// The same connection, acting for no tenant: for the platform's own.
    pub(super) fn for_platform(&self) -> Self {
        Self {
            channel: self.channel.clone(),
            headers: Headers(Vec::new()),
            user: None,
            whose: Whose::Platform,
        }
    }

    /// Whose connections and records it reaches.
    pub(super) fn whose(&self) -> &Whose {
        &self.whose
    }

    /// The user that it acts for, where the profile names one.
    pub(super) fn user(&self) -> Option<&String> {
        self.user.as_ref()
    }

    /// The channel itself, which says nothing of a caller but the certificate.
    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn calling(&self) -> Calling {
        InterceptedService::new(self.channel.clone(), self.headers.clone())
    }

    pub(super) fn vault(&self) -> VaultServiceClient<Calling> {
        VaultServiceClient::new(self.calling())
    }

    pub(super) fn audit(&self) -> AuditServiceClient<Calling> {
        AuditServiceClient::new(self.calling())
    }

    pub(super) fn connections(&self) -> ConnectionServiceClient<Calling> {
        ConnectionServiceClient::new(self.calling())
    }

    /// Administrators' calls name their tenant in the request. A header would say that the caller acts for the tenant, which
    /// policies permit to other services.
    pub(super) fn admin(&self) -> AdminServiceClient<Calling> {
        let headers = self.headers.of_administrator();
        AdminServiceClient::new(InterceptedService::new(self.channel.clone(), headers))
    }
}

impl Headers {
    /// The same without tenant and user.
    fn of_administrator(&self) -> Self {
        let kept = self.0.iter().filter(|(name, _)| !matches!(*name, "x-tenant-id" | "x-user-id"));
        Self(kept.cloned().collect())
    }

    fn of(profile: &Profile) -> Result<Self, Failure> {
        let mut headers = Vec::new();
        if let Some(path) = &profile.token_file {
            let token = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
            let mut value = header("token_file", &format!("Bearer {}", token.trim()))?;
            value.set_sensitive(true);
            return Ok(Self(vec![("authorization", value)]));
        }
        if let Some(tenant) = &profile.tenant {
            headers.push(("x-tenant-id", header("tenant", tenant)?));
        }
        if let Some(user) = &profile.user {
            headers.push(("x-user-id", header("user", user)?));
        }
        Ok(Self(headers))
    }
}

fn header(name: &str, text: &str) -> Result<MetadataValue<Ascii>, Failure> {
    text.parse().map_err(|_| Failure::Usage(format!("{name} must be printable ASCII")))
}

/// A file that the command line or the profile names cannot be read.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("{} cannot be read: {error}", path.display()))
}

fn chain(error: &dyn std::error::Error) -> String {
    credvault_domain::chain(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_repeated_for_the_same_vault_and_caller() {
        let mut arguments = ClientArgs::default();
        assert_eq!(arguments.repeated(), "");
        arguments.profile = Some("my profiles/operator.toml".into());
        arguments.address = Some("https://localhost:7443".to_owned());
        arguments.user = Some("it's".to_owned());
        let expected =
            r" --profile 'my profiles/operator.toml' --address https://localhost:7443 --user 'it'\''s'";
        assert_eq!(arguments.repeated(), expected);
    }

    #[test]
    fn one_tenant_is_meant_however_it_is_named() {
        let named =
            |tenant: Option<&str>| ClientArgs { tenant: tenant.map(str::to_owned), ..ClientArgs::default() };
        let of = |option, place: Option<&str>| named(option).tenant_or(place).ok().flatten();
        assert_eq!(of(Some("acme"), None).as_deref(), Some("acme"));
        assert_eq!(of(None, Some("acme")).as_deref(), Some("acme"));
        assert_eq!(of(Some("acme"), Some("acme")).as_deref(), Some("acme"));
        let two = named(Some("acme")).tenant_or(Some("globex"));
        assert!(matches!(two, Err(Failure::Usage(text)) if text.contains("two tenants")));
    }

    #[test]
    fn calls_of_administrators_name_no_tenant_in_headers() {
        let header = |name, text: &str| (name, text.parse().expect("a header"));
        let headers = Headers(vec![
            header("x-tenant-id", "acme"),
            header("x-user-id", "u1"),
            header("authorization", "CANARY"),
        ]);
        let names: Vec<&str> = headers.of_administrator().0.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["authorization"]);
    }

    /// What a profile with this address is refused with, before anything is called.
    async fn refused(address: &str, folder: &Path) -> String {
        let profile = Profile {
            address: address.to_owned(),
            authority: folder.join("ca.pem"),
            certificate: folder.join("app.pem"),
            key: folder.join("app.key"),
            tenant: None,
            user: None,
            token_file: None,
            environment: None,
            file: None,
        };
        match Client::connect(&profile).await {
            Err(Failure::Usage(text)) => text,
            other => panic!("{:?}", other.map(drop)),
        }
    }

    #[tokio::test]
    async fn an_address_in_the_clear_and_a_missing_file_are_wrong_usage() {
        let folder = tempfile::tempdir().expect("folder");
        for address in ["http://localhost:7443", "localhost:7443", "ftp://localhost", "CANARY", ""] {
            let text = refused(address, folder.path()).await;
            assert!(text.contains("must begin with https://") && !text.contains("CANARY"), "{text}");
        }
        for file in ["ca.pem", "app.pem", "app.key"] {
            let text = refused("https://localhost:7443", folder.path()).await;
            assert!(text.contains(file) && text.contains("cannot be read"), "{text}");
            std::fs::write(folder.path().join(file), "CANARY").expect("file");
        }
        let text = refused("https://localhost:7443", folder.path()).await;
        assert!(text.contains("cannot be used") && !text.contains("CANARY"), "{text}");
    }
}
