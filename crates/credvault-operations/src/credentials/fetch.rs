//! A fetch: find the connection, ask policy, open the credential, fill the provider's request template, record.

use std::time::Duration;

use credvault_broker::{RefreshError, app_values};
use credvault_catalog::{Mode, RequestAuth};
use credvault_crypto::Tag;
use credvault_domain::{
    Connection, ConnectionId, FieldName, Owner, Permit, Purpose, SecretFields, TenantId, TenantScope,
    Timestamp, Version,
};
use credvault_identity::{Error as IdentityError, Facts};
use credvault_store::{
    AppFault, Dependant, Error as StoreError, OpenedCredential, Recorded, Selector, UsableApp, Weighed,
    weight_in_credential,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::rejected::settle;
use super::{Fresh, Rejection, fresh};
use crate::call::Subject;
use crate::{Call, Refusal};

/// How often a fetch begins, if what it finds goes away meanwhile.
const MAX_ATTEMPTS: usize = 3;
/// When a fetch that lacks the platform's app is worth another try.
const APP_RETRY: Duration = Duration::from_secs(60);
/// How many bytes stand around a text in an answer at most.
const FRAME_BYTES: usize = 32;

/// What a fetch asks for.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Which credential. A user in it is one that the request names itself.
    pub selector: Selector,
    /// What the caller wants it for.
    pub purpose: Option<Purpose>,
    /// The tag of what the provider has rejected, if the caller says so.
    pub rejected: Option<Tag>,
}

/// A credential as its caller gets it.
#[derive(Debug)]
pub struct Credential {
    /// The connection that has it.
    pub connection: Connection,
    /// The number of its version.
    pub version: Version,
    /// The fields that the caller may have.
    pub fields: SecretFields,
    /// What requests to the provider carry.
    pub request_auth: RequestAuth,
    /// When it, or its access token, stops working.
    pub expire_time: Option<Timestamp>,
    /// How long the caller may keep it.
    pub cache_duration: Duration,
    /// The tag of exactly this credential, for its caller.
    pub tag: String,
    /// What came of the rejection that the caller reported, if it did.
    pub rejection: Option<Rejection>,
}

impl Weighed for Credential {
    fn weight(&self) -> usize {
        let fields = self.fields.iter();
        let fields: usize =
            fields.map(|(name, value)| name.as_str().len() + value.expose_secret().len() + FRAME_BYTES).sum();
        let RequestAuth { base_url, headers, query, missing: _ } = &self.request_auth;
        let pairs = headers.iter().chain(query);
        let pairs: usize =
            pairs.map(|(name, value)| name.len() + value.expose_secret().len() + FRAME_BYTES).sum();
        weight_in_credential(&self.connection)
            + fields
            + pairs
            + base_url.as_ref().map_or(0, String::len)
            + self.tag.len()
            + 10 * FRAME_BYTES
    }
}

/// A credential that is ready but not recorded yet, so not to be sent.
pub(super) struct Found {
    pub(super) credential: Credential,
    pub(super) permit: Permit,
    pub(super) used: (TenantId, ConnectionId),
}

/// `FetchCredential`: the credential that a selector finds, fresh if it refreshes.
///
/// # Errors
/// There is none, policy does not permit the fetch, or its token could not be refreshed.
pub async fn fetch(call: &mut Call, fetch: Fetch) -> Result<Recorded<Credential>, Refusal> {
    let Found { credential, permit, used } = find(call, fetch).await?;
    call.room(credential.weight()).await?;
    call.recorded_fetch(&permit, used, credential).await
}

/// Finds a credential. If it is replaced meanwhile, the search begins anew, and policy is asked again.
pub(super) async fn find(call: &mut Call, fetch: Fetch) -> Result<Found, Refusal> {
    let Fetch { mut selector, purpose, rejected } = fetch;
    let scope = call.scope()?;
    let subject = match &selector {
        Selector::Connection { id, .. } => Subject::connection(*id),
        Selector::Provider { provider, .. } => Subject::provider(provider),
    };
    // On record, whatever becomes of the fetch.
    let changed = rejected.iter().map(|_| "rejected_tag".to_owned()).collect();
    call.about(Subject { purpose, changed, ..subject });
    if let Selector::Provider { provider, user, .. } = &mut selector {
        call.context.catalog.get(provider).ok_or(Refusal::ProviderUnknown)?;
        call.reach(&scope, user.as_ref())?;
        *user = user.take().or_else(|| call.caller().user().cloned());
    }
    for _ in 0..MAX_ATTEMPTS {
        if let Some(found) = try_find(call, &scope, &selector, rejected.as_ref()).await? {
            count_dependant(call, &scope, &selector, &found);
            return Ok(found);
        }
    }
    Err(StoreError::Conflict.into())
}

/// Counts a fetch of a tenant that is served the platform's shared credential.
fn count_dependant(call: &Call, scope: &TenantScope, selector: &Selector, found: &Found) {
    let (owner, _) = &found.used;
    if !owner.is_platform() || scope.tenant().is_platform() {
        return;
    }
    let user = match selector {
        Selector::Provider { user, .. } => user.clone(),
        Selector::Connection { .. } => call.caller().user().cloned(),
    };
    let (tenant, service) = (scope.tenant().clone(), call.caller().service.clone());
    let provider = found.credential.connection.provider.clone();
    call.context.dependants.count(Dependant { tenant, provider, user, service }, call.context.now());
}

/// Finds a connection, asks policy about it, opens the credential of that same connection, and fills the provider's
/// request template. `None` if the connection has gone meanwhile.
async fn try_find(
    call: &mut Call,
    scope: &TenantScope,
    selector: &Selector,
    rejected: Option<&Tag>,
) -> Result<Option<Found>, Refusal> {
    let context = call.context.clone();
    let credentials = context.store.credentials();
    let fetched =
        credentials.fetch(scope, selector).await.map_err(|error| not_configured(error, selector))?;
    call.room(fetched.weight()).await?;
    call.subject.found(&fetched.connection);
    let purpose = call.subject.purpose.clone();
    let permit = call.permit(scope, Facts { purpose: purpose.as_ref(), ..Facts::of(&fetched.connection) })?;
    let mode = context.mode(&fetched.connection.provider, &fetched.connection.auth_mode)?;
    mode.check_destinations(&fetched.connection.config).map_err(Refusal::Settings)?;
    if rejected.is_some() {
        // Where others keep the secret, they may have changed it.
        credentials.doubt(&fetched);
    }
    let fresh = fresh(&context, call.patience(), scope, fetched, mode).await;
    let fresh = fresh.map_err(|refusal| {
        if let Refusal::Store(error) = refusal { not_configured(error, selector) } else { refusal }
    });
    let Some(fresh) = fresh? else { return Ok(None) };
    let Some(tag) = rejected else { return Ok(Some(filled(call, fresh, mode, permit).await?)) };
    let named = matches!(selector, Selector::Connection { .. });
    let Some((fresh, rejection)) = settle(call, scope, fresh, mode, (tag, named)).await? else {
        return Ok(None);
    };
    let mut found = filled(call, fresh, mode, permit).await?;
    found.credential.rejection = Some(rejection);
    Ok(Some(found))
}

/// Takes out what the caller may not have, and fills the request template.
async fn filled(call: &mut Call, fresh: Fresh, mode: &Mode, mut permit: Permit) -> Result<Found, Refusal> {
    let Fresh { fetched, opened } = fresh;
    let tag = opened.tag(call.scope()?.tenant(), &fetched.tenant, &fetched.connection);
    let OpenedCredential { mut fields, version, expire_time, .. } = opened;
    let context = call.context.clone();
    // A connection that was read again may have other settings.
    mode.check_destinations(&fetched.connection.config).map_err(Refusal::Settings)?;
    call.subject.version = Some(version);
    let usable = match mode.request_names_app {
        true => {
            let Connection { provider, config, .. } = &fetched.connection;
            let place = context.broker.app_place(provider, config);
            context.store.apps().usable_at(&fetched.key(), &place).await?
        }
        false => None,
    };
    if let Some(app) = usable.as_ref().filter(|_| !mode.request_app_secrets.is_empty()) {
        permit = permit.and(permit_app_secrets(call, app)?);
    }
    let app = usable.as_ref().map(app_values);
    let request_auth = mode.request_auth(&fetched.connection.config, &fields, app.as_ref());
    check_complete(&request_auth, &fields, mode)?;
    let inside = |(name, _): (&FieldName, &SecretString)| mode.is_vault_only(name).then(|| name.to_string());
    let mut released: Vec<String> = fields.iter().filter_map(inside).collect();
    if !released.is_empty() {
        let facts = Facts { purpose: call.subject.purpose.as_ref(), ..Facts::of(&fetched.connection) };
        match call.permit_release(&fetched.tenant, facts) {
            Ok(more) => permit = permit.and(more),
            Err(_) => {
                fields.retain(|name| !mode.is_vault_only(name));
                released.clear();
            }
        }
    }
    released.extend(mode.request_app_secrets.iter().cloned());
    call.subject.released = released;
    let left = expire_time.map_or(Duration::MAX, |time| context.now().until(time));
    let used = (fetched.tenant, fetched.connection.id);
    let credential = Credential {
        connection: fetched.connection,
        version,
        fields,
        request_auth,
        expire_time,
        cache_duration: context.cache_duration.min(left),
        tag,
        rejection: None,
    };
    Ok(Found { credential, permit, used })
}

/// Asks policy whether the caller may have the app's secrets, which requests to the provider carry.
fn permit_app_secrets(call: &Call, app: &UsableApp) -> Result<Permit, Refusal> {
    let owner = if app.namespace.is_platform() { Owner::Platform } else { Owner::Tenant };
    let purpose = call.subject.purpose.as_ref();
    let facts = Facts { provider: Some(app.app.place.provider()), owner: Some(&owner), purpose };
    call.permit_release(&app.namespace, facts).map_err(|error| {
        if let IdentityError::Denied(denial) = error { Refusal::AppSecret(denial) } else { error.into() }
    })
}

/// Refuses a credential without which requests to the provider would lack what they must carry.
fn check_complete(request: &RequestAuth, fields: &SecretFields, mode: &Mode) -> Result<(), Refusal> {
    match &request.missing {
        // The key file serves its owner without a token, and the answer says that there is none.
        Some(_) if mode.hands_out_key() && fields.get("access_token").is_none() => Ok(()),
        Some(missing) if missing.is_apps() => {
            Err(RefreshError::App { fault: AppFault::Missing, retry: APP_RETRY }.into())
        }
        Some(missing) => Err(Refusal::Incomplete(missing.clone())),
        None => Ok(()),
    }
}

/// A missing credential, with the provider and user that were asked for.
fn not_configured(error: StoreError, selector: &Selector) -> Refusal {
    match (error, selector) {
        (StoreError::NoCredential, Selector::Provider { provider, user, account }) => {
            Refusal::NotConfigured {
                provider: provider.clone(),
                account: account.clone(),
                user: user.clone(),
            }
        }
        (error, _) => error.into(),
    }
}
