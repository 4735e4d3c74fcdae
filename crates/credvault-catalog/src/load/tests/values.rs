//! Values that do not stand in the connection: those of the app, and those that follow from others.

use super::*;
use crate::webhook::keys::KeyPlace;

fn etsys_app() -> App {
    App { client_id: "keystring".to_owned(), client_secret: Some("shared".into()), ..app() }
}

#[test]
fn requests_can_name_the_app() {
    let catalog = catalog();
    let etsy = mode(&catalog, "etsy", "oauth2_code");
    assert!(etsy.request_names_app);
    assert!(!mode(&catalog, "shopify", "oauth2_code").request_names_app);
    let fields = secrets(&[("access_token", "1.t")]);
    let auth = etsy.request_auth(&Config::default(), &fields, Some(&etsys_app()));
    let header = auth.headers.iter().find(|(name, _)| name == "x-api-key").expect("a header");
    assert_eq!(header.1.expose_secret(), "keystring:shared");
    let ads = mode(&catalog, "amazon_ads", "oauth2_code");
    let ads = ads.request_auth(
        &config(json!({"region": "eu"})),
        &secrets(&[("access_token", "Atza|a")]),
        Some(&etsys_app()),
    );
    let header =
        ads.headers.iter().find(|(name, _)| name == "Amazon-Advertising-API-ClientId").expect("a header");
    assert_eq!(header.1.expose_secret(), "keystring");
    let auth = etsy.request_auth(&Config::default(), &fields, None);
    assert!(!auth.headers.iter().any(|(name, _)| name == "x-api-key"), "half of it is nothing");
}

/// Decided from the files and not from values: a secret that stands in a header in another form is one all the same.
#[test]
fn requests_that_carry_an_apps_secret_are_known_and_kept_secrets_stay_out_of_requests() {
    let catalog = catalog();
    let carrying: Vec<_> = catalog
        .iter()
        .flat_map(|provider| provider.modes().map(move |(_, mode)| (provider.id.as_str(), mode)))
        .filter(|(_, mode)| !mode.request_app_secrets.is_empty())
        .map(|(id, mode)| (id, mode.request_app_secrets.clone()))
        .collect();
    let of_all = [
        ("etsy", "app.client_secret"),
        ("google_ads", "app.developer_token"),
        ("microsoft_ads", "app.developer_token"),
    ];
    let of_all: Vec<_> = of_all.into_iter().map(|(id, secret)| (id, vec![secret.to_owned()])).collect();
    assert_eq!(carrying, of_all);

    let file = |request: &str| {
        format!(
            "{SOUND}secret.key = {{ title = \"K\" }}\nsecret.kept = {{ title = \"S\", vault_only = true }}\n\
             secret.file = {{ title = \"F\", type = \"json\", required_members = [\"id\"], vault_only = true }}\n\
             derived.claim = {{ claim = {{ token = \"{{secret.kept}}\", name = \"sub\" }} }}\n\
             derived.mac = {{ hmac = {{ key = \"{{secret.kept}}\", message = \"{{secret.key}}\" }} }}\n\
             derived.of_app = {{ claim = {{ token = \"{{app.token}}\", name = \"sub\" }} }}\n\
             [modes.key.request]\n{request}\n\
             [app.token]\ntitle = \"T\"\nsecret = true\n[app.plain]\ntitle = \"P\"\n"
        )
    };
    for request in [
        "headers = { X = \"{secret.kept}\" }",
        "headers = { X = \"{secret.kept?}\" }",
        "query = { x = \"a{secret.kept}b\" }",
        "query = { x = \"{secret.file.id}\" }",
        "basic = { user = \"a\", password = \"{secret.kept}\" }",
        "base_url = \"https://a.example/{secret.kept}\"",
        "headers = { X = \"{derived.claim}\" }",
    ] {
        let message = broken(&file(request));
        assert!(message.contains("vault_only") && message.contains("modes.key.request."), "{message}");
    }
    for (request, carried) in [
        ("headers = { X = \"{secret.key} {derived.mac}\" }", &[][..]),
        ("headers = { X = \"{app.client_id} {app.plain}\" }", &[][..]),
        ("basic = { user = \"a\", password = \"{app.client_secret}\" }", &["app.client_secret"][..]),
        (
            "query = { x = \"{app.token}\", y = \"{app.client_secret?}\" }",
            &["app.client_secret", "app.token"][..],
        ),
        ("headers = { X = \"{derived.of_app}\" }", &["app.token"][..]),
    ] {
        let provider = parse("acme.toml", &file(request)).expect(request);
        let (_, mode) = provider.modes().next().expect("one");
        assert_eq!(mode.request_app_secrets, carried, "{request}");
    }
}

#[test]
fn metas_calls_carry_the_proof_of_the_app_secret() {
    let catalog = catalog();
    // HMAC-SHA256 of RFC 4231, test case 2: the key is "Jefe".
    let message = "what do ya want for nothing?";
    let proof = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let shown = |mode: &Mode, fields: &SecretFields, app: Option<&App>| {
        let auth = mode.request_auth(&Config::default(), fields, app);
        auth.query.iter().map(|(name, value)| format!("{name}={}", value.expose_secret())).collect::<Vec<_>>()
    };
    let app = App { client_secret: Some("Jefe".into()), ..app() };
    let facebook = mode(&catalog, "meta", "oauth2_code");
    assert!(facebook.request_names_app);
    let fields = secrets(&[("access_token", message)]);
    assert_eq!(shown(facebook, &fields, Some(&app)), [format!("appsecret_proof={proof}")]);
    assert!(shown(facebook, &fields, None).is_empty());

    let system = mode(&catalog, "meta", "system_user_token");
    assert!(!system.request_names_app);
    let fields = secrets(&[("access_token", message), ("app_secret", "Jefe")]);
    assert_eq!(shown(system, &fields, None), [format!("appsecret_proof={proof}")]);
}

#[test]
fn an_apps_secrets_check_webhooks() {
    let catalog = catalog();
    for (provider, key) in [
        ("slack", "signing_secret"),
        ("xero", "webhook_key"),
        ("quickbooks", "webhook_verifier_token"),
        ("stripe", "webhook_secret"),
    ] {
        let provider = catalog.get(&ProviderId::parse(provider).expect("id")).expect("known");
        let webhook = provider.webhooks.values().next().expect("one");
        let place = KeyPlace::App(FieldName::parse(key).expect("a name"));
        assert!(webhook.keys.contains(&place), "{}", provider.id);
        assert!(provider.app[key].secret, "{}", provider.id);
    }
    for (provider, hub) in [("shopify", "events"), ("hubspot", "v3"), ("meta", "events")] {
        let provider = catalog.get(&ProviderId::parse(provider).expect("id")).expect("known");
        assert!(provider.webhooks[hub].keys.contains(&KeyPlace::AppSecret), "{}", provider.id);
    }
}

#[test]
fn what_a_file_says_of_the_app_is_checked() {
    let request = "[modes.key.request]\nbase_url = \"https://a.example/{app.tier}\"\n";
    let webhook = "[webhooks.events]\nsignature_header = \"X\"\nkeys = [\"app.hook\"]\n";
    let cases = [
        (request.to_owned(), "modes.key.request.base_url refers to app.tier"),
        (webhook.to_owned(), "webhooks.events.keys names app.hook"),
        (format!("[app.hook]\ntitle = \"H\"\n{webhook}"), "webhooks.events.keys names app.hook"),
        ("[app.client_id]\ntitle = \"I\"\n".to_owned(), "app.client_id is known"),
        ("[derived.x]\n".to_owned(), "derived.x must have one of"),
        ("[modes.key.derived.x]\n".to_owned(), "acme.toml, line 6: modes.key.derived.x must have one of"),
        (
            "[derived.x]\nhmac = { key = \"{secret.nope}\", message = \"\" }\n".to_owned(),
            "derived.x refers to secret.nope",
        ),
        (
            "[derived.x]\nhmac = { key = \"{derived.x}\", message = \"\" }\n".to_owned(),
            "derived.x must not refer to another",
        ),
    ];
    for (text, expected) in cases {
        let message = broken(&format!("{SOUND}{text}"));
        assert!(message.contains(expected), "expected {expected:?} in {message:?}");
    }
}

#[test]
fn ebays_keys_are_asked_of_the_connections_environment() {
    let catalog = catalog();
    let ebay = catalog.get(&ProviderId::parse("ebay").expect("id")).expect("known");
    let keys = ebay.webhooks["notification"].public_keys.as_ref().expect("published");
    let flow = Flow::default().with("key_id", "k-1").with("token", "t");
    let request = |settings: Value| {
        let settings = config(settings);
        let token = keys.token_request(&settings, &etsys_app(), &flow).expect("complete");
        let key = keys.key_request(&settings, &etsys_app(), &flow).expect("complete");
        (token.url, key.url, key.headers[0].1.expose_secret().to_owned())
    };
    let (token, key, bearer) = request(json!({}));
    assert_eq!(token, "https://api.ebay.com/identity/v1/oauth2/token");
    assert_eq!(key, "https://api.ebay.com/commerce/notification/v1/public_key/k-1");
    assert_eq!(bearer, "Bearer t");
    let (_, key, _) = request(json!({"environment": "sandbox"}));
    assert_eq!(key, "https://api.sandbox.ebay.com/commerce/notification/v1/public_key/k-1");

    let message = broken(&format!("{SOUND}[webhooks.events]\nscheme = \"ebay\"\n"));
    assert!(message.contains("webhooks.events.public_keys must be given"), "{message}");
}

#[test]
fn a_call_that_omits_auth_carries_what_it_names_and_nothing_else() {
    let catalog = catalog();
    let ads = mode(&catalog, "amazon_ads", "oauth2_code");
    let (settings, fields) =
        (config(json!({"region": "na", "profile_id": "7"})), secrets(&[("access_token", "Atza|a")]));
    let (app, flow) = (app(), Default::default());
    let given = Given { config: &settings, secrets: &fields, app: Some(&app), flow: &flow };
    let request = verify(ads, given).expect("there is one").expect("complete");
    let mut names: Vec<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Amazon-Advertising-API-ClientId", "Authorization"]);
    let carried = ads.request_auth(&settings, &fields, Some(&app));
    assert!(carried.headers.iter().any(|(name, _)| name == "Amazon-Advertising-API-Scope"));
}

#[test]
fn requests_carry_an_apps_secret_at_etsy_only() {
    let app = App {
        client_secret: Some("CANARY".into()),
        secrets: [("webhook_secret", "CANARY"), ("signing_secret", "CANARY"), ("webhook_key", "CANARY")]
            .map(|(name, value)| (name.to_owned(), value.into()))
            .into(),
        ..app()
    };
    let mut carriers = Vec::new();
    for provider in catalog().iter() {
        for (_, mode) in provider.modes() {
            let fields = mode.secrets.keys().map(|name| (name.as_str().to_owned(), SecretString::from("a")));
            let fields = SecretFields::parse("fields", fields).expect("within limits");
            let auth = mode.request_auth(&Config::default(), &fields, Some(&app));
            let mut carried = auth.headers.iter().chain(&auth.query);
            if carried.any(|(_, value)| value.expose_secret().contains("CANARY")) {
                carriers.push(provider.id.as_str().to_owned());
            }
        }
    }
    assert_eq!(carriers, ["etsy"]);
}
