//! How commands reach a running vault: like any client, with a profile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use super::args::OutputArgs;
use super::failure::Failure;
use crate::settings::wrong_toml;
use crate::trace;
use credvault_proto::v1::admin_service_client::AdminServiceClient;
use credvault_proto::v1::audit_service_client::AuditServiceClient;
use credvault_proto::v1::connection_service_client::ConnectionServiceClient;
use credvault_proto::v1::vault_service_client::VaultServiceClient;

/// Where `credvault dev` leaves a profile, seen from where it was started.
const DEV_PROFILE: &str = "credvault-dev/profile.toml";
/// The same for the operator.
const DEV_OPERATOR_PROFILE: &str = "credvault-dev/operator.toml";
/// How long a command waits for a response.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Which vault to call, and as which caller.
#[derive(Args, Debug)]
pub(super) struct ClientArgs {
    /// A profile: address, certificates, tenant. Without one, that of `credvault dev` in this folder.
    #[arg(long, env = "CREDVAULT_PROFILE", value_name = "FILE")]
    profile: Option<PathBuf>,
    /// The vault's address, such as https://localhost:7443, instead of the profile's.
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    /// The tenant to act for, instead of the profile's.
    #[arg(long)]
    tenant: Option<String>,
    /// The user to act for, instead of the profile's.
    #[arg(long)]
    user: Option<String>,
}

/// The tenant that a command of its administrators is about, how to call, and how to print.
#[derive(Args, Debug)]
pub(super) struct TenantArgs {
    /// The id of the tenant.
    #[arg(value_name = "TENANT_ID")]
    pub(super) id: String,
    #[command(flatten)]
    pub(super) client: ClientArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// A vault and how to call it. Relative paths begin at the profile's folder.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    /// Such as `https://localhost:7443`. The host must be in the server's certificate.
    pub(super) address: String,
    /// The PEM bundle of authorities that vouch for the server.
    pub(super) authority: PathBuf,
    /// The client's certificate chain, PEM.
    pub(super) certificate: PathBuf,
    /// Its private key, PEM.
    pub(super) key: PathBuf,
    /// The value of the header `x-tenant-id`.
    pub(super) tenant: Option<String>,
    /// The value of the header `x-user-id`.
    pub(super) user: Option<String>,
    /// A file with a token, sent as `authorization: Bearer` instead of tenant and user.
    pub(super) token_file: Option<PathBuf>,
}

impl Profile {
    /// Reads a profile. A message does not repeat what stands in it: a token may have been pasted there.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Failure> {
        toml::from_str(text).map_err(|error| {
            Failure::Usage(format!("the profile {}{}", path.display(), wrong_toml(text, &error)))
        })
    }
}

impl ClientArgs {
    /// The same, with the operator's profile of `credvault dev` where none is named.
    pub(super) fn as_operator(mut self) -> Self {
        self.profile.get_or_insert_with(|| PathBuf::from(DEV_OPERATOR_PROFILE));
        self
    }

    /// The tenant that the command line names.
    pub(super) fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The options that another command needs to reach the same vault as the same caller, each with a blank in front. What
    /// the environment says is named, too: the command may be copied to another terminal.
    pub(super) fn repeated(&self) -> String {
        let profile = self.profile.as_ref().map(|path| path.display().to_string());
        let options = [
            ("profile", profile.as_deref()),
            ("address", self.address.as_deref()),
            ("tenant", self.tenant.as_deref()),
            ("user", self.user.as_deref()),
        ];
        let given = options.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given.map(|(name, value)| format!(" --{name} {}", quoted(value))).collect()
    }

    /// Reads the profile and connects.
    pub(super) async fn connect(&self) -> Result<Client, Failure> {
        Client::connect(&self.read()?).await
    }

    /// The profile, with what the command line says otherwise.
    pub(super) fn read(&self) -> Result<Profile, Failure> {
        let path = self.profile.clone().unwrap_or_else(|| PathBuf::from(DEV_PROFILE));
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let way_out =
                "name one with --profile or CREDVAULT_PROFILE, or run `credvault dev` in this folder";
            Failure::Usage(format!("the profile {} cannot be read: {error}; {way_out}", path.display()))
        })?;
        let mut profile = Profile::parse(&path, &text)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let token = profile.token_file.as_mut().into_iter();
        for file in
            [&mut profile.authority, &mut profile.certificate, &mut profile.key].into_iter().chain(token)
        {
            *file = folder.join(&*file);
        }
        if self.tenant.is_some() || self.user.is_some() {
            profile.token_file = None;
        }
        profile.address = self.address.clone().unwrap_or(profile.address);
        profile.tenant = self.tenant.clone().or(profile.tenant);
        profile.user = self.user.clone().or(profile.user);
        Ok(profile)
    }
}

/// A word as a shell takes it: in quotes, if it has more than letters, digits and what stands in paths and URLs.
fn quoted(word: &str) -> String {
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
            Failure::from(Status::unavailable(format!(
                "{} cannot be reached: {}",
                profile.address,
                chain(&error)
            )))
        })?;
        Ok(Self { channel, headers: Headers::of(profile)?, user: profile.user.clone() })
    }

    /// The same connection, acting for another tenant.
    pub(super) fn acting_for(&self, tenant: &str) -> Result<Self, Failure> {
        let headers = Headers(vec![("x-tenant-id", header("tenant", tenant)?)]);
        Ok(Self { channel: self.channel.clone(), headers, user: None })
    }

    /// The same connection, acting for no tenant: for the platform's own.
    pub(super) fn for_platform(&self) -> Self {
        Self { channel: self.channel.clone(), headers: Headers(Vec::new()), user: None }
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

    pub(super) fn admin(&self) -> AdminServiceClient<Calling> {
        AdminServiceClient::new(self.calling())
    }
}

impl Headers {
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

    const TEXT: &str = r#"address = "https://CANARY 1:7443"
authority = "CANARY 2"
certificate = 'CANARY 3'
key = "CANARY 4"
tenant = "CANARY 5"
user = "CANARY 6"
token_file = "CANARY 7"
"#;

    #[test]
    fn a_command_is_repeated_for_the_same_vault_and_caller() {
        let mut arguments = ClientArgs { profile: None, address: None, tenant: None, user: None };
        assert_eq!(arguments.repeated(), "");
        arguments.profile = Some("my profiles/operator.toml".into());
        arguments.address = Some("https://localhost:7443".to_owned());
        arguments.user = Some("it's".to_owned());
        let expected =
            r" --profile 'my profiles/operator.toml' --address https://localhost:7443 --user 'it'\''s'";
        assert_eq!(arguments.repeated(), expected);
    }

    /// Whatever is broken where, by a character or a word more or less, the message does not repeat what was given.
    #[test]
    fn no_message_repeats_a_profile() {
        let parse = |text: &str| Profile::parse(Path::new("profile.toml"), text);
        assert!(parse(TEXT).is_ok());
        let more = [
            "\"",
            "'",
            "=",
            "[",
            "{",
            "\n",
            "#",
            "\\",
            "CANARY ",
            "\n\"CANARY\" = 1\n",
            "\nCANARY = 'CANARY'\n",
            "1",
        ];
        let mut refused = 0;
        for place in 0..TEXT.len() {
            for text in credvault_testkit::broken_at(TEXT, place, &more) {
                let Err(failure) = parse(&text) else { continue };
                refused += 1;
                let message = format!("{failure:?}");
                assert!(message.contains("profile.toml") && !message.contains("CANARY"), "{text}: {message}");
            }
        }
        assert!(refused > 500, "{refused}");
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

    #[test]
    fn what_is_wrong_with_a_profile_is_told_with_its_line() {
        let told = |text: &str| format!("{:?}", Profile::parse(Path::new("p.toml"), text).map(drop));
        let missing = told("address = 'a'\n");
        assert!(missing.contains("p.toml, line 1, is wrong: authority must be given"), "{missing}");
        let unknown = told(&format!("{TEXT}speed = 1\n"));
        assert!(unknown.contains("line 8, is wrong: unknown key speed, expected"), "{unknown}");
        assert!(told("address = 'a\n").contains("line 1, is not TOML"));
    }
}
