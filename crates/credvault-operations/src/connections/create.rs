//! `CreateConnection`: a connection, with its first credential if one is given.

use std::time::Duration;

use credvault_catalog::{Mode, Provider, Verdict};
use credvault_domain::{
    AccountName, AuthMode, Config, Connection, Labels, LimitKind, Owner, ProviderId, Violations,
};
use credvault_identity::Facts;
use credvault_store::{NewConnection, NewCredential, Recorded, RotationPlan};
use serde_json::{Map, Value};

use crate::call::Subject;
use crate::credentials::{GivenCredential, accepted, accepted_config, new_credential, try_out};
use crate::{Call, Context, Parsed, Refusal, Repeat};

/// A connection to be created.
#[derive(Debug)]
pub struct Create {
    /// The provider, by its catalog id.
    pub provider: ProviderId,
    /// The owner, if the request names one.
    pub owner: Parsed<Option<Owner>>,
    /// How a repetition is recognised.
    pub repeat: Parsed<Option<Repeat>>,
    /// The auth mode; empty means the provider's only one.
    pub auth_mode: String,
    /// The name among its owner's connections.
    pub account_name: Parsed<AccountName>,
    /// Settings that its provider asks for.
    pub config: Map<String, Value>,
    /// Labels that callers filter by.
    pub labels: Parsed<Labels>,
    /// The account's id at the provider, if the caller knows it.
    pub external_account_id: Parsed<Option<String>>,
    /// How often its credential is to be replaced, in whole days, if it is.
    pub rotation_period: Parsed<Option<Duration>>,
    /// Its first credential, if there is one.
    pub credential: Option<GivenCredential>,
    /// Whether the provider is asked first whether it accepts the credential, if it can be asked.
    pub verify: bool,
    /// Whether fetches are served.
    pub enabled: bool,
}

/// `CreateConnection`.
///
/// # Errors
/// Policy does not permit it, the request is not what the provider's auth mode takes, or the name is taken.
pub async fn create(call: &mut Call, create: Create) -> Result<Recorded<Connection>, Refusal> {
    Ok(create_tested(call, create).await?.map(|(connection, _)| connection))
}

/// The same, with what the provider said of the credential, if it was asked.
///
/// # Errors
/// As for [`create`].
pub(crate) async fn create_tested(
    call: &mut Call,
    mut create: Create,
) -> Result<Recorded<(Connection, Option<Verdict>)>, Refusal> {
    let scope = call.scope()?;
    call.about(Subject::provider(&create.provider));
    let named = std::mem::replace(&mut create.owner, Ok(None))?;
    let owner = call.owner(&scope, named)?;
    let facts = Facts { provider: Some(&create.provider), owner: Some(&owner), purpose: None };
    let permit = call.permit(&scope, facts)?;
    let write = call.write(&permit, std::mem::replace(&mut create.repeat, Ok(None)))?;
    let verify = create.verify;
    let (mut new, mut credential) = checked(&call.context, owner, create)?;
    let context = call.context.clone();
    let connections = context.store.connections();
    let mut verdict = None;
    if let Some(credential) = &mut credential {
        let mode = context.mode(&new.provider, &new.auth_mode)?;
        let tries = verify && mode.can_be_tried();
        // A provider is asked only about what was not done before, and will not be refused.
        if tries && let Some(before) = connections.before_create(&scope, &new, &write).await? {
            return Ok(before.map(|connection| (connection, None)));
        }
        new.config = context.broker.discovered(mode, &new.config).await?;
        if tries {
            call.count_everywhere(&scope, LimitKind::TestsPerMinute).await?;
            let said = try_out(&context, &scope, &new.provider, (mode, &new.config), credential).await?;
            credential.accepted = accepted(&said, mode, &new.config);
            verdict = Some(said);
        }
    }
    let created = connections.create(&scope, &new, credential.as_ref(), &write).await?;
    Ok(created.map(|connection| (connection, verdict)))
}

/// Holds everything against the provider's auth mode, and names all that is wrong at once.
pub(super) fn checked(
    context: &Context,
    owner: Owner,
    create: Create,
) -> Result<(NewConnection, Option<NewCredential>), Refusal> {
    let provider = context.catalog.get(&create.provider).ok_or(Refusal::ProviderUnknown)?;
    let (auth_mode, mode) = chosen_mode(provider, &create.auth_mode)?;
    let mut violations = Violations::default();
    let account_name = violations.collect(create.account_name);
    let config =
        violations.collect(accepted_config(context, "config", create.config, mode, &Config::default()));
    let labels = violations.collect(create.labels);
    let external_account_id = violations.collect(create.external_account_id);
    let period = violations.collect(create.rotation_period);
    let credential = create.credential.map(|given| new_credential(context, given, mode)).transpose();
    let credential = violations.collect(credential);
    let parsed = account_name.zip(config).zip(labels).zip(external_account_id).zip(period).zip(credential);
    let Some((((((account_name, config), labels), external_account_id), period), credential)) = parsed else {
        return Err(violations.into());
    };
    let (provider, enabled) = (create.provider, create.enabled);
    let rotation = period.map(|period| rotation_plan(period, mode, &config));
    let new = NewConnection {
        owner,
        provider,
        account_name,
        auth_mode,
        config,
        labels,
        external_account_id,
        enabled,
        rotation,
    };
    Ok((new, credential))
}

/// How often a credential of the mode is to be replaced: by the vault, if its provider has a call for that, and these
/// settings have what it takes.
pub(super) fn rotation_plan(period: Duration, mode: &Mode, config: &Config) -> RotationPlan {
    RotationPlan { period, mints: mode.mints_with(config) }
}

/// The auth mode that a request names, or the provider's only one.
pub(crate) fn chosen_mode<'a>(provider: &'a Provider, name: &str) -> Parsed<(AuthMode, &'a Mode)> {
    let named = AuthMode::parse(name).ok();
    let chosen = if name.is_empty() { provider.only_mode() } else { named.as_ref() };
    chosen.and_then(|name| Some((name.clone(), provider.mode(name)?))).ok_or_else(|| {
        let all: Vec<&str> = provider.modes().map(|(name, _)| name.as_str()).collect();
        Violations::of("auth_mode", format!("must be one of {}", all.join(", ")))
    })
}
