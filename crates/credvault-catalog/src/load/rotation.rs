//! Checked rotations of credentials, from their shape in a provider file.

use std::time::Duration;

use super::conditions::{conditions, optional_path};
use super::file::call::RevokeFile;
use super::file::rotation::{MintFile, RotationFile};
use super::names::{Names, refers_to_flow};
use super::problem::Problem;
use super::stage::Stage;
use crate::credential_test::CredentialTest;
use crate::mode::{Acquisition, ModeKind};
use crate::revocation::RevocationCall;
use crate::rotation::{KeyRotation, Mint, OldKeyEnd};
use crate::template::Placeholder;

/// The longest time for which an old key works beside a new one.
const MAX_OVERLAP_SECONDS: u64 = 30 * 24 * 3600;
/// The longest time for which a provider may refuse a new key.
const MAX_UNUSABLE_SECONDS: u64 = 3600;
/// The most days after which a file may advise to replace a credential.
const MAX_DAYS: u32 = 730;

impl Names<'_> {
    /// Checks how the credential of a mode is replaced. `test` is the mode's test.
    pub(super) fn rotation(
        &self,
        key: &str,
        file: RotationFile,
        (kind, acquisition): (ModeKind, &Acquisition),
        test: Option<&CredentialTest>,
    ) -> Result<KeyRotation, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        if kind != ModeKind::Static || matches!(acquisition, Acquisition::Tokens(_)) {
            return Err(Problem::new(
                key,
                "must be of a mode of the kind static: tokens are refreshed instead",
            ));
        }
        if file.rotate_after_days.is_some_and(|days| !(1..=MAX_DAYS).contains(&days)) {
            return Err(Problem::new(at("rotate_after_days"), "must be from 1 to 730"));
        }
        if file.mint.is_none() {
            check_by_hand(key, &file)?;
        }
        let RotationFile {
            rotate_after_days,
            mint,
            key_id,
            revoke,
            discard,
            overlap_seconds,
            self_replacing,
            usable_after_seconds,
        } = file;
        let Some(mint) = mint else { return Ok(KeyRotation { rotate_after_days, mint: None }) };
        check_test(key, &mint, test)?;
        if usable_after_seconds > MAX_UNUSABLE_SECONDS {
            return Err(Problem::new(at("usable_after_seconds"), "must be at most 3600"));
        }
        let end = old_key_end(key, revoke.is_some(), overlap_seconds, self_replacing)?;
        let key_id = key_id.map(|text| self.template(&at("key_id"), &text, Stage::Request)).transpose()?;
        let has_id = key_id.is_some();
        let end_call = |part: &str, file: Option<RevokeFile>| {
            file.map(|file| self.key_end(&at(part), file, has_id)).transpose()
        };
        let (revoke, discard) = (end_call("revoke", revoke)?, end_call("discard", discard)?);
        let mint = Mint { key_id, end, revoke, discard, ..self.mint(&at("mint"), mint)? };
        let usable_after = Duration::from_secs(usable_after_seconds);
        Ok(KeyRotation { rotate_after_days, mint: Some(Mint { usable_after, ..mint }) })
    }

    /// The call that makes another key.
    fn mint(&self, key: &str, file: MintFile) -> Result<Mint, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let fields = self.secret_paths(&at("fields"), &file.fields)?;
        if fields.is_empty() {
            return Err(Problem::new(at("fields"), "must have the secret fields of the new key"));
        }
        let account = file.account_id.as_deref();
        let account =
            account.map(|text| self.template(&at("account_id"), text, Stage::Request)).transpose()?;
        let is_setting = |placeholder: &Placeholder| {
            matches!(placeholder, Placeholder::Config(_) | Placeholder::Derived(_))
        };
        if account.as_ref().is_some_and(|account| !account.placeholders().all(is_setting)) {
            return Err(Problem::new(at("account_id"), "must be made of settings"));
        }
        Ok(Mint {
            call: self.call(&at("call"), file.call, Stage::Mint)?,
            end: OldKeyEnd::AtOnce,
            revoke: None,
            discard: None,
            usable_after: Duration::ZERO,
            success: conditions(&at("success"), file.success)?,
            fields,
            expires_in: optional_path(&at("expires_in"), file.expires_in.as_ref())?,
            expires_at: optional_path(&at("expires_at"), file.expires_at.as_ref())?,
            key_id: None,
            account,
        })
    }

    /// A call that ends a key.
    fn key_end(&self, key: &str, file: RevokeFile, has_id: bool) -> Result<RevocationCall, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let call = self.call(&at("call"), file.call, Stage::KeyEnd)?;
        if !has_id && refers_to_flow(call.templates(), "old_key_id") {
            return Err(Problem::new(at("call"), "sends {flow.old_key_id}, and there is no key_id"));
        }
        Ok(RevocationCall {
            call,
            success: conditions(&at("success"), file.success)?,
            already_revoked: conditions(&at("already_revoked"), file.already_revoked)?,
        })
    }
}

/// Checks that a new key can be tested as the file says.
fn check_test(key: &str, mint: &MintFile, test: Option<&CredentialTest>) -> Result<(), Problem> {
    let Some(test) = test else {
        let rule = "must come with test: a new key is tried before it is served";
        return Err(Problem::new(format!("{key}.mint"), rule));
    };
    if mint.account_id.is_some() && test.account_id.is_none() {
        let rule = "must come with test.account_id, which it is compared with";
        return Err(Problem::new(format!("{key}.mint.account_id"), rule));
    }
    Ok(())
}

/// Checks a rotation without a call that makes another key.
fn check_by_hand(key: &str, file: &RotationFile) -> Result<(), Problem> {
    let with_mint = [
        ("key_id", file.key_id.is_some()),
        ("revoke", file.revoke.is_some()),
        ("discard", file.discard.is_some()),
        ("overlap_seconds", file.overlap_seconds.is_some()),
        ("self_replacing", file.self_replacing),
        ("usable_after_seconds", file.usable_after_seconds > 0),
    ];
    if let Some((part, _)) = with_mint.iter().find(|(_, given)| *given) {
        return Err(Problem::new(format!("{key}.{part}"), "must come with mint"));
    }
    match file.rotate_after_days {
        Some(_) => Ok(()),
        None => Err(Problem::new(key, "must have mint or rotate_after_days")),
    }
}

/// How the old key ends, as the keys of the file say it together.
fn old_key_end(
    key: &str,
    revokes: bool,
    overlap_seconds: Option<u64>,
    self_replacing: bool,
) -> Result<OldKeyEnd, Problem> {
    let at = |part: &str| format!("{key}.{part}");
    if overlap_seconds.is_some_and(|seconds| seconds > MAX_OVERLAP_SECONDS) {
        return Err(Problem::new(at("overlap_seconds"), "must be at most 2592000, 30 days"));
    }
    let overlap = Duration::from_secs(overlap_seconds.unwrap_or(0));
    match (self_replacing, revokes, overlap_seconds) {
        (true, false, None) => Ok(OldKeyEnd::AtOnce),
        (true, _, _) => Err(Problem::new(
            at("self_replacing"),
            "must not be given beside revoke or overlap_seconds: the old key has ended",
        )),
        (false, true, _) => Ok(OldKeyEnd::Revoked(overlap)),
        (false, false, Some(1..)) => Ok(OldKeyEnd::ByItself(overlap)),
        (false, false, _) => Err(Problem::new(
            key,
            "must say how the old key ends: revoke, self_replacing, or overlap_seconds if the provider ends it by itself",
        )),
    }
}
