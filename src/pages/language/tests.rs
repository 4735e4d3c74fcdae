//! Which language a browser gets, what a file of the operator may say, and that the program's own files are complete.

use std::collections::BTreeSet;

use super::*;

/// Every text of a table by its dotted key.
fn texts(prefix: &str, table: &Table) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        if let Some(inner) = value.as_table() {
            found.extend(texts(&format!("{key}."), inner));
        } else {
            found.insert(key, value.as_str().expect("a text").to_owned());
        }
    }
    found
}

fn with(files: &[(&str, &str)]) -> Result<Languages, LanguageError> {
    let folder = tempfile::tempdir().expect("folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("file");
    }
    Languages::load(Some(folder.path()), "en")
}

#[test]
fn every_language_has_every_text_with_the_same_places() {
    let read = |text: &str| texts("", &toml::from_str::<Table>(text).expect("TOML"));
    let english = read(EMBEDDED[0].1);
    assert!(english.len() > 60, "{}", english.len());
    for (tag, text) in EMBEDDED {
        let own = read(text);
        assert_eq!(own.keys().collect::<Vec<_>>(), english.keys().collect::<Vec<_>>(), "{tag}");
        for (key, text) in &own {
            assert_eq!(places(text), places(&english[key]), "{tag}: {key}");
            assert!(!text.trim().is_empty(), "{tag}: {key}");
        }
    }
}

#[test]
fn no_text_is_unused() {
    let mut code = String::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|ending| ending == "rs")
                && !["texts.rs", "tests.rs"].iter().any(|name| entry.ends_with(name))
            {
                code.push_str(&std::fs::read_to_string(entry).expect("file"));
            }
        }
    }
    let english = texts("", &toml::from_str::<Table>(EMBEDDED[0].1).expect("TOML"));
    // A page that says one thing is handed on as a whole.
    let fields: BTreeSet<_> =
        english.keys().map(|key| key.trim_end_matches(".title").trim_end_matches(".text")).collect();
    let unused: Vec<_> = fields
        .into_iter()
        .filter(|key| key.rsplit('.').next().is_none_or(|field| !code.contains(&format!(".{field}"))))
        .collect();
    assert_eq!(unused, [""; 0]);
}

#[test]
fn a_browser_gets_the_language_that_it_likes_best() {
    let languages = with(&[("pt-BR.toml", "[language]\nname = \"Português\"")]).expect("languages");
    for (header, tag) in [
        ("", "en"),
        ("de", "de"),
        ("DE-at", "de"),
        ("fr-CH, fr;q=0.9, de;q=0.7, en;q=0.8", "en"),
        ("fr, de;q=0.5, *;q=0.1", "de"),
        ("de;q=0, *", "en"),
        ("pt-br;q=0.2, de;q=0.1", "pt-BR"),
        ("pt", "en"),
        ("de;q=x", "en"),
        (";;,=,q=1, de ; q = 0.5", "en"),
    ] {
        assert_eq!(languages.accepted(header).tag, tag, "{header}");
    }
    let long = format!("{}de", "xx,".repeat(MAX_ACCEPTED));
    assert_eq!(languages.accepted(&long).tag, "en");
    assert!(languages.find("fr").is_none());
    assert_eq!(
        languages.all().map(|language| language.tag.as_str()).collect::<Vec<_>>(),
        ["de", "en", "pt-BR"]
    );
}

#[test]
fn a_file_of_the_operator_adds_a_language_or_replaces_single_texts() {
    let french = "[language]\nname = \"Français\"\n[consent]\ncancel = \"Annuler\"";
    let languages = with(&[("fr.toml", french), ("de.toml", "[consent]\ncancel = \"Lieber nicht\"")]);
    let languages = languages.expect("languages");
    let cancel = |tag| languages.find(tag).expect("language").texts.consent.cancel.clone();
    let connect = |tag| languages.find(tag).expect("language").texts.consent.connect.clone();
    assert_eq!((cancel("fr"), connect("fr")), ("Annuler".to_owned(), "Connect".to_owned()));
    assert_eq!((cancel("de"), connect("de")), ("Lieber nicht".to_owned(), "Verbinden".to_owned()));
}

#[test]
fn what_a_file_lacks_is_in_the_english_of_the_operator_then_in_that_of_the_program() {
    // Danish comes before English in the folder, French behind it.
    let languages = with(&[
        ("da.toml", "[language]\nname = \"Dansk\""),
        ("en.toml", "[consent]\nconnect = \"Link\"\ncancel = \"Not now\""),
        ("fr.toml", "[consent]\ncancel = \"Annuler\""),
    ]);
    let languages = languages.expect("languages");
    let shown = |tag| {
        let texts = &languages.find(tag).expect("language").texts.consent;
        [texts.connect.as_str(), texts.cancel.as_str(), texts.close.as_str()].map(str::to_owned)
    };
    assert_eq!(shown("fr"), ["Link", "Annuler", "You may close this window."]);
    assert_eq!(shown("da"), ["Link", "Not now", "You may close this window."]);
    assert_eq!(shown("de")[0], "Verbinden");
}

#[test]
fn all_that_is_wrong_with_all_files_is_said_at_once() {
    let broken = with(&[
        ("de.toml", "[consent]\ncancle = \"x\"\nconnect = \" \"\n[language]\ndirection = \"up\""),
        ("en.toml", "[consent"),
        ("french.toml", ""),
        ("sv.toml", "[consent]\ncancel = \"{one} {two}\""),
    ]);
    let broken = broken.expect_err("broken").to_string();
    for expected in [
        "de.toml: consent.cancle is no text",
        "de.toml: consent.connect must not be empty",
        "de.toml: language.direction must be ltr or rtl",
        "en.toml, line 1, is not TOML",
        "french.toml is not named by the tag",
        "sv.toml: consent.cancel has {one}",
        "sv.toml: consent.cancel has {two}",
    ] {
        assert_eq!(broken.matches(expected).count(), 1, "{expected}: {broken}");
    }
}

#[test]
fn a_broken_file_is_refused_by_its_name_and_key_without_its_value() {
    for (name, text, expected) in [
        ("fr.toml", "[consent]\ncancle = \"CANARY\"", "consent.cancle is no text of the pages"),
        ("fr.toml", "[consent]\n\"CANARY!\" = \"x\"", "a key is no text of the pages"),
        ("fr.toml", "[consent]\ncancel = \"{CANARY}\"", "consent.cancel has a place, which"),
        ("fr.toml", "[consent]\ncancel = \"CANARY {where}\"", "consent.cancel has {where}, which"),
        ("fr.toml", "[consent]\ncancel = \" \"", "consent.cancel must not be empty"),
        ("fr.toml", "[consent]\ncancel = 1", "consent.cancel must be a text"),
        ("fr.toml", "consent = \"CANARY\"", "consent must be a table of texts"),
        ("fr.toml", "[language]\ndirection = \"CANARY\"", "language.direction must be ltr or rtl"),
        ("fr.toml", "[consent]\ncancel = CANARY", "line 2, is not TOML"),
        ("french.toml", "", "is not named by the tag of a language"),
    ] {
        let error = with(&[(name, text)]).expect_err("broken").to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains("CANARY"), "{text}: {error}");
    }
    let missing = Languages::load(None, "fr").expect_err("missing").to_string();
    assert_eq!(missing, "must be the tag of one of the languages: de, en");
}

#[test]
fn tags_are_those_of_languages() {
    for tag in ["en", "pt-BR", "zh-Hant-TW", "gsw", "es-419"] {
        assert!(is_tag(tag), "{tag}");
    }
    for tag in ["", "e", "french", "en-", "-en", "en_US", "en-US-", "../en", "12", "en-x"] {
        assert!(!is_tag(tag), "{tag}");
    }
}
