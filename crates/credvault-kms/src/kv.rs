//! OpenBao's and Vault's secrets engine `kv`, version 2, as a store of secrets. Each payload is one entry, at
//! `<prefix>/<connection>/<payload>` below the engine's mount, with one field, `sealed`.
//!
//! The policy of the vault's token needs `create`, `update` and `read` on `<mount>/data/<prefix>/*`, and `list` and `delete`
//! on `<mount>/metadata/<prefix>/*`; for secrets of others, `read` on `<mount>/data/` and their names. The engine must not
//! delete versions by itself (`delete_version_after`).

use credvault_crypto::{
    AdoptedSecret, Opened, SecretStore, SecretStoreError, StoreList, StoreReply, StoredReference,
};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use url::form_urlencoded::byte_serialize;

use crate::guarded::step_is_done;
use crate::kept;
use crate::openbao::{Answer, OpenBao, OpenBaoSettings, check_path};

/// The largest text that is kept: the largest sealed value has less.
const MAX_TEXT_BYTES: usize = 96 * 1024;
/// An answer with one entry: its text or its fields, and what is noted about it.
const MAX_ENTRY_BYTES: usize = 256 * 1024;
/// An answer with names. OpenBao gives a page of them; Vault gives all at once, which are about 400,000 connections.
const MAX_LIST_BYTES: usize = 16 * 1024 * 1024;
/// Connections on a page.
const PAGE: usize = 25;
const MAX_NAME_BYTES: usize = 400;

/// Where the secrets are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenBaoSecretsSettings {
    /// The server that the engine is on.
    pub openbao: OpenBaoSettings,
    /// Where the engine is mounted, often `secret`.
    pub mount: String,
    /// The folder for what the vault keeps, usually `credvault`. Nothing else is in it.
    pub prefix: String,
}

/// A store of secrets in the engine `kv`.
#[derive(Debug)]
pub struct OpenBaoSecrets {
    openbao: OpenBao,
    mount: String,
    prefix: String,
    /// The place, as `<address>/<namespace>/<mount>/<prefix>`.
    place: String,
}

#[derive(Serialize)]
struct Put<'a> {
    options: Options,
    data: Kept<'a>,
}

/// With zero, the engine keeps an entry only where there is none.
#[derive(Serialize)]
struct Options {
    cas: u64,
}

#[derive(Serialize)]
struct Kept<'a> {
    sealed: &'a str,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

/// What the engine says after it has kept an entry.
#[derive(Deserialize)]
struct Written {
    /// When the engine will delete it by itself, or nothing.
    deletion_time: String,
}

#[derive(Deserialize)]
struct Sealed {
    sealed: String,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

#[derive(Serialize)]
struct Nothing {}

impl OpenBaoSecrets {
    /// A store that was not called yet: a server that is not reachable shows with the first use.
    ///
    /// # Errors
    /// [`SecretStoreError::Settings`]: a setting is of no use.
    pub async fn connect(settings: OpenBaoSecretsSettings) -> Result<Self, SecretStoreError> {
        let OpenBaoSecretsSettings { openbao, mount, prefix } = settings;
        check_path("mount", &mount)?;
        check_path("prefix", &prefix)?;
        let address = std::iter::once(openbao.address.trim_end_matches('/'));
        let parts = address.chain(openbao.namespace.as_deref()).chain([mount.as_str(), &prefix]);
        let place = parts.collect::<Vec<_>>().join("/");
        Ok(Self { openbao: OpenBao::new(openbao).await?, mount, prefix, place })
    }

    async fn keep(&self, connection: &str, payload: &str, sealed: &[u8]) -> Result<String, SecretStoreError> {
        kept::check_ids(&[connection, payload])?;
        let text = kept::text_of(sealed, MAX_TEXT_BYTES)?;
        let reference = format!("{}/{connection}/{payload}", self.prefix);
        let body = Put { options: Options { cas: 0 }, data: Kept { sealed: &text } };
        let path = format!("{}/data/{reference}", self.mount);
        let answer = self.openbao.call(Method::POST, &path, Some(&body)).await?;
        if answer.status == 400 && answer.says("check-and-set") {
            return self.repeated(reference, sealed).await;
        }
        if !answer.is_success() {
            return Err(self.refusal(&answer));
        }
        let unusable =
            |why: &str| Err(SecretStoreError::Unusable(format!("the engine at {} {why}", self.mount)));
        let Ok(Data { data: Written { deletion_time } }) = answer.read() else {
            return unusable("is not the engine kv in its version 2");
        };
        if !deletion_time.is_empty() {
            self.take_away(&reference).await?;
            return unusable("deletes secrets by itself: turn delete_version_after off");
        }
        Ok(reference)
    }

    async fn find_reference(
        &self,
        connection: &str,
        payload: &str,
    ) -> Result<Option<String>, SecretStoreError> {
        let references = self.references(connection).await?;
        let found = references.into_iter().find(|found| found.payload.as_deref() == Some(payload));
        Ok(found.map(|found| found.reference))
    }

    /// A payload that is there already: it was put by a call whose answer was lost.
    async fn repeated(&self, reference: String, sealed: &[u8]) -> Result<String, SecretStoreError> {
        match self.look_up(&reference).await {
            Ok(there) if there == sealed => Ok(reference),
            Ok(_) | Err(SecretStoreError::NotFound) => Err(kept::foreign()),
            Err(error) => Err(error),
        }
    }

    async fn look_up(&self, reference: &str) -> Result<Vec<u8>, SecretStoreError> {
        check_reference(reference)?;
        let answer = self.entry(reference, "").await?;
        let read = answer.read::<Data<Data<Sealed>>>();
        let Data { data: Data { data: Sealed { sealed } } } = read.map_err(|_| kept::foreign())?;
        kept::bytes_in(&sealed)
    }

    async fn take_away(&self, reference: &str) -> Result<(), SecretStoreError> {
        check_reference(reference)?;
        let path = format!("{}/metadata/{reference}", self.mount);
        let answer = self.openbao.call(Method::DELETE, &path, None::<&Nothing>).await?;
        if answer.is_success() {
            return Ok(());
        }
        let refusal = self.refusal(&answer);
        if refusal == SecretStoreError::NotFound { Ok(()) } else { Err(refusal) }
    }

    async fn take_all_away(&self, connection: &str) -> Result<(), SecretStoreError> {
        for reference in self.references(connection).await? {
            self.take_away(&reference.reference).await?;
            step_is_done();
        }
        Ok(())
    }

    async fn page(&self, page: Option<&str>) -> Result<StoreList, SecretStoreError> {
        let mut folder = format!("{}?list=true&limit={PAGE}", self.prefix);
        if let Some(page) = page {
            folder.push_str("&after=");
            folder.extend(byte_serialize(page.as_bytes()));
        }
        let mut keys = self.keys(&folder).await?;
        // Vault knows no pages.
        keys.retain(|key| page.is_none_or(|page| key.as_str() > page));
        keys.sort_unstable();
        let is_last = keys.len() < PAGE;
        keys.truncate(PAGE);
        let next = keys.last().filter(|_| !is_last).cloned();
        let mut references = Vec::new();
        let connections = keys.iter().filter_map(|key| key.strip_suffix('/'));
        for connection in connections.filter(|connection| kept::is_id(connection)) {
            references.extend(self.references(connection).await?);
        }
        Ok(StoreList { references, next })
    }

    /// What is kept of a connection.
    async fn references(&self, connection: &str) -> Result<Vec<StoredReference>, SecretStoreError> {
        kept::check_ids(&[connection])?;
        let folder = format!("{}/{connection}", self.prefix);
        let keys = self.keys(&format!("{folder}?list=true")).await?;
        let payloads = keys.into_iter().filter(|payload| kept::is_id(payload));
        let reference = |payload: String| StoredReference {
            reference: format!("{folder}/{payload}"),
            connection: connection.to_owned(),
            payload: Some(payload),
        };
        Ok(payloads.map(reference).collect())
    }

    /// The names in a folder, whose path is followed by the query; none if it is not there.
    async fn keys(&self, folder: &str) -> Result<Vec<String>, SecretStoreError> {
        let path = format!("{}/metadata/{folder}", self.mount);
        let answer = self.openbao.call_for(Method::GET, &path, None::<&Nothing>, MAX_LIST_BYTES).await?;
        // Names are listed to go on with them.
        step_is_done();
        if answer.is_success() {
            let Data { data: Keys { keys } } = answer.read::<Data<Keys>>()?;
            return Ok(keys);
        }
        let refusal = self.refusal(&answer);
        if refusal == SecretStoreError::NotFound { Ok(Vec::new()) } else { Err(refusal) }
    }

    async fn adopt(&self, name: &str, version: Option<&str>) -> Result<AdoptedSecret, SecretStoreError> {
        check_name(name)?;
        let query = match version {
            // Zero would be the newest one.
            Some(version) => match version.parse::<u64>() {
                Ok(version) if version > 0 => format!("?version={version}"),
                _ => return Err(SecretStoreError::NotFound),
            },
            None => String::new(),
        };
        let answer = self.entry(name, &query).await?;
        let Data { data: Fields { data, metadata } } = answer.read::<Data<Fields<'_>>>()?;
        kept::adopted(Opened::new(data.get().as_bytes().to_vec()), metadata.version.to_string())
    }

    /// The answer with an entry, which is there.
    async fn entry(&self, name: &str, query: &str) -> Result<Answer, SecretStoreError> {
        let path = format!("{}/data/{name}{query}", self.mount);
        let answer = self.openbao.call_for(Method::GET, &path, None::<&Nothing>, MAX_ENTRY_BYTES).await?;
        if answer.is_success() { Ok(answer) } else { Err(self.refusal(&answer)) }
    }

    fn refusal(&self, answer: &Answer) -> SecretStoreError {
        let place = &self.place;
        match answer.status {
            401 | 403 => SecretStoreError::Denied(format!(
                "the policy of the vault's token does not permit it in {place}"
            )),
            // Otherwise an engine that is not there would look as if it had lost everything.
            404 if answer.says("no handler for route") => {
                SecretStoreError::Unusable(format!("there is no secrets engine at {}", self.mount))
            }
            404 => SecretStoreError::NotFound,
            other => SecretStoreError::Unusable(format!("a request in {place} was refused (HTTP {other})")),
        }
    }
}

/// Checks a reference before it becomes part of a path. Its folder may be of earlier settings.
fn check_reference(reference: &str) -> Result<(), SecretStoreError> {
    let mut parts = reference.rsplitn(3, '/');
    let has_ids = parts.by_ref().take(2).all(kept::is_id);
    let has_folder = parts.next().is_some_and(|folder| check_path("prefix", folder).is_ok());
    if has_ids && has_folder { Ok(()) } else { Err(SecretStoreError::NotFound) }
}

/// Checks the name of a secret of others before it becomes part of a path: a URL would read some names as others.
fn check_name(name: &str) -> Result<(), SecretStoreError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:@+=~".contains(c);
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(fits);
    if name.len() <= MAX_NAME_BYTES && name.split('/').all(is_part) {
        return Ok(());
    }
    let rule = "a name there has letters, digits and - _ . : @ + = ~, with '/' between parts";
    Err(SecretStoreError::Unusable(rule.to_owned()))
}

impl SecretStore for OpenBaoSecrets {
    fn kind(&self) -> &'static str {
        "openbao"
    }

    fn place(&self) -> &str {
        &self.place
    }

    fn put<'a>(&'a self, connection: &'a str, payload: &'a str, sealed: &'a [u8]) -> StoreReply<'a, String> {
        Box::pin(self.keep(connection, payload, sealed))
    }

    fn get<'a>(&'a self, reference: &'a str) -> StoreReply<'a, Vec<u8>> {
        Box::pin(self.look_up(reference))
    }

    fn find<'a>(&'a self, connection: &'a str, payload: &'a str) -> StoreReply<'a, Option<String>> {
        Box::pin(self.find_reference(connection, payload))
    }

    fn remove<'a>(&'a self, reference: &'a str) -> StoreReply<'a, ()> {
        Box::pin(self.take_away(reference))
    }

    fn forget<'a>(&'a self, connection: &'a str) -> StoreReply<'a, ()> {
        Box::pin(self.take_all_away(connection))
    }

    fn list<'a>(&'a self, page: Option<&'a str>) -> StoreReply<'a, StoreList> {
        Box::pin(self.page(page))
    }

    fn adopted<'a>(&'a self, name: &'a str, version: Option<&'a str>) -> StoreReply<'a, AdoptedSecret> {
        Box::pin(self.adopt(name, version))
    }
}

#[cfg(test)]
mod tests {
    use super::{check_name, check_reference};

    #[test]
    fn only_references_of_the_vault_become_paths() {
        let ids = "0190aaaa-0000-7000-8000-000000000001/0190aaaa-0000-7000-8000-000000000002";
        for reference in [format!("credvault/{ids}"), format!("team/credvault/{ids}")] {
            check_reference(&reference).unwrap();
        }
        for other in [
            "",
            ids,
            "credvault",
            "credvault/a/b",
            "credvault/../sys",
            &format!("../{ids}"),
            &format!("a?b/{ids}"),
        ] {
            assert!(check_reference(other).is_err(), "{other}");
        }
    }

    #[test]
    fn only_plain_names_become_paths() {
        for name in ["customers/acme/stripe", "a.b-c_d", "mail:x@y.example"] {
            check_name(name).unwrap();
        }
        for name in [
            "",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/..",
            "a/./b",
            "a%2fb",
            "a?version=1",
            "a#b",
            "a b",
            "ä",
            "a\\b",
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
