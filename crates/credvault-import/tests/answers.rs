//! Whole answers of a token endpoint, stored as a credential: what is needed is found in them, also within objects.

use credvault_import::{Converted, Converter, Record, System};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

/// Slack's answer to `oauth.v2.access`, as its documentation has it, with these members more.
fn slack(more: Value) -> Value {
    let mut answer = json!({
        "ok": true,
        "access_token": "xoxb-1-CANARY",
        "token_type": "bot",
        "scope": "commands,incoming-webhook",
        "bot_user_id": "U0KRQLJ9H",
        "app_id": "A0KRD7HC3",
        "team": { "name": "Slack Pickleball Team", "id": "T9TK3CUKW" },
        "enterprise": { "name": "slack-pickleball", "id": "E12345678" },
        "is_enterprise_install": false,
        "authed_user": { "id": "U1234", "scope": "chat:write" },
    });
    if let (Some(answer), Value::Object(more)) = (answer.as_object_mut(), more) {
        answer.extend(more);
    }
    answer
}

fn converted(credentials: Value) -> Converted {
    let system = System::Integrations;
    let mut converter = Converter::new(system, system.map().expect("a map"));
    let row =
        json!({ "id": 1, "organization_id": "acme", "service_name": "slack", "credentials": credentials });
    let Value::Object(row) = row else { panic!("an object") };
    converter.convert(1, &Record::new(row)).remove(0)
}

/// Auth mode, account, settings, and each secret with its value.
fn line(credentials: Value) -> String {
    match converted(credentials) {
        Converted::Entry(entry) => {
            let secrets = entry.secrets.iter();
            let secrets: Vec<_> =
                secrets.map(|(name, value)| format!("{name}={}", value.expose_secret())).collect();
            let account = entry.external_account_id.as_deref().unwrap_or("-");
            format!("{} {account} {} {}", entry.auth_mode, Value::Object(entry.config), secrets.join(" "))
        }
        other @ (Converted::App(_) | Converted::Refused(_) | Converted::LeftOut(_)) => panic!("{other:?}"),
    }
}

#[test]
fn slacks_whole_answer_is_its_bot_token_its_workspace_and_what_else_it_grants() {
    let team = r#"T9TK3CUKW {"team_id":"T9TK3CUKW"}"#;
    assert_eq!(line(slack(json!({}))), format!("bot_token {team} access_token=xoxb-1-CANARY"));
    let hook = json!({ "incoming_webhook": {
        "channel": "#a", "channel_id": "C05", "configuration_url": "https://teampickleball.slack.com/services/B05",
        "url": "https://hooks.slack.com/services/CANARY",
    } });
    assert_eq!(
        line(slack(hook)),
        format!(
            "bot_token {team} access_token=xoxb-1-CANARY \
             incoming_webhook_url=https://hooks.slack.com/services/CANARY"
        )
    );
    let rotated = json!({ "access_token": "xoxe.xoxb-1-CANARY", "refresh_token": "xoxe-1-CANARY", "expires_in": 43200 });
    assert_eq!(
        line(slack(rotated)),
        format!("oauth2_code {team} access_token=xoxe.xoxb-1-CANARY refresh_token=xoxe-1-CANARY")
    );
    let user = json!({ "id": "U1234", "scope": "chat:write", "access_token": "xoxp-1-CANARY", "token_type": "user" });
    assert_eq!(
        line(slack(json!({ "authed_user": user }))),
        format!("oauth2_code {team} access_token=xoxb-1-CANARY user_access_token=xoxp-1-CANARY")
    );
    let alone = json!({ "access_token": null, "bot_user_id": null, "authed_user": user });
    assert_eq!(
        line(slack(alone)),
        r#"oauth2_code_user U1234 {"team_id":"T9TK3CUKW"} access_token=xoxp-1-CANARY"#
    );
}

/// What the map does not know within an object is named, and not lost unseen.
#[test]
fn an_unknown_member_within_an_object_is_refused_by_its_path() {
    for (more, named) in [
        (json!({ "authed_user": { "id": "U1234", "legacy_token": "CANARY" } }), "authed_user.legacy_token"),
        (json!({ "team": { "id": "T9TK3CUKW", "CANARY-1": "x" } }), "team.(not shown)"),
        (json!({ "bot": { "bot_access_token": "CANARY" } }), "bot"),
    ] {
        match converted(slack(more)) {
            Converted::Refused(refused) => {
                let expected = format!("its credential has the member {named}, which the map does not know");
                assert!(refused.problem.starts_with(&expected), "{refused:?}");
                assert!(!refused.problem.contains("CANARY"), "{refused:?}");
            }
            other @ (Converted::Entry(_) | Converted::App(_) | Converted::LeftOut(_)) => panic!("{other:?}"),
        }
    }
    let two = slack(json!({ "team_id": "T0CANARY" }));
    match converted(two) {
        Converted::Refused(refused) => {
            assert!(refused.problem.starts_with("the row has team.id and team_id with different values"));
        }
        other @ (Converted::Entry(_) | Converted::App(_) | Converted::LeftOut(_)) => panic!("{other:?}"),
    }
}
