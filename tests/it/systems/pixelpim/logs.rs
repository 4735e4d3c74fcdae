//! "Migration Steps" and "Logging", with the program in a process of its own: its log and its records name calls and users,
//! and never a key.

use credvault_proto::v1;
use rustix::process::Signal;

use super::{TENANT, connect, put};
use crate::harness::{Client, Process, TestVault, VaultBuilder, by_provider, refusal};
use crate::on_both;

on_both![logs_name_the_user_and_never_a_key];

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// What their log showed the beginning of: `Key: "ck_1234..."`.
const KEY: &str = "ck_1234facade00facade00facade00facade00face";
const SECRET: &str = "cs_c0ffee11c0ffee11c0ffee11c0ffee11c0ffee11";

async fn logs_name_the_user_and_never_a_key(builder: VaultBuilder) {
    let vault = builder.prepare().await;
    // "Migration Steps": one command instead of `prisma migrate` and `prisma generate`; clients come from the protos.
    let migrated = Process::run(vault.folder.path(), &["migrate", "--config", "credvault.toml"]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let process = Process::serve(vault.folder.path(), &["telemetry.log_level=trace"]).unwrap();
    let operator = client(&vault, &process, "operator").await;
    let tenant = v1::CreateTenantRequest { tenant_id: TENANT.into(), ..Default::default() };
    operator.admin().create_tenant(tenant).await.unwrap();

    // "Logging": all operations of user 123, some with success and some without.
    let portal = client(&vault, &process, "portal").await.acting_for(TENANT, Some("123"));
    let user = portal.with("traceparent", &format!("00-{TRACE}-b7ad6b7169203331-01"));
    let keys = [KEY.to_owned(), SECRET.to_owned()];
    let created = user.create(connect("shop-123", "", &keys)).await.unwrap();
    assert_eq!(user.fetch(by_provider("woocommerce")).await.unwrap().fields["consumer_key"], KEY);
    let missing = user.fetch(by_provider("amazon_sp_seller")).await.unwrap_err();
    assert_eq!(refusal(&missing), "NotFound CREDENTIAL_NOT_CONFIGURED");
    let wrong = v1::PutCredentialRequest {
        connection_id: created.id.clone(),
        credential: Some(super::fields("shop-123", &[SECRET.to_owned(), KEY.to_owned()])),
        ..Default::default()
    };
    let refused = put(&user, wrong).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    hides(&format!("{missing:?} {refused:?} {created:?}"));

    // Each record names the user, the service and the connection, and the trace under which the log has the call.
    let records = user.events().await;
    let told: Vec<_> =
        records.iter().rev().map(|record| (record.action.as_str(), record.reason.as_str())).collect();
    let expected = [
        ("CreateConnection", ""),
        ("FetchCredential", ""),
        ("FetchCredential", "CREDENTIAL_NOT_CONFIGURED"),
        ("PutCredential", "FIELDS_INVALID"),
    ];
    assert_eq!(told, expected);
    for record in &records {
        assert_eq!((record.user_id.as_str(), record.trace_id.as_str()), ("123", TRACE));
        assert!(record.service.ends_with("/portal"), "{record:?}");
    }
    hides(&format!("{records:?}"));

    process.signal(Signal::TERM);
    let (well, log) = process.wait();
    assert!(well, "{log}");
    assert!(log.contains(TRACE) && log.contains("CREDENTIAL_NOT_CONFIGURED"), "{log}");
    hides(&log);
}

/// Fails if a text has a secret, or the beginning of a key that their log had.
fn hides(text: &str) {
    for secret in [KEY, SECRET, "ck_1234f", "CANARY"] {
        assert!(!text.contains(secret), "{text}");
    }
}

async fn client(vault: &TestVault, process: &Process, service: &str) -> Client {
    let leaf = vault.authority.service(&format!("spiffe://test.local/{service}"));
    Client::connect(process.address, vault.authority.pem(), Some(&leaf)).await.unwrap()
}
