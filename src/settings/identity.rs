//! `identity`: which authorities, policies and issuers of tokens the vault trusts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use credvault_domain::TrustDomain;
use credvault_identity::{AudienceClaim, IssuerKind, IssuerSettings, KeySource};
use serde::{Deserialize, Serialize};

use super::problem::Problems;
use super::value::{YEAR_SECONDS, resolve, web_url, word};

/// The longest life of a user's token, where the setting is left out.
const USER_LIFETIME_SECONDS: u64 = 3600;
/// The longest life of an assertion, where the setting is left out.
const ASSERTION_LIFETIME_SECONDS: u64 = 300;

/// `identity` as it was given.
#[derive(Deserialize, Serialize, Clone, Default, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct IdentitySection {
    /// SPIFFE trust domain to the PEM bundle of its authorities.
    pub trust_domains: BTreeMap<String, PathBuf>,
    /// Cedar policy files, or folders of `*.cedar` files.
    pub policies: Vec<PathBuf>,
    /// The issuers whose tokens are accepted.
    pub issuers: Vec<IssuerSection>,
}

/// What an issuer's tokens say.
#[derive(ValueEnum, Serialize, Clone, Copy, Default, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum IssuerKindSetting {
    /// A user's token: the platform's own front end has signed the user in.
    #[default]
    User,
    /// An assertion of the platform, bound to the calling service by `act.sub`.
    Assertion,
}

/// One of `identity.issuers` as it was given: an issuer of tokens.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct IssuerSection {
    /// A name for logs and metrics.
    pub name: String,
    /// What its tokens say.
    #[serde(deserialize_with = "word")]
    pub kind: IssuerKindSetting,
    /// The `iss` claim, exactly.
    pub issuer: String,
    /// A JWKS file; or else `jwks_url`.
    pub jwks_file: Option<PathBuf>,
    /// Where the JWKS is fetched: https, or http on the same machine.
    pub jwks_url: Option<String>,
    /// The claim that names the audience of a token: `aud`, or Clerk's `azp`.
    pub audience_claim: String,
    /// The accepted values of that claim.
    pub audiences: Vec<String>,
    /// The claim that names the tenant, such as `org_id`, or `o.id` for a claim within an object.
    pub tenant_claim: String,
    /// The claim that names the user.
    pub user_claim: String,
    /// The longest life of a token.
    pub max_lifetime_seconds: Option<u64>,
}

impl Default for IssuerSection {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: IssuerKindSetting::User,
            issuer: String::new(),
            jwks_file: None,
            jwks_url: None,
            audience_claim: "aud".to_owned(),
            audiences: Vec::new(),
            tenant_claim: "tenant".to_owned(),
            user_claim: "sub".to_owned(),
            max_lifetime_seconds: None,
        }
    }
}

/// Which authorities, policies and issuers of tokens the vault trusts.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Each trust domain with the PEM bundle of its authorities.
    pub trust_domains: BTreeMap<TrustDomain, PathBuf>,
    /// Cedar policy files, or folders of `*.cedar` files.
    pub policies: Vec<PathBuf>,
    /// The issuers whose tokens are accepted.
    pub issuers: Vec<IssuerSettings>,
}

impl IdentitySection {
    pub(super) fn resolve(&mut self, base: &Path) {
        let files = self.issuers.iter_mut().filter_map(|issuer| issuer.jwks_file.as_mut());
        let lists = self.trust_domains.values_mut().chain(&mut self.policies);
        files.chain(lists).for_each(|path| resolve(path, base));
    }

    pub(super) fn check(&self, problems: &mut Problems) -> Identity {
        if self.trust_domains.is_empty() {
            let rule = "must be given: a trust domain with the path of its bundle, { \"platform.example\" = \"ca.pem\" }";
            problems.refuse("identity.trust_domains", rule);
        }
        let mut trust_domains = BTreeMap::new();
        for (domain, path) in &self.trust_domains {
            match TrustDomain::parse(domain) {
                Ok(domain) => drop(trust_domains.insert(domain, path.clone())),
                // A text that is no trust domain may be anything, so it is not repeated.
                Err(rule) => problems.refuse_as(
                    &format!("identity.trust_domains.{domain}"),
                    "identity.trust_domains",
                    rule.to_string(),
                ),
            }
        }
        let issuers = self.issuers.iter().enumerate();
        let issuers = issuers.map(|(index, issuer)| issuer.check(index, problems)).collect();
        self.refuse_repetitions(problems);
        Identity { trust_domains, policies: self.policies.clone(), issuers }
    }

    /// A token finds its issuer by the `iss` claim, so the second of two with the same claim would never be asked. Messages
    /// and metrics could not tell two with the same name apart.
    fn refuse_repetitions(&self, problems: &mut Problems) {
        for (index, issuer) in self.issuers.iter().enumerate() {
            let before = || self.issuers.iter().take(index);
            for (key, same) in [
                ("name", before().position(|other| other.name == issuer.name)),
                ("issuer", before().position(|other| other.issuer == issuer.issuer)),
            ] {
                let Some(first) = same else { continue };
                let rule = format!("must not be that of identity.issuers[{first}], too: give each its own");
                problems.refuse(&format!("identity.issuers[{index}].{key}"), rule);
            }
        }
    }
}

impl IssuerSection {
    fn check(&self, index: usize, problems: &mut Problems) -> IssuerSettings {
        let key = |name: &str| format!("identity.issuers[{index}].{name}");
        for (name, text) in [
            ("name", &self.name),
            ("issuer", &self.issuer),
            ("tenant_claim", &self.tenant_claim),
            ("user_claim", &self.user_claim),
            ("audience_claim", &self.audience_claim),
        ] {
            if text.is_empty() {
                problems.refuse(&key(name), "must be given");
            }
        }
        if self.audiences.is_empty() {
            problems.refuse(&key("audiences"), "must name at least one value");
        }
        let (kind, lifetime) = match self.kind {
            IssuerKindSetting::User => (IssuerKind::User, USER_LIFETIME_SECONDS),
            IssuerKindSetting::Assertion => (IssuerKind::Assertion, ASSERTION_LIFETIME_SECONDS),
        };
        let lifetime = self.max_lifetime_seconds.unwrap_or(lifetime);
        let max_lifetime = problems.seconds(&key("max_lifetime_seconds"), lifetime, 1..=YEAR_SECONDS);
        IssuerSettings {
            name: self.name.clone(),
            kind,
            issuer: self.issuer.clone(),
            keys: self.keys(index, problems),
            audience: AudienceClaim { claim: self.audience_claim.clone(), accepted: self.audiences.clone() },
            tenant_claim: self.tenant_claim.clone(),
            user_claim: self.user_claim.clone(),
            max_lifetime,
        }
    }

    /// The source of the keys. Where it is a problem, an empty path stands in for it.
    fn keys(&self, index: usize, problems: &mut Problems) -> KeySource {
        match (&self.jwks_file, &self.jwks_url) {
            (Some(path), None) => return KeySource::File(path.clone()),
            (None, Some(url)) if web_url(url).is_some() => return KeySource::Url(url.clone()),
            (None, Some(_)) => {
                let rule = "must begin with https:// (http:// on the same machine only) and name no user";
                problems.refuse(&format!("identity.issuers[{index}].jwks_url"), rule);
            }
            _ => {
                let rule = "exactly one of jwks_file and jwks_url must be given";
                problems.refuse(&format!("identity.issuers[{index}]"), rule);
            }
        }
        KeySource::File(PathBuf::new())
    }
}
