//! The files that a profile names: the authority, the certificate, its key, and the token where there is one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use credvault_domain::Timestamp;
use credvault_identity::PeerCertificate;

use super::finding::Finding;
use crate::cli::profile::Profile;
use crate::grpc::{certificates, check_pair, private_key, timestamp};

/// What a private file may allow: nothing to others, and no more than reading to its group.
const TOO_OPEN: u32 = 0o027;

/// Checks every file of the profile.
pub(super) fn check(profile: &Profile, now: Timestamp) -> Vec<Finding> {
    let mut findings = vec![authority(profile, now), certificate(profile, now), key(profile)];
    findings.extend(profile.token_file.as_deref().map(token));
    findings
}

fn authority(profile: &Profile, now: Timestamp) -> Finding {
    const CHECK: &str = "authority";
    let path = &profile.authority;
    let all = match read(path).and_then(|pem| certificates(&pem)) {
        Ok(all) => all,
        Err(why) => {
            let advice = "name the PEM bundle of the authorities that issued the vault's certificate, with --authority or in \
                          the profile";
            return Finding::wrong(CHECK, format!("{}: {why}", path.display()), advice);
        }
    };
    let number = all.len();
    let ends = all.into_iter().map(|one| PeerCertificate::read(vec![one]).validity().1);
    let valid = ends.filter(|end| *end > now).count();
    match valid {
        0 => Finding::wrong(
            CHECK,
            format!("{}: every certificate in it has expired", path.display()),
            "fetch the current bundle of the authority",
        ),
        valid => {
            Finding::good(CHECK, format!("{}: {valid} of {number} certificates are valid", path.display()))
        }
    }
}

fn certificate(profile: &Profile, now: Timestamp) -> Finding {
    const CHECK: &str = "certificate";
    let path = &profile.certificate;
    let wrong =
        |why: String, advice: &str| Finding::wrong(CHECK, format!("{}: {why}", path.display()), advice);
    let chain = match read(path).and_then(|pem| certificates(&pem)) {
        Ok(chain) => chain,
        Err(why) => {
            return wrong(
                why,
                "name the caller's PEM certificate chain, with --certificate or in the profile",
            );
        }
    };
    let certificate = PeerCertificate::read(chain);
    let service = match certificate.named() {
        Ok(service) => service,
        Err(rule) => {
            return wrong(
                rule.to_string(),
                "have one issued for the service's SPIFFE ID; docs/identity.md says how",
            );
        }
    };
    let (begin, end) = certificate.validity();
    if now < begin {
        let why = format!("it is valid from {} on", timestamp(begin));
        return wrong(why, "check the clock of this machine, or wait");
    }
    if now >= end {
        return wrong(format!("it has expired at {}", timestamp(end)), "renew it");
    }
    Finding::good(CHECK, format!("{}: {service}, until {}", path.display(), timestamp(end)))
}

fn key(profile: &Profile) -> Finding {
    const CHECK: &str = "key";
    let path = &profile.key;
    let wrong =
        |why: String, advice: &str| Finding::wrong(CHECK, format!("{}: {why}", path.display()), advice);
    let pem = match read(path) {
        Ok(pem) => pem,
        Err(why) => return wrong(why, "name the certificate's private key, with --key or in the profile"),
    };
    // Without a certificate there is nothing that the key could match.
    let certificate = read(&profile.certificate).ok();
    let matches = match &certificate {
        Some(chain) => check_pair(chain, &pem),
        None => private_key(&pem).map(drop),
    };
    if let Err(why) = matches {
        return wrong(why, "name the private key that the certificate was issued for");
    }
    let what = match certificate {
        Some(_) => "it belongs to the certificate",
        None => "it is a private key; which certificate it belongs to cannot be checked without one",
    };
    match too_open(path) {
        Some(advice) => {
            wrong("more users than its owner and group can read it, or change it".to_owned(), &advice)
        }
        None => Finding::good(CHECK, format!("{}: {what}", path.display())),
    }
}

fn token(path: &Path) -> Finding {
    const CHECK: &str = "token";
    match (read(path), too_open(path)) {
        (Err(why), _) => {
            Finding::wrong(CHECK, format!("{}: {why}", path.display()), "write the token into the file")
        }
        (Ok(text), _) if text.trim_ascii().is_empty() => {
            Finding::wrong(CHECK, format!("{}: it is empty", path.display()), "write the token into the file")
        }
        (Ok(_), Some(advice)) => Finding::wrong(
            CHECK,
            format!("{}: more users than its owner and group can read it, or change it", path.display()),
            advice,
        ),
        (Ok(_), None) => Finding::good(CHECK, path.display().to_string()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("it cannot be read: {error}"))
}

/// What to do about a private file that too many users can read or change.
fn too_open(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & TOO_OPEN != 0).then(|| format!("chmod 600 {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use credvault_domain::Clock as _;
    use credvault_testkit::Authority;

    use super::super::finding::State;
    use super::*;
    use crate::SystemClock;

    /// A profile whose files are sound.
    fn sound(folder: &Path) -> Profile {
        let authority = Authority::new("test.local");
        let app = authority.service("spiffe://test.local/app");
        let write = |name: &str, text: &str| -> PathBuf {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
            path
        };
        Profile {
            address: "https://localhost:7443".to_owned(),
            authority: write("ca.pem", authority.pem()),
            certificate: write("app.pem", &app.certificate),
            key: write("app.key", &app.key),
            tenant: None,
            user: None,
            token_file: Some(write("token", "CANARY")),
            environment: None,
            file: None,
        }
    }

    fn states(profile: &Profile, now: Timestamp) -> Vec<(&'static str, State)> {
        check(profile, now).iter().map(|finding| (finding.check, finding.state)).collect()
    }

    #[test]
    fn sound_files_are_good_and_each_fault_is_its_own_finding() {
        let folder = tempfile::tempdir().expect("a folder");
        let profile = sound(folder.path());
        let now = SystemClock.now();
        assert!(states(&profile, now).iter().all(|(_, state)| *state == State::Good));
        let later = now.after(Duration::from_secs(200 * 365 * 24 * 3600));
        let wrong = |profile: &Profile, now: Timestamp| {
            let findings = check(profile, now);
            assert!(!format!("{findings:?}").contains("CANARY"), "{findings:?}");
            let wrong = findings.into_iter().filter(|finding| finding.state == State::Wrong);
            wrong.map(|finding| (finding.check, finding.advice)).collect::<Vec<_>>()
        };
        let checks =
            |wrong: &[(&'static str, String)]| wrong.iter().map(|(check, _)| *check).collect::<Vec<_>>();
        assert_eq!(checks(&wrong(&profile, later)), ["certificate"]);
        assert_eq!(checks(&wrong(&profile, Timestamp::default())), ["certificate"]);

        std::fs::set_permissions(&profile.key, std::fs::Permissions::from_mode(0o644)).expect("set");
        let open = wrong(&profile, now);
        assert_eq!(checks(&open), ["key"]);
        assert!(open[0].1.starts_with("chmod 600 "), "{open:?}");

        let other = tempfile::tempdir().expect("a folder");
        let foreign = Profile { key: sound(other.path()).key, ..profile.clone() };
        assert_eq!(checks(&wrong(&foreign, now)), ["key"]);
        let alone = Profile {
            certificate: folder.path().join("none"),
            key: sound(other.path()).key,
            ..profile.clone()
        };
        assert_eq!(checks(&wrong(&alone, now)), ["certificate"]);
        let no_key = Profile { key: profile.authority.clone(), ..alone };
        assert_eq!(checks(&wrong(&no_key, now)), ["certificate", "key"]);
        let authority = Profile { certificate: profile.authority.clone(), ..profile.clone() };
        assert_eq!(checks(&wrong(&authority, now)), ["certificate", "key"]);
        let missing = Profile { token_file: Some(folder.path().join("none")), ..foreign };
        assert_eq!(checks(&wrong(&missing, now)), ["key", "token"]);
    }
}
