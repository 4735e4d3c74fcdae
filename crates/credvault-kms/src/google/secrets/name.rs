//! Names of projects, secrets and versions: what is wrong with them is found before they become part of a URL.

use credvault_crypto::SecretStoreError;

use crate::failure::Failure;

/// Google has no longer name of a secret.
const MAX_SECRET_BYTES: usize = 255;
const MAX_PREFIX_BYTES: usize = 100;

/// Checks the names in settings.
///
/// # Errors
/// [`Failure::Settings`]: one of them is of no use.
pub(super) fn check(project: &str, prefix: &str, locations: &[String]) -> Result<(), Failure> {
    let wrong = |rule: &str| Err(Failure::Settings(rule.to_owned()));
    if !is_project(project) {
        return wrong("the project takes the id of a project, such as platform-123");
    }
    if prefix.len() > MAX_PREFIX_BYTES || !is_secret(prefix) {
        return wrong("the prefix takes 1 to 100 letters, digits, '-' and '_'");
    }
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !locations.iter().all(|location| !location.is_empty() && location.bytes().all(fits)) {
        return wrong("the locations take names of regions, such as europe-west3");
    }
    Ok(())
}

/// Checks a reference: `<secret>/versions/<number>`.
///
/// # Errors
/// [`SecretStoreError::NotFound`]: the vault has given no such reference.
pub(super) fn check_reference(reference: &str) -> Result<(), SecretStoreError> {
    let parts = reference.split_once("/versions/");
    let is_ours = parts.is_some_and(|(secret, version)| is_secret(secret) && is_number(version));
    if is_ours { Ok(()) } else { Err(SecretStoreError::NotFound) }
}

/// The full name of a version of a secret of others, whose name is that of a secret in the `project`, or a full one,
/// `projects/<project>/secrets/<secret>`.
///
/// # Errors
/// [`SecretStoreError::Unusable`]: it is no name. [`SecretStoreError::NotFound`]: there is no such version.
pub(super) fn of_version(
    project: &str,
    name: &str,
    version: Option<&str>,
) -> Result<String, SecretStoreError> {
    let parts: Vec<_> = name.split('/').collect();
    let (project, secret) = match parts.as_slice() {
        [secret] => (project, *secret),
        ["projects", project, "secrets", secret] => (*project, *secret),
        _ => ("", ""),
    };
    if !is_project(project) || !is_secret(secret) {
        let rule = "a name there is that of a secret, or projects/PROJECT/secrets/SECRET";
        return Err(SecretStoreError::Unusable(rule.to_owned()));
    }
    let version = version.unwrap_or("latest");
    if version != "latest" && !is_number(version) {
        return Err(SecretStoreError::NotFound);
    }
    Ok(format!("projects/{project}/secrets/{secret}/versions/{version}"))
}

/// A project's id may have a domain before it: `example.com:project`.
fn is_project(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
    (1..=100).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('.')
}

fn is_secret(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=MAX_SECRET_BYTES).contains(&text.len()) && text.bytes().all(fits)
}

fn is_number(text: &str) -> bool {
    (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{check, check_reference, of_version};

    #[test]
    fn settings_have_names_of_googles_form() {
        let regions = ["europe-west3".to_owned()];
        check("example.com:p-1", "credvault-", &regions).unwrap();
        check("p-1", "credvault-", &[]).unwrap();
        for (project, prefix) in
            [("", "credvault-"), ("p/x", "credvault-"), ("..", "a"), ("p", ""), ("p", "a/"), ("p", "ä")]
        {
            assert!(check(project, prefix, &[]).is_err(), "{project} {prefix}");
        }
        assert!(check("p", "a", &["europe west".to_owned()]).is_err());
    }

    #[test]
    fn only_references_of_the_vault_become_names() {
        check_reference("credvault-0190/versions/12").unwrap();
        for other in [
            "",
            "credvault-0190",
            "credvault-0190/versions/",
            "credvault-0190/versions/latest",
            "credvault-0190/versions/1/versions/2",
            "../credvault-0190/versions/1",
            "a/b/versions/1",
            "a/versions/1:destroy",
        ] {
            assert!(check_reference(other).is_err(), "{other}");
        }
    }

    #[test]
    fn secrets_of_others_are_in_the_project_or_in_the_one_that_is_named() {
        assert_eq!(of_version("p", "a_b", None).unwrap(), "projects/p/secrets/a_b/versions/latest");
        assert_eq!(
            of_version("p", "projects/q/secrets/a", Some("3")).unwrap(),
            "projects/q/secrets/a/versions/3"
        );
        for name in [
            "",
            "a/b",
            "projects/q/secrets/",
            "projects//secrets/a",
            "projects/../secrets/a",
            "a:access",
            "a%2f",
        ] {
            assert!(of_version("p", name, None).is_err(), "{name}");
        }
        for version in ["", "newest", "1/versions/2", "-1"] {
            assert!(of_version("p", "a", Some(version)).is_err(), "{version}");
        }
    }
}
