//! Reports about access tokens that can be renewed.

use std::time::Duration;

use credvault::SystemClock;
use credvault_domain::Clock as _;
use credvault_proto::v1::{self, RejectionOutcome as Outcome};
use credvault_simulator::Step;
use tonic_types::StatusExt as _;

use super::{newest, outcome, reporting, wait};
use crate::harness::provider::{STRICT, begin, complete, connection_request, decide, state};
use crate::harness::{Client, VaultBuilder, by_id, by_provider, eventually, generic, refusal};
use crate::on_both;

on_both![
    a_current_token_is_renewed_and_an_older_one_is_superseded,
    no_service_waits_for_the_lies_of_another,
    no_tenant_waits_for_the_lies_of_another,
    an_outage_and_a_dead_grant_are_told_apart,
    a_tag_is_of_one_tenant_and_connection,
    a_caller_that_hangs_up_does_not_stop_the_renewal,
];

async fn a_current_token_is_renewed_and_an_older_one_is_superseded(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = connected.granted(&app, "shop-1", 3600).await;
    let refreshes = || connected.provider.counts().refreshes;
    let first = app.fetch(by_id(&id)).await.unwrap();
    assert_eq!(app.fetch(by_id(&id)).await.unwrap().tag, first.tag, "the same credential");
    assert!(first.rejection.is_none());

    let second = app.fetch(reporting(&id, &first.tag)).await.unwrap();
    assert_eq!((outcome(&second), refreshes()), (Outcome::Renewed, 1));
    assert_ne!(second.fields["access_token"], first.fields["access_token"]);
    assert!(connected.accepts(&second).await);
    assert_eq!(newest(&app, "FetchCredential").await, (vec!["rejected_tag: RENEWED".into()], String::new()));
    let late = app.fetch(reporting(&id, &first.tag)).await.unwrap();
    assert_eq!((outcome(&late), late.tag.as_str()), (Outcome::Superseded, second.tag.as_str()));

    // The new one is reported as well, again and again: each time the pause is twice as long.
    let mut current = second.tag;
    for pause in [30, 60, 120, 240, 300] {
        let early = app.fetch(reporting(&id, &current)).await.unwrap_err();
        assert_eq!(refusal(&early), "ResourceExhausted RATE_LIMITED");
        assert!((pause - 2..=pause).contains(&wait(&early)), "{pause} {early:?}");
        let asked = refreshes();
        connected.vault.clock.advance(Duration::from_secs(pause));
        let renewed = app.fetch(reporting(&id, &current)).await.unwrap();
        assert_eq!((outcome(&renewed), refreshes()), (Outcome::Renewed, asked + 1));
        current = renewed.tag;
    }
    assert_eq!(
        newest(&app, "RefreshConnection").await,
        (Vec::new(), String::new()),
        "the vault's own record"
    );
    // A quiet hour ends the growth.
    connected.vault.sql("UPDATE rejections SET next_time = next_time - 5000000000").await;
    let renewed = app.fetch(reporting(&id, &current)).await.unwrap();
    let early = app.fetch(reporting(&id, &renewed.tag)).await.unwrap_err();
    assert!(wait(&early) <= 30, "{early:?}");
    connected.chain_lives(&app, &id).await;
    let metrics = connected.vault.metrics().await;
    for outcome in ["RENEWED", "SUPERSEDED", "RATE_LIMITED"] {
        assert!(
            metrics.contains(&format!("credvault_rejections_total{{outcome=\"{outcome}\"}}")),
            "{metrics}"
        );
    }
}

async fn no_service_waits_for_the_lies_of_another(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let liar = connected.vault.app("acme").await;
    let honest = connected.vault.client("portal").await.acting_for("acme", None);
    let id = connected.granted(&liar, "shop-1", 3600).await;
    let mut current = liar.fetch(by_id(&id)).await.unwrap().tag;
    for pause in [30, 60, 120, 240, 300] {
        current = liar.fetch(reporting(&id, &current)).await.unwrap().tag;
        connected.vault.clock.advance(Duration::from_secs(pause));
    }
    current = liar.fetch(reporting(&id, &current)).await.unwrap().tag;
    let early = honest.fetch(reporting(&id, &current)).await.unwrap_err();
    assert_eq!(refusal(&early), "ResourceExhausted RATE_LIMITED");
    assert!((28..=30).contains(&wait(&early)), "{early:?}");
    connected.vault.clock.advance(Duration::from_secs(30));
    assert_eq!(
        refusal(&liar.fetch(reporting(&id, &current)).await.unwrap_err()),
        "ResourceExhausted RATE_LIMITED"
    );
    let renewed = honest.fetch(reporting(&id, &current)).await.unwrap();
    assert_eq!(outcome(&renewed), Outcome::Renewed);
    // Its own pauses begin with the shortest.
    connected.vault.clock.advance(Duration::from_secs(30));
    assert_eq!(outcome(&honest.fetch(reporting(&id, &renewed.tag)).await.unwrap()), Outcome::Renewed);
    connected.chain_lives(&liar, &id).await;
}

/// One service acts for both, on a connection that the platform shares.
async fn no_tenant_waits_for_the_lies_of_another(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let operator = connected.vault.client("operator").await;
    let shared = v1::CreateConnectionRequest { owner: None, ..connection_request("shared") };
    let id = connected.granted_as(&operator, shared, 3600).await;
    let (liar, honest) = (connected.vault.app("one").await, connected.vault.app("two").await);
    let report = async |tenant: &Client| {
        let tag = tenant.fetch(by_provider("simulator")).await.unwrap().tag;
        let reported = v1::FetchCredentialRequest { rejected_tag: tag, ..by_provider("simulator") };
        tenant.fetch(reported).await
    };
    for pause in [30, 60, 120, 240, 300] {
        assert_eq!(outcome(&report(&liar).await.unwrap()), Outcome::Renewed);
        connected.vault.clock.advance(Duration::from_secs(pause));
    }
    assert_eq!(outcome(&report(&liar).await.unwrap()), Outcome::Renewed);
    let early = report(&honest).await.unwrap_err();
    assert_eq!(refusal(&early), "ResourceExhausted RATE_LIMITED");
    assert!((28..=30).contains(&wait(&early)), "{early:?}");
    connected.vault.clock.advance(Duration::from_secs(30));
    assert_eq!(refusal(&report(&liar).await.unwrap_err()), "ResourceExhausted RATE_LIMITED");
    assert_eq!(outcome(&report(&honest).await.unwrap()), Outcome::Renewed);
    assert_eq!(state(&operator, &id).await, (v1::ConnectionState::Connected, String::new()));
}

async fn an_outage_and_a_dead_grant_are_told_apart(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = connected.granted(&app, "shop-1", 3600).await;
    let refreshes = || connected.provider.counts().refreshes;
    let tag = app.fetch(by_id(&id)).await.unwrap().tag;
    connected.provider.behave(|behaviour| {
        behaviour.steady = Step::Fail { status: 503, after_effect: false };
    });
    for _ in 0..3 {
        let unavailable = app.fetch(reporting(&id, &tag)).await.unwrap_err();
        assert_eq!(refusal(&unavailable), "Unavailable PROVIDER_UNAVAILABLE", "not the rejected one again");
        assert!(unavailable.get_error_details().retry_info().is_some());
    }
    assert_eq!(refreshes(), 1, "the pause holds for reports, too");
    assert_eq!(state(&app, &id).await, (v1::ConnectionState::Connected, String::new()));
    connected.provider.behave(|behaviour| behaviour.steady = Step::Answer);
    connected.vault.clock.advance(Duration::from_secs(61));
    // The refresh waits by the database's clock, too. Then the vault may have refreshed by itself.
    eventually("the end of the pause", || async {
        let now = SystemClock.now().micros();
        connected.vault.count(&format!("refreshes WHERE retry_time > {now}")).await == 0
    })
    .await;
    let renewed = app.fetch(reporting(&id, &tag)).await.unwrap();
    assert!([Outcome::Renewed, Outcome::Superseded].contains(&outcome(&renewed)), "{renewed:?}");
    assert_eq!(refreshes(), 2);

    connected.provider.revoke_account("shop-1");
    connected.vault.clock.advance(Duration::from_secs(61));
    for _ in 0..3 {
        let dead = app.fetch(reporting(&id, &renewed.tag)).await.unwrap_err();
        assert_eq!(refusal(&dead), "FailedPrecondition REAUTHORIZATION_REQUIRED");
        let recorded = newest(&app, "FetchCredential").await;
        assert_eq!(recorded, (vec!["rejected_tag".into()], "REAUTHORIZATION_REQUIRED".into()));
    }
    assert_eq!(refreshes(), 3, "a dead grant is asked for once");
    assert_eq!(state(&app, &id).await, (v1::ConnectionState::Error, "REAUTHORIZATION_REQUIRED".into()));
    let parameters = decide(&begin(&app, &id, "").await.authorization_url, "shop-1", "allow").await;
    complete(&app, &parameters, "").await.unwrap();
    let mended = app.fetch(reporting(&id, &renewed.tag)).await.unwrap();
    assert_eq!((outcome(&mended), mended.version), (Outcome::Superseded, 2));
    assert!(connected.accepts(&mended).await);
}

async fn a_tag_is_of_one_tenant_and_connection(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let other = connected.vault.app("other").await;
    let id = connected.granted(&app, "shop-1", 3600).await;
    let second = connected.granted(&app, "shop-2", 3600).await;
    let foreign = connected.granted(&other, "shop-3", 3600).await;
    let operator = connected.vault.client("operator").await;
    let shared = v1::CreateConnectionRequest { owner: None, ..generic("shared", "CANARY shared") };
    operator.create(shared).await.unwrap();
    let tag = app.fetch(by_id(&id)).await.unwrap().tag;
    let seconds = app.fetch(by_id(&second)).await.unwrap().tag;
    let mut altered = tag.clone().into_bytes();
    altered[40] = if altered[40] == b'A' { b'B' } else { b'A' };
    let shared =
        |tag: &str| v1::FetchCredentialRequest { rejected_tag: tag.into(), ..by_provider("generic") };
    let of_shared = other.fetch(by_provider("generic")).await.unwrap().tag;
    let refused = [
        reporting(&id, "not a tag"),
        reporting(&id, &String::from_utf8(altered).unwrap()),
        reporting(&id, &seconds),
        reporting(&id, &other.fetch(by_id(&foreign)).await.unwrap().tag),
        v1::FetchCredentialRequest { version: 1, ..reporting(&id, &tag) },
        // What both share, as the other tenant got it.
        shared(&of_shared),
    ];
    for request in refused {
        let error = app.fetch(request.clone()).await.unwrap_err();
        assert_eq!(refusal(&error), "InvalidArgument FIELDS_INVALID", "{request:?}");
        let details = error.get_error_details();
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "rejected_tag", "{request:?}");
    }
    let own = shared(&app.fetch(by_provider("generic")).await.unwrap().tag);
    assert_eq!(outcome(&app.fetch(own.clone()).await.unwrap()), Outcome::Unverifiable);
    // The tenant has a connection of its own now, so the platform's credential is not what it gets any more.
    app.create(generic("own", "CANARY own")).await.unwrap();
    let superseded = app.fetch(own).await.unwrap();
    assert_eq!((outcome(&superseded), superseded.account_name.as_str()), (Outcome::Superseded, "own"));
    assert_eq!(connected.provider.counts().refreshes, 0);

    // In a batch, each fetch has its own outcome.
    let requests = vec![reporting(&id, &tag), reporting(&second, &tag), by_id(&second)];
    let batch = v1::BatchFetchCredentialsRequest { requests };
    let results = app.vault().batch_fetch_credentials(batch).await.unwrap().into_inner().results;
    let described: Vec<_> = results
        .into_iter()
        .map(|result| match result.outcome.unwrap() {
            v1::batch_fetch_credentials_result::Outcome::Credential(found) => {
                found.rejection.map_or("none".to_owned(), |found| found.outcome().as_str_name().to_owned())
            }
            v1::batch_fetch_credentials_result::Outcome::Error(error) => error.reason,
        })
        .collect();
    assert_eq!(described, ["REJECTION_OUTCOME_RENEWED", "FIELDS_INVALID", "none"]);
}

async fn a_caller_that_hangs_up_does_not_stop_the_renewal(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = connected.granted(&app, "shop-1", 3600).await;
    let tag = app.fetch(by_id(&id)).await.unwrap().tag;
    connected.provider.behave(|behaviour| behaviour.hold = true);
    let asked = eventually("the provider is asked", || async { connected.provider.counts().refreshes == 1 });
    tokio::select! {
        biased;
        answer = app.fetch(reporting(&id, &tag)) => panic!("{answer:?}"),
        () = asked => {}
    }
    connected.provider.behave(|behaviour| behaviour.hold = false);
    let renewed = app.fetch(reporting(&id, &tag)).await.unwrap();
    assert_ne!(renewed.tag, tag);
    assert_eq!(connected.provider.counts().refreshes, 1);
    connected.chain_lives(&app, &id).await;
}
