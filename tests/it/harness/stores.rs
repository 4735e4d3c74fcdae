//! Stores of secrets: an OpenBao, AWS as moto plays it, Google as a server of ours plays it.
//! [`on_each_store`](crate::on_each_store) lists the tests that run with each of them.

use credvault::settings::RawSettings;
use credvault_testkit::{GoogleFault, GoogleServer, Moto, OpenBao};
use serde_json::{Value, json};

use super::{VaultBuilder, eventually, write};

/// Runs each listed test, an `async fn(Peer)`, with each kind of store. Where its program is not there, the test has not run.
#[macro_export]
macro_rules! on_each_store {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use $crate::harness::stores::Peer;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn openbao() {
                if let Some(peer) = Peer::openbao().await {
                    super::$name(peer).await;
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn aws() {
                if let Some(peer) = Peer::aws().await {
                    super::$name(peer).await;
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn google() {
                super::$name(Peer::google().await).await;
            }
        }
    )*};
}

/// What the vault may do in an OpenBao, and no more.
const POLICY: &str = concat!(
    include_str!("../../../deploy/openbao-kv.hcl"),
    r#"path "secret/data/customers/*" { capabilities = ["read"] }"#
);

/// The vault's login at AWS.
const CREDENTIALS: &str =
    "[credvault]\naws_access_key_id = test\naws_secret_access_key = CANARY-secret-access-key\n";

/// A store, of one kind.
pub enum Peer {
    OpenBao(Box<OpenBao>),
    Aws(Moto),
    Google(GoogleServer),
}

impl Peer {
    /// An OpenBao with an engine for secrets; none if the program is not there.
    pub async fn openbao() -> Option<Self> {
        let bao = tokio::task::spawn_blocking(OpenBao::start).await.unwrap()?;
        bao.write("sys/mounts/secret", &json!({ "type": "kv", "options": { "version": "2" } }));
        eventually("the engine serves", || async {
            bao.request("GET", "secret/config", &Value::Null).0 == 200
        })
        .await;
        bao.policy("credvault", POLICY);
        Some(Self::OpenBao(Box::new(bao)))
    }

    /// An AWS; none if the program that plays it is not there.
    pub async fn aws() -> Option<Self> {
        let moto = tokio::task::spawn_blocking(Moto::start).await.unwrap()?;
        // The first call has it load its Secrets Manager, which takes longer than the vault waits.
        moto.secrets("ListSecrets", &json!({}));
        Some(Self::Aws(moto))
    }

    /// A Google Cloud, which ends with the runtime.
    pub async fn google() -> Self {
        Self::Google(GoogleServer::start().await)
    }

    /// The kind, as settings name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OpenBao(_) => "openbao",
            Self::Aws(_) => "aws_secrets_manager",
            Self::Google(_) => "google_secret_manager",
        }
    }

    /// The address, as a URL.
    pub fn address(&self) -> String {
        match self {
            Self::OpenBao(bao) => bao.address(),
            Self::Aws(moto) => moto.endpoint(),
            Self::Google(server) => server.endpoint(),
        }
    }

    /// The port on loopback.
    pub fn port(&self) -> u16 {
        self.address().rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// The content of the file with the vault's login, and the section of the store's settings.
    fn settings(&self, address: &str) -> (String, String) {
        match self {
            Self::OpenBao(bao) => {
                let section = format!(
                    "kind = 'openbao'\naddress = '{address}'\nadopt = ['customers/{{tenant}}/*']\n\
                     login = {{ method = 'token', file = 'store-login' }}\n"
                );
                (bao.token(&["credvault"], "1h"), section)
            }
            Self::Aws(_) => {
                let section = format!(
                    "kind = 'aws_secrets_manager'\nendpoint = '{address}'\nadopt = ['customers/{{tenant}}/*']\n\
                     region = '{}'\nprofile = 'credvault'\ncredentials_file = 'store-login'\n",
                    Moto::REGION
                );
                (CREDENTIALS.to_owned(), section)
            }
            Self::Google(server) => {
                let folder = tempfile::tempdir().unwrap();
                let account = std::fs::read_to_string(server.service_account(folder.path())).unwrap();
                let section = format!(
                    "kind = 'google_secret_manager'\nendpoint = '{address}'\nproject = 'project'\n\
                     adopt = ['projects/customer-{{tenant}}/secrets/*']\nservice_account = 'store-login'\n"
                );
                (account, section)
            }
        }
    }

    /// How many payloads of the vault it has.
    pub fn kept(&self) -> usize {
        match self {
            Self::OpenBao(bao) => {
                let names = |folder: &str| listed(bao, &format!("credvault{folder}"));
                names("").iter().map(|name| names(&format!("/{}", name.trim_end_matches('/'))).len()).sum()
            }
            Self::Aws(moto) => {
                let ours =
                    secrets(moto).into_iter().filter(|secret| name_of(secret).starts_with("credvault/"));
                ours.map(|secret| payloads(&secret)).sum()
            }
            Self::Google(server) => server.kept("project", "credvault-"),
        }
    }

    /// Forgets all payloads of the vault. Only an OpenBao does.
    pub fn lose(&self) {
        let Self::OpenBao(bao) = self else { panic!("only an OpenBao forgets") };
        for folder in listed(bao, "credvault") {
            let folder = format!("credvault/{}", folder.trim_end_matches('/'));
            for name in listed(bao, &folder) {
                let (status, _) =
                    bao.request("DELETE", &format!("secret/metadata/{folder}/{name}"), &Value::Null);
                assert_eq!(status, 204);
            }
        }
    }

    /// The name that a tenant refers to a secret of its own by.
    pub fn name(&self, tenant: &str, secret: &str) -> String {
        match self {
            Self::OpenBao(_) | Self::Aws(_) => format!("customers/{tenant}/{secret}"),
            Self::Google(_) => format!("projects/customer-{tenant}/secrets/{secret}"),
        }
    }

    /// Names that the tenant `acme` must not refer to: of another folder, account or project, and the vault's own.
    pub fn names_of_others(&self) -> &'static [&'static str] {
        match self {
            Self::OpenBao(_) => &[
                "other/customers/acme/shop",
                "customers/globex/../acme/shop",
                "customers/acme2/shop",
                "credvault/x",
            ],
            Self::Aws(_) => &[
                "arn:aws:secretsmanager:eu-central-1:999999999999:secret:customers/acme/shop",
                "other/customers/acme/shop",
                "customers/acme2/shop",
                "credvault/x",
            ],
            Self::Google(_) => &[
                "projects/other/secrets/shop",
                "projects/customer-acme-2/secrets/shop",
                "projects/project/secrets/credvault-x",
                "shop",
            ],
        }
    }

    /// Keeps a secret there, or a newer version of it, as the tenant itself does.
    pub fn keep(&self, tenant: &str, secret: &str, fields: &Value) {
        let name = self.name(tenant, secret);
        match self {
            Self::OpenBao(bao) => drop(bao.write(&format!("secret/data/{name}"), &json!({ "data": fields }))),
            Self::Aws(moto) if self.has(tenant, secret) => {
                let newer = json!({ "SecretId": name, "SecretString": fields.to_string() });
                moto.secrets("PutSecretValue", &newer);
            }
            Self::Aws(moto) => {
                let new = json!({ "Name": name, "SecretString": fields.to_string() });
                moto.secrets("CreateSecret", &new);
            }
            Self::Google(server) => {
                server.secret(&format!("customer-{tenant}"), secret, &[fields.to_string().as_bytes()]);
            }
        }
    }

    /// Whether a secret of the tenant's own is there.
    pub fn has(&self, tenant: &str, secret: &str) -> bool {
        let name = self.name(tenant, secret);
        match self {
            Self::OpenBao(bao) => bao.request("GET", &format!("secret/data/{name}"), &Value::Null).0 == 200,
            Self::Aws(moto) => secrets(moto).iter().any(|secret| name_of(secret) == name),
            Self::Google(server) => server.kept(&format!("customer-{tenant}"), secret) > 0,
        }
    }

    /// Has it answer nothing from now on.
    pub fn pause(&self) {
        match self {
            Self::OpenBao(bao) => bao.pause(),
            Self::Aws(moto) => moto.pause(),
            Self::Google(server) => server.fault(Some(GoogleFault::Silent)),
        }
    }

    /// Has it answer again.
    pub fn resume(&self) {
        match self {
            Self::OpenBao(bao) => bao.resume(),
            Self::Aws(moto) => moto.resume(),
            Self::Google(server) => server.fault(None),
        }
    }
}

impl VaultBuilder {
    /// Lets the vault know a store as `eu`, which it calls at `address`; `more` are other settings of the section `secrets`.
    /// They are in the configuration file, too, for processes of their own. Change other settings after this.
    pub fn secret_store(self, peer: &Peer, address: &str, more: &str) -> Self {
        let (login, section) = peer.settings(address);
        let more = format!(
            "[secrets]\nkeep_removed_seconds = 3600\n{more}\n[secrets.stores.eu]\ntimeout_ms = 3000\n{section}"
        );
        self.file("store-login", &login).settings(move |settings, folder| {
            let file = folder.join("credvault.toml");
            let before = std::fs::read_to_string(&file).unwrap();
            write(folder, "credvault.toml", &format!("{before}{more}"));
            let read = RawSettings::read(Some(&file), [], &[]);
            read.check_reading().unwrap();
            *settings = read;
        })
    }
}

/// The names in a folder of an OpenBao.
fn listed(bao: &OpenBao, folder: &str) -> Vec<String> {
    let (status, answer) = bao.request("GET", &format!("secret/metadata/{folder}?list=true"), &Value::Null);
    if status == 404 {
        return Vec::new();
    }
    let names = answer["data"]["keys"].as_array().unwrap().iter();
    names.map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// All secrets of an AWS.
fn secrets(moto: &Moto) -> Vec<Value> {
    moto.secrets("ListSecrets", &json!({}))["SecretList"].as_array().unwrap().clone()
}

fn name_of(secret: &Value) -> &str {
    secret["Name"].as_str().unwrap()
}

/// How many versions of a secret of AWS have the label that keeps them.
fn payloads(secret: &Value) -> usize {
    let versions = secret["SecretVersionsToStages"].as_object().unwrap().iter();
    let has_label = |id: &str, labels: &Value| labels.as_array().unwrap().iter().any(|label| label == id);
    versions.filter(|(id, labels)| has_label(id, labels)).count()
}
