//! The commands: erasing in two steps, the statement in a file, and its verification without a vault.

use serde_json::Value;

use crate::harness::{Process, TestVault, VaultBuilder, generic};
use crate::on_both;

on_both![a_tenant_is_erased_at_a_terminal_and_the_statement_verifies_offline];

/// Runs a command of the operator, which must end with this code, and gives what it prints.
fn run(vault: &TestVault, code: i32, arguments: &[&str]) -> String {
    let output = Process::run(vault.folder.path(), arguments);
    let printed = String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {printed}");
    printed
}

async fn a_tenant_is_erased_at_a_terminal_and_the_statement_verifies_offline(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    let app = vault.app("acme").await;
    app.create(generic("main", "CANARY")).await.unwrap();
    vault.write_leaf("operator", &vault.authority.service("spiffe://test.local/operator"));
    let profile = format!(
        "address = 'https://localhost:{}'\nauthority = 'ca.pem'\ncertificate = 'operator.pem'\nkey = 'operator.key'\n",
        vault.address().port()
    );
    vault.write("operator.toml", &profile);
    let operator = |code: i32, arguments: &[&str]| {
        run(&vault, code, &[arguments, &["--profile", "operator.toml"]].concat())
    };
    let shown = operator(0, &["tenants", "erase", "acme"]);
    assert!(shown.contains("nothing is erased yet"), "{shown}");
    let command = "credvault tenants erase acme --profile operator.toml --confirm=";
    assert!(shown.contains(command), "it runs as it is printed: {shown}");
    let asked = operator(0, &["tenants", "erase", "acme", "--output", "json"]);
    let asked: Value = serde_json::from_str(&asked).unwrap();
    let confirm = format!("--confirm={}", asked["confirmationToken"].as_str().unwrap());
    operator(5, &["tenants", "erase", "acme", "--confirm=CANARY"]);
    let statement = ["--statement", "statement.json"];
    let done = operator(0, &[&["tenants", "erase", "acme", &confirm][..], &statement].concat());
    assert!(done.contains("acme") && done.contains("erased"), "{done}");
    operator(2, &[&["tenants", "erasures", "acme"][..], &statement].concat());
    operator(0, &["tenants", "erasures", "acme", "--statement", "again.json"]);
    let folder = vault.folder.path().to_owned();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read("statement.json"), read("again.json"));
    assert!(operator(0, &["tenants", "erasures"]).contains("acme"));
    operator(4, &["tenants", "erasures", "nowhere"]);
    let key = operator(0, &["keys", "signing-key", "--output", "json"]);
    let key: Value = serde_json::from_str(&key).unwrap();
    let key = key["publicKey"].as_str().unwrap().to_owned();
    assert!(operator(0, &["keys", "signing-key"]).contains(&key));

    // From here on there is no vault.
    vault.stop().await;
    let verify = |code: i32, file: &str, key: &str| {
        run(&vault, code, &["keys", "verify-statement", file, "--public-key", key])
    };
    assert!(verify(0, "statement.json", &key).contains("the statement is valid"));
    let whole = read("statement.json");
    for (from, to) in
        [("acme", "acmf"), ("\"connections\":1", "\"connections\":0"), ("signature\":\"", "signature\":\"A")]
    {
        vault.write("altered.json", &whole.replacen(from, to, 1));
        let told = verify(5, "altered.json", &key);
        assert!(told.contains("not valid"), "{told}");
    }
    let (first, rest) = key.split_at(1);
    let other = if first == "A" { "B" } else { "A" };
    verify(5, "statement.json", &format!("{other}{rest}"));
    verify(2, "statement.json", "CANARY");
    verify(2, "missing.json", &key);
}
