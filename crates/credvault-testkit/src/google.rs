//! A server that plays Google Cloud KMS and Google Secret Manager: `KeyManagementService` and `SecretManagerService` of
//! Google's public protos (`google/cloud/kms/v1`, `google/cloud/secretmanager/v1`), over HTTP with JSON as their
//! `google.api.http` annotations map them, because Google's SDK for Rust calls them so.
//!
//! It is a machine's metadata server, too. It really encrypts, with AES-256-GCM and the associated data that it is given,
//! under keys that are in memory; it checks the signatures of service accounts, and checksums.

mod answer;
mod fault;

mod keys;

mod secrets;

mod wire;

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::{CANARY, tokens};
use answer::Refusal;
pub use fault::GoogleFault;
use keys::Keys;
use secrets::Secrets;

/// The server. It ends with the runtime that started it.
pub struct GoogleServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    keys: Mutex<Keys>,
    secrets: Mutex<Secrets>,
    fault: Mutex<Option<GoogleFault>>,
    /// What was called, such as `encrypt`.
    calls: Mutex<Vec<String>>,
}

/// The account that may use the server's keys and secrets; everyone else is refused.
const ACCOUNT: &str = "vault@project.iam.gserviceaccount.com";

/// The token that the metadata server gives.
const MACHINE_TOKEN: &str = "CANARY-machine";

impl GoogleServer {
    /// Starts a server without keys and secrets, on a port of the loopback interface.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    /// The server's address, as a URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a key with one version. Returns its resource name.
    pub fn key(&self, name: &str) -> String {
        let name = format!("projects/project/locations/europe/keyRings/vault/cryptoKeys/{name}");
        self.shared.keys.lock().unwrap().create(&name);
        name
    }

    /// Writes a private file with the service account that may use everything.
    pub fn service_account(&self, folder: &Path) -> PathBuf {
        self.account_file(&folder.join("account.json"), ACCOUNT)
    }

    /// Writes a private file with a service account that may use nothing.
    pub fn stranger(&self, folder: &Path) -> PathBuf {
        self.account_file(&folder.join("stranger.json"), "stranger@project.iam.gserviceaccount.com")
    }

    fn account_file(&self, path: &Path, email: &str) -> PathBuf {
        let content = json!({
            "type": "service_account",
            "project_id": "project",
            "private_key_id": format!("{CANARY}-id"),
            "private_key": tokens::rsa_private_key_pem(),
            "client_email": email,
            "client_id": "1",
            "token_uri": format!("{}/token", self.endpoint()),
        });
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
        serde_json::to_writer(file, &content).unwrap();
        path.to_owned()
    }

    /// From now on each call meets this fault, or none.
    pub fn fault(&self, fault: Option<GoogleFault>) {
        *self.shared.fault.lock().unwrap() = fault;
    }

    /// Disables a version of a key, as an administrator does.
    pub fn disable(&self, key: &str, version: u64) {
        self.shared.keys.lock().unwrap().disable(key, version);
    }

    /// The states of a key's versions, from the first, such as `ENABLED`.
    pub fn states(&self, key: &str) -> Vec<&'static str> {
        self.shared.keys.lock().unwrap().states(key)
    }

    /// Makes a secret in a project unless it is there, and adds a version for each value, as another owner does.
    pub fn secret(&self, project: &str, secret: &str, values: &[&[u8]]) {
        let mut secrets = self.shared.secrets.lock().unwrap();
        let name = format!("projects/{project}/secrets/{secret}");
        let _ = secrets.create(&name);
        for value in values {
            secrets.add(&name, value.to_vec()).unwrap();
        }
    }

    /// How many versions that are not destroyed the secrets of a project have whose names begin so.
    pub fn kept(&self, project: &str, prefix: &str) -> usize {
        self.shared.secrets.lock().unwrap().kept(&format!("projects/{project}/secrets/{prefix}"))
    }

    /// Disables a version of a secret, as an administrator does.
    pub fn disable_secret(&self, project: &str, secret: &str, version: usize) {
        let name = format!("projects/{project}/secrets/{secret}/versions/{version}");
        self.shared.secrets.lock().unwrap().set_state(&name, "DISABLED").unwrap();
    }

    /// The calls so far, by method and the last part of their path, such as `POST :encrypt`.
    pub fn calls(&self) -> Vec<String> {
        self.shared.calls.lock().unwrap().clone()
    }
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(path) = uri.path().strip_prefix("/computeMetadata/v1/") {
        return metadata(path, &headers);
    }
    let path = uri.path().trim_start_matches("/v1/").to_owned();
    let from = path.rfind([':', '/']).unwrap_or_default();
    shared.calls.lock().unwrap().push(format!("{method} {}", &path[from..]));
    let fault = *shared.fault.lock().unwrap();
    if fault == Some(GoogleFault::Silent) {
        std::future::pending::<()>().await;
    }
    let answered = authenticate(&headers)
        .and_then(|()| refuse(fault, &headers, &body))
        .and_then(|()| respond(&shared, fault, &method, &path, uri.query().unwrap_or_default(), &body));
    answered.map_or_else(Refusal::into_response, |message| answer::json_response(StatusCode::OK, &message))
}

/// What the metadata server of a virtual machine answers, with the token of the machine's service account.
fn metadata(path: &str, headers: &HeaderMap) -> Response {
    let asked_rightly = headers.get("metadata-flavor").is_some_and(|flavor| flavor == "Google");
    if asked_rightly && path.starts_with("instance/service-accounts/default/token") {
        let token = json!({ "access_token": MACHINE_TOKEN, "expires_in": 3599, "token_type": "Bearer" });
        return answer::json_response(StatusCode::OK, &token);
    }
    Refusal::new(404, "NOT_FOUND", "no such metadata").into_response()
}

/// The caller has the token of the metadata server, or it is the service account with a JWT that it has signed itself.
fn authenticate(headers: &HeaderMap) -> Result<(), Refusal> {
    let unauthenticated =
        Refusal::new(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.");
    let header = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if header.strip_prefix("Bearer ") == Some(MACHINE_TOKEN) {
        return Ok(());
    }
    let Some(token) = header.strip_prefix("Bearer ").filter(|token| tokens::is_signed_by_rsa_key(token))
    else {
        return Err(unauthenticated);
    };
    let claims = token.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
    let claims: Value = serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
    if claims["iss"] == ACCOUNT && claims["sub"] == ACCOUNT {
        return Ok(());
    }
    Err(Refusal::new(
        403,
        "PERMISSION_DENIED",
        "Permission 'cloudkms.cryptoKeyVersions.useToEncrypt' denied.",
    ))
}

fn refuse(fault: Option<GoogleFault>, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    match fault {
        Some(GoogleFault::Unavailable) => {
            Err(Refusal::new(503, "UNAVAILABLE", "The service is unavailable."))
        }
        Some(GoogleFault::Exhausted) => Err(Refusal::new(429, "RESOURCE_EXHAUSTED", "Quota exceeded.")),
        Some(GoogleFault::Denied) => {
            Err(Refusal::new(403, "PERMISSION_DENIED", "The caller does not have permission"))
        }
        Some(GoogleFault::Talkative) => {
            let message = format!("{CANARY}: {headers:?} {}", String::from_utf8_lossy(body));
            Err(Refusal::new(500, "INTERNAL", &message))
        }
        Some(
            GoogleFault::Silent
            | GoogleFault::CorruptAnswer
            | GoogleFault::CorruptRequest
            | GoogleFault::LostChecksum
            | GoogleFault::Large
            | GoogleFault::SlowGeneration,
        )
        | None => Ok(()),
    }
}

fn respond(
    shared: &Shared,
    fault: Option<GoogleFault>,
    method: &Method,
    path: &str,
    query: &str,
    body: &[u8],
) -> Result<Value, Refusal> {
    if path.contains("/secrets") {
        let mut secrets = shared.secrets.lock().unwrap();
        return secrets.respond(fault, method, path, query, body);
    }
    let mut keys = shared.keys.lock().unwrap();
    let body: Value = if body.is_empty() { json!({}) } else { serde_json::from_slice(body).unwrap() };
    if *method == Method::GET {
        return match path.strip_suffix("/cryptoKeyVersions") {
            Some(key) => keys.list(key, query),
            None if path.contains("/cryptoKeyVersions/") => keys.version(path),
            None => keys.get(path),
        };
    }
    if let Some(key) = path.strip_suffix("/cryptoKeyVersions") {
        return keys.add_version(key, fault == Some(GoogleFault::SlowGeneration));
    }
    match path.rsplit_once(':') {
        Some((key, "encrypt")) => wire::encrypt(&keys, key, &body, fault),
        Some((key, "decrypt")) => wire::decrypt(&keys, key, &body, fault),
        Some((key, "updatePrimaryVersion")) => keys.set_primary(key, &body["cryptoKeyVersionId"]),
        Some((version, "destroy")) => keys.destroy(version),
        _ => Err(Refusal::new(404, "NOT_FOUND", "no such method")),
    }
}
