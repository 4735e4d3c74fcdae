//! "Error Handling": each error has a code and a reason, is documented, and repeats nothing that was sent.

use credvault_proto::v1;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{Etl, get, saving, shop, verified};
use crate::harness::provider::Connected;
use crate::harness::{Client, VaultBuilder, by_id, by_provider, refusal};
use crate::on_both;

on_both![each_error_has_a_code_and_a_reason];

/// "Documentation", "Documentation Files", "CREDENTIAL_BACKEND_IMPLEMENTATION.md", "Error codes and handling": the page
/// on which each reason stands.
const DOCUMENTED: &str = include_str!("../../../../docs/errors.md");
/// What `GET /api/credentials/:id` says of an id that never was.
const UNKNOWN: &str = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e";

async fn each_error_has_a_code_and_a_reason(builder: VaultBuilder) {
    let etl = Etl::start(builder).await;
    let user = etl.user("user_1");
    let id = user.create(shop("Main", &etl.issued("shop-1"))).await.unwrap().id;
    let of_user_1 = v1::FetchCredentialRequest { user_id: "user_1".into(), ..by_provider("shopify") };
    let unknown = saving("shopify", "access_token", "x", &[("CANARY", "CANARY")], &[("CANARY", "CANARY")]);
    // "Testing", "Error scenarios"
    let refused = [
        // "400 - Invalid input"
        (user.create(shop("Second", "CANARY wrong")).await.unwrap_err(), "InvalidArgument FIELDS_INVALID"),
        (user.create(unknown).await.unwrap_err(), "InvalidArgument FIELDS_INVALID"),
        // "401 - Missing/invalid JWT"
        (etl.server.fetch(by_id(&id)).await.unwrap_err(), "Unauthenticated TENANT_MISSING"),
        (etl.server.bearing("CANARY").fetch(by_id(&id)).await.unwrap_err(), "Unauthenticated TOKEN_INVALID"),
        // "403 - Access denied"
        (etl.user("user_2").fetch(of_user_1).await.unwrap_err(), "PermissionDenied POLICY_DENIED"),
        // "404 - Not found"
        (get(&user, UNKNOWN).await.unwrap_err(), "NotFound CONNECTION_NOT_FOUND"),
        (user.fetch(by_provider("meta")).await.unwrap_err(), "NotFound CREDENTIAL_NOT_CONFIGURED"),
        // "409 - Conflict"
        (user.create(shop("Main", "shpat_CANARY")).await.unwrap_err(), "AlreadyExists CONNECTION_EXISTS"),
    ];
    for (status, expected) in &refused {
        well_formed(status, expected);
    }
    the_log_knows_it(&user, &refused[0].0).await;
    // "500 - Server error": what is at fault is named, and whether another attempt makes sense.
    let Etl { connected, clerk: _, server: _ } = etl;
    let Connected { vault: _vault, provider } = connected;
    provider.stop().await;
    well_formed(&verified(&user, &id).await.unwrap_err(), "Unavailable PROVIDER_UNAVAILABLE");
}

/// "All errors return standardized format", "Error messages sanitized"
fn well_formed(status: &Status, expected: &str) {
    assert_eq!(refusal(status), expected, "{status:?}");
    let details = String::from_utf8_lossy(status.details());
    assert!(!format!("{status:?} {details}").contains("CANARY"), "{status:?}");
    let reason = expected.split(' ').nth(1).unwrap();
    assert!(DOCUMENTED.contains(&format!("`{reason}`")), "{reason}");
}

/// "Support", "Review error logs and audit logs": one id leads from the error to its record.
async fn the_log_knows_it(user: &Client, status: &Status) {
    let details = status.get_error_details();
    let trace = &details.error_info().unwrap().metadata["trace_id"];
    let record = user.events().await.into_iter().find(|event| event.trace_id == *trace).unwrap();
    assert_eq!((record.action.as_str(), record.reason.as_str()), ("CreateConnection", "FIELDS_INVALID"));
    assert_eq!(record.outcome(), v1::AuditOutcome::Failed);
}
