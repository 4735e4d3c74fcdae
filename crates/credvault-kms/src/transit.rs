//! OpenBao's and Vault's secrets engine `transit` as a key manager. The place of what is wrapped is bound as associated
//! data, so the key is one for authenticated encryption.
//!
//! The policy of the vault's token needs `update` on `<mount>/encrypt/<key>` and `<mount>/decrypt/<key>` and `read` on
//! `<mount>/keys/<key>`; to rotate, `update` on `<mount>/keys/<key>/rotate`, `/config` and `/trim`. It must not have
//! `create` on `encrypt`: with it, the engine would make a key that was lost anew, and nothing would say so.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use credvault_crypto::{KeyManager, KeyManagerError, Opened, Reply, Versioning, WrapPlace};
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::openbao::{Answer, OpenBao, OpenBaoSettings, check_path};

/// The types of keys that take associated data.
const AEAD_TYPES: [&str; 4] = ["aes256-gcm96", "aes128-gcm96", "chacha20-poly1305", "xchacha20-poly1305"];
/// What the engine makes of 256 bytes has less than half of it.
const MAX_WRAPPED_BYTES: usize = 1024;

/// Where the key is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransitSettings {
    /// The server that the engine is on.
    pub openbao: OpenBaoSettings,
    /// Where the engine is mounted, usually `transit`.
    pub mount: String,
    /// The name of the key.
    pub key: String,
}

/// A key in the engine `transit`.
#[derive(Debug)]
pub struct Transit {
    openbao: OpenBao,
    mount: String,
    key: String,
    /// `<namespace>/<mount>/<key>`. The address is no part of it: the same key stays the same when its server moves.
    name: String,
    /// Whether the key was found to be of use.
    checked: OnceCell<()>,
}

#[derive(Serialize)]
struct Encrypt<'a> {
    plaintext: &'a str,
    associated_data: &'a str,
}

#[derive(Serialize)]
struct Decrypt<'a> {
    ciphertext: &'a str,
    associated_data: &'a str,
}

#[derive(Serialize)]
struct Configure {
    min_decryption_version: u64,
    min_encryption_version: u64,
}

#[derive(Serialize)]
struct Trim {
    min_available_version: u64,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: SecretString,
}

/// What the engine says about a key.
#[derive(Deserialize)]
struct Key {
    #[serde(rename = "type")]
    kind: String,
    latest_version: u64,
    /// The first version that was not trimmed; 0 before there was one.
    #[serde(default)]
    min_available_version: u64,
    derived: bool,
    exportable: bool,
    allow_plaintext_backup: bool,
    /// OpenBao says it, Vault does not.
    #[serde(default)]
    soft_deleted: bool,
}

impl Transit {
    /// A key manager that has not called yet: a server that is not reachable shows with the first use.
    ///
    /// # Errors
    /// [`KeyManagerError::Settings`]: a setting is of no use.
    pub async fn connect(settings: TransitSettings) -> Result<Self, KeyManagerError> {
        let TransitSettings { openbao, mount, key } = settings;
        check_path("mount", &mount)?;
        check_path("key", &key)?;
        if key.contains('/') {
            return Err(KeyManagerError::Settings("the key has a '/' in its name".to_owned()));
        }
        let namespace = openbao.namespace.iter().map(String::as_str);
        let name = namespace.chain([mount.as_str(), &key]).collect::<Vec<_>>().join("/");
        Ok(Self { openbao: OpenBao::new(openbao).await?, mount, key, name, checked: OnceCell::new() })
    }

    async fn do_wrap(&self, place: &WrapPlace<'_>, plain: &[u8]) -> Result<Vec<u8>, KeyManagerError> {
        self.check().await?;
        let plaintext = Zeroizing::new(BASE64_STANDARD.encode(plain));
        let associated_data = BASE64_STANDARD.encode(place.associated_data());
        let body = Encrypt { plaintext: &plaintext, associated_data: &associated_data };
        let answer = self.post("encrypt", "", &body).await?;
        if !answer.is_success() {
            return Err(self.refusal(&answer));
        }
        let Data { data: Encrypted { ciphertext } } = answer.read()?;
        if !is_wrapped(&ciphertext) {
            return Err(KeyManagerError::Unavailable("its answer is no ciphertext".to_owned()));
        }
        Ok(ciphertext.into_bytes())
    }

    async fn do_unwrap(&self, place: &WrapPlace<'_>, wrapped: &[u8]) -> Result<Opened, KeyManagerError> {
        let wrapped = std::str::from_utf8(wrapped).ok().filter(|text| is_wrapped(text));
        let ciphertext = wrapped.ok_or(KeyManagerError::Foreign)?;
        self.check().await?;
        let associated_data = BASE64_STANDARD.encode(place.associated_data());
        let body = Decrypt { ciphertext, associated_data: &associated_data };
        let answer = self.post("decrypt", "", &body).await?;
        if answer.status == 400 && !answer.says("key not found") {
            return Err(KeyManagerError::Foreign);
        }
        if !answer.is_success() {
            return Err(self.refusal(&answer));
        }
        let Data { data: Decrypted { plaintext } } = answer.read()?;
        let plain = BASE64_STANDARD.decode(plaintext.expose_secret());
        let plain = plain.map_err(|_| KeyManagerError::Unavailable("its answer is not in base64".to_owned()));
        plain.map(Opened::new)
    }

    async fn rotate(&self) -> Result<Versioning, KeyManagerError> {
        self.check().await?;
        self.change("/rotate", &Nothing {}).await?;
        Ok(Versioning::Done)
    }

    async fn destroy(&self) -> Result<Versioning, KeyManagerError> {
        let latest = self.look().await?.latest_version;
        // The engine trims only what neither may be decrypted nor encrypted with any more.
        let newest_only = Configure { min_decryption_version: latest, min_encryption_version: latest };
        self.change("/config", &newest_only).await?;
        self.change("/trim", &Trim { min_available_version: latest }).await?;
        Ok(Versioning::Done)
    }

    async fn find_older(&self) -> Result<Versioning, KeyManagerError> {
        let Key { latest_version, min_available_version, .. } = self.look().await?;
        Ok(match latest_version > min_available_version.max(1) {
            true => Versioning::Done,
            false => Versioning::ByHand("The key has one version only, so there is nothing to destroy."),
        })
    }

    /// Looks at the key before its first use, for the engine encrypts without associated data what takes none, and may make
    /// a key that is not there.
    async fn check(&self) -> Result<(), KeyManagerError> {
        self.checked.get_or_try_init(|| async { self.look().await.map(|_| ()) }).await.copied()
    }

    async fn look(&self) -> Result<Key, KeyManagerError> {
        let path = format!("{}/keys/{}", self.mount, self.key);
        let answer = self.openbao.call(Method::GET, &path, None::<&Nothing>).await?;
        if !answer.is_success() {
            return Err(self.refusal(&answer));
        }
        let Data { data: key } = answer.read::<Data<Key>>()?;
        let unusable = |why: &str| Err(KeyManagerError::Key(format!("the key {} {why}", self.name)));
        if !AEAD_TYPES.contains(&key.kind.as_str()) {
            return unusable("does not take associated data; make one of the type aes256-gcm96");
        }
        if key.derived {
            return unusable("derives others; make one that does not");
        }
        if key.soft_deleted {
            return unusable("is deleted; restore it");
        }
        if key.exportable || key.allow_plaintext_backup {
            let rule =
                "the key can be taken out of the key manager: it is exportable or allows a plaintext backup";
            tracing::warn!(kind = self.kind(), key = self.name, rule);
        }
        Ok(key)
    }

    async fn change(&self, what: &str, body: &(impl Serialize + Sync)) -> Result<(), KeyManagerError> {
        let answer = self.post("keys", what, body).await?;
        if answer.is_success() { Ok(()) } else { Err(self.refusal(&answer)) }
    }

    async fn post(
        &self,
        endpoint: &str,
        what: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<Answer, KeyManagerError> {
        let path = format!("{}/{endpoint}/{}{what}", self.mount, self.key);
        Ok(self.openbao.call(Method::POST, &path, Some(body)).await?)
    }

    fn refusal(&self, answer: &Answer) -> KeyManagerError {
        let name = &self.name;
        match answer.status {
            401 | 403 => KeyManagerError::Denied(format!(
                "the policy of the vault's token does not permit it on {name}"
            )),
            404 => KeyManagerError::Key(format!("there is no key {name}")),
            400 if answer.says("key not found") => KeyManagerError::Key(format!("there is no key {name}")),
            other => KeyManagerError::Key(format!("a request about {name} was refused (HTTP {other})")),
        }
    }
}

/// Whether a text looks like `vault:v<version>:<base64>`.
fn is_wrapped(text: &str) -> bool {
    let mut parts = text.splitn(3, ':');
    let version = parts.next().filter(|prefix| *prefix == "vault").and(parts.next());
    let digits = version.and_then(|version| version.strip_prefix('v')).unwrap_or_default();
    let number = !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let content = parts.next().is_some_and(|content| !content.is_empty() && content.bytes().all(base64));
    text.len() <= MAX_WRAPPED_BYTES && number && content
}

impl KeyManager for Transit {
    fn kind(&self) -> &'static str {
        "transit"
    }

    fn key_name(&self) -> &str {
        &self.name
    }

    fn wrap<'a>(&'a self, place: &'a WrapPlace<'a>, plain: &'a [u8]) -> Reply<'a, Vec<u8>> {
        Box::pin(self.do_wrap(place, plain))
    }

    fn unwrap<'a>(&'a self, place: &'a WrapPlace<'a>, wrapped: &'a [u8]) -> Reply<'a, Opened> {
        Box::pin(self.do_unwrap(place, wrapped))
    }

    fn add_version(&self) -> Reply<'_, Versioning> {
        Box::pin(self.rotate())
    }

    fn destroy_older_versions(&self) -> Reply<'_, Versioning> {
        Box::pin(self.destroy())
    }

    fn find_older_versions(&self) -> Reply<'_, Versioning> {
        Box::pin(self.find_older())
    }
}

#[cfg(test)]
mod tests {
    use super::is_wrapped;

    #[test]
    fn only_ciphertexts_of_the_engine_are_sent_to_it() {
        assert!(is_wrapped("vault:v1:AAAA"));
        assert!(is_wrapped("vault:v12:A+/="));
        let long = format!("vault:v1:{}", "A".repeat(1024));
        for other in
            ["", "vault:v1:", "vault:v:AA", "vault:1:AA", "other:v1:AA", "vault:v1:A\"", "AAAA", &long]
        {
            assert!(!is_wrapped(other), "{other}");
        }
    }
}
