//! A vault with a provider: the simulator, over real HTTP.

use std::collections::BTreeMap;

use credvault::settings::RawSettings;
use credvault_domain::Clock as _;
use credvault_proto::v1;
use credvault_simulator::{CLIENT_ID, CLIENT_SECRET, Simulator};

use super::{Client, TestVault, VaultBuilder, by_id, input};

/// A vault, and a provider that it knows as `simulator`. Its refresh tokens are as strict as providers get.
pub struct Connected {
    pub vault: TestVault,
    pub provider: Simulator,
}

pub const STRICT: &str = "rotates = 'yes'";
pub const GRACE: &str = "rotates = 'yes'\ngrace_seconds = 1800";

pub fn provider_file(url: &str, refresh_section: &str) -> String {
    let refresh_section = refresh_section.replace("{url}", url);
    let secret = "basic = { user = '{app.client_id}', password = '{app.client_secret}' }";
    format!(
        "id = 'simulator'\ndisplay_name = 'Simulator'\n\
         config.shop = {{ title = 'Shop', pattern = '^[a-z0-9-]{{1,20}}$', pattern_description = 'a name' }}\n\
         app.application_id = {{ title = 'Application id' }}\n\
         app.signing_secret = {{ title = 'Signing secret', secret = true }}\n\
         [modes.oauth2_code]\ndisplay_name = 'OAuth'\nkind = 'oauth2_code'\n\
         scopes = {{ default = ['read'], always = ['offline'] }}\n\
         secret.access_token = {{ title = 'Access token' }}\n\
         secret.refresh_token = {{ title = 'Refresh token', vault_only = true }}\n\
         [modes.oauth2_code.request]\nbase_url = '{url}'\n\
         headers = {{ Authorization = 'Bearer {{secret.access_token}}' }}\n\
         [modes.oauth2_code.authorize]\nurl = '{url}/authorize'\nissuer = '{url}'\n\
         query = {{ response_type = 'code', client_id = '{{app.client_id}}', redirect_uri = '{{flow.redirect_uri}}',\
          scope = '{{flow.scope}}', state = '{{flow.state}}', code_challenge = '{{flow.code_challenge}}',\
          code_challenge_method = 'S256' }}\n\
         [modes.oauth2_code.exchange]\nurl = '{url}/token'\n{secret}\n\
         form = {{ grant_type = 'authorization_code', code = '{{flow.code}}', redirect_uri = '{{flow.redirect_uri}}',\
          code_verifier = '{{flow.code_verifier}}' }}\n\
         [modes.oauth2_code.refresh.call]\nurl = '{url}/token'\n{secret}\n\
         form = {{ grant_type = 'refresh_token', refresh_token = '{{secret.refresh_token}}' }}\n\
         [modes.oauth2_code.token_response]\naccount_id = 'account'\n\
         [modes.oauth2_code.revoke]\ncall = {{ url = '{url}/revoke', {secret}, form = {{ token = '{{secret.refresh_token}}' }} }}\n\
         [modes.oauth2_code.test]\naccount_id = 'id'\naccount_display_name = 'name'\ncall.url = '{url}/me'\n\
         [modes.api_key]\ndisplay_name = 'Key'\nkind = 'static'\n\
         secret.key = {{ title = 'Key', required = true }}\n\
         secret.webhook_secret = {{ title = 'Webhook secret', vault_only = true }}\n\
         request = {{ base_url = '{url}', headers = {{ X-API-Key = '{{secret.key}}' }} }}\n\
         test = {{ call = {{ url = '{url}/me' }}, account_id = 'id' }}\n\
         [webhooks.events]\nsignature_header = 'X-Signature'\ntimestamp_header = 'X-Time'\n\
         signed_content = '{{timestamp}}.{{body}}'\nkeys = ['secret.webhook_secret', 'app.signing_secret', 'app.client_secret']\n\
         accounts = [{{ path = 'shop', setting = 'shop' }}]\n\
         [[webhooks.events.handshakes]]\nwhen = [{{ path = 'ping' }}]\ninstructions = 'Answer 200.'\n\
         [modes.oauth2_code.refresh]\n{refresh_section}\n"
    )
}

/// The app at the provider, stored for the platform.
pub fn app_request() -> v1::PutOAuthAppRequest {
    v1::PutOAuthAppRequest {
        provider: "simulator".into(),
        client_id: CLIENT_ID.into(),
        client_secret: CLIENT_SECRET.into(),
        redirect_uri: "http://127.0.0.1:9/back".into(),
        ..Default::default()
    }
}

pub fn connection_request(account: &str) -> v1::CreateConnectionRequest {
    v1::CreateConnectionRequest {
        owner: Some(v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: String::new() }),
        provider: "simulator".into(),
        account_name: account.into(),
        auth_mode: "oauth2_code".into(),
        ..Default::default()
    }
}

impl VaultBuilder {
    /// Starts a provider and a vault that knows it. `refresh_section` is the provider file's section about refreshes.
    /// In files that were added before, `PROVIDER_URL` becomes the provider's URL.
    pub async fn start_with_provider(self, refresh_section: &str) -> Connected {
        let provider = Simulator::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let builder = self.replace_in_files("PROVIDER_URL", &provider.url());
        let builder = builder.provider_file("simulator", &provider_file(&provider.url(), refresh_section));
        let builder = builder.allow_loopback().settings(|settings, _| {
            settings.public.address = "127.0.0.1:0".parse().unwrap();
            settings.public.url = Some("http://localhost:7480".into());
            settings.public.origins = vec!["https://app.example.com".into()];
        });
        let vault = builder.start().await;
        vault.client("operator").await.admin().put_o_auth_app(app_request()).await.unwrap();
        Connected { vault, provider }
    }
}

impl Connected {
    /// Writes into the configuration file what has been changed in memory, for a process of its own.
    pub fn configure_on_disk(&mut self) {
        let folder = self.vault.folder.path().to_owned();
        let text = std::fs::read_to_string(folder.join("credvault.toml")).unwrap();
        let catalog = folder.join("catalog").display().to_string();
        let more = format!("[catalog]\nfolder = '{catalog}'\n[broker]\nallowed_networks = ['127.0.0.0/8']\n");
        self.vault.write("credvault.toml", &format!("{text}{more}"));
        // What is in memory was not read from the file before: a start compares the two.
        let settings = RawSettings::read(Some(&folder.join("credvault.toml")), [], &[]);
        let before = std::mem::replace(&mut self.vault.settings, settings);
        let settings = &mut self.vault.settings;
        (settings.server, settings.limits, settings.store) = (before.server, before.limits, before.store);
        (settings.identity, settings.catalog, settings.broker) =
            (before.identity, before.catalog, before.broker);
        (settings.root_key, settings.public, settings.telemetry) =
            (before.root_key, before.public, before.telemetry);
    }

    /// A connection with a grant of the provider, whose access token has `left` to live as far as the vault knows.
    pub async fn granted(&self, app: &Client, account: &str, left: i64) -> String {
        self.granted_as(app, connection_request(account), left).await
    }

    /// The same for a connection that is created by this request.
    pub async fn granted_as(&self, app: &Client, request: v1::CreateConnectionRequest, left: i64) -> String {
        let tokens = self.provider.issue(&request.account_name, &["read"]);
        let id = app.create(request).await.unwrap().id;
        let fields = [
            ("access_token", tokens.access_token.as_str()),
            ("refresh_token", tokens.refresh_token.as_str()),
        ];
        let seconds = self.vault.clock.now().seconds() + left;
        let expire = v1::credential_input::Expiry::ExpireTime(prost_types::Timestamp { seconds, nanos: 0 });
        let credential = Some(v1::CredentialInput { expiry: Some(expire), ..input(&fields) });
        let put = v1::PutCredentialRequest { connection_id: id.clone(), credential, ..Default::default() };
        app.vault().put_credential(put).await.unwrap();
        id
    }

    /// A connection's chain of tokens lives: it shows no error, what is fetched works, and the refresh token that is
    /// stored is the provider's newest, of which no other came twice.
    pub async fn chain_lives(&self, app: &Client, id: &str) {
        assert!(self.accepts(&app.fetch(by_id(id)).await.unwrap()).await);
        assert_eq!(state(app, id).await, (v1::ConnectionState::Connected, String::new()));
        let request = v1::RefreshConnectionRequest { connection_id: id.to_owned() };
        app.connections().refresh_connection(request).await.unwrap();
        assert!(self.accepts(&app.fetch(by_id(id)).await.unwrap()).await);
        assert_eq!(self.provider.counts().reuses_detected, 0);
    }

    /// What the provider says to a fetched token.
    pub async fn accepts(&self, credential: &v1::Credential) -> bool {
        let auth = credential.request_auth.as_ref().unwrap();
        let asked = reqwest::Client::new().get(format!("{}/me", auth.base_url));
        let asked = asked.header("authorization", &auth.headers["Authorization"]);
        asked.send().await.unwrap().status().is_success()
    }
}

pub async fn state(app: &Client, id: &str) -> (v1::ConnectionState, String) {
    let request = v1::GetConnectionRequest { connection_id: id.to_owned() };
    let connection =
        app.connections().get_connection(request).await.unwrap().into_inner().connection.unwrap();
    (connection.state(), connection.error.map(|error| error.reason).unwrap_or_default())
}

/// Allows or denies in the browser, and gives the parameters that the callback would have.
pub async fn decide(url: &str, account: &str, decision: &str) -> BTreeMap<String, String> {
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let page = browser.get(url).send().await.unwrap().text().await.unwrap();
    let mut form =
        vec![("account".to_owned(), account.to_owned()), ("decision".to_owned(), decision.to_owned())];
    // The first of two forms with the same hidden fields.
    for field in page.split("<form").nth(1).unwrap().split("<input type=\"hidden\" name=\"").skip(1) {
        let (name, rest) = field.split_once("\" value=\"").unwrap();
        let value = rest.split_once('"').unwrap().0.replace("&amp;", "&");
        form.push((name.to_owned(), value));
    }
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let origin = url.split("/authorize").next().unwrap();
    let post =
        browser.post(format!("{origin}/decide")).header("content-type", "application/x-www-form-urlencoded");
    let answer = post.body(body).send().await.unwrap();
    let back = url::Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
    back.query_pairs().into_owned().collect()
}

pub async fn begin(app: &Client, id: &str, session: &str) -> v1::BeginAuthorizationResponse {
    let request = v1::BeginAuthorizationRequest {
        connection_id: id.to_owned(),
        session: session.to_owned(),
        ..Default::default()
    };
    app.connections().begin_authorization(request).await.unwrap().into_inner()
}

pub async fn complete(
    app: &Client,
    parameters: &BTreeMap<String, String>,
    session: &str,
) -> Result<v1::Connection, tonic::Status> {
    let request = v1::CompleteAuthorizationRequest {
        parameters: parameters.clone(),
        session: session.to_owned(),
        ..Default::default()
    };
    Ok(app.connections().complete_authorization(request).await?.into_inner().connection.unwrap())
}
