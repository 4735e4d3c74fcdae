//! How the page is shown: the session's language or the person's, in a frame, to a browser that keeps no cookies, and by the
//! script for pages of other sites.

use credvault_proto::v1;
use credvault_simulator::{Refusal, Step};

use super::window::{APP, Window, embedders};
use super::{acting, request, session, token};
use crate::browser::connected;
use crate::harness::browser::{Browser, Seen};
use crate::harness::provider::{STRICT, connection_request};
use crate::harness::{VaultBuilder, by_id, owned_by};

async fn get(browser: &mut Browser, path: &str, headers: &[(&str, &str)]) -> Seen {
    let request = browser.http.get(format!("{}{path}", browser.url));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    browser.send(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_speaks_the_language_of_its_session_unless_the_person_chooses() {
    let connected = connected(VaultBuilder::sqlite()).await;
    let german = v1::CreateConnectSessionRequest { language: "de-AT".into(), ..request() };
    let (mut window, list) = Window::opened(&connected, "u1", german).await;
    assert_eq!(list.title(), "Ihre Verbindungen");
    assert!(
        list.body.contains("<html lang=\"de\"") && list.body.contains("href=\"?lang=en\""),
        "{}",
        list.body
    );
    let form =
        window.post("/add/simulator", &[("mode", "api_key"), ("f-key", ""), ("f-shop", "NO GOOD")]).await;
    assert!(
        form.body.contains("Dies wird gebraucht.") && form.body.contains("Verlangt ist: a name."),
        "{}",
        form.body
    );
    assert!(
        form.body.contains("<span lang=\"en\">Key</span>"),
        "readers of screens say it in English: {}",
        form.body
    );
    let page = window.post("/add/simulator", &[("mode", "oauth2_code"), ("account_name", "main")]).await;
    assert!(page.body.contains("&amp;lang=de\""), "the consent is in it, too: {}", page.body);
    assert_eq!(window.look("?lang=en").await.title(), "Your connections");
    assert_eq!(window.look("/add").await.title(), "Add a connection", "the choice lasts");
    // One that the vault does not have.
    let other = v1::CreateConnectSessionRequest { language: "fr".into(), ..request() };
    assert_eq!(Window::opened(&connected, "u1", other).await.1.title(), "Your connections");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_person_cannot_mend_is_not_said_of_the_form() {
    // The app's address of return is another application's.
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let (mut window, _) = Window::opened(&connected, "u1", request()).await;
    let page = window.post("/add/simulator", &[("mode", "oauth2_code"), ("account_name", "main")]).await;
    assert_eq!((page.status, page.reason().as_str()), (400, "FIELDS_INVALID"), "{}", page.body);
    assert!(!page.body.contains("marked") && !page.body.contains("<form"), "{}", page.body);
    assert!(page.body.contains("<dd lang=\"en\">"), "the operators read why: {}", page.body);
}

/// A connection that only the platform can mend does not work, and the page does not urge its owner to connect it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_is_urged_only_where_that_helps() {
    let connected = connected(VaultBuilder::sqlite()).await;
    let app = connected.vault.app("acme").await;
    let owned = |account| owned_by("u1", connection_request(account));
    connected.provider.behave(|behaviour| behaviour.steady = Step::Refuse(Refusal::InvalidClient));
    let id = connected.granted_as(&app, owned("shop-1"), -60).await;
    app.fetch(by_id(&id)).await.unwrap_err();
    let urges = |body: &str| {
        let (before, _) = body.split_once("/reconnect\"").expect("a way to connect it again");
        before.rfind("class=\"button primary\"") > before.rfind("class=\"button\"")
    };
    let (mut window, list) = Window::opened(&connected, "u1", request()).await;
    assert!(list.body.contains("Does not work") && !urges(&list.body), "{}", list.body);
    assert!(list.body.contains("We have a problem with the connection to Simulator"), "{}", list.body);
    connected.provider.behave(|behaviour| behaviour.steady = Step::Answer);
    connected.provider.revoke_account("shop-1");
    let refresh = v1::RefreshConnectionRequest { connection_id: id };
    app.connections().refresh_connection(refresh).await.unwrap_err();
    let list = window.look("").await;
    assert!(list.body.contains("Does not work") && urges(&list.body), "{}", list.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_is_told_to_open_a_window_where_it_keeps_no_cookies() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let made = session(&acting(&connected.vault, "u1").await, request()).await;
    let path = format!("/connect/open/{}", token(&made));
    let mut frame = Browser::of(&connected);
    let framed = [("sec-fetch-dest", "iframe")];
    get(&mut frame, &path, &framed).await;
    frame.cookie = None;
    let bare = get(&mut frame, &format!("{path}?again"), &framed).await;
    assert_eq!((bare.status, bare.title().as_str()), (400, "This page needs cookies"));
    assert_eq!(embedders(&bare), (APP.to_owned(), false));
    let link = format!("href=\"{path}\" target=\"_blank\" rel=\"opener\"");
    assert!(bare.body.contains(&link), "{}", bare.body);
    // The window is a browser with cookies, and the address is still good.
    let mut window = Browser::of(&connected);
    window.open(&path).await;
    let list = window.open(&format!("{path}?again")).await.headers["location"].to_str().unwrap().to_owned();
    let seen = get(&mut window, &list, &framed).await;
    assert_eq!(seen.title(), "Your connections");
    assert!(!seen.body.contains("?lang="), "a frame does not remember the choice: {}", seen.body);
    // Who comes late reads why, also in the frame.
    let late = get(&mut Browser::of(&connected), &list, &framed).await;
    assert_eq!((late.status, embedders(&late)), (403, (APP.to_owned(), false)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_sites_load_the_script_of_the_element() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let mut browser = Browser::of(&connected);
    let script = browser.open("/connect.js").await;
    assert_eq!(script.status, 200);
    assert_eq!(script.headers["content-type"], "text/javascript; charset=utf-8");
    assert_eq!(script.headers["cross-origin-resource-policy"], "cross-origin");
    assert_eq!(script.headers["access-control-allow-origin"], "*");
    assert_eq!(script.headers["cache-control"], "public, max-age=3600");
    assert!(script.body.contains("customElements.define(\"credvault-connect\"") && script.body.len() < 4096);
    let hash: [u8; 32] = credvault_crypto::sha256(&[&script.body]);
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let kept = browser.open(&format!("/assets/connect-{hash}.js")).await;
    assert_eq!((kept.status, &kept.body), (200, &script.body));
    assert_eq!(kept.headers["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(kept.headers["cross-origin-resource-policy"], "cross-origin");
    // The pages' own scripts are no other site's.
    let home = browser.open("/").await;
    let own = browser.open(&home.file("page", "js")).await;
    assert_eq!(own.headers["cross-origin-resource-policy"], "same-origin");
    // What a page and all its files weigh.
    let (mut window, list) = Window::opened(&connected, "u1", request()).await;
    let mut bytes = list.body.len();
    for (stem, ending) in [("page", "css"), ("page", "js"), ("connect-page", "js"), ("icon", "svg")] {
        bytes += window.go(&list.file(stem, ending)).await.body.len();
    }
    assert!(bytes < 60 * 1024, "{bytes}");
}

#[test]
fn the_page_for_developers_has_the_example_for_react() {
    let page = crate::documents::page("docs/connect-accounts.md");
    let shown = page.split("```tsx\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(shown, crate::documents::page("examples/connect/Connections.tsx"));
    // The types, the element and the table name the same events.
    let (types, element) = (
        crate::documents::page("clients/connect/credvault-connect.d.ts"),
        crate::documents::page("src/pages/connect.js"),
    );
    let events = element.split("EVENTS = [").nth(1).unwrap().split(']').next().unwrap();
    for event in events.split('"').skip(1).step_by(2) {
        assert!(types.contains(&format!("  {event}: CredvaultConnectEvent;")), "{event}");
        assert!(page.contains(&format!("`{event}`")), "{event}");
    }
}
