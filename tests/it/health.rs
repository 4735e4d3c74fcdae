//! The health of connections: an end shows before it becomes an outage. Docs: `docs/health.md`.

use std::time::Duration;

use credvault_domain::Clock as _;
use credvault_proto::v1;
use credvault_simulator::{Refusal, Rotation, Step};
use credvault_testkit::LeafSpec;

use crate::harness::provider::{Connected, GRACE, app_request, begin, complete, connection_request, decide};
use crate::harness::receiver::Receiver;
use crate::harness::{Client, DOMAIN, VaultBuilder, by_id, eventually, generic, input, refusal};
use crate::on_both;

const DAY: Duration = Duration::from_secs(24 * 3600);

on_both![
    an_end_is_warned_of_once_and_a_new_consent_begins_anew,
    the_last_error_is_told_in_words_and_stays_when_it_is_over,
    a_key_ends_when_it_says_and_a_filter_finds_it,
    an_idle_grant_that_is_renewed_late_is_warned_of_and_recovers,
    a_connection_whose_fetches_are_refused_is_not_well_until_it_works,
];

/// A client with a certificate that outlives what the clock does here.
pub async fn lasting(connected: &Connected, service: &str) -> Client {
    let spec = LeafSpec::service(&format!("spiffe://{DOMAIN}/{service}"));
    let spec = LeafSpec { ends: time::Duration::days(300), ..spec };
    connected.vault.client_with(&connected.vault.authority.issue(&spec)).await.unwrap()
}

pub async fn get(app: &Client, id: &str) -> v1::Connection {
    let request = v1::GetConnectionRequest { connection_id: id.to_owned() };
    app.connections().get_connection(request).await.unwrap().into_inner().connection.unwrap()
}

async fn health(app: &Client, id: &str) -> v1::ConnectionHealth {
    get(app, id).await.health.unwrap()
}

/// The ids of the connections with this health.
async fn with_health(app: &Client, state: v1::HealthState) -> Vec<String> {
    let request = v1::ListConnectionsRequest { health: state.into(), ..Default::default() };
    let listed = app.connections().list_connections(request).await.unwrap().into_inner();
    let ids = listed.connections.into_iter().map(|connection| {
        assert_eq!(connection.health.unwrap().state(), state, "a filter and what it shows agree");
        connection.id
    });
    ids.collect()
}

async fn consent(app: &Client, id: &str) {
    let url = begin(app, id, "").await.authorization_url;
    complete(app, &decide(&url, "shop-1", "allow").await, "").await.unwrap();
}

/// A receiver of events of these types, of a tenant.
pub async fn receiver(operator: &Client, types: &[&str]) -> Receiver {
    let receiver = Receiver::start().await;
    let request = v1::PutEventEndpointRequest {
        tenant_id: "acme".into(),
        url: receiver.url.clone(),
        types: types.iter().map(|kind| (*kind).to_owned()).collect(),
        ..Default::default()
    };
    operator.admin().put_event_endpoint(request).await.unwrap();
    receiver
}

/// The days of each warning that came.
fn warned(receiver: &Receiver) -> Vec<i64> {
    receiver.received().iter().map(|one| one.json()["data"]["days"].as_i64().unwrap()).collect()
}

async fn an_end_is_warned_of_once_and_a_new_consent_begins_anew(builder: VaultBuilder) {
    let connected = builder.start_with_provider("rotates = 'no'\nconsent_lifetime_seconds = 2592000").await;
    connected.provider.behave(|behaviour| behaviour.rotation = Rotation::Never);
    let clock = &connected.vault.clock;
    connected.vault.tenant("acme").await;
    let operator = lasting(&connected, "operator").await;
    let receiver = receiver(&operator, &["connection.expiring"]).await;
    let app = lasting(&connected, "app").await.acting_for("acme", None);
    let id = app.create(connection_request("shop-1")).await.unwrap().id;
    let bare = health(&app, &id).await;
    assert_eq!(bare.state(), v1::HealthState::NotConnected);
    assert!(bare.customer_text.contains("No account at Simulator"), "{bare:?}");
    consent(&app, &id).await;
    let fresh = health(&app, &id).await;
    assert_eq!((fresh.state(), fresh.renewal()), (v1::HealthState::Ok, v1::Renewal::Ends));
    assert_eq!((fresh.customer_text.as_str(), fresh.operator_text.as_str()), ("", ""));
    assert_eq!(fresh.grant_end_time.unwrap().seconds, clock.now().after(DAY * 30).seconds());

    clock.advance(DAY * 16 + DAY / 24);
    eventually("the first warning", || async { receiver.count() >= 1 }).await;
    assert_eq!(with_health(&app, v1::HealthState::Ending).await, [id.as_str()]);
    assert!(with_health(&app, v1::HealthState::Ok).await.is_empty());
    let ending = health(&app, &id).await;
    assert!(ending.customer_text.contains("Simulator ends in 13 days"), "{ending:?}");
    assert!(ending.operator_text.contains("BeginAuthorization"), "{ending:?}");
    // A new consent begins anew, so that nothing more is said of the one before.
    consent(&app, &id).await;
    assert_eq!(with_health(&app, v1::HealthState::Ok).await, [id.as_str()]);
    clock.advance(DAY * 16 + DAY / 24);
    eventually("the warning of the second grant", || async { receiver.count() >= 2 }).await;
    // The vault was away on the third day before the end: what is urgent counts.
    clock.advance(DAY * 13);
    eventually("the last warning", || async { receiver.count() >= 3 }).await;
    assert_eq!(warned(&receiver), [14, 14, 1]);
    let last = receiver.received().pop().unwrap().json();
    assert_eq!(last["data"]["connection_id"], id.as_str());
    assert!(last["data"]["grant_end_time"].as_str().unwrap().ends_with('Z'));

    // The end itself: who needs the connection learns of it before the provider says so, and until then it is served.
    clock.advance(DAY * 2);
    assert_eq!(with_health(&app, v1::HealthState::Ended).await, [id.as_str()]);
    let check = required(&app).await;
    assert_eq!(
        (check.state(), check.reason.as_str()),
        (v1::RequirementState::Broken, "REAUTHORIZATION_REQUIRED")
    );
    assert_eq!(check.next_step(), v1::RequirementStep::Reauthorize);
    assert_eq!(check.problem_time, health(&app, &id).await.grant_end_time);
    let served = app.fetch(by_id(&id)).await.unwrap();
    assert_eq!((served.connection_state(), served.connection_error), (v1::ConnectionState::Connected, None));
    consent(&app, &id).await;
    assert_eq!(required(&app).await.state(), v1::RequirementState::Connected);
}

/// What a check says to a tool that requires the provider.
async fn required(app: &Client) -> v1::RequirementCheck {
    let requirements = vec![v1::Requirement { provider: "simulator".into(), ..Default::default() }];
    let request = v1::CheckRequirementsRequest { requirements, ..Default::default() };
    app.connections().check_requirements(request).await.unwrap().into_inner().checks.remove(0)
}

async fn the_last_error_is_told_in_words_and_stays_when_it_is_over(builder: VaultBuilder) {
    let connected = builder.start_with_provider(GRACE).await;
    let grace = Duration::from_secs(1800);
    connected.provider.behave(|behaviour| {
        behaviour.rotation = Rotation::Rotating { grace, same_answer_within_grace: true };
    });
    let operator = connected.vault.client("operator").await;
    let app = connected.vault.app("acme").await;
    let receiver = receiver(&operator, &["connection.recovered"]).await;
    let id = connected.granted(&app, "shop-1", 3600).await;
    let fresh = health(&app, &id).await;
    assert_eq!((fresh.state(), fresh.renewal()), (v1::HealthState::Ok, v1::Renewal::RenewsItself));
    assert!(fresh.last_error.is_none());
    let refresh = || async {
        let request = v1::RefreshConnectionRequest { connection_id: id.clone() };
        app.connections().refresh_connection(request).await
    };
    // Out of order for a while: the connection works, and shows what failed.
    connected.provider.behave(|behaviour| behaviour.steady = Step::Fail { status: 503, after_effect: false });
    refresh().await.unwrap_err();
    let failed = health(&app, &id).await;
    let error = failed.last_error.clone().unwrap();
    assert_eq!((failed.state(), error.reason.as_str()), (v1::HealthState::Ok, "PROVIDER_UNAVAILABLE"));
    assert!(error.next_attempt_time.is_some() && error.recover_time.is_none());
    assert!(error.customer_text.contains("Simulator is not answering properly"), "{error:?}");
    assert!(error.operator_text.contains("the provider answers with status 503"), "{error:?}");
    // The answer is lost: whether the connection lives is not known.
    connected.provider.behave(|behaviour| behaviour.steady = Step::LoseAnswer);
    refresh().await.unwrap_err();
    assert_eq!(with_health(&app, v1::HealthState::Uncertain).await, [id.as_str()]);
    // Well again.
    connected.provider.behave(|behaviour| behaviour.steady = Step::Answer);
    connected.vault.clock.advance(Duration::from_secs(120));
    refresh().await.unwrap();
    let well = health(&app, &id).await;
    let error = well.last_error.clone().unwrap();
    assert_eq!(well.state(), v1::HealthState::Ok);
    assert!(error.recover_time.is_some() && error.customer_text.contains("works again"), "{error:?}");
    eventually("the event", || async { receiver.count() == 1 }).await;
    // Dead: only the owner can help, and reads so.
    connected.provider.revoke_account("shop-1");
    refresh().await.unwrap_err();
    assert_eq!(with_health(&app, v1::HealthState::Error).await, [id.as_str()]);
    let error = health(&app, &id).await.last_error.unwrap();
    assert_eq!(
        (error.reason.as_str(), error.provider_code.as_str()),
        ("REAUTHORIZATION_REQUIRED", "invalid_grant")
    );
    assert!(error.customer_text.contains("connect your account again"), "{error:?}");
    assert_eq!(health(&app, &id).await.customer_text, error.customer_text, "the state says the same");
    consent(&app, &id).await;
    let error = health(&app, &id).await.last_error.unwrap();
    assert!(error.recover_time.is_some(), "a new consent ends it, and it stays known");
}

async fn a_key_ends_when_it_says_and_a_filter_finds_it(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let forever = app.create(generic("forever", "CANARY")).await.unwrap().id;
    let mut soon = generic("soon", "CANARY");
    let ttl = prost_types::Duration { seconds: 1800, nanos: 0 };
    let expiry = Some(v1::credential_input::Expiry::Ttl(ttl));
    soon.credential = Some(v1::CredentialInput { expiry, ..input(&[("token", "CANARY")]) });
    let soon = app.create(soon).await.unwrap();
    assert_eq!(health(&app, &forever).await.renewal(), v1::Renewal::NeverEnds);
    let ending = health(&app, &soon.id).await;
    assert_eq!((ending.state(), ending.renewal()), (v1::HealthState::Ending, v1::Renewal::Ends));
    assert_eq!(ending.grant_end_time, soon.expire_time);
    let ends_before = Some(prost_types::Timestamp { seconds: vault.clock.now().seconds() + 3600, nanos: 0 });
    let request = v1::ListConnectionsRequest { ends_before, ..Default::default() };
    let listed = app.connections().list_connections(request).await.unwrap().into_inner().connections;
    assert_eq!(listed.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), [soon.id.as_str()]);
    vault.clock.advance(Duration::from_secs(1800));
    assert_eq!(with_health(&app, v1::HealthState::Ended).await, [soon.id.as_str()]);
    let ended = health(&app, &soon.id).await;
    assert!(ended.customer_text.contains("has ended") && ended.last_error.is_none(), "{ended:?}");
    assert_eq!(with_health(&app, v1::HealthState::Ok).await, [forever]);
    app.put(&soon.id, "CANARY").await.unwrap();
    assert_eq!(health(&app, &soon.id).await.renewal(), v1::Renewal::NeverEnds);
    assert_eq!(with_health(&app, v1::HealthState::Ok).await.len(), 2);
}

async fn an_idle_grant_that_is_renewed_late_is_warned_of_and_recovers(builder: VaultBuilder) {
    let connected = builder.start_with_provider(&format!("{GRACE}\nidle_timeout_seconds = 2592000")).await;
    connected.provider.behave(|behaviour| {
        let grace = Duration::from_secs(1800);
        behaviour.rotation = Rotation::Rotating { grace, same_answer_within_grace: true };
    });
    let clock = &connected.vault.clock;
    connected.vault.tenant("acme").await;
    let operator = lasting(&connected, "operator").await;
    let receiver = receiver(&operator, &["connection.expiring", "connection.recovered"]).await;
    let app = lasting(&connected, "app").await.acting_for("acme", None);
    let id = connected.granted(&app, "shop-1", 3600).await;
    let fresh = health(&app, &id).await;
    assert_eq!((fresh.state(), fresh.renewal()), (v1::HealthState::Ok, v1::Renewal::RenewsItself));
    assert_eq!(fresh.grant_end_time.unwrap().seconds, clock.now().after(DAY * 30).seconds());
    // For 27 days the provider is out of order when the vault renews it.
    connected.provider.behave(|behaviour| behaviour.steady = Step::Fail { status: 503, after_effect: false });
    clock.advance(DAY * 27 + DAY / 24);
    eventually("the warning", || async { receiver.count() >= 1 }).await;
    assert_eq!(warned(&receiver), [3]);
    // The access token has ended, too.
    eventually("an attempt that fails", || async {
        health(&app, &id).await.state() == v1::HealthState::Uncertain
    })
    .await;
    let late = health(&app, &id).await;
    assert!(late.customer_text.contains("is not answering properly"), "{late:?}");
    // It is renewed in time, and its owner reads that all is well.
    connected.provider.behave(|behaviour| behaviour.steady = Step::Answer);
    clock.advance(Duration::from_secs(600));
    eventually("the renewal", || async {
        let request = v1::RefreshConnectionRequest { connection_id: id.clone() };
        app.connections().refresh_connection(request).await.is_ok()
    })
    .await;
    assert_eq!(health(&app, &id).await.state(), v1::HealthState::Ok);
    eventually("the recovery", || async { receiver.count() >= 2 }).await;
    assert_eq!(receiver.types(), ["connection.expiring", "connection.recovered"]);
    let end = health(&app, &id).await.grant_end_time.unwrap().seconds;
    assert_eq!(end, clock.now().after(DAY * 30).seconds());
}

/// How many connections of the tenant have this health.
async fn counted(operator: &Client, state: v1::HealthState) -> i64 {
    let request = v1::CountConnectionsRequest { tenant_id: "acme".into(), ..Default::default() };
    let counts = operator.admin().count_connections(request).await.unwrap().into_inner().counts;
    counts.iter().filter(|count| count.health() == state).map(|count| count.count).sum()
}

async fn a_connection_whose_fetches_are_refused_is_not_well_until_it_works(builder: VaultBuilder) {
    let connected = builder.start_with_provider(GRACE).await;
    connected.provider.behave(|behaviour| {
        let grace = Duration::from_secs(1800);
        behaviour.rotation = Rotation::Rotating { grace, same_answer_within_grace: true };
        behaviour.steady = Step::Refuse(Refusal::InvalidClient);
    });
    connected.vault.tenant("acme").await;
    let operator = lasting(&connected, "operator").await;
    let types = ["connection.recovered", "connection.reauthorization_required"];
    let receiver = receiver(&operator, &types).await;
    let app = lasting(&connected, "app").await.acting_for("acme", None);
    let id = connected.granted(&app, "shop-1", 3600).await;
    let end = connected.vault.clock.now().after(Duration::from_secs(3600));
    let request = v1::RefreshConnectionRequest { connection_id: id.clone() };
    app.connections().refresh_connection(request).await.unwrap_err();
    // As long as the access token works, only the last error tells of it.
    assert_eq!(with_health(&app, v1::HealthState::Ok).await, [id.as_str()]);
    assert_eq!(required(&app).await.state(), v1::RequirementState::Connected);
    assert!(app.fetch(by_id(&id)).await.is_ok());

    connected.vault.clock.advance(Duration::from_secs(3601));
    let refused = app.fetch(by_id(&id)).await.unwrap_err();
    assert_eq!(refusal(&refused), "Unavailable PROVIDER_UNAVAILABLE");
    assert_eq!(with_health(&app, v1::HealthState::Error).await, [id.as_str()]);
    assert!(with_health(&app, v1::HealthState::Ok).await.is_empty());
    assert_eq!(counted(&operator, v1::HealthState::Error).await, 1);
    let failing = health(&app, &id).await;
    assert_eq!(failing.since.map(|since| since.seconds), Some(end.seconds()));
    assert!(failing.customer_text.starts_with("We have a problem"), "{failing:?}");
    let operators = &failing.operator_text;
    assert!(
        operators.contains("PutOAuthApp") && operators.contains("The platform has to act"),
        "{operators}"
    );
    assert!(failing.last_error.unwrap().next_attempt_time.is_some());
    let check = required(&app).await;
    let asks = (v1::RequirementState::Broken, v1::RequirementStep::AskAdministrator);
    assert_eq!((check.state(), check.next_step()), asks, "{check:?}");
    assert_eq!(check.reason, "PROVIDER_UNAVAILABLE");

    the_outage_of_one_tenant_is_waited_for(&connected, &operator, &app, &id).await;
    // Its grant was never in doubt, so its endpoints hear nothing.
    assert_eq!((receiver.count(), connected.vault.count("event_deliveries").await), (0, 0));
}

/// The platform has mended the app, and the provider is out of order for this tenant, until it is well again.
async fn the_outage_of_one_tenant_is_waited_for(
    connected: &Connected,
    operator: &Client,
    app: &Client,
    id: &str,
) {
    let refresh = || async {
        let request = v1::RefreshConnectionRequest { connection_id: id.to_owned() };
        app.connections().refresh_connection(request).await
    };
    connected.provider.behave(|behaviour| behaviour.steady = Step::Fail { status: 503, after_effect: false });
    operator.admin().put_o_auth_app(app_request()).await.unwrap();
    let answered = || async {
        refresh().await.unwrap_err();
        health(app, id).await.state() == v1::HealthState::Uncertain
    };
    eventually("the outage", answered).await;
    assert_eq!(with_health(app, v1::HealthState::Uncertain).await, [id]);
    assert_eq!(counted(operator, v1::HealthState::Uncertain).await, 1);
    let waits = health(app, id).await;
    assert!(waits.customer_text.contains("You need not do anything"), "{waits:?}");
    assert!(waits.operator_text.contains("The vault tries again by itself at 20"), "{waits:?}");
    let check = required(app).await;
    let waits = (v1::RequirementState::Broken, v1::RequirementStep::WaitForProvider);
    assert_eq!((check.state(), check.next_step()), waits, "{check:?}");

    connected.provider.behave(|behaviour| behaviour.steady = Step::Answer);
    connected.vault.clock.advance(Duration::from_secs(120));
    eventually("the recovery", || async { refresh().await.is_ok() }).await;
    assert_eq!(with_health(app, v1::HealthState::Ok).await, [id]);
    assert_eq!(health(app, id).await.since, None);
    assert_eq!(required(app).await.state(), v1::RequirementState::Connected);
    assert!(app.fetch(by_id(id)).await.is_ok());
}
