//! How a mode gets its credential, from the tables of a provider file: which tables go together, and what follows from
//! them.

use std::time::Duration;

use super::consent::checked_scopes;
use super::file::ModeFile;
use super::file::tokens::{RefreshFile, ScopesFile, TokenResponseFile};
use super::names::{Names, refers_to_flow};
use super::problem::Problem;
use super::stage::Stage;
use crate::call::Call;
use crate::consent_page::ConsentPage;
use crate::credential_test::CredentialTest;
use crate::mode::{Acquisition, ModeKind};
use crate::oauth::{CodeGrant, OAuth, Refresh, RefreshPolicy};
use crate::revocation::RevocationCall;
use crate::template::{Placeholder, Template};

impl Names<'_> {
    /// Checks how the mode at `key` gets its credential, and takes the tables about it out of `file`.
    pub(super) fn acquisition(
        &self,
        key: &str,
        file: &mut ModeFile,
        revocation: Option<&RevocationCall>,
        test: Option<&CredentialTest>,
    ) -> Result<Acquisition, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let code = self.code_grant(key, file)?;
        let refresh = file.refresh.take().map(|refresh| self.refresh(&at("refresh"), refresh)).transpose()?;
        let (scopes, response) = (file.scopes.take(), file.token_response.take());
        let client_assertion = self.client_assertion(&at("client_assertion"), file)?;
        let has_scopes = scopes.is_some();
        let gives_tokens = code.is_some() || refresh.is_some();
        if response.is_some() && !gives_tokens {
            return Err(Problem::new(at("token_response"), "must come with exchange or refresh"));
        }
        if client_assertion.is_some() && !gives_tokens {
            return Err(Problem::new(at("client_assertion"), "must come with exchange or refresh"));
        }
        let scopes = scopes.unwrap_or_default();
        let calls = code.iter().map(|code| &code.exchange).chain(refresh.iter().map(|refresh| &refresh.call));
        let calls = calls.chain(revocation.map(|it| &it.call)).chain(test.map(|it| &it.call));
        if client_assertion.is_none() && calls.into_iter().any(|call| sends(call, "client_assertion")) {
            return Err(Problem::new(key, "sends {flow.client_assertion}, and there is no client_assertion"));
        }
        let acquisition = match (file.delivery.take(), gives_tokens) {
            (None, false) => Acquisition::Static,
            (Some(delivery), false) => {
                Acquisition::Delivered(Box::new(self.delivery(&at("delivery"), delivery, scopes)?))
            }
            (Some(_), true) => {
                return Err(Problem::new(at("delivery"), "must not be given beside exchange or refresh"));
            }
            (None, true) => {
                if !self.secrets.contains_key("access_token") && file.kind != ModeKind::ServiceAccount {
                    return Err(Problem::new(
                        at("secret"),
                        "must have the field access_token, which holds the access token",
                    ));
                }
                let response = response.unwrap_or_default();
                let oauth = self.oauth(&at("token_response"), response, scopes, code, refresh)?;
                Acquisition::Tokens(Box::new(OAuth { client_assertion, ..oauth }))
            }
        };
        if has_scopes && !asks_for_scopes(&acquisition) {
            return Err(Problem::new(at("scopes"), "must be asked for: no call or page sends {flow.scope}"));
        }
        Ok(acquisition)
    }

    /// The tables `authorize`, `exchange` and `post_exchange`.
    fn code_grant(&self, key: &str, file: &mut ModeFile) -> Result<Option<CodeGrant>, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let exchange = file.exchange.take().map(|call| self.call(&at("exchange"), call, Stage::Exchange));
        let authorize = file.authorize.take().map(|authorize| self.authorize(&at("authorize"), authorize));
        let post_exchange = file.post_exchange.take();
        let (authorize, exchange) = match (authorize.transpose()?, exchange.transpose()?) {
            (Some(authorize), Some(exchange)) => (authorize, exchange),
            (None, None) if post_exchange.is_some() => {
                return Err(Problem::new(at("post_exchange"), "must come with exchange"));
            }
            (None, None) => return Ok(None),
            (Some(_), None) | (None, Some(_)) => {
                return Err(Problem::new(key, "must have both authorize and exchange, or neither"));
            }
        };
        if file.kind != ModeKind::Oauth2Code {
            return Err(Problem::new(at("kind"), "must be oauth2_code for a mode with authorize"));
        }
        if authorize.pkce && !sends(&exchange, "code_verifier") {
            return Err(Problem::new(
                at("exchange"),
                "must send {flow.code_verifier}, for authorize sends its challenge",
            ));
        }
        let post_exchange =
            post_exchange.map(|it| self.post_exchange(&at("post_exchange"), it)).transpose()?;
        Ok(Some(CodeGrant { authorize, exchange, post_exchange }))
    }

    fn refresh(&self, key: &str, file: RefreshFile) -> Result<Refresh, Problem> {
        let at = |part: &str| format!("{key}.{part}");
        let call = self.call(&at("call"), file.call, Stage::Refresh)?;
        let assertion = file.assertion.map(|assertion| self.assertion(&at("assertion"), assertion));
        let assertion = assertion.transpose()?;
        if assertion.is_none() && sends(&call, "assertion") {
            return Err(Problem::new(at("call"), "sends {flow.assertion}, and there is no assertion"));
        }
        let policy = RefreshPolicy {
            rotates: file.rotates,
            grace: Duration::from_secs(file.grace_seconds),
            idle: file.idle_timeout_seconds.map(Duration::from_secs),
            consent: file.consent_lifetime_seconds.map(Duration::from_secs),
            refresh_immediately: file.refresh_immediately,
            reuse_ends_other_consents: file.reuse_ends_other_consents,
        };
        Ok(Refresh { call, assertion, policy })
    }

    fn oauth(
        &self,
        response_key: &str,
        response: TokenResponseFile,
        scopes: ScopesFile,
        code: Option<CodeGrant>,
        refresh: Option<Refresh>,
    ) -> Result<OAuth, Problem> {
        let client_per_connection =
            refresh.as_ref().is_some_and(|refresh| !self.names_app(refresh.call.templates()));
        let of_account = |template: &Template| {
            template.placeholders().any(|placeholder| matches!(placeholder, Placeholder::Config(_)))
        };
        let shared_token_host = !refresh.as_ref().is_some_and(|refresh| of_account(&refresh.call.url));
        let response =
            self.token_response(response_key, response, &scopes.separator, client_per_connection)?;
        Ok(OAuth {
            code,
            scopes: checked_scopes(scopes),
            refresh,
            client_assertion: None,
            client_per_connection,
            shared_token_host,
            response,
        })
    }
}

/// Whether a page or call on the way to the credential sends `{flow.scope}`.
fn asks_for_scopes(acquisition: &Acquisition) -> bool {
    let on_page = |page: &ConsentPage| refers_to_flow(page.query.iter().map(|(_, value)| value), "scope");
    match acquisition {
        Acquisition::Static => false,
        Acquisition::Delivered(delivery) => on_page(&delivery.page),
        Acquisition::Tokens(oauth) => {
            let by_code = |code: &CodeGrant| on_page(&code.authorize.page) || sends(&code.exchange, "scope");
            let by_refresh = |refresh: &Refresh| {
                let claims = refresh.assertion.iter().flat_map(|assertion| assertion.claims.values());
                sends(&refresh.call, "scope") || refers_to_flow(claims, "scope")
            };
            oauth.code.as_ref().is_some_and(by_code) || oauth.refresh.as_ref().is_some_and(by_refresh)
        }
    }
}

/// Whether the call sends `{flow.name}`.
fn sends(call: &Call, name: &str) -> bool {
    refers_to_flow(call.templates(), name)
}
