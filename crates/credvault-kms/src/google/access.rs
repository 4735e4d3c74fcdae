//! How Google's API is reached, whichever service it is: endpoint, credentials, and a client that is kept from call to call.

use std::path::{Path, PathBuf};

use credvault_crypto::read_private;
use google_cloud_auth::credentials::{self, Credentials, service_account};
use google_cloud_gax::client_builder::ClientBuilder;
use google_cloud_gax::retry_policy::NeverRetry;
use tokio::sync::Mutex;
use url::{Host, Url};

use crate::failure::Failure;

/// What settings say about the way to Google's API.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) endpoint: Option<String>,
    pub(super) service_account: Option<PathBuf>,
}

impl Access {
    /// Checks what can be checked without a call or a file.
    ///
    /// # Errors
    /// [`Failure::Settings`]: the vault's credentials and secrets would cross a network in plaintext.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.endpoint.as_deref().is_none_or(is_private) {
            return Ok(());
        }
        let rule =
            "the endpoint must be a URL with https://; http:// is for an address of the loopback interface";
        Err(Failure::Settings(rule.to_owned()))
    }

    /// The builder of a client, with credentials as they are now.
    ///
    /// # Errors
    /// [`Failure::Settings`]: the credentials are of no use.
    pub(super) fn applied_to<F>(
        &self,
        builder: ClientBuilder<F, Credentials>,
    ) -> Result<ClientBuilder<F, Credentials>, Failure> {
        let credentials = match &self.service_account {
            Some(file) => from_file(file)?,
            None => credentials::Builder::default().build().map_err(|_| {
                Failure::Settings(
                    "Google's application default credentials are not usable: correct the file that \
                     GOOGLE_APPLICATION_CREDENTIALS names, or give the file of a service account"
                        .to_owned(),
                )
            })?,
        };
        let builder = builder.with_credentials(credentials).with_retry_policy(NeverRetry);
        Ok(match &self.endpoint {
            Some(endpoint) => builder.with_endpoint(endpoint),
            None => builder,
        })
    }
}

/// A client that is kept from call to call.
pub(super) struct KeptClient<C>(Mutex<Option<C>>);

impl<C: Clone> KeptClient<C> {
    /// None yet: the first call makes it.
    pub(super) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The client, made now if there is none.
    pub(super) async fn get_or(&self, make: impl Future<Output = Result<C, Failure>>) -> Result<C, Failure> {
        let mut kept = self.0.lock().await;
        if let Some(client) = &*kept {
            return Ok(client.clone());
        }
        let client = make.await?;
        *kept = Some(client.clone());
        Ok(client)
    }

    /// Drops the client, so that the next call reads the service account's file anew: an operator may have replaced it.
    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

/// The credentials in a service account's file. What is wrong with its content is not repeated: it is a private key.
fn from_file(file: &Path) -> Result<Credentials, Failure> {
    let wrong = |why: String| Failure::Settings(format!("service account {}: {why}", file.display()));
    let content = read_private(file).map_err(|error| wrong(error.to_string()))?;
    let unusable = || wrong("it is no service account's key in JSON".to_owned());
    let key = serde_json::from_slice(&content).map_err(|_| unusable())?;
    service_account::Builder::new(key).build().map_err(|_| unusable())
}

/// Whether requests to an endpoint cannot be read on their way.
fn is_private(endpoint: &str) -> bool {
    let url = Url::parse(endpoint).ok();
    url.is_some_and(|url| match url.scheme() {
        "https" => url.host().is_some(),
        "http" => url.host().is_some_and(is_loopback),
        _ => false,
    })
}

fn is_loopback(host: Host<&str>) -> bool {
    match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::is_private;

    #[test]
    fn an_endpoint_is_encrypted_or_on_this_machine() {
        for good in ["https://kms.example.com", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"]
        {
            assert!(is_private(good), "{good}");
        }
        for bad in [
            "http://kms.example.com",
            "http://127.0.0.1.example.com",
            "kms.example.com",
            "ftp://127.0.0.1",
            "",
        ] {
            assert!(!is_private(bad), "{bad}");
        }
    }
}
