//! Checked rules for a provider's answers, from their shape in a provider file.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_domain::FieldName;

use super::conditions::{conditions, optional_path, path};
use super::file::call::{ConditionFile, PathFile, RevokeFile, TestFile};
use super::file::tokens::{PostExchangeFile, TokenResponseFile};
use super::names::Names;
use super::problem::Problem;
use super::stage::Stage;
use crate::condition::Condition;
use crate::credential_test::CredentialTest;
use crate::field::FieldKind;
use crate::path::Path;
use crate::post_exchange::PostExchange;
use crate::revocation::RevocationCall;
use crate::setting_paths::{SettingPath, SettingPaths};
use crate::token_response::TokenResponse;

impl Names<'_> {
    /// How answers with tokens are read. `separator` stands between two scopes that are asked for. `own_client` is
    /// whether the client is the connection's own.
    pub(super) fn token_response(
        &self,
        key: &str,
        file: TokenResponseFile,
        separator: &str,
        own_client: bool,
    ) -> Result<TokenResponse, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let path = |part: &str, file: &PathFile| path(&at(part), file);
        let optional = |part: &str, file: &Option<PathFile>| optional_path(&at(part), file.as_ref());
        let mut invalid_grant = conditions(&at("invalid_grant"), file.invalid_grant)?;
        check_bodies(&at("invalid_grant"), &invalid_grant)?;
        invalid_grant.push(Condition::error(&["invalid_grant"]));
        let mut refused_client = Vec::new();
        // The owner of the client has to act: the connection's owner or the platform.
        let client = Condition::error(&["invalid_client", "unauthorized_client"]);
        if own_client { &mut invalid_grant } else { &mut refused_client }.push(client);
        Ok(TokenResponse {
            success: conditions(&at("success"), file.success)?,
            access_token: path("access_token", &file.access_token)?,
            refresh_token: path("refresh_token", &file.refresh_token)?,
            expires_in: path("expires_in", &file.expires_in)?,
            expires_at: optional("expires_at", &file.expires_at)?,
            default_lifetime: file.default_lifetime_seconds.map(Duration::from_secs),
            refresh_token_expires_in: path("refresh_token_expires_in", &file.refresh_token_expires_in)?,
            refresh_token_expires_at: optional("refresh_token_expires_at", &file.refresh_token_expires_at)?,
            scope: path("scope", &file.scope)?,
            scope_separator: file.scope_separator.unwrap_or_else(|| separator.to_owned()),
            settings: self.setting_paths(&at("settings"), file.settings)?,
            secrets: self.secret_paths(&at("secrets"), &file.secrets)?,
            account_id: optional("account_id", &file.account_id)?,
            error_code: path("error_code", &file.error_code)?,
            invalid_grant,
            invalid_client: conditions(&at("invalid_client"), file.invalid_client)?,
            refused_client,
            rate_limited: conditions(&at("rate_limited"), file.rate_limited)?,
            concurrent_request: conditions(&at("concurrent_request"), file.concurrent_request)?,
            clock_skew: conditions(&at("clock_skew"), file.clock_skew)?,
        })
    }

    /// The call after the exchange.
    pub(super) fn post_exchange(&self, key: &str, file: PostExchangeFile) -> Result<PostExchange, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        Ok(PostExchange {
            call: self.call(&at("call"), file.call, Stage::PostExchange)?,
            optional: file.optional,
            success: conditions(&at("success"), file.success)?,
            settings: self.setting_paths(&at("settings"), file.settings)?,
            account_id: optional_path(&at("account_id"), file.account_id.as_ref())?,
        })
    }

    /// The call that revokes a token.
    pub(super) fn revocation(&self, key: &str, file: RevokeFile) -> Result<RevocationCall, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        Ok(RevocationCall {
            call: self.call(&at("call"), file.call, Stage::Revocation)?,
            success: conditions(&at("success"), file.success)?,
            already_revoked: conditions(&at("already_revoked"), file.already_revoked)?,
        })
    }

    /// The call that tests a credential.
    pub(super) fn test(&self, key: &str, file: TestFile) -> Result<CredentialTest, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let or_status = |part: &str, files: Vec<ConditionFile>, status: u16| {
            let given = conditions(&at(part), files)?;
            Ok::<_, Problem>(if given.is_empty() { vec![Condition::status(status)] } else { given })
        };
        Ok(CredentialTest {
            call: self.call(&at("call"), file.call, Stage::Test)?,
            success: conditions(&at("success"), file.success)?,
            account_id: optional_path(&at("account_id"), file.account_id.as_ref())?,
            account_display_name: optional_path(
                &at("account_display_name"),
                file.account_display_name.as_ref(),
            )?,
            rejected: or_status("rejected", file.rejected, 401)?,
            forbidden: or_status("forbidden", file.forbidden, 403)?,
            rate_limited: conditions(&at("rate_limited"), file.rate_limited)?,
        })
    }

    /// The paths of secret fields of the mode.
    pub(super) fn secret_paths(
        &self,
        key: &str,
        files: &BTreeMap<String, PathFile>,
    ) -> Result<BTreeMap<FieldName, Path>, Problem> {
        let secret = |(name, file): (&String, &PathFile)| {
            let key = format!("{key}.{name}");
            let Some((field, _)) = self.secrets.get_key_value(name.as_str()) else {
                return Err(Problem::new(key, "is no secret field of this mode"));
            };
            Ok((field.clone(), path(&key, file)?))
        };
        files.iter().map(secret).collect()
    }

    fn setting_paths(&self, key: &str, files: BTreeMap<String, PathFile>) -> Result<SettingPaths, Problem> {
        let setting = |(name, file): (String, PathFile)| {
            let key = format!("{key}.{name}");
            let Some(field) = self.config.get(name.as_str()) else {
                return Err(Problem::new(key, "is no setting of this mode"));
            };
            let text = !matches!(field.kind, FieldKind::Integer | FieldKind::Boolean);
            Ok((name, SettingPath { path: path(&key, &file)?, text }))
        };
        Ok(SettingPaths(files.into_iter().map(setting).collect::<Result<_, _>>()?))
    }
}

/// Checks that each condition asks something of the body.
fn check_bodies(key: &str, conditions: &[Condition]) -> Result<(), Problem> {
    match conditions.iter().position(|condition| !condition.needs_body()) {
        Some(index) => {
            let rule = "must look for something in the body: a status alone may be a gateway's, and ends the consent";
            Err(Problem::new(key, format!("[{index}] {rule}")))
        }
        None => Ok(()),
    }
}
