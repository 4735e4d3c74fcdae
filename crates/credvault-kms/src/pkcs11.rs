//! A hardware security module, or anything else with a PKCS#11 module: an AES key that never leaves its token.
//!
//! ```text
//! wrapped key   1 byte   format = 1
//!              12 bytes  IV
//!               n bytes  ciphertext
//!              16 bytes  tag of AES-GCM over ciphertext and place
//! ```
//!
//! PKCS#11 has no versions of a key and its calls block, so versions are other keys, and calls run on tokio's threads for
//! blocking work, a bounded number at once.

mod key;
mod reason;

mod token;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use credvault_crypto::{KeyManager, KeyManagerError, Opened, Reply, Versioning, WrapPlace};
use credvault_domain::Random;
use cryptoki::error::Result as Returned;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use tokio::sync::Semaphore;

use token::Token;

/// Sessions and threads that may be at work in the token at once.
const MAX_CALLS: usize = 8;

const FORMAT: u8 = 1;
const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const TAG_BITS: u64 = 128;

/// The most bytes of a label in a token, as PKCS#11 has it.
const MAX_TOKEN_LABEL_BYTES: usize = 32;

const MAX_KEY_LABEL_BYTES: usize = 100;

/// What makes the IV of an encryption.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum IvSource {
    /// The vault draws 96 random bits and hands them to the token.
    #[default]
    Vault,
    /// The token makes it, and writes it where the vault's would stand: AWS CloudHSM and tokens in FIPS mode permit no
    /// other.
    Token,
}

/// What the vault must know to use a key in a token.
#[derive(Clone, Debug)]
pub struct Pkcs11Settings {
    /// The module of the device's vendor, a shared library.
    pub module: PathBuf,
    /// The label of the token, at most 32 bytes. Exactly one token that is present has it.
    pub token: String,
    /// A private file with the PIN of the token's user; a line break at its end does not count.
    pub pin_file: PathBuf,
    /// The label of the key, at most 100 bytes. Exactly one AES key in the token has it.
    pub key: String,
    /// What makes the IVs.
    pub iv: IvSource,
}

/// An AES key in a token of PKCS#11.
pub struct Pkcs11 {
    name: String,
    inner: Arc<Inner>,
    calls: Arc<Semaphore>,
}

struct Inner {
    token: Token,
    iv: IvSource,
    random: Arc<dyn Random>,
}

impl fmt::Debug for Pkcs11 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Pkcs11 {
    /// The key manager with these settings. The module is loaded, and the PIN read, at the first use.
    ///
    /// # Errors
    /// A label is empty or too long.
    pub fn new(settings: Pkcs11Settings, random: Arc<dyn Random>) -> Result<Self, KeyManagerError> {
        let Pkcs11Settings { module, token, pin_file, key, iv } = settings;
        if token.is_empty() || token.len() > MAX_TOKEN_LABEL_BYTES {
            return Err(KeyManagerError::Settings("the token must be a label of 1 to 32 bytes".to_owned()));
        }
        if key.is_empty() || key.len() > MAX_KEY_LABEL_BYTES {
            return Err(KeyManagerError::Settings("the key must be a label of 1 to 100 bytes".to_owned()));
        }
        // The form of RFC 7512.
        let name = format!(
            "pkcs11:token={};object={};type=secret-key",
            percent_encoded(&token),
            percent_encoded(&key)
        );
        let token = Token::new(module, token, pin_file, key);
        let inner = Arc::new(Inner { token, iv, random });
        Ok(Self { name, inner, calls: Arc::new(Semaphore::new(MAX_CALLS)) })
    }

    /// Runs a call on a thread where it may block. It ends there even if the caller has stopped waiting, and makes room
    /// for another only then.
    async fn call<T: Send + 'static>(
        &self,
        make: impl FnOnce(&Inner) -> Result<T, KeyManagerError> + Send + 'static,
    ) -> Result<T, KeyManagerError> {
        let ended =
            || KeyManagerError::Unavailable("the call to the token ended without an answer".to_owned());
        let room = Arc::clone(&self.calls).acquire_owned().await.map_err(|_| ended())?;
        let inner = Arc::clone(&self.inner);
        let call = move || {
            let answer = make(&inner);
            drop(room);
            answer
        };
        tokio::task::spawn_blocking(call).await.map_err(|_| ended())?
    }
}

/// Everything but RFC 3986's unreserved characters as `%XX`.
fn percent_encoded(label: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    label
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

impl Inner {
    fn wrap(&self, place: &[u8], plain: &[u8]) -> Result<Vec<u8>, KeyManagerError> {
        let drawn = self.draw_iv()?;
        let (iv, sealed) = self.token.with_key(|session, key| encrypt(session, key, drawn, place, plain))?;
        if iv == [0; IV_BYTES] {
            let why = "the token makes no IV: set `iv` so that the vault makes it";
            return Err(KeyManagerError::Key(why.to_owned()));
        }
        if sealed.len() != plain.len() + TAG_BYTES {
            return Err(KeyManagerError::Key(
                "the token's AES-GCM does not append a tag of 16 bytes".to_owned(),
            ));
        }
        Ok([&[FORMAT][..], &iv, &sealed].concat())
    }

    fn unwrap(&self, place: &[u8], wrapped: &[u8]) -> Result<Opened, KeyManagerError> {
        let sealed = wrapped.strip_prefix(&[FORMAT]).and_then(<[u8]>::split_first_chunk::<IV_BYTES>);
        let Some((iv, sealed)) = sealed.filter(|(_, sealed)| sealed.len() > TAG_BYTES) else {
            return Err(KeyManagerError::Foreign);
        };
        // For the one case in which it takes an encryption to know why a decryption failed.
        let drawn = self.draw_iv()?;
        let opened = self.token.with_key(|session, key| match decrypt(session, key, *iv, place, sealed) {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if reason::is_about_the_ciphertext(&error) => Ok(None),
            // Many tokens answer so to a wrong tag, and to anything else that went wrong. If the key still encrypts,
            // it was the tag.
            Err(error) if reason::is_vague(&error) => {
                encrypt(session, key, drawn, place, b"probe").map_or(Err(error), |_| Ok(None))
            }
            Err(error) => Err(error),
        })?;
        opened.ok_or(KeyManagerError::Foreign)
    }

    /// An IV to encrypt with, or room for the token's.
    fn draw_iv(&self) -> Result<[u8; IV_BYTES], KeyManagerError> {
        let mut iv = [0; IV_BYTES];
        if self.iv == IvSource::Vault {
            let failed = |_| KeyManagerError::Unavailable("the vault's random generator failed".to_owned());
            self.random.fill(&mut iv).map_err(failed)?;
        }
        Ok(iv)
    }
}

/// Encrypts, and returns the IV that was used with the ciphertext and its tag.
fn encrypt(
    session: &Session,
    key: ObjectHandle,
    mut iv: [u8; IV_BYTES],
    place: &[u8],
    plain: &[u8],
) -> Returned<([u8; IV_BYTES], Vec<u8>)> {
    let mechanism = aes_gcm(&mut iv, place)?;
    let sealed = session.encrypt(&mechanism, key, plain)?;
    // A token that makes its own IV has written it here.
    Ok((iv, sealed))
}

fn decrypt(
    session: &Session,
    key: ObjectHandle,
    mut iv: [u8; IV_BYTES],
    place: &[u8],
    sealed: &[u8],
) -> Returned<Opened> {
    session.decrypt(&aes_gcm(&mut iv, place)?, key, sealed).map(Opened::new)
}

fn aes_gcm<'a>(iv: &'a mut [u8], place: &'a [u8]) -> Returned<Mechanism<'a>> {
    GcmParams::new(iv, place, TAG_BITS.into()).map(Mechanism::AesGcm)
}

impl KeyManager for Pkcs11 {
    fn kind(&self) -> &'static str {
        "pkcs11"
    }

    fn key_name(&self) -> &str {
        &self.name
    }

    fn wrap<'a>(&'a self, place: &'a WrapPlace<'a>, plain: &'a [u8]) -> Reply<'a, Vec<u8>> {
        let (place, plain) = (place.associated_data(), Opened::new(plain.to_vec()));
        Box::pin(self.call(move |inner| inner.wrap(&place, &plain)))
    }

    fn unwrap<'a>(&'a self, place: &'a WrapPlace<'a>, wrapped: &'a [u8]) -> Reply<'a, Opened> {
        let (place, wrapped) = (place.associated_data(), wrapped.to_vec());
        Box::pin(self.call(move |inner| inner.unwrap(&place, &wrapped)))
    }

    fn add_version(&self) -> Reply<'_, Versioning> {
        Box::pin(std::future::ready(Ok(Versioning::ByHand(
            "A key of PKCS#11 has no versions: make a key with another label in the token, and rotate the root key to it.",
        ))))
    }

    fn destroy_older_versions(&self) -> Reply<'_, Versioning> {
        Box::pin(std::future::ready(Ok(Versioning::ByHand(
            "A key of PKCS#11 has no versions: destroy the key that the root key was rotated from, with the tools of the \
             token's vendor.",
        ))))
    }

    fn find_older_versions(&self) -> Reply<'_, Versioning> {
        self.destroy_older_versions()
    }
}
