//! Keys for life: rotation of tenant keys and of the root key while the vault serves, on several replicas, one of which is
//! killed; and what bad requests get.

mod all;
mod managers;
mod refusals;
mod replicas;
mod rotation;

use std::path::Path;

use credvault::settings::RawSettings;
use credvault_proto::v1;
use tonic::Status;

use crate::harness::{Client, by_id, eventually, generic, write};

/// A second root key, in a file `other.key` of the vault's folder.
fn with_other(settings: &mut RawSettings, folder: &Path) {
    write(folder, "other.key", &format!("{}01", "a5".repeat(31)));
    settings.other_root_key.file = Some(folder.join("other.key"));
}

/// Connections with two versions each, and their newest secrets.
async fn filled(app: &Client, count: usize) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    for number in 0..count {
        let id = app.create(generic(&format!("a{number}"), "CANARY first")).await.unwrap().id;
        let secret = format!("CANARY {number}");
        app.put(&id, &secret).await.unwrap();
        kept.push((id, secret));
    }
    kept
}

async fn all_open(app: &Client, kept: &[(String, String)]) {
    for (id, secret) in kept {
        assert_eq!(&app.token(by_id(id)).await.unwrap(), secret);
    }
}

/// Begins a rotation of a tenant's key and watches it to its end.
async fn rotate_tenant(operator: &Client, tenant: &str) -> Result<v1::RotationProgress, Status> {
    let request = v1::RotateTenantKeyRequest { tenant_id: tenant.into(), ..Default::default() };
    let mut stream = operator.admin().rotate_tenant_key(request).await?.into_inner();
    let mut last = v1::RotationProgress::default();
    while let Some(response) = stream.message().await? {
        last = response.progress.unwrap();
    }
    Ok(last)
}

/// The same for the root key.
async fn rotate_root(
    operator: &Client,
    request: v1::RotateRootKeyRequest,
) -> Result<v1::RotationProgress, Status> {
    let mut stream = operator.admin().rotate_root_key(request).await?.into_inner();
    let mut last = v1::RotationProgress::default();
    while let Some(response) = stream.message().await? {
        last = response.progress.unwrap();
    }
    Ok(last)
}

async fn status(operator: &Client, tenant: &str) -> v1::GetKeyStatusResponse {
    let request = v1::GetKeyStatusRequest { tenant_id: tenant.into() };
    operator.admin().get_key_status(request).await.unwrap().into_inner()
}

/// How many values are sealed under the keys of a tenant that are not the newest.
async fn left(operator: &Client, tenant: &str) -> i64 {
    let keys = status(operator, tenant).await.tenant_keys;
    keys.iter().filter(|key| !key.active).map(|key| key.sealed_records).sum()
}

/// Waits until the latest rotation of a tenant's key has ended.
async fn ended(operator: &Client, tenant: &str) {
    eventually("the rotation ends", || async {
        status(operator, tenant).await.rotation.is_some_and(|rotation| !rotation.running)
    })
    .await;
}
