//! Authorizations in progress: ended whole, and completed under the key with which they began.

use credvault_domain::Action;
use credvault_store::AuthorizationError;
use secrecy::ExposeSecret as _;

use crate::delivered_keys::{begin, begin_in, deliver_keys, refused, rows, start};
use crate::fixture::{Fixture, bringer, event};
use crate::on_both;

on_both![
    a_consent_is_declined_whole_and_with_its_record_or_not_at_all,
    a_consent_outlives_a_new_key_of_its_tenant,
];

async fn a_consent_is_declined_whole_and_with_its_record_or_not_at_all(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let authorizations = fixture.store.authorizations();
    let state = begin(fixture, &scope, "a").await;
    start(fixture, &state).await;
    deliver_keys(fixture, &state).await.unwrap();
    let decline = async || {
        let awaited = authorizations.find(&state).await.unwrap();
        authorizations.decline(&awaited, event(&scope, Action::CompleteAuthorization)).await
    };
    let left = async || {
        let records =
            "SELECT CAST(count(*) AS TEXT) AS v FROM audit_events WHERE action = 'CompleteAuthorization'";
        let connection = fixture.text("SELECT state AS v FROM connections").await;
        [connection, rows(fixture).await, fixture.text(records).await]
    };
    fixture.refuse_updates("connections").await;
    decline().await.unwrap_err();
    assert_eq!(left().await, ["CONNECTING", "1", "0"]);
    assert_eq!(authorizations.find(&state).await.unwrap().over, None);
    fixture.permit_updates("connections").await;
    decline().await.unwrap();
    assert_eq!(left().await, ["DISCONNECTED", "0", "1"]);
    assert_eq!(refused(decline().await), AuthorizationError::Replayed);
    assert_eq!(left().await, ["DISCONNECTED", "0", "1"]);
}

async fn a_consent_outlives_a_new_key_of_its_tenant(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let authorizations = fixture.store.authorizations();
    let begun = begin_in(fixture, &scope, "a", Some("session")).await;
    let (state, verifier) = (begun.state.expose_secret(), begun.code_verifier.expose_secret());
    start(fixture, state).await;
    fixture.add_key(scope.tenant()).await;
    let awaited = authorizations.find(state).await.unwrap();
    assert_eq!(awaited.code_verifier(state).unwrap().expose_secret(), verifier);
    deliver_keys(fixture, state).await.unwrap();
    let taken = authorizations.take(&scope, state, bringer(Some("session"))).await.unwrap();
    assert_eq!(taken.code_verifier.expose_secret(), verifier);
    assert!(taken.delivered.is_some(), "what was sealed under the new key opens as well");
    // Another session is another one under both keys.
    let begun = begin_in(fixture, &scope, "b", Some("session")).await;
    let taken = authorizations.take(&scope, begun.state.expose_secret(), bringer(Some("other"))).await;
    assert_eq!(refused(taken.map(drop)), AuthorizationError::Foreign);
}
