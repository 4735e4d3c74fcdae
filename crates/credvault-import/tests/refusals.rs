//! Rows that could become what they are not, or show what they hold, are refused by name.

use credvault_import::{
    Converted, Converter, Encoding, Format, Holder, KeyForm, Layout, Map, References, Source, SourceError,
    System, Unsealer,
};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn converter(system: System) -> Converter {
    Converter::new(system, system.map().expect("a map"))
}

fn kustomer(key: bool, plain: bool) -> Converter {
    let mut converter = converter(System::Kustomer);
    let unsealer = Unsealer::shared(Layout::default(), &KEY.into(), KeyForm::Bytes(Encoding::Utf8));
    converter.unsealer = unsealer.ok().filter(|_| key);
    converter.plain = plain;
    converter
}

fn source(rows: &str, format: Format) -> Result<Source, SourceError> {
    Source::file(Box::new(std::io::Cursor::new(rows.to_owned())), format)
}

/// What became of each row, in a line: what it is, whether it is disabled, or why not.
fn told(mut converter: Converter, rows: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut source = source(rows, Format::JsonLines).expect("rows");
        let mut all = Vec::new();
        while let Some(row) = source.next().await.expect("a row") {
            for converted in converter.convert(source.number(), &row.expect("an object")) {
                all.push(match converted {
                    Converted::Entry(entry) => format!("{:?} {}", entry.holder, entry.disabled),
                    Converted::App(app) => app.source,
                    Converted::Refused(row) => format!("{}: {}", row.source, row.problem),
                    Converted::LeftOut(row) => format!("left out {}", row.source),
                });
            }
        }
        all
    })
}

/// What became of the only row.
fn told_of(converter: Converter, row: &str) -> String {
    told(converter, row).remove(0)
}

/// The only row's refusal, without the row's name. It repeats no value.
#[track_caller]
fn refusal(converter: Converter, row: &str) -> String {
    let told = told(converter, row).remove(0);
    assert!(!told.contains("CANARY"), "{told}");
    told.split_once(": ").unwrap_or_else(|| panic!("{told}")).1.to_owned()
}

#[test]
fn a_row_without_a_user_does_not_become_the_tenants() {
    let rows = [
        (System::PixelPim, r#"{"id":1,"integrationType":"amazon","credentials":{"clientId":"CANARY"}}"#),
        (System::Fluxori, r#"{"id":1,"marketplace":"takealot","credentials":"CANARY"}"#),
        (System::KpiEtl, r#"{"id":1,"service":"meta","encrypted_data":"CANARY"}"#),
        (System::Kustomer, r#"{"id":1,"api_key":"CANARY"}"#),
    ];
    for (system, row) in rows {
        let refusal = refusal(converter(system), row);
        assert_eq!(
            refusal,
            "the row has no user; name its column in the map: columns.user, or give --owner tenant"
        );
    }
    let mut shared = converter(System::PixelPim);
    shared.holder = Some(Holder::Tenant);
    assert_eq!(told(shared, rows[0].1), ["Tenant false"]);
}

#[test]
fn what_may_be_sealed_or_plain_is_said_and_not_guessed() {
    let plain = r#"{"id":1,"user_id":"u1","api_key":"eyJCANARY"}"#;
    let sealed = format!(r#"{{"id":1,"user_id":"u1","api_key":"{0}:{0}"}}"#, "0123456789abcdef");
    let wrong =
        "api_key is not of the layout that --layout names; give its --layout, or --plain if it is not sealed";
    assert_eq!(refusal(kustomer(true, false), plain), wrong);
    assert_eq!(refusal(kustomer(true, false), &sealed), wrong);
    assert!(refusal(kustomer(false, false), plain).contains("--key-file"));
    for key in [false, true] {
        assert_eq!(told(kustomer(key, true), plain), ["User(\"u1\") false"]);
        assert!(refusal(kustomer(key, true), &sealed).starts_with("api_key looks sealed"));
    }
}

#[test]
fn deleted_and_inactive_rows_stay_so() {
    let row = |system: System, more: &str| {
        let row = format!(r#"{{"id":1,"user_id":"u1",{more}}}"#);
        let mut converter = converter(system);
        converter.plain = true;
        told(converter, &row).remove(0)
    };
    let amazon = r#""integrationType":"amazon","credentials":{"clientId":"x"}"#;
    let slack = r#""organization_id":"acme","service_name":"slack","credentials":{"bot_token":"x"}"#;
    for system in [System::PixelPim, System::Fluxori, System::KpiEtl, System::Kustomer, System::Integrations]
    {
        for deleted in [r#""deleted_at":"2026-01-01""#, r#""isDeleted":true"#, r#""deleted":1"#] {
            assert_eq!(row(system, deleted), format!("left out {}/1", system.name()));
        }
    }
    assert_eq!(row(System::PixelPim, &format!(r#"{amazon},"deletedAt":null"#)), "User(\"u1\") false");
    assert_eq!(row(System::Integrations, &format!(r#"{slack},"enabled":false"#)), "Tenant true");
    assert_eq!(row(System::Integrations, &format!(r#"{slack},"enabled":"Off""#)), "Tenant true");
    assert_eq!(row(System::Integrations, &format!(r#"{slack},"enabled":null"#)), "Tenant false");
    let unclear = row(System::Integrations, &format!(r#"{slack},"enabled":"CANARY""#));
    assert!(
        unclear.contains("enabled is neither true nor false") && !unclear.contains("CANARY"),
        "{unclear}"
    );
    assert_eq!(row(System::Kustomer, r#""api_key":"x","status":"Revoked""#), "User(\"u1\") true");
}

#[test]
fn ids_are_plain_and_unique_and_a_row_without_one_has_its_number() {
    let credentials = r#""userId":7,"integrationType":"amazon","credentials":{"clientId":"CANARY"}"#;
    let rows = format!(
        "{{\"id\":1,{credentials}}}\n\n{{\"id\":1,{credentials}}}\n{{{credentials}}}\n{{\"id\":\"a CANARY\",{credentials}}}\n"
    );
    let told = told(converter(System::PixelPim), &rows);
    let expected = [
        "User(\"7\") false",
        "pixelpim/1: the source has this id twice",
        "pixelpim/row 4: the row has no id; name its column in the map: columns.id",
        "pixelpim/row 5: the row's id is not 1 to 64 letters, digits and ._:@/-; give the rows such ids with --query, or name \
         another column in the map: columns.id",
    ];
    assert_eq!(told, expected);
    // As MongoDB exports an id, and as nothing does.
    for (id, expected) in
        [(r#"{"$oid":"6f"}"#, "User(\"7\") false"), (r#"{"CANARY":1}"#, "is an object or a list")]
    {
        let told = told_of(converter(System::PixelPim), &format!(r#"{{"id":{id},{credentials}}}"#));
        assert!(told.contains(expected) && !told.contains("CANARY"), "{told}");
    }
}

#[test]
fn a_member_that_is_ambiguous_or_of_another_form_is_refused_by_name() {
    let shop = |credentials: &str| {
        let row =
            format!(r#"{{"id":1,"userId":7,"integrationType":"woocommerce","credentials":{credentials}}}"#);
        refusal(converter(System::PixelPim), &row)
    };
    let twice = shop(r#"{"consumerKey":"CANARY 1","consumer_key":"CANARY 2"}"#);
    assert!(twice.contains("in two spellings, with different values"), "{twice}");
    for credentials in [r#"{"consumerKey":{"CANARY":1}}"#, r#"{"apiUrl":["CANARY"]}"#] {
        let refusal = shop(credentials);
        assert!(refusal.contains("is an object or a list"), "{refusal}");
    }
    assert!(shop(r#"{"expires_at":"soon CANARY"}"#).starts_with("expires_at is no instant"));
}

/// Neither of two secrets is taken silently. Which one counts, the operator's map says.
#[test]
fn two_members_that_fill_one_field_are_refused_by_name_unless_they_are_equal() {
    let choose = "choose with --map: a kind that has one of them in its";
    let takealot = |credential: &str, map: &str| {
        let mut converter = converter(System::Fluxori);
        let amending = Map::parse(map).expect("a map");
        converter.map = converter.map.amended(amending);
        let exported = format!(r#"{{"s":{credential}}}"#);
        converter.references = References::parse(&exported).expect("an export");
        told(
            converter,
            r#"{"id":1,"organization_id":"acme","user_id":"u1","marketplace":"takealot","secret_id":"s","key":"CANARY of a column"}"#,
        )
        .remove(0)
    };
    let two = r#"{"apiKey":"CANARY 1","key":"CANARY 2"}"#;
    let refused = takealot(two, "");
    assert!(!refused.contains("CANARY"), "{refused}");
    let named = "apiKey and key with different values, and both are api_key here";
    assert!(refused.contains(named) && refused.contains(&format!("{choose} secrets")), "{refused}");
    for equal in [r#"{"apiKey":"CANARY 1","key":"CANARY 1"}"#, r#"{"apiKey":"7","key":7}"#] {
        assert_eq!(takealot(equal, ""), "User(\"u1\") false", "{equal}");
    }
    // What stands beside the credential does not compete with it.
    assert_eq!(takealot(r#"{"apiKey":"CANARY 1"}"#, ""), "User(\"u1\") false");
    let kind = "[[kinds]]\nname = 'takealot'\nprovider = 'takealot'\nauth_mode = 'seller_api'\n\
                secrets = { apiKey = 'api_key' }\nignored = ['key']\n";
    assert_eq!(takealot(two, kind), "User(\"u1\") false");

    let slack = r#"{"id":1,"organization_id":"acme","service_name":"slack","config":{"channel":"a CANARY","default_channel":"b CANARY"},"credentials":{"bot_token":"CANARY"}}"#;
    let refused = refusal(converter(System::Integrations), slack);
    let named = "channel and default_channel with different values, and both are default_channel here";
    assert!(refused.contains(named) && refused.contains(&format!("{choose} config")), "{refused}");
}

/// Of a key that stands twice, a reader of JSON takes either value: so neither is taken.
#[test]
fn a_key_that_an_object_has_twice_is_refused_by_name() {
    let twice = r#"{"apiUrl":"https://a.example","consumerKey":"CANARY 1","consumerKey":"CANARY 2"}"#;
    let text = serde_json::Value::from(twice).to_string();
    for (credentials, subject) in [(twice, "the row"), (text.as_str(), "its credential")] {
        let row =
            format!(r#"{{"id":1,"userId":7,"integrationType":"woocommerce","credentials":{credentials}}}"#);
        assert_eq!(
            refusal(converter(System::PixelPim), &row),
            format!(
                "{subject} has the key consumerKey twice in one JSON object; remove one of the two there"
            )
        );
    }
    let settings = r#""{\"channel\":\"CANARY 1\",\"channel\":\"CANARY 2\"}""#;
    let row = format!(
        r#"{{"id":1,"organization_id":"acme","service_name":"slack","credentials":{{"bot_token":"CANARY"}},"config":{settings}}}"#
    );
    let told = refusal(converter(System::Integrations), &row);
    assert!(told.starts_with("its document of settings has the key channel twice"), "{told}");
    // Also where both values are equal: such a row is broken.
    let row = r#"{"id":1,"id":1,"userId":7,"integrationType":"amazon","credentials":{"clientId":"CANARY"}}"#;
    assert!(refusal(converter(System::PixelPim), row).starts_with("the row has the key id twice"));
    let export = r#"{"secret":{"a":1},"secret":{"a":2}}"#;
    assert!(References::parse(export).expect_err("twice").starts_with("has the key secret twice"));
    assert!(References::parse("[]").expect_err("a list").starts_with("must be a JSON object"));
}

#[test]
fn what_a_kind_requires_is_named() {
    let amazon = |credentials: &str| {
        let row = format!(r#"{{"id":1,"userId":7,"integrationType":"amazon","credentials":{credentials}}}"#);
        refusal(converter(System::PixelPim), &row)
    };
    let lacking = amazon(r#"{"sellerId":"CANARY"}"#);
    assert!(lacking.contains("requires: clientId; complete the row, or add one to the map"), "{lacking}");
    let without = amazon("{}");
    assert!(without.contains("requires clientId; connect the account anew"), "{without}");
    let nameless =
        refusal(converter(System::PixelPim), r#"{"id":1,"userId":7,"credentials":{"a":"CANARY"}}"#);
    assert_eq!(nameless, "the row has no kind; name its column in the map: columns.kind");
}

/// A row goes to the tenant that its column names, or to that of the command, and to no third one.
#[test]
fn the_column_of_the_tenant_must_have_one() {
    let row =
        r#"{"id":1,"service_name":"slack","organization_id":"acme","credentials":{"bot_token":"CANARY"}}"#;
    let with = |column: &str, only: Option<&str>| {
        let mut converter = converter(System::Integrations);
        converter.map.columns.tenant = vec![column.to_owned()];
        converter.only_tenant = only.map(str::to_owned);
        converter
    };
    assert_eq!(told(with("organization_id", None), row), ["Tenant false"]);
    assert_eq!(told(with("organization_id", Some("acme")), row), ["Tenant false"]);
    assert!(refusal(with("organization_id", Some("beta")), row).contains("another tenant than --tenant"));
    let without = "the row has no tenant in the column organisation; complete the row";
    assert!(refusal(with("organisation", None), row).starts_with(without));
    for empty in ["null", r#""""#] {
        let row = row.replace(r#""acme""#, empty);
        assert!(refusal(converter(System::Integrations), &row).starts_with("the row has no tenant"));
        assert_eq!(told(with("organization_id", Some("acme")), &row), ["Tenant false"]);
    }
}

/// A secret in a column that the map does not name would be lost, and one of two in two columns, too.
#[test]
fn a_credential_stands_in_one_known_column() {
    let of = |columns: &str| {
        let mut converter = converter(System::Fluxori);
        converter.references = References::parse(r#"{"s":{"apiKey":"CANARY"}}"#).expect("an export");
        let row = format!(
            r#"{{"id":1,"organization_id":"acme","user_id":"u1","marketplace":"takealot",{columns}}}"#
        );
        told_of(converter, &row)
    };
    let lost = of(r#""credentials_encrypted":"CANARY""#);
    let rule = "the row has no column for its credential (encrypted_credentials, credentials, secret_id";
    assert!(
        lost.contains(rule) && lost.contains("columns.credentials") && !lost.contains("CANARY"),
        "{lost}"
    );
    assert_eq!(of(r#""secret_id":null"#), "User(\"u1\") false", "it has none, and says so");
    let two = of(r#""secret_id":"s","encrypted_credentials":"CANARY""#);
    assert!(two.contains("both a credential and a reference"), "{two}");
    let absent = of(r#""secret_id":"CANARY""#);
    assert!(absent.contains("no entry for its reference") && !absent.contains("CANARY"), "{absent}");

    let both = r#"{"id":1,"user_id":"u1","api_key":"CANARY","access_token":"CANARY"}"#;
    let both = refusal(kustomer(false, true), both);
    assert!(both.starts_with("the row has access_token beside api_key"), "{both}");
}

/// Two projects may each have a secret of one name, and a secret has versions.
#[test]
fn a_reference_stands_for_the_secret_of_its_project_and_version() {
    let rows = |references: &[&str]| -> String {
        let row = |(id, reference): (usize, &&str)| {
            format!(
                r#"{{"id":{id},"organization_id":"acme","user_id":"u{id}","marketplace":"takealot","secret_id":"projects/{reference}"}}"#
            ) + "\n"
        };
        references.iter().enumerate().map(row).collect()
    };
    let told = |export: &str, references: &[&str]| -> Vec<bool> {
        let mut converter = converter(System::Fluxori);
        converter.references = References::parse(export).expect("an export");
        told(converter, &rows(references)).iter().map(|one| one.starts_with("User")).collect()
    };
    let versions = ["p/secrets/tk/versions/1", "p/secrets/tk/versions/2", "q/secrets/tk/versions/2"];
    let secret = r#"{"apiKey":"CANARY"}"#;
    let named = |name: &str| format!(r#"{{"{name}":{secret}}}"#);
    assert_eq!(told(&named("tk"), &versions), [true, true, false], "of one project");
    assert_eq!(told(&named("projects/p/secrets/tk"), &versions), [true, true, false]);
    assert_eq!(told(&named("projects/p/secrets/tk/versions/2"), &versions), [false, true, false]);
}

/// The same document is the same credential, from whatever source it comes.
#[test]
fn a_document_that_is_written_as_json_twice_is_read() {
    let shop = r#"{"apiUrl":"https://a.example","consumerKey":"CANARY"}"#;
    let once = serde_json::Value::from(shop).to_string();
    let twice = serde_json::Value::from(once.as_str()).to_string();
    for credentials in [shop, once.as_str(), twice.as_str(), "null", r#""null""#] {
        let row =
            format!(r#"{{"id":1,"userId":7,"integrationType":"woocommerce","credentials":{credentials}}}"#);
        assert_eq!(told_of(converter(System::PixelPim), &row), "User(\"7\") false", "{credentials}");
    }
}

#[test]
fn a_file_of_another_form_is_refused_as_a_whole() {
    for text in ["id;userId\n1;7\n", "id\tuserId\n1\t7\n"] {
        assert!(matches!(source(text, Format::Csv), Err(SourceError::Separator)), "{text}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut array = source("\n [{\"id\":1}]\n", Format::JsonLines).expect("a file");
    assert!(matches!(runtime.block_on(array.next()), Err(SourceError::Array)));
}

#[test]
fn a_map_that_is_wrong_is_not_repeated() {
    let error = Map::parse("key = 'CANARY").expect_err("it is no TOML");
    assert!(!error.to_string().contains("CANARY") && error.cause().span().is_some());
}
