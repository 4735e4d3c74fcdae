//! What a change of an app keeps of the app that is stored. The vault replaces an app as a whole, but for its secrets.

use std::collections::BTreeMap;

use tonic::{Code, Status};

use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::lookup::request_id;
use credvault_proto::v1;

/// What a command says of an app. What it leaves out stays as it is stored.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) client_id: Option<String>,
    /// The new secret; empty for none.
    pub(super) client_secret: String,
    /// Whether the secret before stays valid beside the new one.
    pub(super) keep_previous_secret: bool,
    pub(super) redirect_uri: Option<String>,
    /// All scopes; empty for those that are stored.
    pub(super) scopes: Vec<String>,
    pub(super) settings: BTreeMap<String, String>,
}

/// The app that is stored for a provider: of several servers, the one that is named, which is the setting `issuer`.
pub(super) async fn found(
    client: &Client,
    tenant_id: &str,
    provider: &str,
    server: Option<&str>,
) -> Result<Option<v1::OAuthApp>, Failure> {
    let mut request = v1::ListOAuthAppsRequest {
        tenant_id: tenant_id.to_owned(),
        page_size: 500,
        page_token: String::new(),
    };
    let mut all = Vec::new();
    loop {
        let page = match client.admin().list_o_auth_apps(request.clone()).await {
            Ok(page) => page.into_inner(),
            Err(status) if status.code() == Code::PermissionDenied => {
                let way_out = "the stored app is read first, so that what is not named stays; `apps put --replace` stores exactly \
                               what is named";
                let text = format!("{}; {way_out}", status.message());
                let details = status.details().to_vec();
                return Err(Status::with_details(status.code(), text, details.into()).into());
            }
            Err(status) => return Err(status.into()),
        };
        all.extend(page.apps.into_iter().filter(|app| app.provider == provider));
        if page.next_page_token.is_empty() {
            return chosen(all, server);
        }
        request.page_token = page.next_page_token;
    }
}

fn chosen(mut all: Vec<v1::OAuthApp>, server: Option<&str>) -> Result<Option<v1::OAuthApp>, Failure> {
    if let Some(server) = server {
        let same = |one: &String| one.trim_end_matches('/') == server.trim_end_matches('/');
        all.retain(|app| app.settings.get("issuer").is_none_or(same));
    }
    match all.len() {
        0 | 1 => Ok(all.pop()),
        number => Err(Failure::Usage(format!(
            "there are apps for {number} servers at this provider: name the server, with --setting issuer=URL for `put`, or \
             with --server"
        ))),
    }
}

/// The request that stores an app with what is named, and with what is stored for the rest. The vault itself keeps secrets.
pub(super) fn merged(
    tenant_id: String,
    provider: &str,
    stored: Option<&v1::OAuthApp>,
    named: Changes,
) -> Result<v1::PutOAuthAppRequest, Failure> {
    let Changes { client_id, client_secret, keep_previous_secret, redirect_uri, scopes, settings } = named;
    let before = stored.cloned().unwrap_or_default();
    let client_id = client_id.or_else(|| stored.map(|app| app.client_id.clone())).ok_or_else(|| {
        Failure::Usage("there is no app at this provider yet: name its id there with --client-id".to_owned())
    })?;
    // A change without a secret does not end the secret before.
    let keeps = client_secret.is_empty() && before.hints.contains_key("previous_client_secret");
    let mut all = before.settings;
    all.extend(settings);
    Ok(v1::PutOAuthAppRequest {
        tenant_id,
        provider: provider.to_owned(),
        client_id,
        client_secret,
        keep_previous_secret: keep_previous_secret || keeps,
        redirect_uri: redirect_uri.unwrap_or(before.redirect_uri),
        default_scopes: if scopes.is_empty() { before.default_scopes } else { scopes },
        settings: all,
        request_id: request_id()?,
    })
}

/// What is not as it was, in words. Secrets differ by their hints only where these do.
pub(super) fn changed(before: &v1::OAuthApp, after: &v1::OAuthApp) -> String {
    let facts = [
        ("client id", before.client_id != after.client_id),
        ("redirect URI", before.redirect_uri != after.redirect_uri),
        ("scopes", before.default_scopes != after.default_scopes),
        ("settings", before.settings != after.settings),
        ("secrets, by their hints", before.hints != after.hints),
    ];
    let changed: Vec<&str> =
        facts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect();
    match changed.is_empty() {
        true => "What is shown of it is as it was before.".to_owned(),
        false => format!("Changed: {}. The rest is as it was before.", changed.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> v1::OAuthApp {
        v1::OAuthApp {
            provider: "hubspot".to_owned(),
            client_id: "hub1".to_owned(),
            redirect_uri: "https://app.test/back".to_owned(),
            default_scopes: vec!["crm".to_owned()],
            settings: [("region".to_owned(), "eu".to_owned())].into(),
            hints: [("previous_client_secret".to_owned(), "CA…RY".to_owned())].into(),
            ..Default::default()
        }
    }

    #[test]
    fn what_is_not_named_stays() {
        let put =
            |named: Changes| merged(String::new(), "hubspot", Some(&stored()), named).expect("a request");
        let secret = put(Changes { client_secret: "CANARY".to_owned(), ..Changes::default() });
        assert_eq!(
            (secret.client_id.as_str(), secret.redirect_uri.as_str()),
            ("hub1", "https://app.test/back")
        );
        assert_eq!((secret.default_scopes, secret.settings), (stored().default_scopes, stored().settings));
        assert!(!secret.keep_previous_secret);
        let scopes = put(Changes { scopes: vec!["oauth".to_owned()], ..Changes::default() });
        assert_eq!((scopes.default_scopes, scopes.keep_previous_secret), (vec!["oauth".to_owned()], true));
        let none = merged(String::new(), "hubspot", None, Changes::default());
        assert!(matches!(none, Err(Failure::Usage(text)) if text.contains("--client-id")));
    }

    #[test]
    fn of_several_servers_one_is_named() {
        let at = |url: &str| v1::OAuthApp {
            settings: [("issuer".to_owned(), url.to_owned())].into(),
            client_id: url.to_owned(),
            ..stored()
        };
        let all = || vec![at("https://a.test"), at("https://b.test")];
        let id = |server| chosen(all(), server).map(|app| app.map(|app| app.client_id)).ok().flatten();
        assert_eq!(id(Some("https://b.test/")).as_deref(), Some("https://b.test"));
        assert_eq!(id(Some("https://c.test")), None);
        assert!(matches!(chosen(all(), None), Err(Failure::Usage(text)) if text.contains("2 servers")));
    }

    #[test]
    fn what_has_changed_is_named() {
        let after = v1::OAuthApp { client_id: "hub2".to_owned(), hints: BTreeMap::new(), ..stored() };
        assert!(changed(&stored(), &after).starts_with("Changed: client id, secrets"));
        assert!(changed(&stored(), &stored()).contains("as it was before"));
    }
}
