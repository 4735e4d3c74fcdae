//! Templates: what they refer to, how they are filled, and which texts are none.

use secrecy::ExposeSecret as _;

use super::*;

fn filled(text: &str, missing: &str) -> Result<Option<String>, Placeholder> {
    let value = |placeholder: &Placeholder| (placeholder.to_string() != missing).then_some("a".into());
    let rendered = Template::parse(text).expect(text).render(&value)?;
    Ok(rendered.map(|text| text.expose_secret().to_owned()))
}

#[test]
fn what_is_needed_must_have_a_value_and_what_is_optional_need_not() {
    let text = "https://{config.shop}/x/{secret.key?}";
    assert_eq!(Template::parse(text).expect("valid").placeholders().count(), 2);
    assert_eq!(filled(text, ""), Ok(Some("https://a/x/a".to_owned())));
    assert_eq!(filled(text, "config.shop"), Err(Placeholder::Config("shop".to_owned())));
    assert_eq!(filled(text, "secret.key"), Ok(None));
}

#[test]
fn doubled_braces_stand_for_themselves() {
    let cases = [
        ("query {{ shop {{ id }} }}", "query { shop { id } }"),
        ("{{{config.shop}}}", "{a}"),
        ("{{{config.shop?}}}", "{a}"),
        ("{{config.shop}}", "{config.shop}"),
        ("}}{{", "}{"),
    ];
    for (text, expected) in cases {
        assert_eq!(filled(text, ""), Ok(Some(expected.to_owned())));
        let shown = Template::parse(text).expect(text).to_string();
        assert_eq!(shown, text, "what is shown can be parsed again");
    }
}

#[test]
fn malformed_templates_are_refused() {
    for text in [
        "{",
        "a{b",
        "}",
        "a}b",
        "{}",
        "{?}",
        "{config}",
        "{env.HOME}",
        "{a{config.b}}",
        "{{a}",
        "{a}}",
        "{{{",
    ] {
        assert!(Template::parse(text).is_err(), "{text}");
    }
}
