//! What the pages of the port for browsers look like: the operator's brand, the visitor's language, the files that they
//! load, and what a person reads when something does not work.

use std::collections::BTreeMap;

use credvault_proto::v1;

use crate::browser::{CALLBACK, ORIGIN, begin, connected};
use crate::harness::VaultBuilder;
use crate::harness::browser::{Browser, Seen};
use crate::harness::provider::{connection_request, decide};

/// Headers of a request by name.
type Headers = &'static [(&'static str, &'static str)];

const LOGO: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\"><title>Shop & Co</title></svg>";

async fn get(browser: &mut Browser, path: &str, headers: &[(&str, &str)]) -> Seen {
    let request = browser.http.get(format!("{}{path}", browser.url));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    browser.send(request).await
}

/// A vault with a brand of its own, and French for one word.
fn branded() -> VaultBuilder {
    let french = "[language]\nname = \"Français\"\n[refused.not_found]\ntitle = \"Il n'y a rien ici\"\n";
    let builder = VaultBuilder::sqlite().file("logo.svg", LOGO).file("languages/fr.toml", french);
    builder.settings(|settings, folder| {
        let pages = &mut settings.pages;
        pages.name = "Shop & Co".into();
        pages.logo = Some(folder.join("logo.svg"));
        pages.accent = Some("#0b5cad".into());
        pages.support = Some("help@shop.example".into());
        pages.privacy_url = Some("https://shop.example/privacy".into());
        pages.home_url = Some("https://shop.example/accounts".into());
        pages.language_folder = Some(folder.join("languages"));
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_brand_is_on_every_page() {
    let connected = connected(branded()).await;
    let mut browser = Browser::of(&connected);
    for path in ["/", "/nothing", "/oauth/start", CALLBACK] {
        let page = browser.open(path).await;
        assert!(page.body.contains("alt=\"Shop &amp; Co\""), "{path}: {}", page.body);
        assert!(page.body.contains("href=\"mailto:help@shop.example\""), "{path}: {}", page.body);
        assert!(page.body.contains("href=\"https://shop.example/privacy\""), "{path}: {}", page.body);
        assert!(page.body.contains("href=\"https://shop.example/accounts\""), "{path}: {}", page.body);
        assert!(page.body.contains(">Back to Shop &amp; Co</a>"), "{path}: {}", page.body);
        // The policy of the pages forbids both, so they would not work.
        assert!(!page.body.contains(" style=") && !page.body.contains("<style"), "{path}: {}", page.body);
    }
    assert_eq!(browser.open("/").await.title(), "Shop &amp; Co");
    let home = browser.open("/").await;
    let logo = browser.open(&home.file("logo", "svg")).await;
    assert_eq!((logo.body.as_str(), logo.headers["content-type"].to_str().unwrap()), (LOGO, "image/svg+xml"));
    let style = browser.open(&home.file("page", "css")).await.body;
    // The dark scheme has a lighter accent, made of the one that is given.
    assert!(style.contains("--accent:#0b5cad;--on-accent:#ffffff;"), "{style:.400}");
    assert_eq!(style.matches("--accent:").count(), 2, "{style:.800}");
    assert_eq!(style.matches("--accent:#0b5cad").count(), 1, "{style:.800}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_kept_for_ever_under_the_name_of_their_contents() {
    let connected = connected(VaultBuilder::sqlite()).await;
    let mut browser = Browser::of(&connected);
    let home = browser.open("/").await;
    for (file, content_type) in [
        (home.file("page", "js"), "text/javascript; charset=utf-8"),
        (home.file("page", "css"), "text/css; charset=utf-8"),
        (home.file("icon", "svg"), "image/svg+xml"),
    ] {
        let found = browser.open(&file).await;
        assert_eq!((found.status, found.headers["content-type"].to_str().unwrap()), (200, content_type));
        assert_eq!(found.headers["cache-control"], "public, max-age=31536000, immutable", "{file}");
        // The name that another release gives: a browser gets this release's file, and does not keep it.
        let (stem, rest) = file.rsplit_once('-').unwrap();
        let other = format!("{stem}-0123456789abcdef.{}", rest.split_once('.').unwrap().1);
        let other = browser.open(&other).await;
        assert_eq!((other.status, &other.body), (200, &found.body), "{file}");
        assert_eq!(other.headers["cache-control"], "no-store", "{file}");
    }
    assert_eq!(browser.open("/favicon.ico").await.headers["cache-control"], "public, max-age=86400");
    for file in ["/assets/page.js", "/assets/logo-0123456789abcdef.svg", "/assets/", "/assets/..%2Fpage.css"]
    {
        let missing = browser.open(file).await;
        assert_eq!((missing.status, missing.title().as_str()), (404, "There is nothing here"), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_gets_the_language_that_the_browser_or_the_person_asks_for() {
    let connected = connected(branded()).await;
    let mut browser = Browser::of(&connected);
    let cases: [(&str, Headers, &str, &str); 7] = [
        ("/nothing", &[], "en", "There is nothing here"),
        ("/nothing", &[("accept-language", "de-AT, en;q=0.5")], "de", "Hier ist nichts"),
        ("/nothing?lang=de", &[], "de", "Hier ist nichts"),
        ("/nothing?lang=fr", &[("accept-language", "de")], "fr", "Il n'y a rien ici"),
        ("/nothing?lang=xx", &[("accept-language", "de")], "de", "Hier ist nichts"),
        ("/nothing", &[("cookie", "credvault-language=de; other=x")], "de", "Hier ist nichts"),
        ("/nothing", &[("cookie", "credvault-language=<script>")], "en", "There is nothing here"),
    ];
    for (path, headers, language, title) in cases {
        browser.cookie = None;
        let page = get(&mut browser, path, headers).await;
        assert!(
            page.body.contains(&format!("<html lang=\"{language}\" dir=\"ltr\">")),
            "{path}: {}",
            page.body
        );
        assert_eq!(page.title(), title, "{path}");
        let remembered = page.headers.get("set-cookie").map(|value| value.to_str().unwrap().to_owned());
        let chosen = path.ends_with("=de") || path.ends_with("=fr");
        let expected = format!("credvault-language={language}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
        assert_eq!(remembered, chosen.then_some(expected), "{path}");
    }
    // What the operator's file lacks is in English, and each language is one click away.
    let french = browser.open("/?lang=fr").await;
    assert!(french.body.contains("This site connects accounts"), "{}", french.body);
    for link in ["href=\"?lang=de\"", "href=\"?lang=en\"", "aria-current=\"true\" lang=\"fr\""] {
        assert!(french.body.contains(link), "{link}: {}", french.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_language_that_the_application_chooses_lasts_through_the_consent() {
    let connected = connected(VaultBuilder::sqlite()).await;
    let app = connected.vault.app("acme").await;
    let id = app.create(connection_request("main")).await.unwrap().id;
    let mut begun = begin(&app, &id, "", "").await;
    begun.authorization_url.push_str("&lang=de");
    let mut browser = Browser::of(&connected);
    let started = browser.start(&begun).await;
    let cookies: Vec<_> = started.headers.get_all("set-cookie").iter().collect();
    let cookies: Vec<_> =
        cookies.iter().map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap()).collect();
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    let cookies = cookies.join("; ");
    browser.cookie = Some(cookies.clone());
    let back = decide(started.headers["location"].to_str().unwrap(), "shop-1", "allow").await;
    let page = browser.get(CALLBACK, &back).await;
    assert_eq!(page.title(), "Dieses Konto verbinden?");
    browser.cookie = Some(cookies);
    assert_eq!(browser.confirm(&page).await.title(), "Verbunden");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_reads_names_and_the_account_at_the_provider() {
    let connected = connected(VaultBuilder::sqlite()).await;
    let operator = connected.vault.client("operator").await;
    let tenant = v1::CreateTenantRequest {
        tenant_id: "org_29w83sxmDNGwOuEthce5gg56FcC".into(),
        display_name: "Müller & Söhne".into(),
        ..Default::default()
    };
    operator.admin().create_tenant(tenant).await.unwrap();
    let app = connected.vault.client("app").await.acting_for("org_29w83sxmDNGwOuEthce5gg56FcC", None);
    let request = v1::CreateConnectionRequest { account_name: String::new(), ..connection_request("") };
    let id = app.create(request).await.unwrap().id;
    let mut browser = Browser::of(&connected);
    let back = browser.allow(&begin(&app, &id, "", "").await).await;
    let page = browser.get(CALLBACK, &back).await;
    for (name, value) in [("Provider", "Simulator"), ("For", "Müller &amp; Söhne")] {
        let fact = format!("<dt>{name}</dt><dd>{value}</dd>");
        assert!(page.body.contains(&fact), "{fact}: {}", page.body);
    }
    assert!(!page.body.contains("default") && !page.body.contains("org_29"), "{}", page.body);
    let done = browser.confirm(&page).await;
    assert!(done.body.contains("Simulator is connected for Müller &amp; Söhne."), "{}", done.body);
    assert!(done.body.contains("<dt>Account at the provider</dt><dd>shop-1</dd>"), "{}", done.body);
    // The next consent for the same account says so before the person decides.
    let back = browser.allow(&begin(&app, &id, "", "").await).await;
    let page = browser.get(CALLBACK, &back).await;
    assert!(page.body.contains("<dt>Account at the provider</dt><dd>shop-1</dd>"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_declines_reads_a_sentence_and_the_operators_find_the_record() {
    let connected = connected(branded()).await;
    let app = connected.vault.app("acme").await;
    let id = app.create(connection_request("main")).await.unwrap().id;
    let mut browser = Browser::of(&connected);
    let mut denied = browser.allow(&begin(&app, &id, ORIGIN, "").await).await;
    denied.remove("code");
    denied.insert("error".into(), "access_denied".into());
    let page = browser.get(CALLBACK, &denied).await;
    let (sentence, details) = page.body.split_once("<details>").unwrap();
    assert!(sentence.contains("You did not give access, so nothing was connected"), "{sentence}");
    assert!(!sentence.contains(">CONSENT_DENIED"), "{sentence}");
    let event = app.events().await.into_iter().find(|event| event.reason == "CONSENT_DENIED").unwrap();
    assert!(details.contains(&format!("<dd class=\"trace\">{}</dd>", event.trace_id)), "{details}");
    // The page that waits is the way back; the operator's own page is for people who come from none.
    assert!(!page.body.contains("https://shop.example/accounts"), "{}", page.body);
    // A refusal about no known consent is on no record, so it has no trace.
    let unknown = browser.get(CALLBACK, &BTreeMap::from([("state".into(), "x".into())])).await;
    assert_eq!(unknown.reason(), "STATE_INVALID");
    assert!(!unknown.body.contains("class=\"trace\""), "{}", unknown.body);
}
