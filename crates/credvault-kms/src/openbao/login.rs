//! The ways to log in to OpenBao: each gives a token and how long it lives.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::http::{Answer, Client, read};
use super::settings::{OpenBaoLogin, OpenBaoSettings};
use crate::failure::Failure;

/// No token of OpenBao, and no token of Kubernetes, is longer.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A token and its life.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) value: SecretString,
    /// How long it lives from now on; zero if it has no end.
    pub(super) lease: Duration,
    pub(super) renewable: bool,
}

/// The login with a secret, of all methods: what is absent is not sent.
#[derive(Serialize, Default)]
struct Request<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Deserialize)]
struct LoggedIn {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: SecretString,
    lease_duration: u64,
    renewable: bool,
}

#[derive(Deserialize)]
struct LookedUp {
    data: Life,
}

#[derive(Deserialize)]
struct Life {
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

/// Logs in.
///
/// # Errors
/// [`Failure::Settings`]: a file cannot be read; [`Failure::Denied`]: the server refuses what is in it.
pub(super) async fn log_in(settings: &OpenBaoSettings, client: &Client) -> Result<Token, Failure> {
    match &settings.login {
        OpenBaoLogin::TokenFile(file) => look_up(client, token_in(file).await?).await,
        OpenBaoLogin::AppRole { mount, role_id, secret_id_file } => {
            let secret_id = secret_in("secret_id_file", secret_id_file).await?;
            let secret_id = Some(secret_id.expose_secret());
            present(client, mount, &Request { role_id: Some(role_id), secret_id, ..Request::default() }).await
        }
        OpenBaoLogin::Kubernetes { mount, role, jwt_file } => {
            let jwt = secret_in("jwt_file", jwt_file).await?;
            let jwt = Some(jwt.expose_secret());
            present(client, mount, &Request { role: Some(role), jwt, ..Request::default() }).await
        }
        OpenBaoLogin::Certificate { mount, role, .. } => {
            present(client, mount, &Request { name: role.as_deref(), ..Request::default() }).await
        }
    }
}

/// Lets a token live longer. `None` if the server does not want that.
pub(super) async fn renew(client: &Client, token: &SecretString) -> Result<Option<Token>, Failure> {
    let path = "auth/token/renew-self";
    let answer = client.send(Method::POST, path, Some(token), Some(&Request::default())).await?;
    if answer.is_success() { read_token(&answer).map(Some) } else { Ok(None) }
}

/// Whether the server still accepts a token.
pub(super) async fn is_valid(client: &Client, token: &SecretString) -> Result<bool, Failure> {
    Ok(ask_about(client, token).await?.is_success())
}

/// The token in a file.
pub(super) async fn token_in(file: &Path) -> Result<SecretString, Failure> {
    secret_in("token_file", file).await
}

async fn present(client: &Client, mount: &str, request: &Request<'_>) -> Result<Token, Failure> {
    let answer = client.send(Method::POST, &format!("auth/{mount}/login"), None, Some(request)).await?;
    match answer.status {
        200..=299 => read_token(&answer),
        404 => Err(Failure::Denied(format!("it has no way to log in at auth/{mount}"))),
        other => Err(Failure::Denied(format!("the login at auth/{mount} was refused (HTTP {other})"))),
    }
}

async fn look_up(client: &Client, value: SecretString) -> Result<Token, Failure> {
    let answer = ask_about(client, &value).await?;
    if !answer.is_success() {
        let text = "the token in the file is not valid, or may not look itself up";
        return Err(Failure::Denied(format!("{text} (HTTP {})", answer.status)));
    }
    let LookedUp { data: Life { ttl, renewable } } = answer.read()?;
    Ok(Token { value, lease: Duration::from_secs(ttl), renewable })
}

async fn ask_about(client: &Client, token: &SecretString) -> Result<Answer, Failure> {
    client.send(Method::GET, "auth/token/lookup-self", Some(token), None::<&Request<'_>>).await
}

fn read_token(answer: &Answer) -> Result<Token, Failure> {
    let LoggedIn { auth } = answer.read()?;
    let lease = Duration::from_secs(auth.lease_duration);
    Ok(Token { value: auth.client_token, lease, renewable: auth.renewable })
}

/// The one line in a file, of which `what` is the setting.
async fn secret_in(what: &str, file: &Path) -> Result<SecretString, Failure> {
    let content: Zeroizing<Vec<u8>> = read(what, file).await?;
    let line = content.trim_ascii();
    let text = std::str::from_utf8(line).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    match text {
        Some(text) if !text.is_empty() && text.len() <= MAX_TOKEN_BYTES => Ok(text.into()),
        _ => {
            let rule = "does not hold one line of printable characters";
            Err(Failure::Settings(format!("{what} {} {rule}", file.display())))
        }
    }
}
