//! Whose things commands are about, and what they ask before they destroy something.

use super::Shell;
use crate::harness::{VaultBuilder, by_id, generic, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_option_names_the_tenant_everywhere() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    // The operator may not act for a tenant, and need not: its calls name the tenant in the request.
    let status = shell.operator(0, &["keys", "status", "--tenant", "acme"]);
    assert!(status.contains("the key of the tenant acme:"), "{status}");
    assert!(shell.operator(0, &["keys", "status"]).contains("the platform's own key"));
    let unnamed = shell.operator(2, &["keys", "rotate"]);
    assert!(unnamed.contains("--tenant ID") && unnamed.contains("--platform"), "{unnamed}");
    let two = shell.operator(2, &["keys", "rotate", "acme", "--tenant", "globex"]);
    assert!(two.contains("two tenants"), "{two}");
    let rotated = shell.operator(0, &["keys", "rotate", "--tenant", "acme"]);
    assert!(rotated.contains("the key of the tenant acme: done"), "{rotated}");
    let newest = |more: &[&str]| {
        let status = shell.json("operator", &[&["keys", "status"], more].concat());
        status["tenantKeys"].as_array().unwrap().iter().map(|key| key["version"].as_i64().unwrap()).max()
    };
    assert_eq!((newest(&["acme"]), newest(&["--platform"])), (Some(2), Some(1)));
    let rotated = shell.operator(0, &["keys", "rotate", "--platform"]);
    assert!(rotated.contains("the key of the platform: done"), "{rotated}");
    assert_eq!((newest(&["acme"]), newest(&["--platform"])), (Some(2), Some(2)));
    assert!(shell.operator(2, &["secrets", "move", "--to", "database"]).contains("--platform"));

    for list in [&["events", "endpoints"][..], &["events", "deliveries"], &["apps", "list"]] {
        let own = shell.operator(0, list);
        assert!(own.contains("none on the platform; name a tenant with --tenant"), "{own}");
        let of_tenant = shell.operator(0, &[list, &["--tenant", "acme"]].concat());
        assert!(of_tenant.contains("none of the tenant acme"), "{of_tenant}");
    }
    let none = shell.operator(0, &["connections", "list"]);
    assert!(none.contains("none on the platform; name a tenant with --tenant"), "{none}");
    assert!(shell.app(0, &["connections", "list"]).contains("none of the tenant acme"));
    assert!(shell.operator(0, &["users", "list", "--tenant", "acme"]).contains("none"));
    assert!(shell.operator(2, &["users", "list"]).contains("--tenant"));
    shell.operator(2, &["tenants", "change-all", "disable", "--all", "--tenant", "acme"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_secrets_are_destroyed_only_after_a_question() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    let app = vault.app("acme").await;
    let mut ids = Vec::new();
    for account in ["one", "two"] {
        ids.push(app.create(generic(account, "CANARY")).await.unwrap().id);
    }
    shell.app(0, &["services", "set", "kpi-report", "--connection", &ids[0]]);
    let disconnect = ["tenants", "change", "acme", "disconnect", "--provider", "generic"];
    let asked = shell.operator(2, &disconnect);
    assert!(
        asked.contains("Disconnect 2 connections of the tenant acme") && asked.contains("--yes"),
        "{asked}"
    );
    let everywhere = shell.operator(2, &["tenants", "change-all", "disconnect", "--provider", "generic"]);
    assert!(everywhere.contains("Disconnect 2 connections"), "{everywhere}");
    assert_eq!(app.token(by_id(&ids[1])).await.unwrap(), "CANARY", "nothing was changed");
    shell.operator(0, &[&disconnect[..], &["--dry-run"]].concat());
    let done = shell.operator(0, &[&disconnect[..], &["--yes"]].concat());
    assert!(done.contains("2 connections of the tenant acme: 2 changed"), "{done}");
    assert_eq!(refusal(&app.fetch(by_id(&ids[1])).await.unwrap_err()), "NotFound CREDENTIAL_NOT_CONFIGURED");

    let mistyped = shell.operator(4, &["tenants", "change", "acme", "disable", "--provider", "genericc"]);
    assert!(mistyped.contains("generic is like it"), "{mistyped}");
    let mistyped = shell.operator(4, &["tenants", "connections", "acme", "--provider", "genericc"]);
    assert!(mistyped.contains("generic is like it"), "{mistyped}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_keeps_what_a_change_does_not_name() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    vault.write("secret.txt", "CANARY_first_secret_of_the_app");
    let first =
        ["--client-id", "hub1", "--client-secret", "secret.txt", "--scope", "crm.objects.contacts.read"];
    let redirect = ["--redirect-uri", "https://app.example.com/back"];
    let put = |code: i32, more: &[&str]| shell.operator(code, &[&["apps", "put", "hubspot"], more].concat());
    let unnamed = put(2, &["--client-secret", "secret.txt"]);
    assert!(unnamed.contains("--client-id"), "{unnamed}");
    put(0, &[&first[..], &redirect].concat());
    vault.write("secret.txt", "CANARY_second_secret_of_app");
    let changed = put(0, &["--client-id", "hub1", "--client-secret", "secret.txt"]);
    for part in ["of the platform:", "https://app.example.com/back", "crm.objects.contacts.read"] {
        assert!(changed.contains(part), "{part}: {changed}");
    }
    let moved = put(0, &["--redirect-uri", "https://app.example.com/other"]);
    assert!(moved.contains("Changed: redirect URI.") && moved.contains("crm.objects"), "{moved}");
    let typo = put(2, &["--client-id", "hub"]);
    assert!(typo.contains("has the client id hub1") && typo.contains("--yes"), "{typo}");
    let rotate = ["apps", "rotate-secret", "hubspot", "--client-secret", "secret.txt"];
    let rotated = shell.operator(0, &rotate);
    assert!(rotated.contains("https://app.example.com/other") && rotated.contains("hub1"), "{rotated}");
    let none = shell.operator(4, &[&rotate[..], &["--tenant", "acme"]].concat());
    assert!(none.contains("there is no app of the tenant acme"), "{none}");
    let redirect_new = ["--redirect-uri", "https://app.example.com/new"];
    let replaced = put(
        0,
        &[&redirect_new[..], &["--client-id", "hub2", "--client-secret", "secret.txt", "--replace"]].concat(),
    );
    assert!(replaced.contains("hub2") && !replaced.contains("crm.objects"), "{replaced}");
}
