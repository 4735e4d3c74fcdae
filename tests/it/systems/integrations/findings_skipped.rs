//! "Issues Found": the findings that the module's team has skipped, one test for each. None of them applies here.

use std::time::Duration;

use credvault_domain::Clock as _;
use credvault_proto::v1;

use super::{Ads, CALLBACK, SESSION, get};
use crate::browser::{ORIGIN, begin, complete};
use crate::harness::browser::Browser;
use crate::harness::provider::state;
use crate::harness::{VaultBuilder, eventually, refusal};
use crate::on_both;

on_both![
    skipped_missing_error_message_field,
    skipped_oauth_callback_is_public,
    skipped_no_oauth_state_timeout_cleanup,
];

// "Issues Found": "[Skipped] Missing `error_message` field".
async fn skipped_missing_error_message_field(builder: VaultBuilder) {
    let mut ads = Ads::start(builder).await;
    let id = ads.consented("Main").await;
    assert!(get(&ads.app, &id).await.unwrap().error.is_none());
    // The owner removes the app at Amazon.
    ads.connected.provider.revoke_account("shop-1");
    let request = v1::RefreshConnectionRequest { connection_id: id.clone() };
    ads.app.connections().refresh_connection(request).await.unwrap_err();
    // The status is ERROR, with the reason, since when, and Amazon's own code; and in words for the owner and for the
    // operator.
    let broken = get(&ads.app, &id).await.unwrap();
    assert_eq!(broken.state(), v1::ConnectionState::Error);
    let error = broken.error.unwrap();
    assert_eq!(
        (error.reason.as_str(), error.provider_code.as_str()),
        ("REAUTHORIZATION_REQUIRED", "invalid_grant")
    );
    let now = ads.connected.vault.clock.now().seconds();
    assert_eq!(error.time.unwrap().seconds, now);
    let told = broken.health.unwrap().last_error.unwrap();
    assert!(told.customer_text.contains("connect your account again"), "{told:?}");
    assert!(!told.operator_text.is_empty() && told.recover_time.is_none(), "{told:?}");
    // A list finds it, and a new consent ends it: what it was stays known.
    let request =
        v1::ListConnectionsRequest { state: v1::ConnectionState::Error.into(), ..Default::default() };
    let found = ads.app.connections().list_connections(request).await.unwrap().into_inner().connections;
    assert_eq!(found.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    let result = ads.returned(&id).await.data("result");
    complete(&ads.app, &result, SESSION).await.unwrap();
    let mended = get(&ads.app, &id).await.unwrap();
    assert_eq!((mended.state(), mended.error.is_none()), (v1::ConnectionState::Connected, true));
    let told = mended.health.unwrap().last_error.unwrap();
    assert_eq!((told.reason.as_str(), told.recover_time.is_some()), ("REAUTHORIZATION_REQUIRED", true));
}

// "Issues Found": "[Skipped] OAuth callback is public".
async fn skipped_oauth_callback_is_public(builder: VaultBuilder) {
    let mut ads = Ads::start(builder).await;
    let id = ads.account("Main").await;
    let begun = begin(&ads.app, &id, ORIGIN, SESSION).await;
    let back = ads.browser.allow(&begun).await;
    // The right state is not enough: it must be the browser that started, at this provider's address.
    let mut stranger = Browser::of(&ads.connected);
    assert_eq!(stranger.get(CALLBACK, &back).await.status, 403);
    assert_eq!(ads.browser.get("/oauth/callback/simulator", &back).await.reason(), "PROVIDER_MISMATCH");
    // And the callback alone connects nothing: a back end with a certificate does, of the same organisation and session.
    let page = ads.browser.get(CALLBACK, &back).await;
    assert_eq!((page.status, ads.exchanges()), (200, 0));
    assert_eq!(state(&ads.app, &id).await.0, v1::ConnectionState::Connecting);
    let result = page.data("result");
    let beta = ads.connected.vault.app("beta").await;
    let refused = complete(&beta, &result, SESSION).await.unwrap_err();
    assert_eq!(refusal(&refused), "FailedPrecondition STATE_INVALID");
    assert_eq!(complete(&ads.app, &result, SESSION).await.unwrap().id, id);
    let again = ads.returned(&id).await.data("result");
    let refused = complete(&ads.app, &again, "session-2").await.unwrap_err();
    assert_eq!(refusal(&refused), "FailedPrecondition STATE_INVALID");
    assert!(refused.message().contains("another session"), "{refused:?}");
    assert_eq!(ads.exchanges(), 1);
    // Who tried is on record.
    let reasons: Vec<_> = ads.app.events().await.into_iter().map(|event| event.reason).collect();
    for reason in ["STATE_FOREIGN", "PROVIDER_MISMATCH"] {
        assert!(reasons.iter().any(|found| found == reason), "{reasons:?}");
    }
}

// "Issues Found": "[Skipped] No oauth_state timeout/cleanup".
async fn skipped_no_oauth_state_timeout_cleanup(builder: VaultBuilder) {
    let mut ads = Ads::start(builder).await;
    let (late, abandoned) = (ads.account("Late").await, ads.account("Abandoned").await);
    begin(&ads.app, &abandoned, ORIGIN, SESSION).await;
    let begun = begin(&ads.app, &late, ORIGIN, SESSION).await;
    let now = ads.connected.vault.clock.now().seconds();
    assert_eq!(begun.expire_time.unwrap().seconds - now, 600);
    let back = ads.browser.allow(&begun).await;
    ads.connected.vault.clock.advance(Duration::from_secs(601));
    let page = ads.browser.get(CALLBACK, &back).await;
    assert_eq!((page.status, page.reason()), (400, "STATE_EXPIRED".to_owned()));
    assert_eq!(ads.exchanges(), 0);

    // What was abandoned is cleaned up without anybody's doing: the account is as it was before. An hour later, the state
    // is forgotten; that hour is taken from the rows, for certificates of tests end before.
    let vault = &mut ads.connected.vault;
    vault.sql("UPDATE authorizations SET expire_time = expire_time - 7200000000").await;
    vault.stop().await;
    vault.start().await;
    let vault = &ads.connected.vault;
    eventually("the states to be forgotten", || async { vault.count("authorizations").await == 0 }).await;
    let app = vault.client("app").await.acting_for("acme", None);
    for id in [&late, &abandoned] {
        assert_eq!(state(&app, id).await.0, v1::ConnectionState::Disconnected);
    }
    let events = app.events().await;
    let ended =
        events.iter().find(|event| event.connection_id == abandoned && event.reason == "STATE_EXPIRED");
    assert_eq!(ended.unwrap().action, "CompleteAuthorization");
}
