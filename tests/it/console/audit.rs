//! How the audit log is searched on its page: by what people know, and with what is wrong said in the form. And how every refusal
//! stays where the operator was.

use reqwest::header::{ORIGIN, REFERER};

use super::pages::filled;
use super::{Console, form, overseen, seen};
use crate::harness::{VaultBuilder, generic, owned_by};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_found_by_the_names_that_people_know() {
    let vault = overseen(VaultBuilder::sqlite()).await;
    let id = filled(&vault).await;
    let console = Console::open(&vault, "operator").await;
    let search = "/audit?tenant=acme&action=FetchCredential&service=app&since=2020-01-01T00%3A00";
    for named in ["main", "generic%2Fmain", "generic+%2F+main", id.as_str()] {
        let page = console.page(&format!("{search}&connection={named}")).await;
        assert!(page.contains("1–1") && page.contains(&id), "{named}: {page}");
        assert!(page.contains("value=\"2020-01-01T00:00\"") && page.contains("value=\"app\""), "{page}");
        assert!(page.contains("<dt>Trace id</dt>"), "{page}");
    }
    let page = console.page(&format!("{search}&connection=mine")).await;
    assert!(page.contains("There is no such record"), "{page}");
    // Links to the last hour keep the rest of the search.
    let recent =
        page.split('"').find(|part| part.contains("since=") && part.contains("action=FetchCredential"));
    let recent = recent.unwrap().replace("&amp;", "&");
    assert!(recent.contains("connection=mine") && !recent.contains("since=2020"), "{recent}");
    console.page(&recent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_search_is_said_beside_its_field() {
    let vault = overseen(VaultBuilder::sqlite()).await;
    filled(&vault).await;
    let app = vault.app("acme").await;
    app.create(owned_by("u1", generic("main", "CANARY"))).await.unwrap();
    let console = Console::open(&vault, "operator").await;
    for (wrong, field, rule) in [
        ("connection=none", "connection", "must be the id or the account name"),
        ("connection=main", "connection", "is the name of several connections"),
        ("since=CANARY", "since", "must be a day or a minute"),
        ("service=a+b", "service", "must be a SPIFFE ID"),
        ("action=CANARY", "action", "must be the name of an RPC"),
    ] {
        let refused = console.get(&format!("/audit?tenant=acme&user=u1&{wrong}")).await;
        assert_eq!(refused.status, 400, "{wrong}: {}", refused.body);
        let beside = format!("id=\"wrong-{field}\">{rule}");
        for text in [beside.as_str(), "name=\"user\" value=\"u1\"", "name=\"tenant\" value=\"acme\""] {
            assert!(refused.body.contains(text), "{wrong} lacks {text}: {}", refused.body);
        }
        assert!(!refused.body.contains("CANARY"), "{wrong}: {}", refused.body);
        let of_vault = refused.body.contains("The vault does not accept this");
        assert_eq!(of_vault, ["service", "action"].contains(&field), "{wrong}: {}", refused.body);
    }
    let refused = console.get("/connections?tenant=acme&account=main&state=CANARY").await;
    assert!(refused.status == 400 && refused.body.contains("value=\"main\""), "{}", refused.body);
    assert!(refused.body.contains("id=\"wrong-state\">must be one of the list"), "{}", refused.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_keeps_the_tenant_and_leads_back() {
    let vault = overseen(VaultBuilder::sqlite()).await;
    vault.tenant("acme").await;
    let console = Console::open(&vault, "operator").await;
    let key = console.get("/end").await.hidden("form_key");
    let origin = format!("http://{}", console.authority);
    let refused = async |referer: &str| {
        let wanted = form(&[("form_key", key.as_str()), ("tenant", "acme"), ("kind", "CANARY")]);
        let request = console.form("/connections/change", wanted);
        seen(request.header(ORIGIN, &origin).header(REFERER, referer)).await
    };
    let page = refused(&format!("{origin}/connections?tenant=acme&provider=generic")).await;
    assert!(page.status == 400 && !page.body.contains("CANARY"), "{}", page.body);
    for text in [
        "<a href=\"/connections?tenant=acme&amp;provider=generic\">Back",
        "href=\"/connections?tenant=acme\" aria-current=\"page\"",
        "name=\"tenant\" value=\"acme\"",
        "The console cannot send this",
    ] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    assert!(!page.body.contains("The vault does not accept"), "{}", page.body);
    // Only its own pages are led back to, and only those that can be loaded.
    for referer in [
        "https://evil.example/connections",
        &format!("{origin}//evil.example/"),
        &format!("{origin}/connections/change"),
    ] {
        let page = refused(referer).await;
        assert!(
            !page.body.contains("Back to the page before") && !page.body.contains("evil"),
            "{}",
            page.body
        );
    }
    let missing = console.get("/connection?tenant=acme&id=0198c0de-0000-7000-8000-000000000000").await;
    assert!(missing.status == 404 && missing.body.contains("value=\"acme\""), "{}", missing.body);
    assert!(
        missing.body.contains("href=\"/connections?tenant=acme\" aria-current=\"page\""),
        "{}",
        missing.body
    );
}
