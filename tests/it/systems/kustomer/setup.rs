//! "Overview" to "User Authentication Flow": the app is registered once, and each user connects an own organisation.

use std::collections::BTreeMap;

use credvault_proto::v1;
use credvault_simulator::CLIENT_SECRET;

use super::{
    REDIRECTS, SCOPES, SESSION, accounts, consent, organisation, refreshed, register, started, tested, user,
};
use crate::browser::{self, ORIGIN};
use crate::harness::browser::Browser;
use crate::harness::provider::{Connected, begin, complete, decide, state};
use crate::harness::{Client, VaultBuilder, by_id, by_provider, refusal};
use crate::on_both;

on_both![each_user_connects_an_own_organisation];

/// "Overview": per-user authentication, without shared keys.
async fn each_user_connects_an_own_organisation(builder: VaultBuilder) {
    // "2. Environment Configuration", "Update your `.env` file": the variables are imported, and the secret may leave the
    // file after that.
    let connected = started(builder).await;
    let (ann, ben) = (user(&connected, "ann").await, user(&connected, "ben").await);
    // "Key Benefits", "Security & Privacy": "No shared API keys". Who has connected nothing gets nothing.
    let nothing = ann.fetch(by_provider("kustomer")).await.unwrap_err();
    assert_eq!(refusal(&nothing), "NotFound CREDENTIAL_NOT_CONFIGURED");
    the_app_is_registered(&connected).await;
    let acme = ann.create(organisation("Acme")).await.unwrap().id;
    a_state_is_kept_hashed_and_works_once_for_its_user(&connected, &ann, &ben, &acme).await;
    the_endpoints_work(&connected, &ann, &acme).await;
    the_window_comes_back_to_the_vault(&connected, &ben).await;
    // "User Experience": "Personal connections". Each user sees their own.
    assert_eq!(
        (accounts(&ann).await, accounts(&ben).await),
        (vec!["Acme".to_owned()], vec!["Beta".to_owned()])
    );
    let foreign = ben.fetch(by_id(&acme)).await.unwrap_err();
    assert_eq!(refusal(&foreign), "NotFound CONNECTION_NOT_FOUND");
}

/// "1. Kustomer OAuth App Creation".
async fn the_app_is_registered(connected: &Connected) {
    // "Step 1: Create OAuth Application in Kustomer", "Create New OAuth App": a confidential web application.
    // "Login to Kustomer as Admin", "Configure Redirect URIs", "Set Required Scopes".
    let app = register(connected, REDIRECTS[0]).await;
    assert_eq!(
        (app.redirect_uri.as_str(), app.default_scopes.as_slice()),
        (REDIRECTS[0], SCOPES.map(str::to_owned).as_slice())
    );
    // "Save and Get Credentials", "Create Application". "Important": "you won't see it again" holds for the vault, too.
    assert!(app.hints.contains_key("client_secret"), "{app:?}");
    assert!(!format!("{app:?}").contains(CLIENT_SECRET), "{app:?}");
    assert_eq!(connected.vault.found_in(CLIENT_SECRET).await, None);
}

/// "3. Database Setup", "Run the database migration": `kustomer_oauth_states`, the "Security state tracking"; and what one
/// may do with a state.
async fn a_state_is_kept_hashed_and_works_once_for_its_user(
    connected: &Connected,
    ann: &Client,
    ben: &Client,
    id: &str,
) {
    let begun = begin(ann, id, SESSION).await;
    assert!(!connected.vault.holds("authorizations", &begun.state).await);
    assert_eq!(state(ann, id).await.0, v1::ConnectionState::Connecting);
    // "OAuth2 standards": the right address and scopes, with PKCE.
    let url = url::Url::parse(&begun.authorization_url).unwrap();
    let asked: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!(
        (asked["redirect_uri"].as_str(), asked["code_challenge_method"].as_str()),
        (REDIRECTS[0], "S256")
    );
    assert_eq!(asked["scope"], format!("{} offline_access", SCOPES.join(" ")));
    // Another user, and another session, complete nothing.
    let back = decide(&begun.authorization_url, "Acme", "allow").await;
    let foreign = complete(ben, &back, SESSION).await.unwrap_err();
    assert_eq!(refusal(&foreign), "FailedPrecondition STATE_INVALID");
    let begun = begin(ann, id, SESSION).await;
    let back = decide(&begun.authorization_url, "Acme", "allow").await;
    let elsewhere = complete(ann, &back, "another session").await.unwrap_err();
    assert_eq!(refusal(&elsewhere), "FailedPrecondition STATE_INVALID");
    // A state works once.
    let begun = begin(ann, id, SESSION).await;
    let back = decide(&begun.authorization_url, "Acme", "allow").await;
    complete(ann, &back, SESSION).await.unwrap();
    let again = complete(ann, &back, SESSION).await.unwrap_err();
    assert_eq!(refusal(&again), "FailedPrecondition STATE_INVALID");
}

/// "4. API Endpoints Setup".
async fn the_endpoints_work(connected: &Connected, ann: &Client, id: &str) {
    // `/api/kustomer/oauth/token.js`: a new consent for the same account keeps the connection.
    let connection = consent(ann, id, "Acme").await.unwrap();
    assert_eq!((connection.id.as_str(), connection.state()), (id, v1::ConnectionState::Connected));
    // `/api/kustomer/oauth/refresh.js`.
    assert!(refreshed(ann, id).await.unwrap().last_refreshed_time.is_some());
    // `/api/kustomer/test-connection.js`, which tests more than keys here.
    let test = tested(ann, id).await;
    assert_eq!((test.outcome(), test.external_account_id.as_str()), (v1::TestOutcome::Works, "Acme"));
    // `/api/kustomer/connections.js`, and `user_kustomer_connections`.
    assert_eq!(accounts(ann).await, ["Acme"]);
    // "Secure token storage": not an option here, as the document's ENCRYPTION_KEY was.
    let credential = ann.fetch(by_id(id)).await.unwrap();
    assert_eq!(connected.vault.found_in(&credential.fields["access_token"]).await, None);
    let families = connected.provider.families();
    let current = &families.iter().rfind(|family| family.account == "Acme").unwrap().current_refresh_token;
    assert_eq!(connected.vault.found_in(current).await, None);
}

/// "5. Frontend Integration", and "How It Works": "User Authentication Flow".
async fn the_window_comes_back_to_the_vault(connected: &Connected, ben: &Client) {
    // "Router.jsx", "KustomerOAuthCallback.jsx": the vault has the callback, and the page needs none.
    assert_eq!(register(connected, "").await.redirect_uri, REDIRECTS[2]);
    // `User clicks "Connect Account"`, which opens "KustomerOAuthIntegration.jsx"; "User chooses OAuth option".
    let id = ben.create(organisation("Beta")).await.unwrap().id;
    let begun = browser::begin(ben, &id, ORIGIN, SESSION).await;
    let mut window = Browser::of(connected);
    let started = window.start(&begun).await;
    assert_eq!(started.status, 303, "{}", started.body);
    // "User logs into Kustomer", and grants permissions. "One-click authentication": there is nothing to type in.
    let back = decide(started.headers["location"].to_str().unwrap(), "Beta", "allow").await;
    // "Kustomer redirects back". The code stays out of the page, and the page posts to its opener only.
    let page = window.get("/oauth/callback/kustomer", &back).await;
    assert_eq!((page.data("outcome").as_str(), page.data("origin").as_str()), ("returned", ORIGIN));
    assert!(!page.body.contains(&back["code"]), "{}", page.body);
    assert!(!page.headers["content-security-policy"].to_str().unwrap().contains("unsafe"));
    // "Tokens stored securely": "kustomerOAuthService.js" hands the result on, and sees no token.
    let done = browser::complete(ben, &page.data("result"), SESSION).await.unwrap();
    assert_eq!((done.id.as_str(), done.state()), (id.as_str(), v1::ConnectionState::Connected));
    assert!(!format!("{done:?}").contains("sim_access_"), "{done:?}");
    // "User authenticated".
    let credential = ben.fetch(by_provider("kustomer")).await.unwrap();
    assert!(connected.accepts(&credential).await);
    assert!(!credential.fields.contains_key("refresh_token"));
}
