//! How AWS is reached, whichever service it is: region, endpoint, credentials, time-outs. It makes no call but to where
//! credentials are.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use tracing::Dispatch;
use tracing::instrument::WithSubscriber as _;

use crate::failure::Failure;

/// What callers give up after is shorter. These end what they have left behind.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);

/// What settings say about the way to AWS.
pub(super) struct Access<'a> {
    pub(super) region: Option<&'a str>,
    pub(super) endpoint: Option<&'a str>,
    pub(super) profile: Option<&'a str>,
    pub(super) credentials_file: Option<&'a Path>,
}

impl Access<'_> {
    /// The configuration of a client, after a check of what AWS's SDK would only find with the first call.
    ///
    /// # Errors
    /// [`Failure::Settings`]: a setting is of no use.
    pub(super) async fn config(&self) -> Result<SdkConfig, Failure> {
        let wrong = |text: &str| Err(Failure::Settings(text.to_owned()));
        if !self.endpoint.is_none_or(is_private) {
            return wrong("the endpoint is not https; plain http is for a server on this machine");
        }
        if let Some(file) = self.credentials_file
            && let Err(error) = std::fs::File::open(file)
        {
            return wrong(&format!("credentials_file {} cannot be read: {error}", file.display()));
        }
        Ok(self.load().with_subscriber(Dispatch::none()).await)
    }

    async fn load(&self) -> SdkConfig {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(TIMEOUT).build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .timeout_config(timeouts)
            // The guard around this repeats.
            .retry_config(RetryConfig::disabled());
        if let Some(region) = self.region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(profile) = self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(file) = self.credentials_file {
            let files = EnvConfigFiles::builder().with_file(EnvConfigFileKind::Credentials, file);
            loader = loader.profile_files(files.build());
        }
        if let Some(endpoint) = self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        loader.load().await
    }
}

/// Whether requests to an endpoint cannot be read on their way.
fn is_private(endpoint: &str) -> bool {
    let Some((scheme, rest)) = endpoint.split_once("://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    match scheme {
        "https" => !authority.is_empty(),
        "http" => {
            let is_loopback = |address: SocketAddr| address.ip().is_loopback();
            authority.strip_prefix("localhost:").is_some_and(|port| port.parse::<u16>().is_ok())
                || authority.parse().is_ok_and(is_loopback)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_private;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for private in
            ["https://vpce-1.kms.eu-central-1.vpce.amazonaws.com", "http://127.0.0.1:5000", "http://[::1]:1"]
        {
            assert!(is_private(private), "{private}");
        }
        for open in ["http://10.0.0.1", "http://kms.internal", "ftp://127.0.0.1", "kms", ""] {
            assert!(!is_private(open), "{open}");
        }
    }
}
