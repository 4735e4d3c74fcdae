//! A profile: which vault to call, and as which caller. It comes from a file; options and variables win over it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use crate::settings::wrong_toml;

/// Where `credvault dev` leaves a profile, seen from where it was started.
pub(super) const DEV_PROFILE: &str = "credvault-dev/profile.toml";
/// The same for the operator.
pub(super) const DEV_OPERATOR_PROFILE: &str = "credvault-dev/operator.toml";

/// A vault and how to call it. Relative paths begin at the profile's folder.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    /// Such as `https://localhost:7443`. The host must be in the server's certificate.
    pub(super) address: String,
    /// What people call this vault, such as `production`. The console shows it on every page.
    pub(super) environment: Option<String>,
    /// The PEM bundle of authorities that vouch for the server.
    pub(super) authority: PathBuf,
    /// The client's certificate chain, PEM.
    pub(super) certificate: PathBuf,
    /// Its private key, PEM.
    pub(super) key: PathBuf,
    /// The value of the header `x-tenant-id`.
    pub(super) tenant: Option<String>,
    /// The value of the header `x-user-id`.
    pub(super) user: Option<String>,
    /// A file with a token, sent as `authorization: Bearer` instead of tenant and user.
    pub(super) token_file: Option<PathBuf>,
    /// The file that it was read from, if it was.
    #[serde(skip)]
    pub(super) file: Option<PathBuf>,
}

impl Profile {
    /// Reads a profile. A message does not repeat what stands in it: a token may have been pasted there.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Failure> {
        toml::from_str(text).map_err(|error| {
            Failure::Usage(format!("the profile {}{}", path.display(), wrong_toml(text, &error)))
        })
    }

    /// The tenant that calls are for, unless a token names it.
    pub(super) fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref().filter(|_| self.token_file.is_none())
    }

    /// Reads the profile in a file. Its paths begin at the folder of the file.
    fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let way_out = "name one with --profile or CREDVAULT_PROFILE, run `credvault dev` in this folder, or name address, \
                           authority, certificate and key by options or variables";
            Failure::Usage(format!("the profile {} cannot be read: {error}; {way_out}", path.display()))
        })?;
        let mut profile = Self::parse(path, &text)?;
        profile.file = Some(path.to_owned());
        let folder = path.parent().unwrap_or(Path::new(""));
        let token = profile.token_file.as_mut().into_iter();
        for file in
            [&mut profile.authority, &mut profile.certificate, &mut profile.key].into_iter().chain(token)
        {
            *file = folder.join(&*file);
        }
        Ok(profile)
    }
}

/// What options and variables say, each of which wins over the profile.
pub(super) struct Said {
    pub(super) profile: Option<PathBuf>,
    pub(super) address: Option<String>,
    pub(super) authority: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) tenant: Option<String>,
    pub(super) user: Option<String>,
}

impl Said {
    /// A profile where no file is needed: none is named, and everything that a call needs is said.
    fn whole(&self) -> Option<Profile> {
        if self.profile.is_some() {
            return None;
        }
        Some(Profile {
            address: self.address.clone()?,
            environment: None,
            authority: self.authority.clone()?,
            certificate: self.certificate.clone()?,
            key: self.key.clone()?,
            tenant: None,
            user: None,
            token_file: None,
            file: None,
        })
    }

    /// The profile that is meant: the one in the file that is named, or else in `usual`, with what is said otherwise.
    pub(super) fn profile(self, usual: &str) -> Result<Profile, Failure> {
        let profile = match self.whole() {
            Some(profile) => profile,
            None => Profile::read(self.profile.as_deref().unwrap_or(Path::new(usual)))?,
        };
        Ok(self.over(profile))
    }

    /// The profile with what is said otherwise.
    fn over(self, mut profile: Profile) -> Profile {
        if self.tenant.is_some() || self.user.is_some() {
            profile.token_file = None;
        }
        if let Some(address) = self.address {
            // It may be another vault's, which the profile's name would hide.
            if address != profile.address {
                profile.environment = None;
            }
            profile.address = address;
        }
        profile.authority = self.authority.unwrap_or(profile.authority);
        profile.certificate = self.certificate.unwrap_or(profile.certificate);
        profile.key = self.key.unwrap_or(profile.key);
        profile.tenant = self.tenant.or(profile.tenant);
        profile.user = self.user.or(profile.user);
        profile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"address = "https://CANARY 1:7443"
environment = "CANARY 8"
authority = "CANARY 2"
certificate = 'CANARY 3'
key = "CANARY 4"
tenant = "CANARY 5"
user = "CANARY 6"
token_file = "CANARY 7"
"#;

    #[test]
    fn what_is_said_wins_over_the_profile_and_takes_the_place_of_its_token() {
        let said = || Said {
            profile: None,
            address: Some("https://other:7443".to_owned()),
            authority: Some("other-ca.pem".into()),
            certificate: None,
            key: Some("other.key".into()),
            tenant: Some("acme".to_owned()),
            user: None,
        };
        assert!(said().whole().is_none(), "a certificate is missing");
        let profile = Profile::parse(Path::new("profile.toml"), TEXT).expect("a profile");
        let Profile { address, environment, authority, certificate, key, tenant, user, token_file, file: _ } =
            said().over(profile);
        assert_eq!(environment, None, "another address is another vault");
        assert_eq!((address.as_str(), tenant.as_deref()), ("https://other:7443", Some("acme")));
        assert_eq!(
            (authority, certificate, key),
            ("other-ca.pem".into(), "CANARY 3".into(), "other.key".into())
        );
        assert_eq!((user.as_deref(), token_file), (Some("CANARY 6"), None));
        let certificate = Some("app.pem".into());
        let whole = Said { certificate: certificate.clone(), ..said() };
        assert!(whole.whole().is_some_and(|profile| profile.tenant.is_none()));
        assert!(Said { profile: Some("p.toml".into()), certificate, ..said() }.whole().is_none());
    }

    /// Whatever is broken where, by a character or a word more or less, the message does not repeat what was given.
    #[test]
    fn no_message_repeats_a_profile() {
        let parse = |text: &str| Profile::parse(Path::new("profile.toml"), text);
        assert!(parse(TEXT).is_ok());
        let more = [
            "\"",
            "'",
            "=",
            "[",
            "{",
            "\n",
            "#",
            "\\",
            "CANARY ",
            "\n\"CANARY\" = 1\n",
            "\nCANARY = 'CANARY'\n",
            "1",
        ];
        let mut refused = 0;
        for place in 0..TEXT.len() {
            for text in credvault_testkit::broken_at(TEXT, place, &more) {
                let Err(failure) = parse(&text) else { continue };
                refused += 1;
                let message = format!("{failure:?}");
                assert!(message.contains("profile.toml") && !message.contains("CANARY"), "{text}: {message}");
            }
        }
        assert!(refused > 500, "{refused}");
    }

    #[test]
    fn what_is_wrong_with_a_profile_is_told_with_its_line() {
        let told = |text: &str| format!("{:?}", Profile::parse(Path::new("p.toml"), text).map(drop));
        let missing = told("address = 'a'\n");
        assert!(missing.contains("p.toml, line 1, is wrong: authority must be given"), "{missing}");
        let unknown = told(&format!("{TEXT}speed = 1\n"));
        assert!(unknown.contains("line 9, is wrong: unknown key speed, expected"), "{unknown}");
        assert!(told("address = 'a\n").contains("line 1, is not TOML"));
    }
}
