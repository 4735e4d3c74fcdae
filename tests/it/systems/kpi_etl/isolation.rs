//! "Security Features", "Multi-tenant Isolation" and "Authentication": a token decides who calls, and no user reaches
//! what is another one's.

use credvault_proto::v1;
use credvault_testkit::{Algorithm, TokenIssuer};
use serde_json::json;

use super::{Etl, deleted, get, listed, shop, updated, verified};
use crate::harness::{Client, VaultBuilder, by_id, by_provider, eventually, refusal};
use crate::on_both;

on_both![a_token_of_clerk_decides_who_calls, nobody_reaches_what_is_another_users];

async fn a_token_of_clerk_decides_who_calls(builder: VaultBuilder) {
    let etl = Etl::start(builder).await;
    let user = etl.user("user_1");
    let id = user.create(shop("Main", &etl.issued("shop-1"))).await.unwrap().id;
    user.fetch(by_id(&id)).await.unwrap();
    // "src/middleware/auth.ts", "Token validation on all protected endpoints": there is no optional authentication.
    let nobody = etl.server.fetch(by_id(&id)).await.unwrap_err();
    assert_eq!(refusal(&nobody), "Unauthenticated TENANT_MISSING");
    // "Clerk JWT verification (RS256)"
    let good = etl.claims("user_1", "acme");
    let (mut expired, mut of_another_app) = (good.clone(), good.clone());
    expired["exp"] = json!(good["iat"].as_i64().unwrap() - 60);
    of_another_app["azp"] = json!("https://elsewhere.test");
    let mut tampered = etl.clerk.token(&good);
    tampered.truncate(tampered.len() - 2);
    for (what, token) in [
        ("expired", etl.clerk.token(&expired)),
        ("of another app", etl.clerk.token(&of_another_app)),
        ("unsigned", TokenIssuer::unsigned(&good)),
        ("HS256 with the public key", etl.clerk.confused(&good)),
        ("another key of the same id", TokenIssuer::new(Algorithm::Es256, "ins_1").token(&good)),
        ("tampered", tampered),
    ] {
        let refused = etl.server.bearing(&token).fetch(by_id(&id)).await.unwrap_err();
        assert_eq!(refusal(&refused), "Unauthenticated TOKEN_INVALID", "{what}");
        assert!(!format!("{refused:?}").contains(&token), "{what}");
    }
    // "Sync user to database", "User auto-sync to database": a user is there once it has called or owns something.
    etl.user("user_2").fetch(by_id(&id)).await.unwrap_err();
    let operator = etl.connected.vault.client("operator").await;
    let users = || async {
        let list = v1::ListUsersRequest { tenant_id: "acme".into(), ..Default::default() };
        operator.admin().list_users(list).await.unwrap().into_inner().users
    };
    eventually("both users", || async { users().await.len() == 2 }).await;
    let users: Vec<_> = users().await.into_iter().map(|user| (user.id, user.connection_count)).collect();
    assert_eq!(users, [("user_1".to_owned(), 1), ("user_2".to_owned(), 0)]);
}

async fn nobody_reaches_what_is_another_users(builder: VaultBuilder) {
    let etl = Etl::start(builder).await;
    let user = etl.user("user_1");
    let token = etl.issued("shop-1");
    let id = user.create(shop("Main", &token)).await.unwrap().id;
    // "Complete data separation": another user, and a user of the same id of another organisation.
    for stranger in [etl.user("user_2"), etl.user_of("user_1", "beta")] {
        assert!(listed(&stranger, true).await.is_empty());
        for refused in [
            get(&stranger, &id).await.unwrap_err(),
            stranger.fetch(by_id(&id)).await.unwrap_err(),
            updated(&stranger, &id, "shpat_CANARYforeign", false).await.unwrap_err(),
            verified(&stranger, &id).await.unwrap_err(),
            deleted(&stranger, &id).await.unwrap_err(),
        ] {
            assert_eq!(refusal(&refused), "NotFound CONNECTION_NOT_FOUND", "{refused:?}");
        }
        let missing = stranger.fetch(by_provider("shopify")).await.unwrap_err();
        assert_eq!(refusal(&missing), "NotFound CREDENTIAL_NOT_CONFIGURED");
    }
    assert_eq!(user.fetch(by_id(&id)).await.unwrap().fields["access_token"], token);
    the_database_keeps_them_apart(&etl);
    each_organisation_has_its_own_key(&etl).await;
    // "Performance", "Prepared statements to prevent injection": a name with SQL in it is a name.
    let odd = "'; DROP TABLE connections; --";
    user.create(shop(odd, &token)).await.unwrap();
    let names =
        |account: &str| v1::ListConnectionsRequest { account_name: account.into(), ..Default::default() };
    let found = async |client: &Client, account: &str| {
        client.connections().list_connections(names(account)).await.unwrap().into_inner().connections.len()
    };
    assert_eq!((found(&user, odd).await, found(&user, "' OR '1'='1").await), (1, 0));
}

/// "Security Checklist", "Row-Level Security enabled", "User isolation at DB level": a query that forgets its filter
/// finds nothing. SQLite has no such thing; there every query has the tenant in it.
fn the_database_keeps_them_apart(etl: &Etl) {
    let Some(database) = &etl.connected.vault.database else { return };
    for table in ["connections", "credential_versions", "service_configs", "service_mappings"] {
        let count = |tenant: &str| {
            let sql = format!(
                "BEGIN; SELECT set_config('credvault.tenant', '{tenant}', true);
                 SELECT count(*) FROM credvault.{table} WHERE tenant_id = 'acme';"
            );
            database.psql_as_service(&sql).unwrap().lines().last().unwrap().to_owned()
        };
        let unset = database.psql_as_service(&format!("SELECT count(*) FROM credvault.{table};")).unwrap();
        assert_eq!((unset.as_str(), count("beta").as_str()), ("0", "0"), "{table}");
        assert!(table.starts_with("service") || count("acme") != "0", "{table}");
    }
}

/// "User-specific encryption keys" were made of ids that anybody can know. Now they are random, and one organisation's.
async fn each_organisation_has_its_own_key(etl: &Etl) {
    let operator = etl.connected.vault.client("operator").await;
    for (tenant, sealed) in [("acme", 1), ("beta", 0)] {
        let status = v1::GetKeyStatusRequest { tenant_id: tenant.into() };
        let keys = operator.admin().get_key_status(status).await.unwrap().into_inner();
        let [key] = <[v1::TenantKeyStatus; 1]>::try_from(keys.tenant_keys).unwrap();
        assert_eq!((key.active, key.sealed_credentials), (true, sealed), "{tenant}");
        assert_eq!(keys.root_key.unwrap().id, key.root_key_id);
    }
}
