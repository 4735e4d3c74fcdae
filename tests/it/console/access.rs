//! Who is let in, and what other pages and other programs of the machine cannot do.

use reqwest::Method;
use reqwest::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, ORIGIN, SET_COOKIE};

use super::{Console, form, overseen, seen};
use crate::harness::{Process, VaultBuilder};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_browser_that_opened_the_address_is_let_in() {
    let vault = overseen(VaultBuilder::sqlite()).await;
    let mut console = Console::start(&vault, "operator");
    for path in ["/", "/connections", "/end", "/nothing"] {
        let outside = console.get(path).await;
        assert!(outside.status == 401 && outside.body.contains("was not let in"), "{path}: {}", outside.body);
        assert!(!outside.body.contains("https://localhost") && !outside.body.contains("staging"), "{path}");
    }
    let wrong = console.get("/begin?ticket=CANARY").await;
    assert!(wrong.status == 403 && !wrong.body.contains("CANARY"), "{}", wrong.body);
    // Neither a look at the head nor another host uses the address up.
    let begin = format!("/begin?ticket={}", console.ticket);
    assert_eq!(seen(console.request(Method::HEAD, &begin)).await.status, 405);
    assert_eq!(seen(console.request(Method::GET, &begin).header(HOST, "evil.example")).await.status, 421);

    let entered = console.enter().await;
    assert_eq!(entered.status, 200);
    let cookie = entered.headers[SET_COOKIE].to_str().unwrap();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(&console.ticket));
    assert_eq!(console.get("/").await.status, 200);

    let refused = seen(console.http.get(format!("http://{}{begin}", console.authority))).await;
    assert!(refused.status == 403 && refused.headers.get(SET_COOKIE).is_none(), "{}", refused.body);
    assert!(refused.body.contains("opens it once"), "{}", refused.body);
    let (name, _) = console.cookie.as_ref().unwrap().split_once('=').unwrap();
    let guessed = console.http.get(format!("http://{}/", console.authority));
    assert_eq!(seen(guessed.header(COOKIE, format!("{name}=CANARY"))).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_host_is_refused_and_pages_run_no_code_of_others() {
    let vault = overseen(VaultBuilder::sqlite()).await;
    let console = Console::open(&vault, "operator").await;
    let port = console.authority.rsplit(':').next().unwrap();
    let (theirs, local) = (format!("evil.example:{port}"), format!("localhost:{port}"));
    for host in ["evil.example", "localhost", "127.0.0.1", theirs.as_str(), local.as_str()] {
        let rebound = seen(console.request(Method::GET, "/").header(HOST, host)).await;
        assert!(
            rebound.status == 421 && rebound.body.contains("not the console"),
            "{host}: {}",
            rebound.body
        );
    }
    let page = console.get("/").await;
    let policy = page.headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    for inline in ["<style", " style=", " onclick=", "javascript:", "<script>"] {
        assert!(!page.body.contains(inline), "{inline}");
    }
    assert_eq!(page.headers[CACHE_CONTROL], "no-store");
    for kind in ["css", "js", "svg"] {
        let path =
            page.body.split('"').find(|part| part.starts_with("/assets/") && part.ends_with(kind)).unwrap();
        let asset = console.get(path).await;
        assert_eq!(asset.status, 200);
        assert!(asset.headers[CACHE_CONTROL].to_str().unwrap().contains("immutable"), "{path}");
    }
    assert_eq!(console.get("/assets/console.css").await.status, 404);
    let nothing = console.get("/nothing").await;
    assert!(nothing.status == 404 && nothing.body.contains("There is nothing here"), "{}", nothing.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_of_other_pages_change_nothing() {
    let vault = overseen(VaultBuilder::sqlite()).await;
    vault.tenant("acme").await;
    let console = Console::open(&vault, "operator").await;
    let key = console.get("/end").await.hidden("form_key");
    let (path, origin) = ("/tenant/suspend", format!("http://{}", console.authority));
    let whole = || form(&[("form_key", key.as_str()), ("tenant", "acme")]);
    let without_key = form(&[("tenant", "acme")]);
    let wrong_key = form(&[("form_key", "CANARY"), ("tenant", "acme")]);
    let send = |body: String, origin: &str| seen(console.form(path, body).header(ORIGIN, origin));
    assert_eq!(seen(console.form(path, whole())).await.status, 403, "no origin");
    assert_eq!(send(whole(), "null").await.status, 403);
    assert_eq!(send(whole(), "https://evil.example").await.status, 403);
    assert_eq!(send(whole(), "http://localhost:1").await.status, 403);
    let crossing = console.form(path, whole()).header(ORIGIN, &origin).header("sec-fetch-site", "same-site");
    assert_eq!(seen(crossing).await.status, 403);
    assert_eq!(send(without_key, &origin).await.status, 403);
    let wrong = send(wrong_key, &origin).await;
    assert!(wrong.status == 403 && !wrong.body.contains("CANARY"), "{}", wrong.body);
    let json = console
        .request(Method::POST, path)
        .header(ORIGIN, &origin)
        .header("content-type", "text/plain")
        .body(whole());
    assert_eq!(seen(json).await.status, 400);
    let outside = console.http.post(format!("{origin}{path}")).header(ORIGIN, &origin);
    assert_eq!(
        seen(outside.header("content-type", "application/x-www-form-urlencoded").body(whole())).await.status,
        401
    );
    assert_eq!(seen(console.request(Method::PUT, path).header(ORIGIN, &origin)).await.status, 405);
    assert!(console.page("/tenant?tenant=acme").await.contains("badge good\">active"));

    let sent = send(whole(), &origin).await;
    assert_eq!(
        (sent.status, sent.headers["location"].to_str().unwrap()),
        (303, "/tenant?tenant=acme&done=suspended")
    );
    assert!(console.page("/tenant?tenant=acme&done=suspended").await.contains("badge bad\">suspended"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_ends_the_console_in_the_browser() {
    let vault = overseen(VaultBuilder::sqlite()).await;
    let mut console = Console::open(&vault, "operator").await;
    let ended = console.post("/end", &[]).await;
    assert!(ended.status == 200 && ended.body.contains("has ended"), "{}", ended.body);
    assert!(console.child.wait().unwrap().success());
}

#[test]
fn no_other_machine_is_served() {
    let folder = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7483", "CANARY"] {
        let output = Process::run(folder.path(), &["console", "--no-browser", "--listen", address]);
        let printed = String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{address}: {printed}");
        assert!(printed.contains("loopback") && !printed.contains("CANARY"), "{printed}");
    }
}
