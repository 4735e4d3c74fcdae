//! "Service Configuration" and "Sheet Mappings": a service is switched on with a credential, and knows its sheet.

use credvault_proto::v1;
use prost_types::value::Kind;

use super::{Etl, deleted, sheets, shop, verified};
use crate::harness::{Client, VaultBuilder, by_id, eventually, refusal};
use crate::on_both;

on_both![a_service_is_switched_on_with_a_credential_and_a_sheet];

fn mapping(name: &str, connection: &str, settings: &[(&str, &str)]) -> v1::ServiceMapping {
    let fields = settings.iter().map(|(name, value)| ((*name).to_owned(), prost_types::Value::from(*value)));
    v1::ServiceMapping {
        mapping: name.to_owned(),
        connection_id: connection.to_owned(),
        settings: (!settings.is_empty()).then(|| prost_types::Struct { fields: fields.collect() }),
        ..Default::default()
    }
}

fn setting<'a>(mapping: &'a v1::ServiceMapping, name: &str) -> &'a str {
    match &mapping.settings.as_ref().unwrap().fields[name].kind {
        Some(Kind::StringValue(text)) => text,
        other => panic!("{other:?}"),
    }
}

async fn set(
    user: &Client,
    enabled: Option<bool>,
    mappings: Vec<v1::ServiceMapping>,
) -> Result<v1::ServiceConfig, tonic::Status> {
    let request =
        v1::SetServiceConfigRequest { service: "shopify".into(), enabled, mappings, ..Default::default() };
    Ok(user.connections().set_service_config(request).await?.into_inner().service_config.unwrap())
}

async fn configs(user: &Client, enabled: Option<bool>) -> Vec<v1::ServiceConfig> {
    let request = v1::ListServiceConfigsRequest { enabled, ..Default::default() };
    user.connections().list_service_configs(request).await.unwrap().into_inner().service_configs
}

/// The state and the reason of the service's credential.
async fn credential(user: &Client) -> (v1::MappingState, String) {
    let config = configs(user, None).await.remove(0);
    let one = config.mappings.into_iter().find(|one| one.mapping == "credential").unwrap();
    (one.state(), one.reason)
}

async fn a_service_is_switched_on_with_a_credential_and_a_sheet(builder: VaultBuilder) {
    let etl = Etl::start(builder).await;
    let user = etl.user("user_1");
    let source = user.create(shop("Main", &etl.issued("shop-1"))).await.unwrap().id;
    let target = user.create(sheets("reports")).await.unwrap().id;
    eventually("a token of the key", || async { user.fetch(by_id(&target)).await.is_ok() }).await;
    // "src/routes/services.ts": `POST /api/services/:serviceName/enable`
    let on = set(&user, Some(true), vec![mapping("credential", &source, &[])]).await.unwrap();
    assert!(on.enabled);
    assert_eq!(on.owner.unwrap().user_id, "user_1");
    // "src/routes/sheets.ts": `POST /api/sheet-mappings/set`
    let place = [("spreadsheet_id", "1AbC"), ("sheet", "Orders")];
    set(&user, None, vec![mapping("sheet", &target, &place)]).await.unwrap();
    // `GET /api/services`, `GET /api/sheet-mappings`
    let config = configs(&user, Some(true)).await.remove(0);
    let [of_shop, of_sheet] = <[v1::ServiceMapping; 2]>::try_from(config.mappings).unwrap();
    assert_eq!((of_shop.provider.as_str(), of_sheet.provider.as_str()), ("shopify", "google_sheets"));
    assert_eq!((setting(&of_sheet, "spreadsheet_id"), setting(&of_sheet, "sheet")), ("1AbC", "Orders"));
    assert_eq!([of_shop.state(), of_sheet.state()], [v1::MappingState::Connected; 2]);
    // `POST /api/services/:serviceName/disable`: the rest stays.
    let off = set(&user, Some(false), vec![]).await.unwrap();
    assert_eq!((off.enabled, off.mappings.len()), (false, 2));
    assert_eq!((configs(&user, Some(true)).await.len(), configs(&user, Some(false)).await.len()), (0, 1));
    set(&user, Some(true), vec![]).await.unwrap();

    a_config_is_its_users_own(&etl, &source).await;
    a_service_knows_whether_its_credential_works(&etl, &user, &source).await;
}

/// "Enable service with credential": a credential that has died, or is deleted, shows at the service.
async fn a_service_knows_whether_its_credential_works(etl: &Etl, user: &Client, source: &str) {
    etl.connected.provider.revoke_account("shop-1");
    verified(user, source).await.unwrap();
    let dead = (v1::MappingState::Error, "REAUTHORIZATION_REQUIRED".to_owned());
    assert_eq!(credential(user).await, dead);
    let affected = deleted(user, source).await.unwrap().affected_services;
    let names: Vec<_> = affected.iter().map(|one| (one.service.as_str(), one.mapping.as_str())).collect();
    assert_eq!(names, [("shopify", "credential")]);
    assert_eq!(credential(user).await.0, v1::MappingState::Deleted);
    let another = user.create(shop("Second", &etl.issued("shop-1"))).await.unwrap().id;
    set(user, None, vec![mapping("credential", &another, &[])]).await.unwrap();
    assert_eq!(credential(user).await, (v1::MappingState::Connected, String::new()));
}

/// "RLS policies on all user-owned tables": also on `service_configs` and `sheet_mappings`.
async fn a_config_is_its_users_own(etl: &Etl, source: &str) {
    for stranger in [etl.user("user_2"), etl.user_of("user_1", "beta")] {
        assert!(configs(&stranger, None).await.is_empty());
        let stolen = set(&stranger, None, vec![mapping("credential", source, &[])]).await.unwrap_err();
        assert_eq!(refusal(&stolen), "NotFound CONNECTION_NOT_FOUND");
    }
}
