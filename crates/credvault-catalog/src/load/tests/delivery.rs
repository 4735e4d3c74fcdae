//! Credential delivery: what is sent, what is read, and what a file must say.

use super::*;

#[test]
fn a_delivery_names_the_state_and_both_ways_back_and_reads_all_fields_or_none() {
    let catalog = catalog();
    let woo = mode(&catalog, "woocommerce", "key_pair");
    let settings = config(json!({"store_url": "https://shop.example/blog/"}));
    let none = SecretFields::default();
    let flow = Flow::default()
        .with("state", "s1")
        .with("scope", "read")
        .with("host", "vault.example")
        .with("redirect_uri", "https://vault.example/back")
        .with("delivery_uri", "https://vault.example/keys");
    let given = Given { config: &settings, secrets: &none, app: None, flow: &flow };
    let url = woo.consent_url(woo.consent_page().expect("a consent"), given).expect("complete");
    assert_eq!(
        url,
        "https://shop.example/blog/wc-auth/v1/authorize?app_name=vault.example\
         &callback_url=https%3A%2F%2Fvault.example%2Fkeys&return_url=https%3A%2F%2Fvault.example%2Fback\
         &scope=read&user_id=s1"
    );
    assert_eq!(
        woo.exchange_url(&settings, None).as_deref(),
        Some("https://shop.example/blog/wc-auth/v1/authorize")
    );

    let delivery = woo.delivery().expect("a delivery");
    let posted = json!({"key_id": 7, "user_id": "s1", "consumer_key": "ck_1", "consumer_secret": "cs_1"});
    assert_eq!(delivery.state(&posted).as_deref(), Some("s1"));
    let fields = delivery.fields(&posted).expect("both");
    assert_eq!(fields.get("consumer_key").expect("there").expose_secret(), "ck_1");
    for wrong in [json!({"consumer_key": "ck_1"}), json!({"consumer_key": "ck_1", "consumer_secret": ""})] {
        assert!(delivery.fields(&wrong).is_none(), "{wrong}");
    }
    let callback = |success: &str| {
        delivery.succeeded(&[("success".to_owned(), success.to_owned())].into_iter().collect())
    };
    assert!(callback("1") && !callback("0") && !callback("") && !delivery.succeeded(&Default::default()));
}

#[test]
fn what_a_file_says_of_a_delivery_is_checked() {
    let file = |query: &str, fields: &str, callback: &str| {
        broken(&format!(
            "{SOUND}[modes.key.secret.key]\ntitle = \"K\"\nrequired = true\n[modes.key.delivery]\n\
             url = \"https://a.example\"\nstate = \"id\"\nfields = {{ {fields} }}\ncallback = {{ {callback} }}\n\
             query = {{ a = \"{{flow.state}}\", b = \"{{flow.redirect_uri}}\", {query} }}\n"
        ))
    };
    let (query, callback) = ("c = '{flow.delivery_uri}'", "state_parameter = 's', success = { ok = '1' }");
    for (message, expected) in [
        (file("c = ''", "key = 'k'", callback), "delivery.query must send {flow.delivery_uri}"),
        (file(query, "other = 'k'", callback), "delivery.fields.other is no secret field of this mode"),
        (file(query, "", callback), "delivery.fields must have key, which the mode requires"),
        (
            file(query, "key = 'k'", "state_parameter = 's', success = {}"),
            "delivery.callback.success must have",
        ),
    ] {
        assert!(message.contains(expected), "expected {expected:?} in {message:?}");
    }
}
