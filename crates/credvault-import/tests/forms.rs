//! Rows of each system, sealed by Node.js as `vectors/README.md` says, become what they are of ours.

use credvault_crypto::Pbkdf2Hash;
use credvault_import::{
    Converted, Converter, Encoding, Entry, Format, Holder, KeyForm, Layout, References, Salt, Source, System,
    Unsealer,
};
use secrecy::ExposeSecret as _;
use serde_json::json;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const SECRET: &str = "salt-of-the-platform";

fn shared(layout: Layout) -> Option<Unsealer> {
    let key = Unsealer::shared(layout, &KEY.into(), KeyForm::Bytes(Encoding::Utf8));
    Some(key.expect("a key of 32 bytes"))
}

fn of_users(hash: Pbkdf2Hash) -> Option<Unsealer> {
    Some(Unsealer::of_users(Layout::default(), SECRET.into(), hash, Salt::RowOrSecret(Encoding::Hex)))
}

fn converter(system: System, unsealer: Option<Unsealer>) -> Converter {
    let mut converter = Converter::new(system, system.map().expect("a map"));
    converter.unsealer = unsealer;
    converter
}

fn converted(mut converter: Converter, rows: &'static str) -> Vec<Converted> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut source = Source::file(Box::new(rows.as_bytes()), Format::JsonLines).expect("rows");
        let mut all = Vec::new();
        while let Some(row) = source.next().await.expect("a row") {
            all.extend(converter.convert(source.number(), &row.expect("an object")));
        }
        all
    })
}

#[track_caller]
fn entry(converted: &Converted) -> &Entry {
    match converted {
        Converted::Entry(entry) => entry,
        other @ (Converted::App(_) | Converted::Refused(_) | Converted::LeftOut(_)) => panic!("{other:?}"),
    }
}

/// What an entry is, in one line.
fn line(entry: &Entry) -> String {
    let holder = match &entry.holder {
        Holder::User(user) => user.as_str(),
        Holder::Tenant => "(tenant)",
        Holder::Platform => "(platform)",
    };
    let secrets: Vec<&str> = entry.secrets.keys().map(String::as_str).collect();
    format!(
        "{} {} {holder} {}/{} {} [{}] {}",
        entry.source,
        entry.tenant.as_deref().unwrap_or("-"),
        entry.provider,
        entry.auth_mode,
        entry.account_name,
        secrets.join(" "),
        serde_json::Value::Object(entry.config.clone())
    )
}

#[test]
fn pixelpim_is_json() {
    let rows = converted(converter(System::PixelPim, None), include_str!("vectors/pixelpim.jsonl"));
    assert_eq!(
        line(entry(&rows[0])),
        "pixelpim/1 - 7 woocommerce/key_pair default [consumer_key consumer_secret webhook_secret] \
         {\"store_url\":\"https://example.com\"}"
    );
    let amazon = entry(&rows[1]);
    assert!(amazon.disabled);
    assert_eq!(amazon.config["region"], "na");
    assert_eq!(amazon.secrets["refresh_token"].expose_secret(), "Atzr|CANARY");
    assert_eq!(amazon.secrets.len(), 2, "there is no place for a webhook secret");
}

#[test]
fn fluxori_is_sealed_or_refers() {
    let mut converter = converter(System::Fluxori, shared(Layout::default()));
    let export = json!({ "xero-u2": { "accessToken": "CANARY", "refreshToken": "CANARY" } }).to_string();
    converter.references = References::parse(&export).expect("an export");
    let rows = converted(converter, include_str!("vectors/fluxori.jsonl"));
    assert_eq!(line(entry(&rows[0])), "fluxori/c1 acme u1 takealot/seller_api default [api_key] {}");
    assert_eq!(entry(&rows[0]).secrets["api_key"].expose_secret(), "CANARY takealot key");
    assert_eq!(entry(&rows[0]).labels["former_status"], "connected");
    assert_eq!(
        line(entry(&rows[1])),
        "fluxori/c2 acme u1 shopify/access_token default [access_token] {\"shop\":\"acme.myshopify.com\"}"
    );
    assert_eq!(
        line(entry(&rows[2])),
        "fluxori/c3 acme u2 xero/oauth2_code default [access_token refresh_token] {}"
    );
    let layout = "base64:iv12+ciphertext+tag".parse().expect("a layout");
    let joined = self::converter(System::Fluxori, shared(layout));
    let rows = converted(joined, include_str!("vectors/fluxori-joined.jsonl"));
    assert_eq!(entry(&rows[0]).secrets["api_key"].expose_secret(), "CANARY takealot key");
}

#[test]
fn kpi_etl_has_a_key_for_each_user() {
    let rows = converted(
        converter(System::KpiEtl, of_users(Pbkdf2Hash::Sha256)),
        include_str!("vectors/kpi-etl.jsonl"),
    );
    assert_eq!(
        line(entry(&rows[0])),
        "kpi-etl/1 - user_1 shopify/access_token Main [access_token] {\"shop\":\"acme.myshopify.com\"}"
    );
    assert_eq!(line(entry(&rows[1])), "kpi-etl/2 - user_2 meta/system_user_token default [access_token] {}");
    assert!(matches!(rows[2], Converted::LeftOut(_)), "a soft-deleted row");
    let rows = converted(
        converter(System::KpiEtl, of_users(Pbkdf2Hash::Sha512)),
        include_str!("vectors/kpi-etl-sha512.jsonl"),
    );
    assert_eq!(
        line(entry(&rows[0])),
        "kpi-etl/4 - user_1 google_analytics/oauth2_code default [refresh_token] {\"property_id\":\"123\"}"
    );
}

#[test]
fn kustomer_is_sealed_or_plain_and_has_a_current_organisation() {
    let mut converter = converter(System::Kustomer, shared(Layout::default()));
    converter.plain = true;
    let rows = converted(converter, include_str!("vectors/kustomer.jsonl"));
    let first = entry(&rows[0]);
    assert_eq!(
        line(first),
        "kustomer/k1 - u1 kustomer/oauth2_code Acme [access_token refresh_token] {\"org\":\"acme\"}"
    );
    assert_eq!(first.secrets["refresh_token"].expose_secret(), "CANARY refresh");
    assert_eq!((first.expires, first.default), (Some(1_795_716_000), false));
    let second = entry(&rows[1]);
    assert_eq!(line(second), "kustomer/k2 - u1 kustomer/api_key Beta [api_key] {\"org\":\"beta\"}");
    assert!(second.default);
}

#[test]
fn integrations_belong_to_organisations() {
    let rows = converted(converter(System::Integrations, None), include_str!("vectors/integrations.jsonl"));
    let lines: Vec<String> = rows.iter().map(|row| line(entry(row))).collect();
    assert_eq!(
        lines,
        [
            "integrations/i1 acme (tenant) amazon_ads/oauth2_code Main [access_token refresh_token] {\"region\":\"na\"}",
            "integrations/i2 acme (tenant) amazon_sp_vendor/oauth2_code Vendor [] {\"region\":\"eu\"}",
            "integrations/i3 beta (tenant) slack/bot_token default [access_token] \
         {\"default_channel\":\"#alerts\",\"team_id\":\"T012\"}",
        ]
    );
}

#[test]
fn variables_become_connections_and_apps_of_the_platform() {
    let (record, bad) = System::variables(
        "# legacy\n\nno assignment\nexport WC_API_URL=https://example.com\nWC_CONSUMER_KEY='ck_CANARY'\nWC_CONSUMER_SECRET=\"cs_CANARY\"\n\
         VITE_KUSTOMER_CLIENT_ID=id\nKUSTOMER_CLIENT_SECRET=CANARY\nAMAZON_ADS_CLIENT_ID=lonely\nPATH=/bin",
    );
    assert_eq!(bad.iter().map(|bad| bad.number).collect::<Vec<_>>(), [3]);
    let all = converter(System::Env, None).convert(1, &record);
    let shown: Vec<String> = all.iter().map(|one| format!("{one:?}")).collect();
    assert_eq!(
        shown,
        [
            "Entry(Entry { source: \"env/woocommerce\", .. })",
            "Refused(Refused { source: \"env/amazon_ads/app\", problem: \"AMAZON_ADS_CLIENT_ID and AMAZON_ADS_CLIENT_SECRET must both be set\" })",
            "App(App { source: \"env/kustomer/app\", .. })",
        ]
    );
    assert_eq!(entry(&all[0]).holder, Holder::Platform);
    // A secret without what it belongs to is not passed over, and the address of the API is that of the shop.
    let lonely = "WC_API_URL=https://example.com\nWC_CONSUMER_SECRET=cs_CANARY\nAMZ_REGION=eu";
    let lonely = converter(System::Env, None).convert(1, &System::variables(lonely).0);
    assert_eq!(
        format!("{lonely:?}"),
        "[Refused(Refused { source: \"env/woocommerce\", problem: \"WC_CONSUMER_SECRET is set, and WC_CONSUMER_KEY is not; \
         both must be\" })]"
    );
    let api = "WC_API_URL=https://example.com/shop/wp-json/wc/v3\nWC_CONSUMER_KEY=ck_CANARY";
    let api = converter(System::Env, None).convert(1, &System::variables(api).0);
    assert_eq!(entry(&api[0]).config["store_url"], "https://example.com/shop");
}

#[test]
fn refusals_say_what_to_do_and_repeat_nothing() {
    let rows = r#"
{"id":1,"userId":7,"integrationType":"woocommerce","credentials":{"apiUrl":"CANARY","other":"CANARY"}}
{"id":2,"userId":7,"integrationType":"CANARY","credentials":{"a":"CANARY"}}
{"id":3,"userId":7,"integrationType":"amazon","credentials":"CANARY"}
{"userId":7,"integrationType":"amazon","credentials":{}}
"#;
    let refused = converted(converter(System::PixelPim, None), rows);
    let expected = [
        "its credential has the member other, which the map does not know; add it to the kind's secrets, config or ignored",
        "no kind has the name CANARY; add one to the map: [[kinds]]",
        "its credential is no JSON object",
        "the row has no id; name its column in the map: columns.id",
    ];
    let sealed = include_str!("vectors/fluxori.jsonl");
    let other = Unsealer::shared(Layout::default(), &"7".repeat(32).into(), KeyForm::Bytes(Encoding::Utf8));
    let with_another_key = converted(converter(System::Fluxori, other.ok()), sealed);
    let without_key = converted(converter(System::Fluxori, None), sealed);
    let later = [
        "its credential is not opened: the value does not open: the key is another one, or the value was altered, or --layout \
         names another order of iv, tag and ciphertext",
        "its credential is in a secret store; export that, and name the file with --secrets",
        "it is sealed; give the key with --key-file, --key-env or the variable ENCRYPTION_KEY (kpi-etl: ENCRYPTION_KEY_SALT)",
    ];
    let later_rows = [&with_another_key[0], &with_another_key[2], &without_key[0]];
    for (row, expected) in refused.iter().chain(later_rows).zip(expected.into_iter().chain(later)) {
        match row {
            Converted::Refused(refused) => assert_eq!(refused.problem, expected),
            other @ (Converted::Entry(_) | Converted::App(_) | Converted::LeftOut(_)) => panic!("{other:?}"),
        }
    }
}
