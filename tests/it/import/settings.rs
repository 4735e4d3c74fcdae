//! Settings of rows, in the forms in which people write them.

use serde_json::json;

use super::{import, started};
use crate::harness::{Client, TestVault, VaultBuilder, by_provider};
use crate::on_both;
use credvault_proto::v1;

on_both![a_shop_moves_in_as_people_write_it];

async fn a_shop_moves_in_as_people_write_it(builder: VaultBuilder) {
    let vault = started(builder).await;
    let acme = vault.app("acme").await;
    let shops =
        [("u1", "https://My-Shop.myshopify.com/admin"), ("u2", " my-shop "), ("u3", "https://shop.example")];
    let (mut rows, mut secrets) = (String::new(), serde_json::Map::new());
    for (user, shop) in shops {
        let row = json!({ "id": user, "user_id": user, "marketplace": "shopify", "secret_id": user });
        rows.push_str(&format!("{row}\n"));
        secrets.insert(user.to_owned(), json!({ "shop": shop, "accessToken": "shpat_CANARY" }));
    }
    vault.write("shops.jsonl", &rows);
    vault.write("shops.json", &serde_json::Value::Object(secrets).to_string());
    let arguments =
        ["fluxori", "--from", "shops.jsonl", "--secrets", "shops.json", "--tenant", "acme", "--update"];
    let run = import(&vault, "app", &arguments).await;
    assert_eq!(run.outcome(), (7, [2, 0, 1]), "{}", run.shown);
    let expected = "config.shop must be a permanent shop domain such as my-store.myshopify.com";
    assert!(
        run.shown.contains("fluxori/u3: FIELDS_INVALID") && run.shown.contains(expected),
        "{}",
        run.shown
    );
    for user in ["u1", "u2"] {
        let of_user = v1::FetchCredentialRequest { user_id: user.to_owned(), ..by_provider("shopify") };
        let fetched = acme.fetch(of_user).await.unwrap();
        assert_eq!(fetched.request_auth.unwrap().base_url, "https://my-shop.myshopify.com/admin/api/2026-10");
    }
    a_shop_that_moved_takes_its_settings_along(&vault, &acme).await;
}

/// A row has its settings and its keys together, so both are replaced together. The address of an API is that of its shop.
async fn a_shop_that_moved_takes_its_settings_along(vault: &TestVault, acme: &Client) {
    for (host, key, outcome) in [("old", 1, "created"), ("new", 2, "replaced")] {
        let api = format!("https://{host}.example.com/wp-json/wc/v3");
        let credentials = json!({
            "apiUrl": api,
            "consumerKey": format!("ck_{key:040x}"),
            "consumerSecret": format!("cs_{key:040x}"),
        });
        let row =
            json!({ "id": 1, "userId": 9, "integrationType": "woocommerce", "credentials": credentials });
        vault.write("moved.jsonl", &row.to_string());
        let arguments = ["pixelpim", "--from", "moved.jsonl", "--tenant", "acme", "--update"];
        let run = import(vault, "app", &arguments).await;
        assert_eq!((run.code, run.counted(outcome)), (0, 1), "{}", run.shown);
        let of_user = v1::FetchCredentialRequest { user_id: "9".to_owned(), ..by_provider("woocommerce") };
        let fetched = acme.fetch(of_user).await.unwrap();
        assert_eq!(fetched.request_auth.unwrap().base_url, api);
        assert_eq!(fetched.fields["consumer_key"], format!("ck_{key:040x}"));
    }
}
