//! Broken provider files, and the messages about them.

use super::*;

#[test]
fn a_broken_file_is_told_its_name_line_and_key() {
    let field = |line: &str| format!("{SOUND}[modes.key.secret.token]\ntitle = \"T\"\n{line}\n");
    let cases = [
        ("id = \"acme\"\ndisplay_name = ".to_owned(), "acme.toml, line 2: "),
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
            field("spelling = \"upper\""),
            "acme.toml, line 8: modes.key.secret.token.spelling must be given for",
        ),
        (
            format!("{SOUND}[config.shop]\ntitle = \"S\"\nspelling = {{ host = \"Acme\" }}\n"),
            "acme.toml, line 8: config.shop.spelling must have a domain in lower case",
        ),
        (
            field("[modes.key.request]\nbase_url = \"{secret.nope}\""),
            "acme.toml, line 9: modes.key.request.base_url refers to",
        ),
        (
            field("[modes.key.request]\nbase_url = \"{nope\""),
            "acme.toml, line 9: modes.key.request.base_url has a {",
        ),
        (
            format!("{SOUND}[derived.x.lookup]\nsetting = \"nope\"\nvalues = {{}}\n"),
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
            ("modes.key.test.call.url", format!("[modes.key.test]\ncall = {{ url = \"{url}\" }}\n")),
            ("modes.key.request.base_url", format!("[modes.key.request]\nbase_url = \"{url}\"\n")),
        ] {
            let message = broken(&format!("{sound}{rest}"));
            assert!(message.contains(key) && message.contains("refers to"), "{url}: {message}");
        }
    }
    let folder = tempfile::tempdir().expect("folder");
    let rest = "[modes.key.test]\ncall = { url = \"https://{config.sub}.a.example/{app.site}\" }\n\
        [modes.key.request]\nbase_url = \"https://{config.sub}.a.example/{app.site}\"\n";
    std::fs::write(folder.path().join("acme.toml"), format!("{sound}{rest}")).expect("file");
    Catalog::load(Some(folder.path())).expect("behind the host it may stand");
}

#[test]
fn a_broken_file_of_the_folder_is_told_by_its_path() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("acme.toml");
    std::fs::write(&path, format!("{SOUND}colour = 1\n")).expect("file");
    let message = Catalog::load(Some(folder.path())).expect_err("broken").to_string();
    assert!(message.starts_with(&format!("provider file {}, line 6: ", path.display())), "{message}");
}

/// A sound file with a word that no message may contain at many places.
const CANARY_FILE: &str = r#"id = "acme"
display_name = "CANARY 1"
unconfirmed = ["CANARY 2"]
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
[derived.host.lookup]
setting = "region"
values = { "CANARY 7" = "CANARY.example", b = "b.example" }
[modes.key]
display_name = "K"
kind = "static"
secret.key = { title = "K", min_length = 3, description = "CANARY 8" }
[modes.key.request]
base_url = "https://{derived.host}/{config.shop}"
headers = { Authorization = "Bearer {secret.key}", X-Trace = "CANARY 9" }
[modes.key.test]
call = { url = "https://{derived.host}/CANARY" }
rejected = [{ path = "a.[kind=CANARY].b", one_of = ["CANARY 10"] }]
account_id = "CANARY.id"
[webhooks.events]
signature_header = "X-CANARY"
signed_content = "{body}"
keys = ["secret.key", "app.token"]
"#;

/// A character or a word more or less, at every place of the file: no message repeats what the file contains.
#[test]
fn no_message_repeats_a_provider_file() {
    parse("acme.toml", CANARY_FILE).expect("it is sound before it is broken");
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
    for place in 0..CANARY_FILE.len() {
        for text in credvault_testkit::broken_at(CANARY_FILE, place, &more) {
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
            "{SOUND}[modes.key.test]\ncall = {{ url = \"https://a.example\" }}\nrejected = [{condition}]\n"
        ))
    };
    let cases = [
        ("{}", "must have a status or a path"),
        ("{ one_of = [1] }", "must have a path"),
        ("{ path = \"a\", one_of = [1], none_of = [2] }", "must have at most one of"),
        ("{ path = \"a..b\" }", "must be a path"),
    ];
    for (condition, expected) in cases {
        let message = verify(condition);
        assert!(message.contains("modes.key.test.rejected [0]") && message.contains(expected), "{message}");
    }
}

#[test]
fn a_status_alone_ends_no_consent() {
    let refused = |dead: &str| {
        broken(&format!(
            "{SOUND}[modes.oauth]\ndisplay_name = \"O\"\nkind = \"oauth2_client_credentials\"\n\
             secret.access_token = {{ title = \"T\" }}\nrefresh = {{ rotates = \"no\", call = {{ url = \"https://a.example\" }} }}\n\
             token_response = {{ invalid_grant = [{{ path = \"error\" }}, {dead}] }}\n"
        ))
    };
    for dead in ["{ status = 404 }", "{ status = 401, path = \"token\", absent = true }"] {
        let message = refused(dead);
        assert!(
            message
                .contains("modes.oauth.token_response.invalid_grant [1] must look for something in the body"),
            "{message}"
        );
    }
}

#[test]
fn a_table_that_its_mode_does_not_use_is_an_error() {
    let delivery = "secret.key = { title = \"K\" }\n[modes.key.delivery]\nurl = \"https://a.example\"\nstate = \"id\"\n\
        fields = { key = \"k\" }\ncallback = { state_parameter = \"s\", success = { ok = \"1\" } }\n\
        query = { a = \"{flow.state}\", b = \"{flow.redirect_uri}\", c = \"{flow.delivery_uri}\" }\n";
    let minting = |query: &str| {
        format!(
            "secret.access_token = {{ title = \"T\" }}\n[modes.key.refresh]\nrotates = \"no\"\n\
             call = {{ url = \"https://a.example\", query = {{ {query} }} }}\n"
        )
    };
    let (response, scopes) =
        ("token_response = { account_id = \"id\" }\n", "scopes = { default = [\"read\"] }\n");
    let unused = "modes.key.token_response must come with exchange or refresh";
    let unsent = "modes.key.scopes must be asked for: no call or page sends {flow.scope}";
    for (table, rest, expected) in [
        (response, "", unused),
        (response, delivery, unused),
        (scopes, "", unsent),
        (scopes, delivery, unsent),
        (scopes, minting("").as_str(), unsent),
    ] {
        let message = broken(&format!("{SOUND}{table}{rest}"));
        assert!(message.contains(&format!("acme.toml, line 6: {expected}")), "{message}");
    }
    let sent = minting("scope = \"{flow.scope}\"");
    parse("acme.toml", &format!("{SOUND}{response}{scopes}{sent}")).expect("both are used");
}

#[test]
fn what_a_setting_depends_on_and_its_sandboxes_must_be_there() {
    let dependent =
        "[config.town]\ntitle = \"T\"\ndepends_on = { setting = \"land\", values = { a = \"x\" } }\n";
    let message = broken(&format!("{SOUND}{dependent}"));
    assert!(message.contains("config.town.depends_on must name a setting with an enum"), "{message}");
    let trial = "[config.town]\ntitle = \"T\"\nenum = [\"live\"]\nsandboxes = [\"test\"]\n";
    let message = broken(&format!("{SOUND}{trial}"));
    assert!(message.contains("config.town.sandboxes must be values that the field accepts"), "{message}");
}
