//! What the person does who has come back: carry the answer to the application, or confirm or cancel here. The page can
//! be loaded again, for what the provider sent is kept until the consent is over.

use credvault_broker::{Callback, ConsentError, confirmation_code};
use credvault_domain::{Action, AuditEvent, Connection};
use credvault_identity::Facts;
use credvault_store::{AuthorizationError, Bringer, Write};
use http::StatusCode;

use super::consent::{Browser, Consents, Found, Parameters, caller};
use super::page::{Page, Question};
use super::refused::page_of;
use credvault_operations::Refusal;

impl Consents {
    /// The page of a consent that has come back, for its own browser.
    pub(super) async fn returned(&self, page: &str, browser: &Browser) -> Page {
        match self.waiting(page, browser).await {
            Ok(found) => self.shown(&found).await.unwrap_or_else(|refusal| page_of(&refusal)),
            Err(refusal) => page_of(&refusal),
        }
    }

    async fn waiting(&self, page: &str, browser: &Browser) -> Result<Found, Refusal> {
        let found = self.found(self.0.store.authorizations().find_page(page).await?).await?;
        found.awaited.check_browser(browser.id.as_deref())?;
        match found.awaited.over {
            Some(over) => Err(over.into()),
            None => Ok(found),
        }
    }

    async fn shown(&self, found: &Found) -> Result<Page, Refusal> {
        let Found { awaited, connection, scope, .. } = found;
        let kept = self.0.store.authorizations().callback(awaited).await?;
        if let Some(back) = found.back() {
            let page = Page::plain(StatusCode::OK, "returned", "Almost done", "The provider has answered.");
            return Ok(page.telling(Some(back), "returned").with_result(kept.result));
        }
        let tenant = self.0.store.tenants().get(scope).await?;
        let name = connection.account_name.to_string();
        let state = kept.parameters.get("state").map(String::as_str).unwrap_or_default();
        let question = Question {
            provider: self.provider_name(connection),
            account: match &connection.confirmed_account_id {
                Some(id) => format!("{name} ({id})"),
                None => name,
            },
            tenant: if tenant.display_name.is_empty() { tenant.id.to_string() } else { tenant.display_name },
            code: confirmation_code(state),
            consent: awaited.page(),
        };
        let text =
            "Confirm only if you have begun this yourself, and the place where you did shows the same code.";
        Ok(Page {
            question: Some(Box::new(question)),
            ..Page::plain(StatusCode::OK, "confirm", "Connect this account?", text)
        })
    }

    /// Completes a consent that the person has confirmed, or ends one that the person does not want any more.
    pub(super) async fn decided(&self, form: Parameters, browser: Browser) -> Page {
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let authorizations = self.0.store.authorizations();
        let found = match authorizations.find_page(field("consent")).await {
            Ok(awaited) => self.found(awaited).await,
            Err(error) => Err(error.into()),
        };
        let found = match found {
            Ok(found) => found,
            Err(refusal) => return page_of(&refusal),
        };
        match self.decision(&found, field("decision"), &browser).await {
            Ok(()) => {
                let provider = self.provider_name(&found.connection);
                let text = format!("{provider} is connected. You may close this window.");
                Page::plain(StatusCode::OK, "connected", "Connected", text)
            }
            Err(refusal) => self.refused(&found, &refusal, &browser).await,
        }
    }

    async fn decision(&self, found: &Found, decision: &str, browser: &Browser) -> Result<(), Refusal> {
        let Found { scope, awaited, .. } = found;
        awaited.check_browser(browser.id.as_deref())?;
        if let Some(over) = awaited.over {
            return Err(over.into());
        }
        // A consent that a page was told of is completed by that page's back end.
        if awaited.return_origin.is_some() {
            return Err(AuthorizationError::OtherWay.into());
        }
        let authorizations = self.0.store.authorizations();
        let kept = authorizations.callback(awaited).await?;
        if decision != "connect" {
            authorizations.decline(awaited).await?;
            return Err(ConsentError::Denied.into());
        }
        let callback = Callback { parameters: &kept.parameters };
        let broker = &self.0.broker;
        // The browser finishes what a service began, so policy is asked about that service; before the state is taken.
        let (identity, facts) = (&self.0.identity, Facts::of(&found.connection));
        let permit =
            identity.authorize(&caller(awaited), Action::CompleteAuthorization, &awaited.tenant, facts)?;
        let bringer = Bringer { user: awaited.beginner.user.as_ref(), session: None, public: true };
        let returned = broker.take_callback(scope, callback, bringer).await?;
        let event = AuditEvent { policies: permit.policies, ..found.event(browser) };
        let write = Write { event, repeat: None };
        let target = self.target(found)?;
        let completed = broker.complete_consent(target, &returned, callback, &write).await;
        completed.map_err(|error| Refusal::from(error).spent())?.into_inner();
        Ok(())
    }

    fn provider_name(&self, connection: &Connection) -> String {
        self.0
            .catalog
            .get(&connection.provider)
            .map_or_else(String::new, |provider| provider.display_name.clone())
    }
}
