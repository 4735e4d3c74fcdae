//! The steps of a person who is back: carry the result to the application, or confirm or cancel here. The page can
//! be loaded again, for what the provider sent is kept until the consent is over.

use credvault_broker::{Callback, ConsentError, confirmation_code};
use credvault_domain::{AccountName, Connection, TenantScope};
use credvault_identity::Facts;
use credvault_store::AuthorizationError;
use secrecy::SecretString;

use super::found::{Failure, Found, Refused, ReturnPage, counted};
use super::{Browser, Browsers};
use crate::Refusal;

/// What is next for a consent that has come back.
#[derive(Debug)]
pub enum Returned {
    /// A page carries the result to its back end, which completes the consent.
    ToPage {
        /// The name that people know the provider by.
        provider: String,
        /// The address of that page.
        page: ReturnPage,
        /// The result that `CompleteAuthorization` takes.
        result: SecretString,
    },
    /// The person confirms the consent.
    ToPerson(Box<Question>),
}

/// What the person confirms.
#[derive(Debug)]
pub struct Question {
    /// The name that people know the provider by.
    pub provider: String,
    /// The account's name; empty if the connection has the name that all have that were given none.
    pub account: String,
    /// The account's id at the provider, where the provider has confirmed one.
    pub account_id: Option<String>,
    /// The name that people know the tenant by.
    pub tenant: String,
    /// The code to compare with the one that the beginner shows.
    pub code: String,
    /// The id of the consent's page.
    pub consent: String,
}

/// An account that a person has connected.
#[derive(Debug)]
pub struct Connected {
    /// The name that people know the provider by.
    pub provider: String,
    /// The account's id at the provider, where the provider has confirmed one.
    pub account_id: Option<String>,
    /// The name that people know the tenant by.
    pub tenant: String,
}

impl Browsers {
    /// What is next for a consent that has come back, for its own browser.
    ///
    /// # Errors
    /// It is over, or another browser's.
    pub async fn returned(&self, page: &str, browser: &Browser) -> Result<Returned, Refused> {
        let awaited = self.0.store.authorizations().find_page(page).await;
        let found = self.found(counted(awaited)?, browser.address).await?;
        match self.next(&found, browser).await {
            Ok(next) => Ok(next),
            Err(refusal) => Err(found.refused(refusal, browser).await),
        }
    }

    async fn next(&self, found: &Found, browser: &Browser) -> Result<Returned, Refusal> {
        let Found { awaited, connection, scope, .. } = found;
        check_open(found, browser)?;
        let kept = self.0.store.authorizations().callback(awaited).await?;
        if let Some(page) = found.waiting() {
            let provider = self.provider_name(connection);
            return Ok(Returned::ToPage { provider, page, result: kept.result });
        }
        let state = kept.parameters.get("state").map(String::as_str).unwrap_or_default();
        Ok(Returned::ToPerson(Box::new(Question {
            provider: self.provider_name(connection),
            account: account_name(connection),
            account_id: connection.confirmed_account_id.clone(),
            tenant: self.tenant_name(scope).await?,
            code: confirmation_code(state),
            consent: awaited.page(),
        })))
    }

    /// Completes a consent that the person has confirmed, or ends one that the person does not want any more.
    ///
    /// # Errors
    /// The consent is over, another browser's, or cannot be completed.
    pub async fn decided(&self, page: &str, connects: bool, browser: &Browser) -> Result<Connected, Refused> {
        let awaited = self.0.store.authorizations().find_page(page).await;
        let mut found = self.found(counted(awaited)?, browser.address).await?;
        match self.decision(&mut found, connects, browser).await {
            Ok(connected) => Ok(connected),
            Err(failure) => Err(found.failed(failure, browser).await),
        }
    }

    async fn decision(
        &self,
        found: &mut Found,
        connects: bool,
        browser: &Browser,
    ) -> Result<Connected, Failure> {
        check_open(found, browser)?;
        let Found { call, scope, awaited, connection } = found;
        // A consent that a page learned of is completed by that page's back end.
        if awaited.return_origin.is_some() {
            return Err(AuthorizationError::OtherWay.into());
        }
        let authorizations = self.0.store.authorizations();
        let kept = authorizations.callback(awaited).await?;
        if !connects {
            return Err(Failure::Declined(ConsentError::Denied.into()));
        }
        let tenant = self.tenant_name(scope).await?;
        let callback = Callback { parameters: &kept.parameters };
        // The browser finishes what a service began, so policy is asked about that service; before the state is taken.
        let permit = call.permit(scope, Facts::of(connection))?;
        let bringer = call.bringer(None, true);
        let returned = self.0.broker.take_callback(scope, callback, bringer, &permit).await?;
        let write = call.write(&permit, Ok(None))?;
        let completed = self.0.broker.complete_consent(found.target()?, &returned, callback, &write).await;
        let stored = completed.map_err(|error| Refusal::from(error).spent())?.into_inner();
        let account_id = stored.confirmed_account_id;
        Ok(Connected { provider: self.provider_name(&found.connection), account_id, tenant })
    }

    async fn tenant_name(&self, scope: &TenantScope) -> Result<String, Refusal> {
        let tenant = self.0.store.tenants().get(scope).await?;
        Ok(if tenant.display_name.is_empty() { tenant.id.to_string() } else { tenant.display_name })
    }

    fn provider_name(&self, connection: &Connection) -> String {
        self.0
            .catalog
            .get(&connection.provider)
            .map_or_else(String::new, |provider| provider.display_name.clone())
    }
}

/// What the account is called, unless that is what every account is called that was given no name.
fn account_name(connection: &Connection) -> String {
    let name = &connection.account_name;
    if name.as_str() == AccountName::DEFAULT { String::new() } else { name.to_string() }
}

/// Refuses another browser, and a consent that is over.
fn check_open(found: &Found, browser: &Browser) -> Result<(), Refusal> {
    found.awaited.check_browser(browser.id.as_deref())?;
    match found.awaited.over {
        Some(over) => Err(over.into()),
        None => Ok(()),
    }
}
