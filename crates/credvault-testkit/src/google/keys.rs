//! The keys of the server that plays Google Cloud KMS: versions, their states, and encryption under them.

use std::collections::BTreeMap;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};

use super::answer::Refusal;

/// Versions in one answer to a list, so that a client must ask for a second page.
const PAGE: usize = 2;

/// A ciphertext starts with the number of its version.
const NUMBER_BYTES: usize = 8;

#[derive(Default)]
pub(super) struct Keys {
    keys: BTreeMap<String, Key>,
}

struct Key {
    primary: u64,
    versions: BTreeMap<u64, Version>,
}

struct Version {
    key: LessSafeKey,
    state: &'static str,
}

impl Version {
    fn new(state: &'static str) -> Self {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).unwrap();
        Self { key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).unwrap()), state }
    }
}

impl Keys {
    pub(super) fn create(&mut self, name: &str) {
        let key = Key { primary: 1, versions: BTreeMap::from([(1, Version::new("ENABLED"))]) };
        self.keys.insert(name.to_owned(), key);
    }

    pub(super) fn disable(&mut self, key: &str, version: u64) {
        self.keys.get_mut(key).unwrap().versions.get_mut(&version).unwrap().state = "DISABLED";
    }

    pub(super) fn states(&self, key: &str) -> Vec<&'static str> {
        self.keys[key].versions.values().map(|version| version.state).collect()
    }

    fn find(&self, name: &str) -> Result<&Key, Refusal> {
        self.keys
            .get(name)
            .ok_or_else(|| Refusal::new(404, "NOT_FOUND", &format!("CryptoKey {name} not found.")))
    }

    fn find_mut(&mut self, name: &str) -> Result<&mut Key, Refusal> {
        self.find(name)?;
        Ok(self.keys.get_mut(name).unwrap())
    }

    pub(super) fn get(&self, name: &str) -> Result<Value, Refusal> {
        let key = self.find(name)?;
        let primary = json_of(name, key.primary, key.versions[&key.primary].state);
        Ok(json!({ "name": name, "purpose": "ENCRYPT_DECRYPT", "primary": primary }))
    }

    pub(super) fn list(&self, name: &str, query: &str) -> Result<Value, Refusal> {
        let token = query.split('&').find_map(|pair| pair.strip_prefix("pageToken="));
        let from: u64 = token.and_then(|token| token.parse().ok()).unwrap_or(0);
        let key = self.find(name)?;
        let rest: Vec<_> = key.versions.range(from..).collect();
        let page: Vec<_> =
            rest.iter().take(PAGE).map(|(number, version)| json_of(name, **number, version.state)).collect();
        let next = rest.get(PAGE).map(|(number, _)| number.to_string()).unwrap_or_default();
        Ok(json!({ "cryptoKeyVersions": page, "nextPageToken": next, "totalSize": key.versions.len() }))
    }

    pub(super) fn add_version(&mut self, name: &str, slowly: bool) -> Result<Value, Refusal> {
        let key = self.find_mut(name)?;
        let number = key.versions.keys().last().unwrap() + 1;
        let state = if slowly { "PENDING_GENERATION" } else { "ENABLED" };
        key.versions.insert(number, Version::new(state));
        Ok(json_of(name, number, state))
    }

    /// A version. One that was pending is ready from the next look on.
    pub(super) fn version(&mut self, full_name: &str) -> Result<Value, Refusal> {
        let (name, number) = split(full_name)?;
        let version = self.find_mut(name)?.versions.get_mut(&number).unwrap();
        let state = version.state;
        if state == "PENDING_GENERATION" {
            version.state = "ENABLED";
        }
        Ok(json_of(name, number, state))
    }

    pub(super) fn set_primary(&mut self, name: &str, id: &Value) -> Result<Value, Refusal> {
        let key = self.find_mut(name)?;
        let number: u64 = id.as_str().and_then(|id| id.parse().ok()).unwrap();
        if key.versions[&number].state != "ENABLED" {
            return Err(Refusal::new(400, "FAILED_PRECONDITION", "the version is not enabled"));
        }
        key.primary = number;
        self.get(name)
    }

    pub(super) fn destroy(&mut self, full_name: &str) -> Result<Value, Refusal> {
        let (name, number) = split(full_name)?;
        let version = self.find_mut(name)?.versions.get_mut(&number).unwrap();
        if version.state == "DESTROY_SCHEDULED" {
            return Err(Refusal::new(400, "FAILED_PRECONDITION", "it is to be destroyed already"));
        }
        version.state = "DESTROY_SCHEDULED";
        Ok(json_of(name, number, "DESTROY_SCHEDULED"))
    }

    /// Encrypts under the primary version. Returns the version's full name and the ciphertext.
    pub(super) fn encrypt(&self, name: &str, plain: &[u8], aad: &[u8]) -> Result<(String, Vec<u8>), Refusal> {
        let key = self.find(name)?;
        let version = usable(&key.versions[&key.primary])?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).unwrap();
        let mut sealed = plain.to_vec();
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        version.key.seal_in_place_append_tag(nonce_used, Aad::from(aad), &mut sealed).unwrap();
        let ciphertext = [&key.primary.to_be_bytes()[..], &nonce, &sealed].concat();
        Ok((format!("{name}/cryptoKeyVersions/{}", key.primary), ciphertext))
    }

    pub(super) fn decrypt(&self, name: &str, ciphertext: &[u8], aad: &[u8]) -> Result<Vec<u8>, Refusal> {
        let key = self.find(name)?;
        let foreign = || {
            let message = "Decryption failed: verify that 'name' refers to the correct CryptoKey.";
            Refusal::new(400, "INVALID_ARGUMENT", message)
        };
        let (number, rest) = ciphertext.split_first_chunk::<NUMBER_BYTES>().ok_or_else(foreign)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(foreign)?;
        let version = usable(key.versions.get(&u64::from_be_bytes(*number)).ok_or_else(foreign)?)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = version.key.open_in_place(nonce, Aad::from(aad), &mut sealed).map_err(|_| foreign())?;
        Ok(opened.to_vec())
    }
}

fn usable(version: &Version) -> Result<&Version, Refusal> {
    if version.state == "ENABLED" {
        return Ok(version);
    }
    let message = format!("the version is not enabled, current state is: {}.", version.state);
    Err(Refusal::new(400, "FAILED_PRECONDITION", &message))
}

fn json_of(key: &str, number: u64, state: &str) -> Value {
    json!({ "name": format!("{key}/cryptoKeyVersions/{number}"), "state": state, "protectionLevel": "SOFTWARE" })
}

/// The key and the number of a version.
fn split(full_name: &str) -> Result<(&str, u64), Refusal> {
    let (key, number) = full_name.split_once("/cryptoKeyVersions/").unwrap_or((full_name, ""));
    let number = number.parse().map_err(|_| Refusal::new(400, "INVALID_ARGUMENT", "no name of a version"))?;
    Ok((key, number))
}
