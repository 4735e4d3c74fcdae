//! Settings in the forms in which people write them.

use super::*;

/// A setting as it is stored, or what is wrong with it.
fn stored(provider: &str, auth_mode: &str, settings: Value, name: &str) -> Result<String, String> {
    let catalog = catalog();
    let accepted = mode(&catalog, provider, auth_mode).accepted_config("config", config(settings));
    let config = accepted.map_err(|violations| violations.to_string())?;
    Ok(config.get(name).and_then(Value::as_str).expect("a text").to_owned())
}

fn shop(text: &str) -> Result<String, String> {
    stored("shopify", "access_token", json!({ "shop": text }), "shop")
}

#[test]
fn a_shop_is_stored_as_its_host_whatever_people_paste() {
    for text in [
        "my-shop.myshopify.com",
        "https://My-Shop.myshopify.com/admin",
        "HTTP://my-shop.myshopify.com",
        " My-Shop.myshopify.com \n",
        "my-shop",
        "MY-SHOP/",
    ] {
        assert_eq!(shop(text).as_deref(), Ok("my-shop.myshopify.com"), "{text:?}");
    }
}

/// What stands around a host leads nowhere else, and is not repeated.
#[test]
fn what_is_no_shop_stays_refused() {
    for text in [
        "",
        " ",
        "https://",
        "/my-shop.myshopify.com",
        "https://evil.example/my-shop.myshopify.com",
        "https://evil.example\\.myshopify.com",
        "https://my-shop.myshopify.com@evil.example",
        "https://user:CANARY@my-shop.myshopify.com",
        "https://my-shop.myshopify.com:8443",
        "https://my-shop.myshopify.com?token=CANARY",
        "ftp://my-shop.myshopify.com",
        "my-shop.myshopify.com.",
        "my shop",
    ] {
        let message = shop(text).expect_err(text);
        assert!(message.starts_with("config.shop must"), "{text:?}: {message}");
        assert!(!message.to_lowercase().contains("canary"), "{text:?}: {message}");
    }
}

#[test]
fn other_settings_have_one_spelling_too() {
    for provider in ["amazon_sp_seller", "amazon_sp_vendor"] {
        let seller = |text: &str| {
            let settings = json!({ "region": "eu", "selling_partner_id": text });
            stored(provider, "oauth2_code", settings, "selling_partner_id")
        };
        assert_eq!(seller(" a1b2c3d4e5 ").as_deref(), Ok("A1B2C3D4E5"));
        let message = seller("A1 B2C3D4E5").expect_err("a blank within it");
        assert!(
            message.ends_with("must be a selling partner id: 6 to 32 capital letters and digits"),
            "{message}"
        );
    }
    let org = |text: &str| stored("kustomer", "api_key", json!({ "org": text }), "org");
    for text in ["acme", "Acme.kustomerapp.com", "https://acme.kustomerapp.com/app/"] {
        assert_eq!(org(text).as_deref(), Ok("acme"), "{text}");
    }
    for text in ["acme.evil.example", "evil.example", ".kustomerapp.com", "kustomerapp.com"] {
        assert!(org(text).is_err(), "{text}");
    }
    let takealot = json!({ "seller_id": " 29844312 " });
    assert_eq!(stored("takealot", "seller_api", takealot, "seller_id").as_deref(), Ok("29844312"));
    let url = json!({ "store_url": " https://Shop.example/ " });
    assert_eq!(stored("woocommerce", "key_pair", url, "store_url").as_deref(), Ok("https://shop.example"));
}
