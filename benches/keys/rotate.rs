//! Rotations by a vault in a process of its own.

use std::time::Duration;

use credvault_proto::v1;
use rustix::process::Signal;

use crate::fill::{OTHER_ROOT, TENANT};
use crate::it::harness::{Client, Process, TestVault};

/// After which a rotation counts as stuck.
const LONGEST: Duration = Duration::from_secs(3600);

/// What a turn rotates.
pub(crate) enum Rotation {
    /// The root key, to the one of this id.
    Root(String),
    /// The key of the tenant with the records.
    Tenant,
}

/// What a rotation has done.
#[derive(Clone, Copy)]
pub(crate) struct Rotated {
    pub(crate) rows: usize,
    pub(crate) per_second: f64,
    /// The highest resident memory of the process, in MiB.
    pub(crate) peak: f64,
}

/// A vault that has both root keys and rotates as fast as it goes.
pub(crate) fn served(vault: &TestVault) -> Process {
    let folder = vault.folder.path();
    let other = format!("other_root_key.file={}", folder.join(OTHER_ROOT).display());
    Process::serve(folder, &[&other, "keys.records_per_second=0"]).unwrap()
}

/// A client of a service.
pub(crate) async fn client(vault: &TestVault, process: &Process, service: &str) -> Client {
    let leaf = vault.authority.service(&format!("spiffe://test.local/{service}"));
    Client::connect(process.address, vault.authority.pem(), Some(&leaf)).await.unwrap()
}

/// Rotates to the end, by a new process.
pub(crate) async fn rotate(vault: &TestVault, rotation: Rotation) -> Rotated {
    let process = served(vault);
    let operator = client(vault, &process, "operator").await;
    let watching = async {
        match rotation {
            Rotation::Root(id) => watch_root(&operator, id).await,
            Rotation::Tenant => watch_tenant(&operator).await,
        }
    };
    let last = tokio::time::timeout(LONGEST, watching).await.expect("the rotation ends");
    assert_eq!((last.running, last.failed, &last.trouble), (false, 0, &String::new()), "{last:?}");
    assert_eq!(last.done, last.total, "{last:?}");
    let seconds = |time: Option<prost_types::Timestamp>| {
        let time = time.unwrap();
        time.seconds as f64 + f64::from(time.nanos) / 1e9
    };
    let taken = seconds(last.end_time) - seconds(last.begin_time);
    let peak = peak_mib(process.pid());
    process.signal(Signal::TERM);
    assert!(process.wait().0, "the vault ends well");
    Rotated { rows: usize::try_from(last.total).unwrap(), per_second: last.total as f64 / taken, peak }
}

async fn watch_root(operator: &Client, root_key_id: String) -> v1::RotationProgress {
    let request = v1::RotateRootKeyRequest { root_key_id, ..Default::default() };
    let mut stream = operator.admin().rotate_root_key(request).await.unwrap().into_inner();
    let mut last = v1::RotationProgress::default();
    while let Some(response) = stream.message().await.unwrap() {
        last = response.progress.unwrap();
    }
    last
}

async fn watch_tenant(operator: &Client) -> v1::RotationProgress {
    let request = v1::RotateTenantKeyRequest { tenant_id: TENANT.into(), ..Default::default() };
    let mut stream = operator.admin().rotate_tenant_key(request).await.unwrap().into_inner();
    let mut last = v1::RotationProgress::default();
    while let Some(response) = stream.message().await.unwrap() {
        last = response.progress.unwrap();
    }
    last
}

fn peak_mib(pid: rustix::process::Pid) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
