//! Registers an app at a server where neither the tenant nor the platform has one, if the server lets clients register
//! themselves (RFC 7591). The app is stored like any other: it is used from then on, and DeleteOAuthApp removes it. Only
//! that leads to another registration, even if the server has forgotten the app.

use std::time::Duration;

use credvault_catalog::{Body, Method, ProviderRequest};
use credvault_crypto::SigningKey;
use credvault_domain::{AppPlace, FieldName, SecretFields, Violations};
use credvault_store::{NewApp, UsableApp};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use url::Url;

use super::error::ConsentError;
use super::target::Target;
use crate::broker::Broker;
use crate::http::client::Answer;

/// For how long one replica may register. Longer than a request and the storing of its answer take.
const LEASE: Duration = Duration::from_secs(120);
/// How long another replica's registration is awaited.
const WAIT_TIMEOUT: Duration = Duration::from_secs(15);
/// The pause between two looks at another replica's registration, and between two attempts to store.
const PAUSE: Duration = Duration::from_millis(200);
/// For how long it is tried to store what the server has given.
const STORE_TIMEOUT: Duration = Duration::from_secs(60);
/// How many bytes an app's id has at most.
const MAX_CLIENT_ID_BYTES: usize = 512;

/// How an app will authenticate, and the key that it does it with.
struct Proof {
    method: &'static str,
    key: Option<(SecretString, Map<String, Value>)>,
}

impl Broker {
    /// The app that the consent is given to, if the mode needs one. Where there is none, it is registered.
    pub(super) async fn app_or_registered(
        &self,
        target: Target<'_>,
    ) -> Result<Option<UsableApp>, ConsentError> {
        match self.app_if_needed(target).await {
            Err(ConsentError::AppMissing) => self.registered(target).await.map(Some),
            found => found,
        }
    }

    async fn registered(&self, target: Target<'_>) -> Result<UsableApp, ConsentError> {
        let registers = target.mode.discovery.as_ref().is_some_and(|discovery| discovery.registers_app);
        let metadata = self.metadata_of(target.mode, &target.connection.config).await?;
        let endpoint = metadata.as_ref().and_then(|all| all.get("registration_endpoint")?.as_str());
        let (Some(metadata), Some(endpoint)) = (&metadata, endpoint.filter(|_| registers)) else {
            return Err(ConsentError::AppMissing);
        };
        let (apps, place) = (self.store().apps(), self.place_of(target));
        let deadline = Instant::now() + WAIT_TIMEOUT;
        while !apps.claim_registration(target.scope, &place, LEASE).await? {
            if Instant::now() > deadline {
                return Err(ConsentError::Unavailable);
            }
            tokio::time::sleep(PAUSE).await;
            match self.app(target).await {
                Err(ConsentError::AppMissing) => {}
                found => return found,
            }
        }
        // Another replica may have ended its registration before this one began.
        let registered = match self.app(target).await {
            Err(ConsentError::AppMissing) => self.register(target, &place, metadata, endpoint).await,
            found => found.map(|_| None),
        };
        match registered {
            Ok(Some(new)) => self.store_registered(target, &new).await?,
            Ok(None) => apps.end_registration(target.scope, &place).await?,
            Err(error) => {
                apps.end_registration(target.scope, &place).await?;
                return Err(error);
            }
        }
        self.app(target).await
    }

    /// Asks the server for an app.
    async fn register(
        &self,
        target: Target<'_>,
        place: &AppPlace,
        metadata: &Value,
        endpoint: &str,
    ) -> Result<Option<NewApp>, ConsentError> {
        let redirect_uri = self.callback_url(place).ok_or(ConsentError::AppMissing)?;
        let proof = proof(metadata)?.ok_or(ConsentError::AppMissing)?;
        let refused = |rule: &str| Violations::of("config.issuer", rule.to_owned());
        let url =
            Url::parse(endpoint).map_err(|_| refused("must name a registration_endpoint that is a URL"))?;
        self.http().guard().check_stored_url(&url).map_err(|error| refused(error.rule()))?;
        let request = ProviderRequest {
            method: Method::Post,
            url: endpoint.to_owned(),
            headers: Vec::new(),
            query: Vec::new(),
            body: Body::Json(asked(&redirect_uri, &proof).to_string().into()),
        };
        let answer = self.http().send(request).await.map_err(|error| {
            tracing::warn!(provider = place.provider().as_str(), %error, "an app could not be registered");
            ConsentError::Unavailable
        })?;
        let new = new_app(place, redirect_uri, proof, &answer);
        new.map(Some).ok_or_else(|| {
            let code = target.mode.oauth().and_then(|oauth| oauth.response.error_code(&answer.body));
            let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
            let rule = format!(
                "must let the vault register an app, and the server refuses{code}: store one with PutOAuthApp"
            );
            Violations::of("config.issuer", rule).into()
        })
    }

    /// Stores an app. No other copy of its secret exists, so it is tried for a while.
    async fn store_registered(&self, target: Target<'_>, new: &NewApp) -> Result<(), ConsentError> {
        let deadline = Instant::now() + STORE_TIMEOUT;
        loop {
            match self.store().apps().put_registered(target.scope, new).await {
                Err(error) if error.is_transient() && Instant::now() < deadline => {
                    tracing::warn!(%error, "a registered app could not be stored yet; it is tried again");
                    tokio::time::sleep(PAUSE).await;
                }
                stored => return Ok(stored?),
            }
        }
    }
}

/// The best of the ways to authenticate that the server offers. `None` if the vault knows none of them.
fn proof(metadata: &Value) -> Result<Option<Proof>, ConsentError> {
    let named = |name: &str| metadata.get(name).and_then(Value::as_array);
    let has = |list: Option<&Vec<Value>>, name: &str| list.is_some_and(|all| all.iter().any(|it| it == name));
    let methods = named("token_endpoint_auth_methods_supported");
    let signs = has(named("token_endpoint_auth_signing_alg_values_supported"), "ES256");
    if has(methods, "private_key_jwt") && signs {
        let key = SigningKey::generate("credvault").map_err(|_| ConsentError::Unavailable)?;
        return Ok(Some(Proof { method: "private_key_jwt", key: Some(key) }));
    }
    // RFC 8414, section 2: without a list, clients show their secret by basic authentication.
    let known = ["client_secret_basic", "client_secret_post", "none"];
    let offered = |method: &&str| methods.is_none() || has(methods, method);
    Ok(known.into_iter().find(offered).map(|method| Proof { method, key: None }))
}

/// What the server is asked for (RFC 7591, section 2).
fn asked(redirect_uri: &str, proof: &Proof) -> Value {
    let mut asked = json!({
        "client_name": "credvault",
        "application_type": "web",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": proof.method,
    });
    if let (Some((_, public)), Some(members)) = (&proof.key, asked.as_object_mut()) {
        members.insert("jwks".to_owned(), json!({ "keys": [public] }));
        members.insert("token_endpoint_auth_signing_alg".to_owned(), json!("ES256"));
    }
    asked
}

/// The app in the server's answer (RFC 7591, section 3.2.1). `None` if it gives none, or one that authenticates in another
/// way.
fn new_app(place: &AppPlace, redirect_uri: String, proof: Proof, answer: &Answer) -> Option<NewApp> {
    let text = |name: &str| answer.body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let client_id = text("client_id").filter(|id| {
        id.len() <= MAX_CLIENT_ID_BYTES && !id.chars().any(char::is_control) && id.trim() == *id
    })?;
    let other = text("token_endpoint_auth_method").is_some_and(|method| method != proof.method);
    let client_secret = text("client_secret").filter(|_| proof.method.starts_with("client_secret"));
    if !matches!(answer.status, 200 | 201) || other {
        return None;
    }
    if client_secret.is_none() && proof.method.starts_with("client_secret") {
        return None;
    }
    let mut secrets = SecretFields::default();
    let access = text("registration_access_token").map(SecretString::from);
    for (name, value) in
        [("private_key", proof.key.map(|(key, _)| key)), ("registration_access_token", access)]
    {
        if let (Ok(name), Some(value)) = (FieldName::parse(name), value) {
            secrets.set(name, value);
        }
    }
    let mut settings = std::collections::BTreeMap::new();
    settings.extend(place.server().map(|server| ("issuer".to_owned(), server.to_owned())));
    let uri = text("registration_client_uri").filter(|uri| uri.len() <= 1024);
    settings.extend(uri.map(|uri| ("registration_client_uri".to_owned(), uri.to_owned())));
    Some(NewApp {
        place: place.clone(),
        client_id: client_id.to_owned(),
        client_secret: client_secret.map(SecretString::from),
        keep_previous: false,
        redirect_uri,
        scopes: Vec::new(),
        settings,
        secrets,
    })
}
