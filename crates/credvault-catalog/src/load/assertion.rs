//! Checked assertions, from their shape in a provider file.

use std::time::Duration;

use credvault_crypto::SigningAlgorithm;

use super::file::ModeFile;
use super::file::tokens::AssertionFile;
use super::names::Names;
use super::problem::Problem;
use super::stage::Stage;
use crate::assertion::{AssertionTemplates, DEFAULT_ALGORITHMS};

/// The longest life of an assertion that proves who a client is: it may be replayed until its end.
const MAX_PROOF_LIFETIME_SECONDS: u64 = 300;

impl Names<'_> {
    /// The assertion that is a grant.
    pub(super) fn assertion(&self, key: &str, file: AssertionFile) -> Result<AssertionTemplates, Problem> {
        let part = |part: &str, text: &str| self.template(&format!("{key}.{part}"), text, Stage::Assertion);
        let claims = file.claims.into_iter().map(|(name, value)| {
            let template = part(&format!("claims.{name}"), &value)?;
            Ok((name, template))
        });
        let named = file.algorithms.iter().map(|name| {
            let rule = || Problem::new(format!("{key}.algorithms"), "must have RS256, PS256 and ES256 only");
            SigningAlgorithm::named(name).ok_or_else(rule)
        });
        let algorithms = named.collect::<Result<Vec<_>, Problem>>()?;
        Ok(AssertionTemplates {
            claims: claims.collect::<Result<_, Problem>>()?,
            key: part("key", &file.key)?,
            key_id: file.key_id.map(|text| part("key_id", &text)).transpose()?,
            algorithms: if algorithms.is_empty() { DEFAULT_ALGORITHMS.to_vec() } else { algorithms },
            lifetime: Duration::from_secs(file.lifetime_seconds),
        })
    }

    /// The table `client_assertion`, taken out of `file`.
    pub(super) fn client_assertion(
        &self,
        key: &str,
        file: &mut ModeFile,
    ) -> Result<Option<AssertionTemplates>, Problem> {
        let Some(file) = file.client_assertion.take() else { return Ok(None) };
        if file.lifetime_seconds > MAX_PROOF_LIFETIME_SECONDS {
            return Err(Problem::new(format!("{key}.lifetime_seconds"), "must be 300 or less"));
        }
        if !file.claims.contains_key("jti") {
            return Err(Problem::new(format!("{key}.claims"), "must have jti, such as \"{flow.uuid}\""));
        }
        self.assertion(key, file).map(Some)
    }
}
