//! Hand-offs of keys: what is sent, what is read, and what a file must say.

use super::*;

#[test]
fn a_hand_off_names_the_state_and_both_ways_back_and_reads_all_fields_or_none() {
    let catalog = catalog();
    let woo = mode(&catalog, "woocommerce", "key_pair");
    let settings = config(json!({"store_url": "https://shop.example/blog/"}));
    let none = SecretFields::default();
    let flow = crate::Flow::default()
        .with("state", "s1")
        .with("scope", "read")
        .with("host", "vault.example")
        .with("redirect_uri", "https://vault.example/back")
        .with("handoff_uri", "https://vault.example/keys");
    let given = crate::Given { config: &settings, secrets: &none, app: None, flow: &flow };
    let url = woo.authorize_url(given).expect("a consent").expect("complete");
    assert_eq!(
        url,
        "https://shop.example/blog/wc-auth/v1/authorize?app_name=vault.example\
         &callback_url=https%3A%2F%2Fvault.example%2Fkeys&return_url=https%3A%2F%2Fvault.example%2Fback\
         &scope=read&user_id=s1"
    );
    assert_eq!(woo.handoff_url(&settings).as_deref(), Some("https://shop.example/blog/wc-auth/v1/authorize"));

    let handoff = woo.handoff.as_ref().expect("a hand-off");
    let posted = json!({"key_id": 7, "user_id": "s1", "consumer_key": "ck_1", "consumer_secret": "cs_1"});
    assert_eq!(handoff.state(&posted).as_deref(), Some("s1"));
    let fields = handoff.fields(&posted).expect("both");
    assert_eq!(fields.get("consumer_key").expect("there").expose_secret(), "ck_1");
    for wrong in [json!({"consumer_key": "ck_1"}), json!({"consumer_key": "ck_1", "consumer_secret": ""})] {
        assert!(handoff.fields(&wrong).is_none(), "{wrong}");
    }
    let callback = |success: &str| {
        handoff.succeeded(&[("success".to_owned(), success.to_owned())].into_iter().collect())
    };
    assert!(callback("1") && !callback("0") && !callback("") && !handoff.succeeded(&Default::default()));
}

#[test]
fn what_a_file_says_of_a_hand_off_is_checked() {
    let file = |query: &str, fields: &str, callback: &str| {
        broken(&format!(
            "{SOUND}[modes.key.secret.key]\ntitle = \"K\"\nrequired = true\n[modes.key.handoff]\n\
             url = \"https://a.example\"\nstate = \"id\"\nfields = {{ {fields} }}\ncallback = {{ {callback} }}\n\
             query = {{ a = \"{{flow.state}}\", b = \"{{flow.redirect_uri}}\", {query} }}\n"
        ))
    };
    let (query, callback) = ("c = '{flow.handoff_uri}'", "state = 's', success = { ok = '1' }");
    for (message, expected) in [
        (file("c = ''", "key = 'k'", callback), "handoff.query must send {flow.handoff_uri}"),
        (file(query, "other = 'k'", callback), "handoff.fields.other is no secret field of this mode"),
        (file(query, "", callback), "handoff.fields must have key, which the mode requires"),
        (file(query, "key = 'k'", "state = 's', success = {}"), "handoff.callback.success must have"),
    ] {
        assert!(message.contains(expected), "expected {expected:?} in {message:?}");
    }
}
