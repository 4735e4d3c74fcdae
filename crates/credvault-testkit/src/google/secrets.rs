//! The secrets of the server that plays Google Secret Manager: versions and their states. As Google does, it answers with
//! names that have the number of the project, and refuses what is destroyed in the words for what is disabled.

use std::collections::BTreeMap;

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::fault::GoogleFault;
use super::wire::crc32c;

/// Entries in one answer to a list, so that a client must ask for a second page.
const PAGE: usize = 2;
/// What answers call every project.
const PROJECT_NUMBER: &str = "42";

/// Secrets by their full names, `projects/<id>/secrets/<secret>`, each with its versions.
#[derive(Default)]
pub(super) struct Secrets(BTreeMap<String, Vec<Version>>);

struct Version {
    data: Vec<u8>,
    state: &'static str,
}

impl Secrets {
    pub(super) fn create(&mut self, secret: &str) -> Result<Value, Refusal> {
        if self.0.contains_key(secret) {
            return Err(Refusal::new(409, "ALREADY_EXISTS", &format!("Secret [{secret}] already exists.")));
        }
        self.0.insert(secret.to_owned(), Vec::new());
        Ok(json!({ "name": answered(secret) }))
    }

    pub(super) fn add(&mut self, secret: &str, data: Vec<u8>) -> Result<Value, Refusal> {
        let versions = self.find(secret)?;
        versions.push(Version { data, state: "ENABLED" });
        let number = versions.len();
        Ok(json!({ "name": answered(&format!("{secret}/versions/{number}")), "state": "ENABLED" }))
    }

    pub(super) fn set_state(&mut self, version: &str, state: &'static str) -> Result<Value, Refusal> {
        let found = self.version(version)?;
        if found.state == "DESTROYED" {
            return Err(in_state(version, found.state));
        }
        found.state = state;
        if state == "DESTROYED" {
            found.data.clear();
        }
        Ok(json!({ "name": answered(version), "state": state }))
    }

    /// How many versions that are not destroyed there are of the secrets whose full names begin so.
    pub(super) fn kept(&self, prefix: &str) -> usize {
        let ours = self.0.iter().filter(|(name, _)| name.starts_with(prefix));
        ours.flat_map(|(_, versions)| versions).filter(|version| version.state != "DESTROYED").count()
    }

    pub(super) fn respond(
        &mut self,
        fault: Option<GoogleFault>,
        method: &Method,
        path: &str,
        query: &str,
        body: &[u8],
    ) -> Result<Value, Refusal> {
        let body: Value = if body.is_empty() { json!({}) } else { serde_json::from_slice(body).unwrap() };
        let of_query = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        if *method == Method::DELETE {
            let missing = missing(path);
            return self.0.remove(path).map(|_| json!({})).ok_or(missing);
        }
        if *method == Method::POST {
            return match path.rsplit_once(':') {
                Some((secret, "addVersion")) => self.add_sent(fault, secret, &body),
                Some((version, "destroy")) => self.set_state(version, "DESTROYED"),
                Some(_) => Err(Refusal::new(404, "NOT_FOUND", "no such method")),
                None => self.create(&format!("{path}/{}", of_query("secretId"))),
            };
        }
        if let Some(secret) = path.strip_suffix("/versions") {
            return self.list_versions(secret, &of_query("pageToken"));
        }
        match path.strip_suffix(":access") {
            Some(version) => self.access(fault, version),
            None if path.contains("/versions/") => {
                let version = self.resolved(path)?;
                let state = self.version(&version)?.state;
                Ok(json!({ "name": answered(&version), "state": state }))
            }
            None => Ok(self.list(path, &of_query("filter"), &of_query("pageToken"))),
        }
    }

    fn add_sent(&mut self, fault: Option<GoogleFault>, secret: &str, body: &Value) -> Result<Value, Refusal> {
        let payload = &body["payload"];
        let mut data = STANDARD.decode(payload["data"].as_str().unwrap()).unwrap();
        if fault == Some(GoogleFault::CorruptRequest) {
            data[0] ^= 1;
        }
        let checksum: u32 = payload["dataCrc32c"].as_str().unwrap().parse().unwrap();
        if checksum != crc32c(&data) {
            let message = "The checksum in field data_crc32c did not match the data in field data.";
            return Err(Refusal::new(400, "INVALID_ARGUMENT", message));
        }
        if data.len() > 64 * 1024 {
            return Err(Refusal::new(400, "INVALID_ARGUMENT", "The payload is larger than 64 KiB."));
        }
        self.add(secret, data)
    }

    fn access(&mut self, fault: Option<GoogleFault>, version: &str) -> Result<Value, Refusal> {
        let version = self.resolved(version)?;
        let found = self.version(&version)?;
        if found.state != "ENABLED" {
            return Err(in_state(&version, found.state));
        }
        let checksum = crc32c(&found.data);
        let mut data = found.data.clone();
        if fault == Some(GoogleFault::CorruptAnswer) {
            data[0] ^= 1;
        }
        if fault == Some(GoogleFault::Large) {
            data = vec![b'x'; 300 * 1024];
            let payload = json!({ "data": STANDARD.encode(&data) });
            return Ok(json!({ "name": answered(&version), "payload": payload }));
        }
        let payload = json!({ "data": STANDARD.encode(&data), "dataCrc32c": checksum.to_string() });
        Ok(json!({ "name": answered(&version), "payload": payload }))
    }

    /// A page of a project's secrets whose names contain what the filter says.
    fn list(&self, path: &str, filter: &str, token: &str) -> Value {
        let part =
            filter.strip_prefix("name%3A").or_else(|| filter.strip_prefix("name:")).unwrap_or_default();
        let in_project = self.0.keys().filter(|name| name.starts_with(&format!("{path}/")));
        let all: Vec<_> = in_project.filter(|name| name.contains(part)).collect();
        let (page, next) = page_of(&all, token);
        let page: Vec<_> = page.iter().map(|name| json!({ "name": answered(name) })).collect();
        json!({ "secrets": page, "nextPageToken": next, "totalSize": all.len() })
    }

    fn list_versions(&mut self, secret: &str, token: &str) -> Result<Value, Refusal> {
        // The newest first, as Google lists them; the filter is what the client filters by itself, too.
        let versions = self.find(secret)?.iter().enumerate().rev();
        let all: Vec<_> = versions
            .map(|(index, version)| (format!("{secret}/versions/{}", index + 1), version.state))
            .collect();
        let (page, next) = page_of(&all, token);
        let page: Vec<_> =
            page.iter().map(|(name, state)| json!({ "name": answered(name), "state": state })).collect();
        Ok(json!({ "versions": page, "nextPageToken": next, "totalSize": all.len() }))
    }

    fn find(&mut self, secret: &str) -> Result<&mut Vec<Version>, Refusal> {
        self.0.get_mut(secret).ok_or_else(|| missing(secret))
    }

    /// The name of a version with its number, where `latest` may stand for it.
    fn resolved(&mut self, version: &str) -> Result<String, Refusal> {
        match version.strip_suffix("/versions/latest") {
            Some(secret) => Ok(format!("{secret}/versions/{}", self.find(secret)?.len())),
            None => Ok(version.to_owned()),
        }
    }

    fn version(&mut self, name: &str) -> Result<&mut Version, Refusal> {
        let (secret, number) = name.split_once("/versions/").unwrap_or((name, ""));
        let index = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let index = index.ok_or_else(|| missing(name))?;
        self.find(secret)?.get_mut(index).ok_or_else(|| missing(name))
    }
}

/// A page of entries, and the token of the next one.
fn page_of<'a, T>(all: &'a [T], token: &str) -> (&'a [T], String) {
    let from: usize = token.parse().unwrap_or(0);
    let to = all.len().min(from + PAGE);
    let next = if to < all.len() { to.to_string() } else { String::new() };
    (&all[from..to], next)
}

/// A name as answers have it.
fn answered(name: &str) -> String {
    let rest = name.splitn(3, '/').nth(2).unwrap_or_default();
    format!("projects/{PROJECT_NUMBER}/{rest}")
}

fn missing(name: &str) -> Refusal {
    Refusal::new(404, "NOT_FOUND", &format!("Secret [{name}] not found or has no versions."))
}

fn in_state(version: &str, state: &str) -> Refusal {
    Refusal::new(400, "FAILED_PRECONDITION", &format!("Secret Version [{version}] is in {state} state."))
}
