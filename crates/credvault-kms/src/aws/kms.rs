//! A symmetric key in AWS KMS as a key manager. The place of what is wrapped is bound as encryption context, which AWS
//! writes into CloudTrail.
//!
//! The vault's role needs `kms:Encrypt`, `kms:Decrypt` and `kms:DescribeKey` on the key; to rotate,
//! `kms:RotateKeyOnDemand`.

mod reason;

use std::fmt;
use std::path::PathBuf;

use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use credvault_crypto::{KeyManager, KeyManagerError, Opened, Reply, Versioning, WrapPlace};
use tracing::Dispatch;
use tracing::instrument::WithSubscriber as _;

use self::reason::{code, failure};
use super::access::Access;

/// AWS takes no longer ciphertext.
const MAX_WRAPPED_BYTES: usize = 6144;

/// Which key it is, and how to reach AWS KMS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AwsKmsSettings {
    /// The key's ARN, or its id, or an alias such as `alias/credvault`. With the ARN of a key the vault starts without a
    /// call; all others are looked up once.
    pub key: String,
    /// The region; without it, that of the ARN, or else AWS's usual chain.
    pub region: Option<String>,
    /// Another endpoint, such as that of a VPC. Plain `http` only on this machine.
    pub endpoint: Option<String>,
    /// The profile in the files of AWS's programs.
    pub profile: Option<String>,
    /// A file in the format of `~/.aws/credentials`, instead of that one.
    pub credentials_file: Option<PathBuf>,
}

/// A key in AWS KMS.
pub struct AwsKms {
    client: Client,
    arn: String,
}

impl fmt::Debug for AwsKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKms").field("arn", &self.arn).finish_non_exhaustive()
    }
}

impl AwsKms {
    /// A key manager. It is made without a call if the settings name the key by its ARN.
    ///
    /// # Errors
    /// [`KeyManagerError::Settings`]: a setting is of no use. All others: the key had to be looked up, and that failed.
    pub async fn connect(settings: AwsKmsSettings) -> Result<Self, KeyManagerError> {
        check(&settings.key)?;
        let access = Access {
            region: settings.region.as_deref().or_else(|| key_region(&settings.key)),
            endpoint: settings.endpoint.as_deref(),
            profile: settings.profile.as_deref(),
            credentials_file: settings.credentials_file.as_deref(),
        };
        let client = Client::new(&access.config().await?);
        if key_region(&settings.key).is_some() {
            return Ok(Self { client, arn: settings.key });
        }
        let described = client.describe_key().key_id(settings.key).send();
        let described = described.with_subscriber(Dispatch::none()).await.map_err(|error| failure(&error))?;
        let arn = described.key_metadata.and_then(|metadata| metadata.arn);
        let arn = arn.filter(|arn| key_region(arn).is_some());
        let arn = arn.ok_or_else(|| KeyManagerError::Unavailable("its answer names no key".to_owned()))?;
        Ok(Self { client, arn })
    }

    async fn do_wrap(&self, place: &WrapPlace<'_>, plain: &[u8]) -> Result<Vec<u8>, KeyManagerError> {
        let mut request = self.client.encrypt().key_id(&self.arn).plaintext(Blob::new(plain));
        for (name, value) in place.pairs() {
            request = request.encryption_context(name, value);
        }
        let encrypted = request.send().await.map_err(|error| failure(&error))?;
        let wrapped = encrypted.ciphertext_blob.map(Blob::into_inner).unwrap_or_default();
        if wrapped.is_empty() || wrapped.len() > MAX_WRAPPED_BYTES {
            return Err(KeyManagerError::Unavailable("its answer is no ciphertext".to_owned()));
        }
        Ok(wrapped)
    }

    async fn do_unwrap(&self, place: &WrapPlace<'_>, wrapped: &[u8]) -> Result<Opened, KeyManagerError> {
        if wrapped.is_empty() || wrapped.len() > MAX_WRAPPED_BYTES {
            return Err(KeyManagerError::Foreign);
        }
        // With the key's name: AWS would otherwise open what any other key has wrapped.
        let mut request = self.client.decrypt().key_id(&self.arn).ciphertext_blob(Blob::new(wrapped));
        for (name, value) in place.pairs() {
            request = request.encryption_context(name, value);
        }
        let decrypted = request.send().await.map_err(|error| failure(&error))?;
        let plain = decrypted.plaintext.map(|plain| Opened::new(plain.into_inner()));
        plain.ok_or_else(|| KeyManagerError::Unavailable("its answer holds no plaintext".to_owned()))
    }

    /// Asks for new key material. AWS makes it in the background, so what is wrapped in the next minutes may still be under
    /// the old one; both unwrap.
    async fn rotate(&self) -> Result<Versioning, KeyManagerError> {
        let rotated = self.client.rotate_key_on_demand().key_id(&self.arn).send().await;
        let Err(error) = rotated else { return Ok(Versioning::Done) };
        match code(&error) {
            Some("LimitExceededException") => Ok(Versioning::ByHand(
                "AWS rotates a key on demand 25 times at most: make a new key in AWS KMS and rotate the root key to it",
            )),
            Some("UnsupportedOperationException") => Ok(Versioning::ByHand(
                "AWS does not rotate this kind of key: make a new key in AWS KMS and rotate the root key to it",
            )),
            _ => Err(failure(&error)),
        }
    }
}

/// Checks the name of a key.
fn check(key: &str) -> Result<(), KeyManagerError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '/' | '_' | '-');
    if key.is_empty() || key.len() > 512 || !key.chars().all(fits) {
        let rule = "the key is no ARN, id or alias of a key in AWS KMS";
        return Err(KeyManagerError::Settings(rule.to_owned()));
    }
    Ok(())
}

/// The region in the ARN of a key: `arn:<partition>:kms:<region>:<account>:key/<id>`. `None` if it is no such ARN.
fn key_region(arn: &str) -> Option<&str> {
    let mut parts = arn.split(':');
    let is_arn = parts.next() == Some("arn") && parts.next().is_some() && parts.next() == Some("kms");
    let region = parts.next().filter(|region| is_arn && !region.is_empty())?;
    let is_key = parts.nth(1).is_some_and(|resource| resource.starts_with("key/")) && parts.next().is_none();
    is_key.then_some(region)
}

impl KeyManager for AwsKms {
    fn kind(&self) -> &'static str {
        "aws_kms"
    }

    fn key_name(&self) -> &str {
        &self.arn
    }

    fn wrap<'a>(&'a self, place: &'a WrapPlace<'a>, plain: &'a [u8]) -> Reply<'a, Vec<u8>> {
        Box::pin(self.do_wrap(place, plain).with_subscriber(Dispatch::none()))
    }

    fn unwrap<'a>(&'a self, place: &'a WrapPlace<'a>, wrapped: &'a [u8]) -> Reply<'a, Opened> {
        Box::pin(self.do_unwrap(place, wrapped).with_subscriber(Dispatch::none()))
    }

    fn add_version(&self) -> Reply<'_, Versioning> {
        Box::pin(self.rotate().with_subscriber(Dispatch::none()))
    }

    fn destroy_older_versions(&self) -> Reply<'_, Versioning> {
        let by_hand = "AWS keeps the old material of a key as long as the key: make a new key, rotate the root key to it, and \
                       schedule the deletion of the old key in AWS KMS";
        Box::pin(std::future::ready(Ok(Versioning::ByHand(by_hand))))
    }

    fn find_older_versions(&self) -> Reply<'_, Versioning> {
        self.destroy_older_versions()
    }
}

#[cfg(test)]
mod tests {
    use super::key_region;

    #[test]
    fn the_arn_of_a_key_names_its_region() {
        assert_eq!(key_region("arn:aws:kms:eu-central-1:123456789012:key/an-id"), Some("eu-central-1"));
        assert_eq!(key_region("arn:aws-us-gov:kms:us-gov-west-1:1:key/mrk-1"), Some("us-gov-west-1"));
        for other in [
            "",
            "an-id",
            "alias/credvault",
            "arn:aws:kms:eu-central-1:123456789012:alias/credvault",
            "arn:aws:s3:eu-central-1:123456789012:key/an-id",
            "arn:aws:kms::123456789012:key/an-id",
            "arn:aws:kms:eu-central-1:123456789012:key/an-id:more",
        ] {
            assert_eq!(key_region(other), None, "{other}");
        }
    }
}
