//! Configs of internal services: what a service works with, whether it works, and what breaks it.

use std::collections::BTreeMap;

use credvault_proto::v1;
use prost_types::value::Kind;
use tonic::Status;

use crate::harness::receiver::Receiver;
use crate::harness::{Client, VaultBuilder, eventually, generic, owned_by, refusal};
use crate::on_both;

on_both![
    a_service_keeps_its_settings_whatever_becomes_of_its_connection,
    a_config_belongs_to_its_owner_and_names_what_that_reaches,
    a_change_names_what_it_changes,
];

/// A mapping with one setting.
fn mapping(name: &str, connection: &str, sheet: &str) -> v1::ServiceMapping {
    let sheet = prost_types::Value { kind: Some(Kind::StringValue(sheet.to_owned())) };
    let fields = BTreeMap::from([("sheet".to_owned(), sheet)]);
    v1::ServiceMapping {
        mapping: name.to_owned(),
        connection_id: connection.to_owned(),
        settings: Some(prost_types::Struct { fields }),
        ..Default::default()
    }
}

fn sheet(mapping: &v1::ServiceMapping) -> &str {
    match &mapping.settings.as_ref().unwrap().fields["sheet"].kind {
        Some(Kind::StringValue(sheet)) => sheet,
        other => panic!("{other:?}"),
    }
}

fn set(service: &str, mappings: Vec<v1::ServiceMapping>) -> v1::SetServiceConfigRequest {
    v1::SetServiceConfigRequest { service: service.to_owned(), mappings, ..Default::default() }
}

impl Client {
    async fn set_service(&self, request: v1::SetServiceConfigRequest) -> Result<v1::ServiceConfig, Status> {
        Ok(self.connections().set_service_config(request).await?.into_inner().service_config.unwrap())
    }

    async fn services(&self, request: v1::ListServiceConfigsRequest) -> Vec<v1::ServiceConfig> {
        self.connections().list_service_configs(request).await.unwrap().into_inner().service_configs
    }

    /// The state of each mapping of the only config that this caller sees.
    async fn states(&self) -> Vec<v1::MappingState> {
        let all = self.services(Default::default()).await;
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].mappings.iter().map(v1::ServiceMapping::state).collect()
    }
}

fn names(affected: &[v1::AffectedService]) -> Vec<(&str, &str, &str)> {
    let user = |one: &v1::AffectedService| one.owner.as_ref().unwrap().user_id.clone();
    let mut all: Vec<_> = affected.iter().map(|one| (one, user(one))).collect();
    all.sort_by(|(one, user), (other, others)| (user, &one.mapping).cmp(&(others, &other.mapping)));
    all.into_iter()
        .map(|(one, _)| {
            let user = one.owner.as_ref().unwrap().user_id.as_str();
            (one.service.as_str(), one.mapping.as_str(), user)
        })
        .collect()
}

async fn a_service_keeps_its_settings_whatever_becomes_of_its_connection(builder: VaultBuilder) {
    use v1::MappingState as S;
    let vault = builder.allow_loopback().start().await;
    let app = vault.app("acme").await;
    let portal = vault.client("portal").await;
    let (shared, user) = (portal.acting_for("acme", None), portal.acting_for("acme", Some("u1")));
    let receiver = Receiver::start().await;
    let endpoint = v1::PutEventEndpointRequest {
        tenant_id: "acme".into(),
        url: receiver.url.clone(),
        types: vec!["service_config.changed".into()],
        ..Default::default()
    };
    vault.client("operator").await.admin().put_event_endpoint(endpoint).await.unwrap();
    let first = app.create(generic("first", "CANARY first")).await.unwrap().id;
    let second = app.create(generic("second", "CANARY second")).await.unwrap().id;
    let orders = mapping("orders", &first, "CANARY Orders");
    shared.set_service(set("report", vec![orders, mapping("", &second, "Ads")])).await.unwrap();
    user.set_service(set("report", vec![mapping("mine", &first, "Mine")])).await.unwrap();
    assert_eq!(shared.states().await, [S::Connected, S::Connected]);

    // Disabled: the answer says what breaks, to each caller what it may see.
    let disable = |enabled| v1::UpdateConnectionRequest {
        connection: Some(v1::Connection { id: first.clone(), enabled, ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["enabled".into()] }),
        ..Default::default()
    };
    let stopped = app.connections().update_connection(disable(false)).await.unwrap().into_inner();
    assert_eq!(names(&stopped.affected_services), [("report", "orders", ""), ("report", "mine", "u1")]);
    assert_eq!(stopped.hidden_affected_services, 0);
    assert_eq!(shared.states().await, [S::Connected, S::Disabled]);
    // What a caller may not see is counted, so that no change breaks something in silence.
    let again = shared.connections().update_connection(disable(false)).await.unwrap().into_inner();
    assert_eq!(names(&again.affected_services), [("report", "orders", "")]);
    assert_eq!(again.hidden_affected_services, 1);
    let on = app.connections().update_connection(disable(true)).await.unwrap().into_inner();
    assert_eq!((on.affected_services.len(), on.hidden_affected_services), (0, 0));
    assert_eq!(shared.states().await, [S::Connected, S::Connected]);

    what_is_gone_leaves_its_settings(&app, &shared, &user, &first).await;
    // Another connection takes its place, and the settings stay.
    let moved = v1::ServiceMapping { settings: None, ..mapping("orders", &second, "") };
    let repaired = shared.set_service(set("report", vec![moved])).await.unwrap();
    assert_eq!(sheet(&repaired.mappings[1]), "CANARY Orders");
    assert_eq!(shared.states().await, [S::Connected, S::Connected]);
    changes_are_told_without_settings(&app, &receiver, &second).await;
}

/// Disconnected, deleted and purged: the mapping is still there.
async fn what_is_gone_leaves_its_settings(app: &Client, shared: &Client, user: &Client, first: &str) {
    use v1::MappingState as S;
    let id = || first.to_owned();
    let disconnect = v1::DisconnectConnectionRequest { connection_id: id(), ..Default::default() };
    let stopped = user.connections().disconnect_connection(disconnect).await.unwrap().into_inner();
    assert_eq!(names(&stopped.affected_services), [("report", "orders", ""), ("report", "mine", "u1")]);
    assert_eq!(stopped.hidden_affected_services, 0);
    assert_eq!(shared.states().await, [S::Connected, S::Disconnected]);
    let delete = v1::DeleteConnectionRequest { connection_id: id(), ..Default::default() };
    let stopped = shared.connections().delete_connection(delete).await.unwrap().into_inner();
    assert_eq!(names(&stopped.affected_services), [("report", "orders", "")]);
    assert_eq!(stopped.hidden_affected_services, 1);
    assert_eq!(shared.states().await, [S::Connected, S::Deleted]);
    let refused = shared.set_service(set("other", vec![mapping("", first, "x")])).await.unwrap_err();
    assert_eq!(refusal(&refused), "FailedPrecondition STATE_INVALID");
    let purge = v1::PurgeConnectionRequest { connection_id: id(), ..Default::default() };
    app.connections().purge_connection(purge).await.unwrap();
    assert_eq!(shared.states().await, [S::Connected, S::Missing]);
    let orders = shared.services(Default::default()).await.remove(0).mappings.remove(1);
    assert_eq!((sheet(&orders), orders.provider.as_str()), ("CANARY Orders", "generic"));
}

async fn changes_are_told_without_settings(app: &Client, receiver: &Receiver, second: &str) {
    let told = || async { receiver.count() == 3 };
    eventually("three events", told).await;
    let data = receiver.received().into_iter().map(|event| event.json()["data"].clone());
    let mut data: Vec<_> = data.collect();
    data.sort_by_key(|data| data["owner"]["user_id"].to_string());
    assert_eq!((&data[0]["service"], &data[0]["change"]), (&"report".into(), &"SET".into()), "{data:?}");
    assert_eq!(data[0]["mappings"][0]["mapping"], "mine", "{data:?}");
    assert!(!format!("{data:?}").contains("CANARY"), "{data:?}");
    let record = app.events().await.into_iter().find(|event| event.action == "SetServiceConfig").unwrap();
    assert_eq!(record.changed_fields, ["service_configs/report", "mappings/orders"], "{record:?}");
    assert_eq!(record.connection_id, second);
}

async fn a_config_belongs_to_its_owner_and_names_what_that_reaches(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let portal = vault.client("portal").await;
    let caller = |user| portal.acting_for("acme", user);
    let (shared, u1, u2) = (caller(None), caller(Some("u1")), caller(Some("u2")));
    let of_tenant = app.create(generic("shared", "CANARY shared")).await.unwrap().id;
    let of_user = app.create(owned_by("u1", generic("mine", "CANARY mine"))).await.unwrap().id;
    for (client, id, served) in [
        (&u1, &of_user, true),
        (&u1, &of_tenant, true),
        (&u2, &of_tenant, true),
        (&shared, &of_tenant, true),
        (&u2, &of_user, false),
        (&shared, &of_user, false),
        // It reaches all users, but the tenant's config must not depend on one of them.
        (&app, &of_user, false),
    ] {
        match client.set_service(set("sync", vec![mapping("", id, "A")])).await {
            Ok(_) => assert!(served),
            Err(refused) => {
                assert!(!served, "{refused:?}");
                assert_eq!(refusal(&refused), "NotFound CONNECTION_NOT_FOUND");
            }
        }
    }
    // Each sees its own and what is shared; a filter narrows that.
    for (client, configs) in [(&shared, 1), (&u1, 2), (&u2, 2), (&app, 3)] {
        assert_eq!(client.services(Default::default()).await.len(), configs);
    }
    let using = v1::ListServiceConfigsRequest { connection_id: of_tenant.clone(), ..Default::default() };
    assert_eq!(app.services(using).await.len(), 3);
    u2.set_service(v1::SetServiceConfigRequest { enabled: Some(false), ..set("sync", vec![]) })
        .await
        .unwrap();
    let off = v1::ListServiceConfigsRequest { enabled: Some(false), ..Default::default() };
    let off = app.services(off).await;
    assert_eq!((off.len(), off[0].owner.as_ref().unwrap().user_id.as_str()), (1, "u2"));
    let paged = v1::ListServiceConfigsRequest { page_size: 2, ..Default::default() };
    let page = app.connections().list_service_configs(paged.clone()).await.unwrap().into_inner();
    let next = v1::ListServiceConfigsRequest { page_token: page.next_page_token, ..paged };
    assert_eq!((page.service_configs.len(), app.services(next).await.len()), (2, 1));

    // The platform has no services, and a user's go with the user.
    let operator = vault.client("operator").await;
    let refused = operator.set_service(set("sync", vec![])).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    let delete = |user: &str| v1::DeleteUserRequest {
        tenant_id: "acme".into(),
        user_id: user.into(),
        ..Default::default()
    };
    // The second has no connection.
    operator.admin().delete_user(delete("u1")).await.unwrap();
    operator.admin().delete_user(delete("u2")).await.unwrap();
    let left = app.services(Default::default()).await;
    assert_eq!((left.len(), left[0].owner.as_ref().unwrap().user_id.as_str()), (1, ""));
    assert_eq!(vault.count("service_mappings").await, 1);
}

async fn a_change_names_what_it_changes(builder: VaultBuilder) {
    let builder = builder.policies(
        r#"forbid (principal == Service::"spiffe://test.local/portal", action in [Action::"SetServiceConfig",
            Action::"ListServiceConfigs", Action::"DeleteServiceConfig"], resource)
        when { context has provider && context.provider == "slack" };
        permit (principal == Service::"spiffe://test.local/reader", action == Action::"UpdateConnection", resource);"#,
    );
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let portal = vault.client("portal").await.acting_for("acme", None);
    let id = app.create(generic("a", "CANARY")).await.unwrap().id;
    let slack = v1::CreateConnectionRequest {
        provider: "slack".into(),
        auth_mode: "bot_token".into(),
        credential: None,
        ..generic("b", "")
    };
    let slack = app.create(slack).await.unwrap().id;
    // A request id takes effect once, and an etag is that of a state.
    let request_id = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e".to_owned();
    let create = v1::SetServiceConfigRequest { request_id, ..set("report", vec![mapping("", &id, "A")]) };
    let created = app.set_service(create.clone()).await.unwrap();
    assert_eq!((created.enabled, created.mappings[0].mapping.as_str()), (true, "default"));
    assert_eq!(app.set_service(create.clone()).await.unwrap().etag, created.etag);
    let off = v1::SetServiceConfigRequest {
        enabled: Some(false),
        etag: created.etag.clone(),
        ..set("report", vec![])
    };
    let switched = app.set_service(off.clone()).await.unwrap();
    assert_eq!((switched.enabled, sheet(&switched.mappings[0])), (false, "A"));
    assert_eq!(refusal(&app.set_service(off).await.unwrap_err()), "Aborted ETAG_MISMATCH");
    // What is wrong is named, each field of it.
    let nameless = v1::ServiceMapping { connection_id: String::new(), ..mapping("new", "", "A") };
    let large = mapping("", &id, &"x".repeat(17 * 1024));
    for (wrong, field) in [
        (set("report", vec![nameless]), "mappings[0].connection_id"),
        (set("report", vec![large]), "mappings[0].settings"),
        (set("report", vec![mapping("A b", &id, "A")]), "mappings[0].mapping"),
        (set("report", vec![mapping("a", &id, "A"), mapping("a", &id, "B")]), "mappings[1].mapping"),
        (set("Report", vec![]), "service"),
    ] {
        let refused = app.set_service(wrong).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
        assert!(refused.message().contains(field), "{refused:?}");
    }
    let reader = vault.client("reader").await.acting_for("acme", None);
    policy_is_asked_about_connections(&app, [&portal, &reader], &slack).await;
}

/// Policy is asked about the connection, and about each that the config has.
async fn policy_is_asked_about_connections(app: &Client, [portal, reader]: [&Client; 2], slack: &str) {
    let with_slack = || set("report", vec![mapping("chat", slack, "B")]);
    let denied = "PermissionDenied POLICY_DENIED";
    assert_eq!(refusal(&portal.set_service(with_slack()).await.unwrap_err()), denied);
    app.set_service(with_slack()).await.unwrap();
    assert_eq!(refusal(&portal.set_service(set("report", vec![])).await.unwrap_err()), denied);
    let listed = portal.services(Default::default()).await;
    assert_eq!(listed[0].mappings.iter().map(|one| &one.provider).collect::<Vec<_>>(), ["generic"]);
    // Who may list nothing of this provider, or no configs at all, learns how many break.
    let disable = v1::UpdateConnectionRequest {
        connection: Some(v1::Connection { id: slack.to_owned(), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["enabled".into()] }),
        ..Default::default()
    };
    for client in [portal, reader] {
        let stopped = client.connections().update_connection(disable.clone()).await.unwrap().into_inner();
        assert_eq!((stopped.affected_services.len(), stopped.hidden_affected_services), (0, 1));
    }
    let delete = v1::DeleteServiceConfigRequest { service: "report".into(), ..Default::default() };
    let refused = portal.connections().delete_service_config(delete.clone()).await.unwrap_err();
    assert_eq!(refusal(&refused), denied);
    // What is deleted is handed back.
    let remove = v1::SetServiceConfigRequest {
        remove_mappings: vec!["chat".into(), "never".into()],
        ..set("report", vec![])
    };
    assert_eq!(app.set_service(remove).await.unwrap().mappings.len(), 1);
    let deleted = app.connections().delete_service_config(delete.clone()).await.unwrap().into_inner();
    let deleted = deleted.service_config.unwrap();
    assert_eq!(
        (sheet(&deleted.mappings[0]), deleted.mappings[0].state()),
        ("A", v1::MappingState::Connected)
    );
    let refused = app.connections().delete_service_config(delete).await.unwrap_err();
    assert_eq!(refusal(&refused), "NotFound SERVICE_CONFIG_NOT_FOUND");
}
