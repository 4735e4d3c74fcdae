//! When an access token ends: instants and lifetimes in the forms in which programs store them.

use credvault_import::{Converted, Converter, Entry, Format, Map, References, Source, System};

/// What a row becomes whose credential is `credential` and that has these columns, too.
fn converted(system: System, kind: &str, credential: &str, columns: &str) -> Converted {
    let map = system.map().expect("a map");
    let mut converter =
        Converter::new(system, map.amended(Map::parse("[columns]\nreference = ['ref']").expect("a map")));
    let export = format!(r#"{{"s":{credential}}}"#);
    converter.references = References::parse(&export).expect("an export");
    let row = format!(
        r#"{{"id":1,"organization_id":"acme","user_id":"u1","service_name":"{kind}","ref":"s"{columns}}}"#
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let rows = Box::new(std::io::Cursor::new(row));
        let mut source = Source::file(rows, Format::JsonLines).expect("rows");
        let record = source.next().await.expect("rows").expect("a row").expect("an object");
        converter.convert(1, &record).remove(0)
    })
}

#[track_caller]
fn entry(converted: Converted) -> Box<Entry> {
    match converted {
        Converted::Entry(entry) => entry,
        other @ (Converted::App(_) | Converted::Refused(_) | Converted::LeftOut(_)) => panic!("{other:?}"),
    }
}

/// A token of Meta's that ends is renewed, whatever way its row says so; it must not be taken for one that never ends.
#[test]
fn metas_token_ends_at_an_instant_or_after_a_lifetime_or_never() {
    const STORED: i64 = 1_795_716_000;
    let after = Some(STORED + 5_184_000);
    let (login, system) = ("oauth2_code", "system_user_token");
    let updated = r#","updated_at":"2026-11-26T18:00:00Z""#;
    for (member, columns, mode, expires) in [
        (r#""expires_at":1795716000"#, "", login, Some(STORED)),
        (r#""expires":1795716000000"#, "", login, Some(STORED)),
        (r#""expires":"2026-11-26T18:00:00Z""#, updated, login, Some(STORED)),
        (r#""expires_in":5184000"#, updated, login, after),
        (r#""expires_in":"5184000""#, r#","updatedAt":"2026-11-26 18:00:00","created_at":1"#, login, after),
        (r#""expires":5184000"#, r#","updated_at":"?","created_at":1795716000"#, login, after),
        (r#""expires_in":5184000,"created_at":1795716000"#, r#","updated_at":1"#, login, after),
        (r#""expires_in":5184000,"expires_at":1795716000"#, updated, login, Some(STORED)),
        // Nothing says since when it lives.
        (r#""expires_in":5184000"#, "", login, None),
        (r#""expires_at":0"#, updated, system, None),
        (r#""token_type":"bearer""#, updated, system, None),
    ] {
        let credential = format!(r#"{{"access_token":"EAACANARY",{member}}}"#);
        let entry = entry(converted(System::KpiEtl, "meta", &credential, columns));
        assert_eq!((entry.auth_mode.as_str(), entry.expires), (mode, expires), "{member} {columns}");
    }
}

#[test]
fn a_lifetime_that_is_none_is_refused_by_name() {
    for wrong in [r#""soon CANARY""#, r#"{"CANARY":1}"#, "-1"] {
        let credential = format!(r#"{{"bot_token":"xoxb-CANARY","expires_in":{wrong}}}"#);
        match converted(System::Integrations, "slack", &credential, "") {
            Converted::Refused(refused) => {
                assert!(refused.problem.starts_with("expires_in is no instant and no lifetime"));
                assert!(!refused.problem.contains("CANARY"), "{refused:?}");
            }
            other @ (Converted::Entry(_) | Converted::App(_) | Converted::LeftOut(_)) => panic!("{other:?}"),
        }
    }
}
