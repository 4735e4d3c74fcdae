//! An outage that several tenants meet is one incident of the provider, which no tenant alone can open or close.

use std::time::Duration;

use credvault_proto::v1;
use credvault_simulator::Step;

use crate::harness::provider::{Connected, GRACE, state};
use crate::harness::receiver::Receiver;
use crate::harness::{Client, TestVault, VaultBuilder, by_provider, eventually};
use crate::on_both;

on_both![an_outage_of_many_is_one_incident_of_the_provider];

async fn refresh(app: &Client, id: &str) -> Result<(), tonic::Status> {
    let request = v1::RefreshConnectionRequest { connection_id: id.to_owned() };
    app.connections().refresh_connection(request).await.map(drop)
}

async fn refreshed(app: &Client, id: &str) -> bool {
    refresh(app, id).await.is_ok()
}

async fn set_enabled(app: &Client, id: &str, enabled: bool) {
    let update = v1::UpdateConnectionRequest {
        connection: Some(v1::Connection { id: id.to_owned(), enabled, ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["enabled".into()] }),
        ..Default::default()
    };
    app.connections().update_connection(update).await.unwrap();
}

async fn health_of(app: &Client, id: &str) -> v1::ConnectionHealth {
    let request = v1::GetConnectionRequest { connection_id: id.to_owned() };
    let got = app.connections().get_connection(request).await.unwrap().into_inner();
    got.connection.unwrap().health.unwrap()
}

async fn incident(app: &Client) -> Option<v1::ProviderIncident> {
    let request = v1::GetProviderRequest { provider: "simulator".into() };
    app.connections().get_provider(request).await.unwrap().into_inner().provider.unwrap().incident
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

/// What a check says to a tool that requires the provider.
async fn required(app: &Client) -> v1::RequirementCheck {
    let requirements = vec![v1::Requirement { provider: "simulator".into(), ..Default::default() }];
    let request = v1::CheckRequirementsRequest { requirements, ..Default::default() };
    app.connections().check_requirements(request).await.unwrap().into_inner().checks.remove(0)
}

async fn receiver(operator: &Client, tenant: &str) -> Receiver {
    let receiver = Receiver::start().await;
    let request = v1::PutEventEndpointRequest {
        tenant_id: tenant.into(),
        url: receiver.url.clone(),
        types: [
            "provider.incident_opened",
            "provider.incident_closed",
            "connection.reauthorization_required",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..Default::default()
    };
    operator.admin().put_event_endpoint(request).await.unwrap();
    receiver
}

/// Waits for the circuit breaker's pause.
fn pause_is_over(connected: &Connected) {
    connected.vault.clock.advance(Duration::from_secs(61));
}

async fn an_outage_of_many_is_one_incident_of_the_provider(builder: VaultBuilder) {
    let connected = builder.start_with_provider(GRACE).await;
    let vault = &connected.vault;
    let operator = vault.client("operator").await;
    let apps = [vault.app("acme").await, vault.app("bolt").await, vault.app("crux").await];
    let (platform, tenant) = (receiver(&operator, "").await, receiver(&operator, "acme").await);
    let mut own = Vec::new();
    for number in 0..6 {
        own.push(connected.granted(&apps[0], &format!("own-{number}"), 3600).await);
    }
    let others =
        [connected.granted(&apps[1], "bolt", 3600).await, connected.granted(&apps[2], "crux", 3600).await];
    assert!(refreshed(&apps[0], &own[0]).await && incident(&apps[0]).await.is_none());

    connected.provider.behave(|behaviour| behaviour.steady = Step::Fail { status: 503, after_effect: false });
    for id in &own {
        assert!(!refreshed(&apps[0], id).await);
    }
    // However often one tenant fails: its evidence has arrived, and is not enough.
    eventually("one tenant's evidence", || async {
        vault.count("provider_signals WHERE failures >= 5").await == 1
    })
    .await;
    assert_eq!(vault.count("provider_incidents").await, 0);
    assert!(!refreshed(&apps[1], &others[0]).await);
    pause_is_over(&connected);
    assert!(!refreshed(&apps[2], &others[1]).await);
    the_incident_is_shown(vault, &apps[1], &others[0]).await;
    eventually("the event", || async { platform.count() == 1 }).await;

    let doubted = own.pop().unwrap();
    connected.provider.revoke_account("own-5");
    a_refusal_meanwhile_is_not_believed(&connected, &apps, &others, &doubted).await;
    // Well again: for one tenant that does not end it, for two it does.
    eventually("answers to two tenants", || async {
        refreshed(&apps[0], &own[0]).await && refreshed(&apps[1], &others[0]).await
    })
    .await;
    eventually("the end", || async { incident(&apps[2]).await.is_none() }).await;
    assert_eq!(required(&apps[1]).await.next_step(), v1::RequirementStep::Unspecified);
    assert_eq!(with_health(&apps[1], v1::HealthState::Ok).await, [others[0].as_str()]);
    eventually("the second event", || async { platform.count() == 2 }).await;
    assert_eq!(platform.types(), ["provider.incident_opened", "provider.incident_closed"]);
    for id in &own {
        assert_eq!(state(&apps[0], id).await, (v1::ConnectionState::Connected, String::new()));
    }
    assert_eq!(tenant.count(), 0, "a tenant learns of it from its connections");
    a_refusal_after_it_is_believed(&apps[0], &doubted, &tenant).await;
}

/// A tenant whose one connection is `id` sees the incident wherever it looks.
async fn the_incident_is_shown(vault: &TestVault, app: &Client, id: &str) {
    eventually("the incident", || async { incident(app).await.is_some() }).await;
    let shown = incident(app).await.unwrap();
    assert_eq!(shown.tenants_affected_at_least, 3);
    assert!(shown.since.is_some() && shown.last_success_time.is_some());
    assert_eq!(with_health(app, v1::HealthState::ProviderIncident).await, [id]);
    assert!(with_health(app, v1::HealthState::Ok).await.is_empty());
    let check = required(app).await;
    let waits = (v1::RequirementState::Connected, v1::RequirementStep::WaitForProvider);
    assert_eq!((check.state(), check.next_step()), waits, "it works as far as is known: {check:?}");
    assert!(check.next_step_text.contains("incident"), "{check:?}");
    assert_eq!(app.fetch(by_provider("simulator")).await.unwrap().connection_id, id);
    assert!(vault.metrics().await.contains("credvault_provider_incidents{provider=\"simulator\"} 1"));
    let waits = health_of(app, id).await;
    assert!(waits.customer_text.contains("Simulator has a disturbance"), "{waits:?}");
    assert!(waits.operator_text.starts_with("PROVIDER_INCIDENT"), "{waits:?}");
}

/// What a provider in disorder says of a consent is looked into again. Only one tenant asks it here, so that the incident
/// does not end.
async fn a_refusal_meanwhile_is_not_believed(
    connected: &Connected,
    apps: &[Client; 3],
    others: &[String; 2],
    doubted: &str,
) {
    for (app, id) in apps[1..].iter().zip(others) {
        set_enabled(app, id, false).await;
    }
    connected.provider.behave(|behaviour| behaviour.steady = Step::Answer);
    pause_is_over(connected);
    eventually("the refusal that is not believed", || async {
        let refused = refresh(&apps[0], doubted).await.unwrap_err();
        refused.message().contains("has an incident at the moment")
    })
    .await;
    assert_eq!(state(&apps[0], doubted).await.0, v1::ConnectionState::Connected);
    for (app, id) in apps[1..].iter().zip(others) {
        set_enabled(app, id, true).await;
    }
}

/// Said after the incident, it is believed; and the demand for consent is all that the tenant hears.
async fn a_refusal_after_it_is_believed(app: &Client, doubted: &str, tenant: &Receiver) {
    eventually("the demand for consent", || async { !refreshed(app, doubted).await && tenant.count() == 1 })
        .await;
    assert_eq!(tenant.types(), ["connection.reauthorization_required"]);
    assert_eq!(state(app, doubted).await.1, "REAUTHORIZATION_REQUIRED");
}
