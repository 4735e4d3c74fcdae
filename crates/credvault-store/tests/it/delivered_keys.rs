//! Keys that a provider delivers: once, for a consent in progress, and gone when that is over.

use std::time::Duration;

use credvault_domain::{Action, SecretFields, TenantScope};
use credvault_store::{AuthorizationError, BegunAuthorization, Error, NewAuthorization};
use secrecy::ExposeSecret as _;

use crate::fixture::{Fixture, beginner, bringer, credential, event, write};
use crate::on_both;

pub const BROWSER: &str = "a browser";

pub async fn begin(fixture: &Fixture, scope: &TenantScope, account: &str) -> String {
    begin_in(fixture, scope, account, None).await.state.expose_secret().to_owned()
}

/// A consent of a new connection, begun in a session.
pub async fn begin_in(
    fixture: &Fixture,
    scope: &TenantScope,
    account: &str,
    session: Option<&str>,
) -> BegunAuthorization {
    let id = fixture.connection(scope, account).await.id;
    let new = NewAuthorization {
        public: true,
        return_origin: None,
        return_url: None,
        exchange_url: None,
        beginner: beginner(),
        session: session.map(str::to_owned),
        redirect_uri: String::new(),
        client_id: String::new(),
        scopes: Vec::new(),
    };
    let begin = write(scope, Action::BeginAuthorization);
    fixture.store.authorizations().begin(scope, id, &new, &begin).await.unwrap().into_inner()
}

pub async fn start(fixture: &Fixture, state: &str) {
    let authorizations = fixture.store.authorizations();
    let awaited = authorizations.find(state).await.unwrap();
    authorizations.start(&awaited, BROWSER).await.unwrap();
}

pub async fn deliver_keys(fixture: &Fixture, state: &str) -> Result<(), Error> {
    let authorizations = fixture.store.authorizations();
    let awaited = authorizations.find(state).await?;
    authorizations.deliver_keys(&awaited, &credential("CANARY").fields).await
}

pub fn refused(result: Result<(), Error>) -> AuthorizationError {
    match result {
        Err(Error::Authorization(error)) => error,
        other => panic!("{other:?}"),
    }
}

pub async fn rows(fixture: &Fixture) -> String {
    fixture.text("SELECT CAST(count(*) AS TEXT) AS v FROM delivered_keys").await
}

fn values(fields: &SecretFields) -> Vec<&str> {
    fields.iter().map(|(_, value)| value.expose_secret()).collect()
}

on_both![
    keys_are_taken_once_between_start_and_return,
    keys_are_gone_when_the_consent_is_over,
    keys_open_for_their_own_consent_only,
];

async fn keys_are_taken_once_between_start_and_return(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let authorizations = fixture.store.authorizations();
    let state = begin(fixture, &scope, "a").await;
    assert_eq!(
        refused(deliver_keys(fixture, &state).await),
        AuthorizationError::Unknown,
        "no browser has started it"
    );
    start(fixture, &state).await;
    let awaited = authorizations.find(&state).await.unwrap();
    assert!(!authorizations.were_keys_delivered(&awaited).await.unwrap());
    deliver_keys(fixture, &state).await.unwrap();
    assert!(authorizations.were_keys_delivered(&awaited).await.unwrap());
    assert_eq!(refused(deliver_keys(fixture, &state).await), AuthorizationError::Replayed);
    authorizations.arrive(&awaited, Some(BROWSER), None).await.unwrap();
    let taken = authorizations.take(&scope, &state, bringer(None)).await.unwrap();
    assert_eq!(values(&taken.delivered.unwrap()), ["CANARY"]);
    assert_eq!(rows(fixture).await, "0");
    assert_eq!(refused(deliver_keys(fixture, &state).await), AuthorizationError::Replayed);

    let state = begin(fixture, &scope, "b").await;
    start(fixture, &state).await;
    let awaited = authorizations.find(&state).await.unwrap();
    authorizations.arrive(&awaited, Some(BROWSER), None).await.unwrap();
    assert_eq!(
        refused(deliver_keys(fixture, &state).await),
        AuthorizationError::Unknown,
        "the browser is back"
    );
}

async fn keys_are_gone_when_the_consent_is_over(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let authorizations = fixture.store.authorizations();
    let [declined, stolen, late] = [
        begin(fixture, &scope, "a").await,
        begin(fixture, &scope, "b").await,
        begin(fixture, &scope, "c").await,
    ];
    for state in [&declined, &stolen, &late] {
        start(fixture, state).await;
        deliver_keys(fixture, state).await.unwrap();
    }
    let awaited = authorizations.find(&declined).await.unwrap();
    authorizations.decline(&awaited, event(&scope, Action::CompleteAuthorization)).await.unwrap();
    assert_eq!(rows(fixture).await, "2");
    // A caller that brings the state in a wrong way has used it up.
    assert!(authorizations.take(&scope, &stolen, bringer(Some("another session"))).await.is_err());
    assert_eq!(rows(fixture).await, "1");
    fixture.clock.advance(Duration::from_secs(601));
    fixture.store.upkeep().await.unwrap();
    assert_eq!(rows(fixture).await, "0");
    assert_eq!(refused(deliver_keys(fixture, &late).await), AuthorizationError::Expired);
}

async fn keys_open_for_their_own_consent_only(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let [one, other] = [begin(fixture, &scope, "a").await, begin(fixture, &scope, "b").await];
    for state in [&one, &other] {
        start(fixture, state).await;
    }
    deliver_keys(fixture, &one).await.unwrap();
    fixture.execute("UPDATE delivered_keys SET state_hash = (SELECT a.state_hash FROM authorizations a WHERE a.state_hash <> delivered_keys.state_hash)").await;
    let moved = fixture.store.authorizations().take(&scope, &other, bringer(None)).await;
    assert!(matches!(moved, Err(Error::Integrity)), "{moved:?}");
    // The state is used up, and the consent is over with it: nothing waits for one that cannot come.
    let ended = "SELECT state AS v FROM connections WHERE account_name = 'b'";
    assert_eq!(fixture.text(ended).await, "DISCONNECTED");
    let record = "SELECT service AS v FROM audit_events WHERE action = 'CompleteAuthorization'
        AND reason = 'INTEGRITY_FAILURE' AND provider = 'generic'";
    assert_eq!(fixture.text(record).await, "vault");
    assert_eq!(rows(fixture).await, "0");
}
