//! What the parts make of text, and how they name each other for readers of screens.

use super::*;

const EVIL: &str = "\"><script>&";
const ESCAPED: &str = "&quot;&gt;&lt;script&gt;&amp;";

fn field(entry: Entry<'_>) -> String {
    let field = Field { name: "key", label: EVIL, hint: EVIL, error: EVIL, required: true, entry };
    field.markup().into_string()
}

#[test]
fn every_part_escapes_its_text() {
    let markup = |text: &str| html! { (text) };
    let row =
        Row { title: EVIL.into(), note: EVIL.into(), state: badge(Tone::Good, EVIL), actions: markup(EVIL) };
    let all = [
        notice(Tone::Bad, EVIL),
        facts(&[(EVIL, EVIL)]),
        post(EVIL, &[(EVIL, EVIL)], Weight::Primary, EVIL),
        link(EVIL, Weight::Secondary, EVIL),
        link_to_window(EVIL, Weight::Secondary, EVIL),
        actions(&[markup(EVIL)]),
        disclosure(EVIL, &markup(EVIL)),
        confirmation(EVIL, EVIL, &post(EVIL, &[], Weight::Danger, EVIL)),
        list(&[row]),
        choices(&[(EVIL, EVIL, EVIL)]),
        table(EVIL, &[EVIL], &[vec![markup(EVIL)]]),
    ];
    let all = all.into_iter().map(Markup::into_string);
    let entries = [
        Entry::Text(EVIL),
        Entry::Url(EVIL),
        Entry::Secret { show: EVIL, hide: EVIL },
        Entry::Lines,
        Entry::Choice(&[(EVIL, EVIL)], EVIL),
    ];
    for part in all.chain(entries.map(field)) {
        assert!(part.contains(ESCAPED), "{part}");
        assert!(!part.contains("<script"), "{part}");
        // The policy of the pages forbids both, so they would not work.
        assert!(!part.contains(" style=") && !part.contains(" on"), "{part}");
    }
}

#[test]
fn a_field_is_said_with_its_hint_and_its_error() {
    let field = |hint, error| {
        let entry = Entry::Secret { show: "Show", hide: "Hide" };
        Field { name: "key", label: "API key", hint, error, required: false, entry }.markup().into_string()
    };
    let plain = field("", "");
    assert!(plain.contains("<label for=\"key\">API key</label>") && plain.contains(" id=\"key\""), "{plain}");
    assert!(!plain.contains("aria-") && !plain.contains("required") && !plain.contains("value="), "{plain}");
    let hinted = field("Settings, API keys", "");
    assert!(
        hinted.contains("aria-describedby=\"key-hint\"") && hinted.contains("id=\"key-hint\""),
        "{hinted}"
    );
    let wrong = field("Settings, API keys", "The provider refuses it.");
    assert!(
        wrong.contains("aria-describedby=\"key-hint key-error\"") && wrong.contains("aria-invalid=\"true\""),
        "{wrong}"
    );
}

#[test]
fn a_secret_never_comes_back_with_the_page() {
    for entry in [Entry::Secret { show: "Show", hide: "Hide" }, Entry::Lines] {
        let field = field(entry);
        assert!(field.contains("autocomplete=\"off\"") && !field.contains(" value="), "{field}");
    }
}

#[test]
fn the_chosen_value_and_the_facts_that_are_known_are_shown() {
    let choice = field(Entry::Choice(&[("eu", "Europe"), ("us", "America")], "us"));
    assert!(choice.contains("<option value=\"us\" selected>America"), "{choice}");
    assert!(choice.contains("<option value=\"eu\">Europe"), "{choice}");
    let facts = facts(&[("Account", ""), ("Provider", "Shop")]).into_string();
    assert_eq!(facts, "<dl class=\"facts\"><div><dt>Provider</dt><dd>Shop</dd></div></dl>");
}
