//! What this side knows about a failure that the vault cannot say: why a connection broke, and that another profile may do.

use std::path::{Path, PathBuf};

use prost_reflect::DescriptorPool;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::client::called;
use super::doctor::distrust;
use super::failure::Failure;
use super::profile::Profile;
use super::serve::{ONE_THREAD, run as run_on};

/// The name of the operator's profile, which `credvault dev` makes beside the app's.
const OPERATOR: &str = "operator.toml";

/// A failure with what this side knows about it.
pub(super) fn explained(failure: Failure) -> Failure {
    let Some(profile) = called() else { return failure };
    if failure.is_broken() {
        return match run_on(ONE_THREAD, async { Ok(distrust(profile).await) }) {
            Ok(Some(cause)) => Status::unauthenticated(format!("{}; {}", cause.text, cause.advice)).into(),
            Ok(None) | Err(_) => failure,
        };
    }
    match failure {
        Failure::Status(status) => with_operator(*status, profile).into(),
        other @ (Failure::Usage(_)
        | Failure::Settings(_)
        | Failure::Partly(_)
        | Failure::Invalid(_)
        | Failure::Unexpected(_)
        | Failure::OutputClosed) => other,
    }
}

/// Names the operator's profile where policy keeps an administrator's call from the profile in use.
fn with_operator(status: Status, profile: &Profile) -> Status {
    let Some(other) = beside(profile).filter(|_| is_administrators(&status)) else { return status };
    let text = format!(
        "{}; --profile {} lies beside the profile in use, and may be permitted this",
        status.message(),
        other.display()
    );
    let details = status.details().to_vec();
    Status::with_details(status.code(), text, details.into())
}

fn beside(profile: &Profile) -> Option<PathBuf> {
    let file = profile.file.as_deref().filter(|file| file.file_name() != Some(OPERATOR.as_ref()))?;
    let other = file.parent().unwrap_or(Path::new("")).join(OPERATOR);
    other.is_file().then_some(other)
}

/// Whether policy has denied a call of `AdminService`.
fn is_administrators(status: &Status) -> bool {
    if status.code() != Code::PermissionDenied {
        return false;
    }
    let details = status.get_error_details();
    let action = details.error_info().and_then(|info| info.metadata.get("action"));
    let Some(action) = action else { return false };
    let service = DescriptorPool::decode(credvault_proto::DESCRIPTORS).ok();
    let service = service.and_then(|pool| pool.get_service_by_name("credvault.v1.AdminService"));
    service.is_some_and(|service| service.methods().any(|method| method.name() == action))
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn denied(action: &str) -> Status {
        let metadata = std::collections::HashMap::from([("action".to_owned(), action.to_owned())]);
        let details = ErrorDetails::with_error_info("POLICY_DENIED", "credvault", metadata);
        Status::with_error_details(Code::PermissionDenied, "no policy permits it", details)
    }

    #[test]
    fn the_operators_profile_is_named_for_calls_of_administrators() {
        let folder = tempfile::tempdir().expect("a folder");
        let profile = |name: &str| Profile {
            address: "https://localhost:7443".to_owned(),
            authority: "ca.pem".into(),
            certificate: "app.pem".into(),
            key: "app.key".into(),
            tenant: None,
            user: None,
            token_file: None,
            environment: None,
            file: Some(folder.path().join(name)),
        };
        let told =
            |action: &str, name: &str| with_operator(denied(action), &profile(name)).message().to_owned();
        assert!(!told("ListTenants", "profile.toml").contains("--profile"), "there is none");
        std::fs::write(folder.path().join(OPERATOR), "").expect("written");
        assert!(told("ListTenants", "profile.toml").contains("operator.toml lies beside"));
        assert!(!told("FetchCredential", "profile.toml").contains("--profile"));
        assert!(!told("ListTenants", OPERATOR).contains("--profile"));
    }
}
