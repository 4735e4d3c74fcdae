//! The embedded files, and what a broken file of an operator's is told.

use credvault_domain::{Config, SecretFields};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::*;

mod answers;

mod filled;

mod handoff;

mod keys;

mod values;

fn catalog() -> Catalog {
    Catalog::load(None).expect("the embedded files are sound")
}

fn mode<'c>(catalog: &'c Catalog, provider: &str, mode: &str) -> &'c Mode {
    let provider = catalog.get(&ProviderId::parse(provider).expect("id")).expect("known provider");
    provider.mode(&AuthMode::parse(mode).expect("mode")).expect("known mode")
}

fn config(value: Value) -> Config {
    let Value::Object(object) = value else { panic!("an object") };
    Config::new(object).expect("small")
}

fn secrets(pairs: &[(&str, &str)]) -> SecretFields {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), SecretString::from(*value));
    SecretFields::parse("fields", pairs.iter().map(pair)).expect("within limits")
}

#[test]
fn every_provider_of_the_five_systems_is_there() {
    let catalog = catalog();
    let ids: Vec<_> = catalog.iter().map(|provider| provider.id.as_str()).collect();
    assert_eq!(ids.len(), EMBEDDED.len());
    for id in [
        "amazon_ads",
        "amazon_sp_seller",
        "amazon_sp_vendor",
        "generic",
        "google_analytics",
        "google_sheets",
        "kustomer",
        "meta",
        "shopify",
        "slack",
        "takealot",
        "walmart_marketplace",
        "woocommerce",
        "xero",
    ] {
        assert!(ids.contains(&id), "{id}");
    }
}

#[test]
fn requests_carry_what_each_provider_wants() {
    let catalog = catalog();
    let auth = |provider, name, settings: Value, fields: &[(&str, &str)]| {
        let (mode, settings, fields) = (mode(&catalog, provider, name), config(settings), secrets(fields));
        mode.check_config("config", &settings).expect("valid config");
        mode.check_secrets("fields", &fields).expect("valid credential");
        let app = crate::App {
            client_id: "id".to_owned(),
            client_secret: None,
            settings: Default::default(),
            secrets: Default::default(),
        };
        mode.request_auth(&settings, &fields, Some(&app))
    };
    let shown = |pairs: &[(String, SecretString)]| {
        pairs.iter().map(|(name, value)| format!("{name}: {}", value.expose_secret())).collect::<Vec<_>>()
    };

    let shopify = auth(
        "shopify",
        "access_token",
        json!({"shop": "a-b.myshopify.com"}),
        &[("access_token", "shpat_CANARY")],
    );
    assert_eq!(shopify.base_url.as_deref(), Some("https://a-b.myshopify.com/admin/api/2026-10"));
    assert_eq!(shown(&shopify.headers), ["X-Shopify-Access-Token: shpat_CANARY"]);

    let key = format!("ck_{}", "a".repeat(40));
    let secret = format!("cs_{}", "b".repeat(40));
    let pair: &[(&str, &str)] = &[("consumer_key", &key), ("consumer_secret", &secret)];
    let store = json!({"store_url": "https://store.example/sub"});
    let woo = auth("woocommerce", "key_pair", store.clone(), pair);
    assert_eq!(woo.base_url.as_deref(), Some("https://store.example/sub/wp-json/wc/v3"));
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{key}:{secret}"));
    assert_eq!(shown(&woo.headers), [format!("Authorization: Basic {basic}")]);
    let query = auth("woocommerce", "key_pair_query", store, pair);
    assert_eq!(shown(&query.query), [format!("consumer_key: {key}"), format!("consumer_secret: {secret}")]);
    assert!(query.headers.is_empty());

    let fields: &[_] = &[("access_token", "Atza|CANARY"), ("refresh_token", "Atzr|CANARY")];
    let ads = auth("amazon_ads", "oauth2_code", json!({"region": "eu"}), fields);
    assert_eq!(ads.base_url.as_deref(), Some("https://advertising-api-eu.amazon.com"));
    let headers = shown(&ads.headers);
    assert!(headers.contains(&"Authorization: Bearer Atza|CANARY".to_owned()), "{headers:?}");
    assert!(!headers.iter().any(|header| header.contains("Scope")), "no profile was chosen: {headers:?}");

    let header = json!({"base_url": "https://api.example", "header_name": "X-Key"});
    let generic = auth("generic", "header", header, &[("api_key", "CANARY"), ("more", "CANARY")]);
    assert_eq!(shown(&generic.headers), ["X-Key: CANARY"]);

    let takealot = auth("takealot", "seller_api", json!({}), &[("api_key", "CANARY-0123456789")]);
    assert_eq!(shown(&takealot.headers), ["Authorization: Key CANARY-0123456789"]);
}

#[test]
fn violations_name_the_field_and_the_rule_and_never_the_value() {
    let catalog = catalog();
    let shopify = mode(&catalog, "shopify", "access_token");
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "fields must not be empty; it takes access_token, webhook_secret"),
        (&[("webhook_secret", "CANARY")], "fields[access_token] must be given: Admin API access token"),
        (
            &[("access_token", "CANARY")],
            "fields[access_token] must be an Admin API access token, which begins with",
        ),
        (&[("access_token", "shpat_CANARY\n")], "fields[access_token] must be one line"),
        (
            &[("access_token", "shpat_a"), ("canary", "CANARY")],
            "fields has an unknown field; it takes access_token",
        ),
    ];
    for (fields, expected) in cases {
        let message = shopify.check_secrets("fields", &secrets(fields)).expect_err(expected).to_string();
        assert!(message.starts_with(expected), "{message}");
        assert!(!message.to_lowercase().contains("canary"), "{message}");
    }
    let cases = [
        (json!({}), "config.shop must be given: Shop domain"),
        (json!({"shop": 5}), "config.shop must be a string"),
        (json!({"shop": "CANARY.example"}), "config.shop must be a permanent shop domain"),
        (json!({"shop": "a.myshopify.com", "access_token": "CANARY"}), "config.access_token is a secret"),
        (
            json!({"shop": "a.myshopify.com", "canary": true}),
            "config has an unknown setting; it takes api_version, shop",
        ),
    ];
    for (settings, expected) in cases {
        let message = shopify.check_config("config", &config(settings)).expect_err(expected).to_string();
        assert!(message.starts_with(expected), "{message}");
        assert!(!message.to_lowercase().contains("canary"), "{message}");
    }
}

#[test]
fn a_host_that_a_tenant_chooses_cannot_leave_its_domain() {
    let catalog = catalog();
    for shop in [
        "evil.example",
        "a.myshopify.com.evil.example",
        "a.myshopify.com/",
        "A.myshopify.com",
        "a.myshopify.com\n",
        "-a.myshopify.com",
    ] {
        let result =
            mode(&catalog, "shopify", "access_token").check_config("config", &config(json!({"shop": shop})));
        assert!(result.is_err(), "{shop:?}");
    }
    for url in [
        "http://a.example",
        "https://u:p@a.example",
        "https://a.example/?x",
        "https://a.example/#x",
        "ftp://a",
        "a.example",
        "https://",
    ] {
        let result = mode(&catalog, "woocommerce", "key_pair")
            .check_config("config", &config(json!({"store_url": url})));
        assert!(result.is_err(), "{url:?}");
    }
}

/// Each either has one spelling that every program reads alike, or is refused.
#[test]
fn a_url_that_programs_read_differently_is_refused() {
    let catalog = catalog();
    let woo = mode(&catalog, "woocommerce", "key_pair");
    let stored = |url: &str| {
        let config = woo.accepted_config("config", config(json!({ "store_url": url }))).ok()?;
        Some(config.get("store_url")?.as_str()?.to_owned())
    };
    for (url, plain) in [
        ("https://shop.example", "https://shop.example"),
        ("https://shop.example/", "https://shop.example"),
        ("HTTPS://Shop.Example:443//", "https://shop.example"),
        ("https://shop.example:8443/Sub/folder/", "https://shop.example:8443/Sub/folder"),
    ] {
        assert_eq!(stored(url).as_deref(), Some(plain), "{url}");
    }
    for url in [
        "https:shop.example",
        "https:/shop.example",
        "https:///shop.example",
        r"https:\shop.example",
        r"https://shop.example\@evil.example",
        "https://shop.example/\u{9}a",
        "https://shop.example@evil.example",
        "https://shop%2eexample",
        "https://shop.example.",
        "https://bücher.example",
        "https://shop.example/a/../b",
        "https://shop.example/a b",
        "https://0x7f.1",
        "https://2130706433",
        "https://[::ffff:127.0.0.1]",
        "https://shop.example:0443",
        "https://shop.example:",
    ] {
        assert_eq!(stored(url), None, "{url}");
    }
}

#[test]
fn a_service_account_is_its_json_and_its_hint_is_its_address() {
    let catalog = catalog();
    let sheets = mode(&catalog, "google_sheets", "service_account");
    let account = json!({
        "type": "service_account", "project_id": "p", "private_key_id": "k", "private_key": keys::PKCS8,
        "client_email": "sync@p.iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token",
    });
    let with = |key: &str, value: Value| {
        let mut account = account.clone();
        account[key] = value;
        secrets(&[("service_account", &account.to_string())])
    };
    let sound = secrets(&[("service_account", &account.to_string())]);
    sheets.check_secrets("fields", &sound).expect("valid");
    assert_eq!(sheets.hints(&sound)["service_account"], "sync@p.iam.gserviceaccount.com");
    // Older files, and those that another tool has made.
    let old = json!("https://accounts.google.com/o/oauth2/token");
    let sparse =
        json!({ "type": "service_account", "client_email": "a@b.example", "private_key": keys::PKCS1 });
    for taken in [
        with("token_uri", old),
        with("token_uri", Value::Null),
        secrets(&[("service_account", &sparse.to_string())]),
    ] {
        sheets.check_secrets("fields", &taken).expect("valid");
    }
    for wrong in [
        with("token_uri", json!("https://evil.example/token")),
        with("type", json!("authorized_user")),
        with("private_key", json!("")),
        with("client_email", json!(5)),
        secrets(&[("service_account", "CANARY, not JSON")]),
        secrets(&[("service_account", "[]")]),
    ] {
        let message = sheets.check_secrets("fields", &wrong).expect_err("wrong").to_string();
        assert!(!message.contains("CANARY"), "{message}");
    }
}

#[test]
fn refresh_tokens_and_app_secrets_stay_in_the_vault() {
    for provider in catalog().iter() {
        for (name, mode) in provider.modes() {
            for field in mode.secrets.keys() {
                let inside = [
                    "refresh_token",
                    "webhook",
                    "signing_secret",
                    "client_secret",
                    "app_secret",
                    "private_key",
                ];
                if inside.iter().any(|word| field.as_str().contains(word))
                    && field.as_str() != "incoming_webhook_url"
                {
                    assert!(mode.is_vault_only(field), "{}.{name}.{field}", provider.id);
                }
            }
        }
    }
}

#[test]
fn schemas_mark_every_secret_as_write_only() {
    for provider in catalog().iter() {
        for (_, mode) in provider.modes() {
            let schema = mode.credential_schema();
            for (name, property) in schema["properties"].as_object().expect("properties") {
                assert_eq!(property["writeOnly"], json!(true), "{}.{name}", provider.id);
                assert!(property["title"].as_str().is_some_and(|title| !title.is_empty()));
            }
            assert!(mode.config_schema()["properties"].as_object().is_some());
        }
    }
}

fn broken(text: &str) -> String {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("acme.toml"), text).expect("file");
    Catalog::load(Some(folder.path())).expect_err("broken").to_string()
}

const SOUND: &str = "id = \"acme\"\nname = \"Acme\"\n[modes.key]\ntitle = \"Key\"\nkind = \"static\"\n";

#[test]
fn a_broken_file_is_told_its_name_line_and_key() {
    let field = |line: &str| format!("{SOUND}[modes.key.secret.token]\ntitle = \"T\"\n{line}\n");
    let cases = [
        ("id = \"acme\"\nname = ".to_owned(), "acme.toml, line 2: "),
        (
            format!("{SOUND}colour = 1\n"),
            "acme.toml, line 6: colour is wrong: unknown key colour, expected one of",
        ),
        (
            SOUND.replace("id = \"acme\"", "id = \"other\""),
            "acme.toml, line 1: id must be the name of the file: other.toml",
        ),
        (SOUND.replace("static", "magic"), "acme.toml, line 5: "),
        (field("pattern = 'x'"), "acme.toml, line 8: modes.key.secret.token.pattern must begin with ^"),
        (
            field("pattern = '^($'"),
            "acme.toml, line 8: modes.key.secret.token.pattern is not a regular expression",
        ),
        (field("type = \"integer\""), "acme.toml, line 8: modes.key.secret.token.type must be string"),
        (field("default = \"x\""), "acme.toml, line 8: modes.key.secret.token.default must not be given"),
        (
            field("[modes.key.request]\nbase_url = \"{secret.nope}\""),
            "acme.toml, line 9: modes.key.request.base_url refers to",
        ),
        (
            field("[modes.key.request]\nbase_url = \"{nope\""),
            "acme.toml, line 9: modes.key.request.base_url has a {",
        ),
        (
            format!("{SOUND}[derived.x]\nfrom = \"nope\"\nvalues = {{}}\n"),
            "acme.toml, line 6: derived.x must come from",
        ),
    ];
    for (text, expected) in cases {
        let message = broken(&text);
        assert!(message.contains(expected), "expected {expected:?} in {message:?}");
    }
}

/// An app keeps its secrets when its settings are changed: none of them may decide where the secrets go.
#[test]
fn no_setting_of_the_app_decides_a_host() {
    let sound = format!(
        "{SOUND}[modes.key.secret.token]\ntitle = \"T\"\n[app.site]\ntitle = \"S\"\n[modes.key.config.host]\ntitle = \"H\"\n\
         [modes.key.config.sub]\ntitle = \"U\"\npattern = '^[a-z]+$'\n"
    );
    let urls = [
        "https://{app.site}",
        "https://{app.site}/x",
        "https://a.example:{app.site}/x",
        "{app.site}/x",
        "https://{app.client_id}.a.example?x",
        "https://{config.sub}.{app.site}#x",
        "https://{config.host}/x",
    ];
    for url in urls {
        for (key, rest) in [
            ("modes.key.verify.call.url", format!("[modes.key.verify]\ncall = {{ url = \"{url}\" }}\n")),
            ("modes.key.request.base_url", format!("[modes.key.request]\nbase_url = \"{url}\"\n")),
        ] {
            let message = broken(&format!("{sound}{rest}"));
            assert!(message.contains(key) && message.contains("refers to"), "{url}: {message}");
        }
    }
    let folder = tempfile::tempdir().expect("folder");
    let rest = "[modes.key.verify]\ncall = { url = \"https://{config.sub}.a.example/{app.site}\" }\n\
        [modes.key.request]\nbase_url = \"https://{config.sub}.a.example/{app.site}\"\n";
    std::fs::write(folder.path().join("acme.toml"), format!("{sound}{rest}")).expect("file");
    Catalog::load(Some(folder.path())).expect("behind the host it may stand");
}

/// Whatever is broken where, by a character or a word more or less, the message does not repeat what was given.
#[test]
fn no_message_repeats_a_provider_file() {
    const TEXT: &str = r#"id = "acme"
name = "CANARY 1"
uncertain = ["CANARY 2"]
[app.token]
title = "CANARY 3"
secret = true
[config.shop]
title = "CANARY 4"
pattern = '^CANARY(5|6)$'
[config.region]
title = "R"
enum = ["CANARY 7", "b"]
default = "CANARY 7"
[derived.host]
from = "region"
values = { "CANARY 7" = "CANARY.example", b = "b.example" }
[modes.key]
title = "K"
kind = "static"
secret.key = { title = "K", min_length = 3, description = "CANARY 8" }
[modes.key.request]
base_url = "https://{derived.host}/{config.shop}"
headers = { Authorization = "Bearer {secret.key}", X-Trace = "CANARY 9" }
[modes.key.verify]
call = { url = "https://{derived.host}/CANARY" }
dead = [{ path = "a.[kind=CANARY].b", any = ["CANARY 10"] }]
account = "CANARY.id"
[webhooks.events]
signature = "X-CANARY"
signed = "{body}"
keys = ["secret.key", "app.token"]
"#;
    parse("acme.toml", TEXT).expect("it is sound before it is broken");
    let more = [
        "\"",
        "'",
        "=",
        "[",
        "{",
        "}",
        ".",
        "\n",
        "#",
        "\\",
        "CANARY ",
        "{CANARY}",
        "{flow.CANARY}",
        "{config.CANARY}",
        "\n\"CANARY\" = 1\n",
        "\nCANARY = 1\n",
        "CANARY.",
        "1",
    ];
    let mut refused = 0;
    for place in 0..TEXT.len() {
        for text in credvault_testkit::broken_at(TEXT, place, &more) {
            let Err(error) = parse("acme.toml", &text) else { continue };
            refused += 1;
            let message = format!("{error} {error:?}");
            assert!(!message.contains("CANARY"), "{text}: {message}");
        }
    }
    assert!(refused > 5_000, "{refused}");
}

#[test]
fn a_key_with_several_lines_cannot_stand_in_a_header() {
    let message = broken(&format!(
        "{SOUND}[modes.key.secret.pem]\ntitle = \"T\"\ntype = \"text\"\n[modes.key.request]\nheaders = {{ X = \"{{secret.pem}}\" }}\n"
    ));
    assert!(message.contains("modes.key.request.headers must not refer to pem"), "{message}");
}

#[test]
fn a_condition_asks_one_thing() {
    let verify = |condition: &str| {
        broken(&format!(
            "{SOUND}[modes.key.verify]\ncall = {{ url = \"https://a.example\" }}\ndead = [{condition}]\n"
        ))
    };
    let cases = [
        ("{}", "must have a status or a path"),
        ("{ any = [1] }", "must have a path"),
        ("{ path = \"a\", any = [1], except = [2] }", "must have at most one of"),
        ("{ path = \"a..b\" }", "must be a path"),
    ];
    for (condition, expected) in cases {
        let message = verify(condition);
        assert!(message.contains("modes.key.verify.dead [0]") && message.contains(expected), "{message}");
    }
}

#[test]
fn a_status_alone_ends_no_consent() {
    let renewal = |dead: &str| {
        broken(&format!(
            "{SOUND}[modes.oauth]\ntitle = \"O\"\nkind = \"oauth2_client_credentials\"\n\
             secret.access_token = {{ title = \"T\" }}\nrenew = {{ url = \"https://a.example\" }}\n\
             renewal = {{ rotates = \"no\", dead = [{{ path = \"error\" }}, {dead}] }}\n"
        ))
    };
    for dead in ["{ status = 404 }", "{ status = 401, path = \"token\", absent = true }"] {
        let message = renewal(dead);
        assert!(
            message.contains("modes.oauth.renewal.dead [1] must look for something in the body"),
            "{message}"
        );
    }
}

#[test]
fn a_country_or_marketplace_of_another_region_is_told_which_one_it_belongs_to() {
    let catalog = catalog();
    for provider in ["amazon_sp_seller", "amazon_sp_vendor"] {
        let amazon = mode(&catalog, provider, "oauth2_code");
        let check = |settings: Value| {
            amazon.check_config("config", &config(settings)).map_err(|error| error.to_string())
        };
        let (germany, america) = ("A1PA6795UKMFR9", "ATVPDKIKX0DER");
        assert_eq!(check(json!({"region": "eu", "country": "de", "marketplace_ids": germany})), Ok(()));
        assert_eq!(check(json!({"region": "eu", "marketplace_ids": "ANEWMARKETPLACE"})), Ok(()));
        let cases = [
            (
                json!({"region": "na", "country": "de"}),
                "config.country must fit the region: de belongs to eu",
            ),
            (
                json!({"region": "na", "marketplace_ids": format!("{america}, {germany}")}),
                "config.marketplace_ids must fit the region: A1PA6795UKMFR9 belongs to eu",
            ),
            (json!({"region": "eu", "country": "uk"}), "config.country must be one of us, ca"),
            (
                json!({"region": "na", "marketplace_ids": "canary"}),
                "config.marketplace_ids must be marketplace ids such as",
            ),
        ];
        for (settings, expected) in cases {
            let message = check(settings).expect_err(expected);
            assert!(message.starts_with(expected) && !message.contains("canary"), "{message}");
        }
    }
}

#[test]
fn what_a_setting_belongs_to_must_be_there() {
    let belongs = "[config.town]\ntitle = \"T\"\nbelongs = { to = \"land\", values = { a = \"x\" } }\n";
    let message = broken(&format!("{SOUND}{belongs}"));
    assert!(message.contains("config.town.belongs must name a setting with an enum"), "{message}");
}

#[test]
fn no_provider_is_asked_by_the_implicit_or_the_password_grant() {
    // RFC 9700, sections 2.1.2 and 2.4.
    for (name, text) in EMBEDDED {
        for grant in
            [r#"response_type = "token"#, r#"response_type = "id_token"#, r#"grant_type = "password"#]
        {
            assert!(!text.contains(grant), "{name}: {grant}");
        }
    }
    assert!(EMBEDDED.iter().any(|(_, text)| text.contains(r#"response_type = "code"#)));
}
