//! The verdict on one requirement: whether it is met, what is wrong, and what to do next. Reads nothing.

use std::collections::BTreeSet;

use credvault_catalog::{Mode, Provider};
use credvault_domain::{
    AuthMode, ConnectionState, LastError, Owner, ProviderId, Reason, Requirement, Timestamp, ToolName,
};
use credvault_store::ConnectionStanding;

use crate::Context;
use crate::standing::{Fault, fault};

/// Whether a requirement is met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckState {
    /// A fetch finds a connection of which nothing wrong is known.
    Connected,
    /// There is no credential.
    Missing,
    /// A fetch would find a connection that does not do.
    Broken,
}

/// What is wrong with a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// The connection is disabled.
    Disabled,
    /// Its credential does not work.
    Credential,
    /// The provider has not granted all scopes.
    Scopes,
    /// It authenticates in a way that the tool does not support.
    AuthMode,
    /// There is no app that a consent needs.
    App,
    /// The catalog does not have the provider or the auth mode any more.
    Catalog,
    /// Policy does not permit the check.
    Denied,
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing is to be done.
    None,
    /// Connect an account at the provider.
    Connect,
    /// Consent again, or store a new credential.
    Reauthorize,
    /// Enable the connection again.
    Enable,
    /// Ask an administrator of the platform.
    AskAdministrator,
    /// Wait until the provider answers again.
    WaitForProvider,
}

/// The answer about one requirement.
#[derive(Clone, Debug)]
pub struct Check {
    /// The tool that has the requirement, if one has.
    pub tool: Option<ToolName>,
    /// The requirement that was judged.
    pub requirement: Requirement,
    /// Whether it is met.
    pub state: CheckState,
    /// The connection that a fetch would use or find, or one without a credential.
    pub connection: Option<ConnectionStanding>,
    /// What is wrong, unless nothing but the connection is missing.
    pub problem: Option<Problem>,
    /// The reason of the problem, as in errors.
    pub reason: Option<String>,
    /// Since when, if that is known.
    pub time: Option<Timestamp>,
    /// The required scopes that are not granted.
    pub missing_scopes: Vec<String>,
    /// What to do next.
    pub step: Step,
    /// The same in a sentence, with the RPC that does it.
    pub text: &'static str,
}

/// What all verdicts of one call depend on.
pub(super) struct Judge<'a> {
    pub(super) context: &'a Context,
    /// The providers at which the tenant or the platform has an app.
    pub(super) apps: &'a BTreeSet<ProviderId>,
    /// The providers that fail for many tenants at the moment.
    pub(super) incidents: BTreeSet<ProviderId>,
}

impl Judge<'_> {
    /// The verdict on a requirement, for the connection that a fetch would find. `shows`: policy permits the check of it.
    pub(super) fn check(
        &self,
        tool: Option<ToolName>,
        requirement: Requirement,
        connection: Option<&ConnectionStanding>,
        shows: bool,
    ) -> Check {
        let mut check = Check {
            tool,
            requirement,
            state: CheckState::Broken,
            connection: connection.cloned().filter(|_| shows),
            problem: None,
            reason: None,
            time: None,
            missing_scopes: Vec::new(),
            step: Step::None,
            text: "nothing is to be done",
        };
        let Some(provider) = self.context.catalog.get(&check.requirement.provider) else {
            return self.uncatalogued(check);
        };
        if !shows {
            let text = "policy does not permit this caller to check it: ask an administrator";
            return check.fails(Problem::Denied, Reason::PolicyDenied, Step::AskAdministrator, text);
        }
        let fault = connection.map(|connection| fault(self.context, connection));
        match (connection, fault) {
            // A fetch does not look at one without a credential, whether it is enabled or not.
            (Some(connection), Some(fault)) if connection.current_version > 0 => {
                let judged = self.judged(check, connection, provider, fault);
                if self.incidents.contains(&provider.id) { judged.during_incident() } else { judged }
            }
            _ => {
                check.state = CheckState::Missing;
                self.missing(check, provider)
            }
        }
    }

    fn uncatalogued(&self, check: Check) -> Check {
        let text =
            "the vault's catalog no longer has it: ask an administrator to restore the provider's file";
        check.fails(Problem::Catalog, Reason::ProviderUnknown, Step::AskAdministrator, text)
    }

    /// The verdict where a fetch would find no credential.
    fn missing(&self, check: Check, provider: &Provider) -> Check {
        let reason = Reason::CredentialNotConfigured;
        let usable = |mode: &Mode| {
            let needs_app =
                mode.oauth().is_some_and(|oauth| oauth.code.is_some() && !oauth.client_per_connection);
            !needs_app || self.apps.contains(&provider.id)
        };
        let mut modes = modes(provider, &check.requirement.auth_modes);
        let had_some = !modes.is_empty();
        modes.retain(|mode| usable(mode));
        if had_some && modes.is_empty() {
            let text =
                "a consent needs an app at the provider: ask an administrator to store it with PutOAuthApp";
            return check.fails(Problem::App, reason, Step::AskAdministrator, text);
        }
        let by_consent = modes.iter().any(|mode| mode.consent_scopes().is_some());
        let waits = check.connection.as_ref().is_some_and(|known| known.state == ConnectionState::Connecting);
        let text = match (waits, by_consent, check.connection.is_some()) {
            (true, ..) => "a consent has begun: complete it, or begin again with BeginAuthorization",
            (_, true, _) => "have the account's owner consent: BeginAuthorization",
            (_, _, true) => "store a credential in this connection: PutCredential",
            (_, _, false) => "store a credential: CreateConnection",
        };
        Check { reason: Some(reason.as_str().to_owned()), step: Step::Connect, text, ..check }
    }

    /// The verdict on a connection with a credential.
    fn judged(
        &self,
        check: Check,
        connection: &ConnectionStanding,
        provider: &Provider,
        fault: Option<Fault>,
    ) -> Check {
        let of_platform = connection.owner == Owner::Platform;
        let mode = provider.mode(&connection.auth_mode);
        let consents = mode.is_some_and(|mode| mode.consent_scopes().is_some());
        let judged = match fault {
            Some(Fault::Disabled) => {
                let text = "enable the connection: UpdateConnection with enabled = true";
                check.fails(Problem::Disabled, Reason::ConnectionDisabled, Step::Enable, text)
            }
            Some(Fault::Credential(reason, time)) => {
                let (step, text) = next_after(&reason, consents);
                let problem = Some(Problem::Credential);
                Check { problem, reason: Some(reason), time: Some(time), step, text, ..check }
            }
            Some(Fault::Refresh(error)) => {
                let (step, text) = next_while_failing(&error);
                let (problem, time) = (Some(Problem::Credential), error.down_time);
                Check { problem, reason: Some(error.reason), time, step, text, ..check }
            }
            Some(Fault::Uncatalogued) => return self.uncatalogued(check),
            Some(Fault::Deleted(_) | Fault::NoCredential) | None => fitting(check, connection, consents),
        };
        let helps = matches!(judged.step, Step::Reauthorize | Step::Enable);
        if of_platform && helps {
            let text = "the platform's shared connection does not do: ask an administrator, or connect an account of \
                        the tenant or user";
            return Check { step: Step::AskAdministrator, text, ..judged };
        }
        judged
    }
}

impl Check {
    /// The same while the provider fails for many tenants. What only a person can mend stays as it is.
    fn during_incident(self) -> Self {
        let text = if self.state == CheckState::Connected {
            "the provider has an incident, which GetProvider shows: until it is over, a fetch that has to renew an access \
             token first may be refused"
        } else if self.step == Step::WaitForProvider {
            "the provider has an incident, which GetProvider shows; the vault tries again by itself"
        } else {
            return self;
        };
        Self { step: Step::WaitForProvider, text, ..self }
    }

    /// The same, broken or missing for this reason.
    fn fails(self, problem: Problem, reason: Reason, step: Step, text: &'static str) -> Self {
        Self { problem: Some(problem), reason: Some(reason.as_str().to_owned()), step, text, ..self }
    }
}

/// What to do about a credential that does not work.
fn next_after(reason: &str, consents: bool) -> (Step, &'static str) {
    let is = |known: Reason| known.as_str() == reason;
    if is(Reason::ReauthorizationRequired) || is(Reason::CredentialExpired) {
        let text = match consents {
            true => "have the account's owner consent again: BeginAuthorization",
            false => "store a new credential: PutCredential",
        };
        (Step::Reauthorize, text)
    } else if is(Reason::ProviderUnavailable) {
        (Step::WaitForProvider, "the provider does not answer; the vault tries again by itself")
    } else {
        (Step::AskAdministrator, "ask an administrator, who finds the cause in the vault's log")
    }
}

/// What to do while the vault cannot get an access token.
fn next_while_failing(error: &LastError) -> (Step, &'static str) {
    if error.passes() {
        let text = "the vault could not renew the access token, and tries again by itself; last_error of GetConnection says \
                    why and when";
        return (Step::WaitForProvider, text);
    }
    if error.asks_owner() {
        let text = "a setting or key of the connection is missing or cannot be used: have the account's owner give it with \
                    UpdateConnection, PutCredential or BeginAuthorization";
        return (Step::Reauthorize, text);
    }
    let text = "the vault cannot renew the access token: ask an administrator, whom last_error of GetConnection tells what is \
                wrong, such as an app that the provider refuses (PutOAuthApp)";
    (Step::AskAdministrator, text)
}

/// The verdict on a connection that works: whether it is what the tool can use.
fn fitting(check: Check, connection: &ConnectionStanding, consents: bool) -> Check {
    let accepted = &check.requirement.auth_modes;
    if !accepted.is_empty() && !accepted.contains(&connection.auth_mode) {
        let text =
            "connect an account with an auth mode that the tool supports: CreateConnection with auth_mode";
        return check.fails(Problem::AuthMode, Reason::StateInvalid, Step::Connect, text);
    }
    let missing = missing_scopes(&check.requirement, connection);
    if missing.is_empty() {
        return Check { state: CheckState::Connected, ..check };
    }
    let text = match consents {
        true => "have the account's owner consent to the missing scopes: BeginAuthorization with scopes",
        false => "store a credential that has the missing scopes: PutCredential",
    };
    let check = Check { missing_scopes: missing, ..check };
    check.fails(Problem::Scopes, Reason::ReauthorizationRequired, Step::Reauthorize, text)
}

/// The required scopes that were not granted. A provider that does not say what it granted has granted what was asked for
/// (RFC 6749, section 5.1); where no scope is known at all, nothing is known to be missing.
fn missing_scopes(requirement: &Requirement, connection: &ConnectionStanding) -> Vec<String> {
    let ConnectionStanding { scopes_asked, scopes_granted, .. } = connection;
    let known = if scopes_granted.is_empty() { scopes_asked } else { scopes_granted };
    if known.is_empty() {
        return Vec::new();
    }
    // Shopify reports `write_orders` alone for `read_orders` and `write_orders`.
    let covers = |scope: &str| {
        let wider = scope.strip_prefix("read_").map(|object| format!("write_{object}"));
        known.iter().any(|known| known == scope || Some(known) == wider.as_ref())
    };
    requirement.scopes.iter().filter(|scope| !covers(scope)).cloned().collect()
}

/// The provider's modes that a requirement accepts; none in it means all.
fn modes<'a>(provider: &'a Provider, accepted: &[AuthMode]) -> Vec<&'a Mode> {
    let fits = |name: &AuthMode| accepted.is_empty() || accepted.contains(name);
    provider.modes().filter(|(name, _)| fits(name)).map(|(_, mode)| mode).collect()
}
