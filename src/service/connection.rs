//! `ConnectionService`: the catalog and the connections.

use std::sync::Arc;

use credvault_broker::{Callback, ConsentRequest, Need, Target};
use credvault_catalog::{Mode, Provider, Verdict};
use credvault_domain::{AuthMode, Config, ProviderId, Revocation, Violations};
use credvault_identity::Facts;
use credvault_store::{ConnectionPatch, NewConnection, PAGE_BYTES, Recorded, Selector, Write};
use prost::Message as _;
use prost_types::Struct;
use secrecy::ExposeSecret as _;

use super::rpcs;
use super::testing;
use crate::call::Call;
use crate::proto::v1;
use crate::vault::Vault;
use crate::wire::{self, UpdateField};
use credvault_operations::Refusal;

pub(crate) struct Service(pub(crate) Arc<Vault>);

rpcs! {
    Service, v1::connection_service_server::ConnectionService,
    list_providers: ListProvidersRequest -> ListProvidersResponse,
    get_provider: GetProviderRequest -> GetProviderResponse,
    create_connection: CreateConnectionRequest -> CreateConnectionResponse,
    get_connection: GetConnectionRequest -> GetConnectionResponse,
    list_connections: ListConnectionsRequest -> ListConnectionsResponse,
    update_connection: UpdateConnectionRequest -> UpdateConnectionResponse,
    delete_connection: DeleteConnectionRequest -> DeleteConnectionResponse,
    undelete_connection: UndeleteConnectionRequest -> UndeleteConnectionResponse,
    purge_connection: PurgeConnectionRequest -> PurgeConnectionResponse,
    set_default_connection: SetDefaultConnectionRequest -> SetDefaultConnectionResponse,
    begin_authorization: BeginAuthorizationRequest -> BeginAuthorizationResponse,
    complete_authorization: CompleteAuthorizationRequest -> CompleteAuthorizationResponse,
    refresh_connection: RefreshConnectionRequest -> RefreshConnectionResponse,
    test_connection: TestConnectionRequest -> TestConnectionResponse,
    disconnect_connection: DisconnectConnectionRequest -> DisconnectConnectionResponse,
}

async fn list_providers(
    call: Arc<Call>,
    request: v1::ListProvidersRequest,
) -> Result<Recorded<v1::ListProvidersResponse>, Refusal> {
    let page = call.page(None, &request).await?;
    call.permit_catalog(Facts::default())?;
    // The catalog is the same for everybody, so a position in it needs no seal: it is the last provider's id.
    let after = match page.token.as_str() {
        "" => None,
        token => Some(ProviderId::parse(token).map_err(|_| credvault_store::Error::PageToken)?),
    };
    let size = usize::try_from(page.size).unwrap_or(usize::MAX);
    let shown = |provider: &&Provider| {
        after.as_ref().is_none_or(|after| provider.id > *after) && call.shows_provider(&provider.id)
    };
    let mut response = v1::ListProvidersResponse::default();
    let mut bytes = 0;
    for provider in call.vault.catalog.iter().filter(shown).map(wire::provider) {
        bytes += provider.encoded_len();
        let full = response.providers.len() == size || bytes > PAGE_BYTES;
        if let Some(last) = response.providers.last().filter(|_| full) {
            response.next_page_token = last.id.clone();
            break;
        }
        response.providers.push(provider);
    }
    call.recorded(response).await
}

async fn get_provider(
    call: Arc<Call>,
    request: v1::GetProviderRequest,
) -> Result<Recorded<v1::GetProviderResponse>, Refusal> {
    let id = wire::provider_id(&request.provider)?;
    call.about_provider(&id);
    call.permit_catalog(Facts::of_provider(&id))?;
    let provider = wire::provider(call.vault.catalog.get(&id).ok_or(Refusal::ProviderUnknown)?);
    call.recorded(v1::GetProviderResponse { provider: Some(provider) }).await
}

async fn create_connection(
    call: Arc<Call>,
    mut request: v1::CreateConnectionRequest,
) -> Result<Recorded<v1::CreateConnectionResponse>, Refusal> {
    let scope = call.scope()?;
    let provider_id = wire::provider_id(&request.provider)?;
    call.about_provider(&provider_id);
    let owner = call.owner(&scope, wire::owner(request.owner.clone())?)?;
    let facts = Facts { provider: Some(&provider_id), owner: Some(&owner), purpose: None };
    call.permit(&scope, facts)?;
    let write = call.write(&request.request_id, &request)?;
    let provider = call.vault.catalog.get(&provider_id).ok_or(Refusal::ProviderUnknown)?;
    let (auth_mode, mode) = chosen_mode(provider, &request.auth_mode)?;
    let mut violations = Violations::default();
    let account_name = noted(&mut violations, wire::account_name("account_name", &request.account_name));
    let config = noted(&mut violations, config(&call, "config", request.config.take(), mode));
    let labels = noted(&mut violations, wire::labels("labels", std::mem::take(&mut request.labels)));
    let external = std::mem::take(&mut request.external_account_id);
    let external = noted(&mut violations, wire::external_account_id("external_account_id", external));
    let credential = request
        .credential
        .take()
        .map(|input| wire::new_credential("credential", input, mode, call.now(), &*call.vault.random));
    let credential = noted(&mut violations, credential.transpose());
    let parsed = account_name.zip(config).zip(labels).zip(external).zip(credential);
    let Some(((((account_name, config), labels), external_account_id), credential)) = parsed else {
        return Err(violations.into());
    };
    let enabled = !request.disabled;
    let new = NewConnection {
        owner: owner.clone(),
        provider: provider_id.clone(),
        account_name,
        auth_mode,
        config,
        labels,
        external_account_id,
        enabled,
    };
    let created = call.vault.store.connections().create(&scope, &new, credential.as_ref(), &write).await?;
    Ok(created.map(|created| v1::CreateConnectionResponse { connection: Some(wire::connection(created)) }))
}

fn noted<T>(violations: &mut Violations, result: Result<T, Violations>) -> Option<T> {
    result.map_err(|wrong| violations.extend(wrong)).ok()
}

/// The auth mode that a request names, or the provider's only one.
fn chosen_mode<'a>(provider: &'a Provider, name: &str) -> Result<(AuthMode, &'a Mode), Violations> {
    let named = AuthMode::parse(name).ok();
    let chosen = if name.is_empty() { provider.only_mode() } else { named.as_ref() };
    chosen.and_then(|name| Some((name.clone(), provider.mode(name)?))).ok_or_else(|| {
        let all: Vec<&str> = provider.modes().map(|(name, _)| name.as_str()).collect();
        Violations::of("auth_mode", format!("must be one of {}", all.join(", ")))
    })
}

/// A config that the auth mode accepts, and that leads nowhere but to public places.
pub(super) fn config(
    call: &Call,
    path: &str,
    config: Option<Struct>,
    mode: &Mode,
) -> Result<Config, Violations> {
    let config = Config::new(wire::value_of(config.unwrap_or_default()));
    let config = config.map_err(|rule| Violations::of(path, rule.to_string()))?;
    let config = mode.accepted_config(path, config)?;
    call.vault.broker.check_destinations(path, mode, &config).map(|()| config)
}

async fn get_connection(
    call: Arc<Call>,
    request: v1::GetConnectionRequest,
) -> Result<Recorded<v1::GetConnectionResponse>, Refusal> {
    let scope = call.scope()?;
    let id = wire::connection_id(&request.connection_id)?;
    let connection = call.connection(&scope, id).await?;
    call.recorded(v1::GetConnectionResponse { connection: Some(wire::connection(connection)) }).await
}

async fn list_connections(
    call: Arc<Call>,
    request: v1::ListConnectionsRequest,
) -> Result<Recorded<v1::ListConnectionsResponse>, Refusal> {
    let scope = call.scope()?;
    let filter = wire::connection_filter(&request)?;
    if let Some(owner) = &filter.owner {
        call.check_owner(&scope, owner)?;
    }
    let page = call.page(Some(&scope), &request).await?;
    let facts = Facts { provider: filter.provider.as_ref(), owner: filter.owner.as_ref(), purpose: None };
    call.permit(&scope, facts)?;
    let listed = call.vault.store.connections().list(&scope, &filter, &page).await?;
    let mut shown = call.shown(&scope);
    let connections =
        listed.items.into_iter().filter(|item| shown.shows(Some(&item.provider), Some(&item.owner)));
    let connections = connections.map(wire::connection).collect();
    call.recorded(v1::ListConnectionsResponse { connections, next_page_token: listed.next_page_token }).await
}

async fn update_connection(
    call: Arc<Call>,
    mut request: v1::UpdateConnectionRequest,
) -> Result<Recorded<v1::UpdateConnectionResponse>, Refusal> {
    let scope = call.scope()?;
    let fields = wire::update_mask(request.update_mask.clone())?;
    let missing = || Violations::of("connection", "must be given, with its id");
    let named =
        request.connection.as_ref().filter(|connection| !connection.id.is_empty()).ok_or_else(missing)?;
    let id = wire::connection_id(&named.id)?;
    let etag = wire::etag("connection.etag", &named.etag)?;
    let stored = call.connection(&scope, id).await?;
    let mut changed: Vec<_> = fields.iter().map(|field| field.as_str().to_owned()).collect();
    call.about_changed(changed.clone());
    let mut write = call.write(&request.request_id, &request)?;
    let mode = call.vault.mode(&stored.provider, &stored.auth_mode)?;
    let patch = patch(&call, request.connection.take().unwrap_or_default(), &fields, mode)?;
    changed.extend(patch.config.as_ref().and_then(|config| mode.moved(&stored.config, config)));
    call.about_changed(changed);
    write.event = call.event();
    let updated = call.vault.store.connections().update(&scope, id, etag, &patch, &write).await?;
    Ok(updated.map(|updated| v1::UpdateConnectionResponse { connection: Some(wire::connection(updated)) }))
}

fn patch(
    call: &Call,
    new: v1::Connection,
    fields: &[UpdateField],
    mode: &Mode,
) -> Result<ConnectionPatch, Violations> {
    let v1::Connection { account_name, enabled, config: new_config, labels, external_account_id, .. } = new;
    let wanted = |field: UpdateField| fields.contains(&field);
    let mut violations = Violations::default();
    let mut patch = ConnectionPatch::default();
    if wanted(UpdateField::AccountName) {
        patch.account_name =
            noted(&mut violations, wire::account_name("connection.account_name", &account_name));
    }
    if wanted(UpdateField::Enabled) {
        patch.enabled = Some(enabled);
    }
    if wanted(UpdateField::Config) {
        patch.config = noted(&mut violations, config(call, "connection.config", new_config, mode));
        patch.destinations = mode.destinations().clone();
    }
    if wanted(UpdateField::Labels) {
        patch.labels = noted(&mut violations, wire::labels("connection.labels", labels));
    }
    if wanted(UpdateField::ExternalAccountId) {
        let field = "connection.external_account_id";
        patch.external_account_id =
            noted(&mut violations, wire::external_account_id(field, external_account_id));
    }
    violations.into_result().map(|()| patch)
}

/// The four changes of a connection that differ in what the store does only.
macro_rules! change {
    ($($rpc:ident: $request:ident -> $response:ident by $method:ident,)*) => {$(
        async fn $rpc(call: Arc<Call>, request: v1::$request) -> Result<Recorded<v1::$response>, Refusal> {
            let scope = call.scope()?;
            let id = wire::connection_id(&request.connection_id)?;
            let etag = wire::etag("etag", &request.etag)?;
            call.connection(&scope, id).await?;
            let write = call.write(&request.request_id, &request)?;
            let changed = call.vault.store.connections().$method(&scope, id, etag, &write).await?;
            Ok(changed.map(|changed| v1::$response { connection: Some(wire::connection(changed)) }))
        }
    )*};
}

change! {
    delete_connection: DeleteConnectionRequest -> DeleteConnectionResponse by delete,
    undelete_connection: UndeleteConnectionRequest -> UndeleteConnectionResponse by undelete,
    set_default_connection: SetDefaultConnectionRequest -> SetDefaultConnectionResponse by set_default,
}

async fn purge_connection(
    call: Arc<Call>,
    request: v1::PurgeConnectionRequest,
) -> Result<Recorded<v1::PurgeConnectionResponse>, Refusal> {
    let scope = call.scope()?;
    let id = wire::connection_id(&request.connection_id)?;
    let etag = wire::etag("etag", &request.etag)?;
    let connections = call.vault.store.connections();
    let purged = match call.connection(&scope, id).await {
        Ok(_) => {
            let write = call.write(&request.request_id, &request)?;
            connections.purge(&scope, id, etag, &write).await?
        }
        // What this very request has purged before is not there any more, and nothing is left that policy could be asked
        // about: the memory of the first answers.
        Err(Refusal::Store(credvault_store::Error::ConnectionNotFound)) if !request.request_id.is_empty() => {
            let write = call.write(&request.request_id, &request)?;
            connections.purged_before(&scope, &write).await?
        }
        Err(refusal) => return Err(refusal),
    };
    Ok(purged.map(|()| v1::PurgeConnectionResponse {}))
}

async fn begin_authorization(
    call: Arc<Call>,
    request: v1::BeginAuthorizationRequest,
) -> Result<Recorded<v1::BeginAuthorizationResponse>, Refusal> {
    let scope = call.scope()?;
    let id = wire::connection_id(&request.connection_id)?;
    let connection = call.connection(&scope, id).await?;
    let (return_origin, return_url) =
        wire::way_back(request.return_origin, &request.return_url, &call.vault.origins)?;
    let wanted = ConsentRequest {
        scopes: wire::scopes("scopes", request.scopes)?,
        session: wire::session(request.session)?,
        return_origin,
        return_url,
        beginner: call.beginner(),
    };
    let mode = call.vault.mode(&connection.provider, &connection.auth_mode)?;
    let target = Target { scope: &scope, connection: &connection, mode };
    let write = Write { event: call.event(), repeat: None };
    let begun = call.vault.broker.begin_consent(target, wanted, &write).await?;
    Ok(begun.map(|begun| v1::BeginAuthorizationResponse {
        authorization_url: begun.url.expose_secret().to_owned(),
        state: begun.state.expose_secret().to_owned(),
        expire_time: Some(wire::timestamp(begun.expire_time)),
        confirmation_code: begun.confirmation_code.unwrap_or_default(),
    }))
}

async fn complete_authorization(
    call: Arc<Call>,
    request: v1::CompleteAuthorizationRequest,
) -> Result<Recorded<v1::CompleteAuthorizationResponse>, Refusal> {
    let scope = call.scope()?;
    let public = !request.result.is_empty();
    let parameters = match (public, request.parameters.is_empty()) {
        (true, true) => call.vault.store.authorizations().open_return(&scope, &request.result).await?,
        (true, false) => return Err(Violations::of("result", "must not be given beside parameters").into()),
        _ => wire::parameters(request.parameters)?,
    };
    let session = wire::session(request.session)?;
    // Policy comes before the state is taken: whoever may not complete this consent does not use it up.
    if let Some(state) = parameters.get("state") {
        let subject = call.vault.store.authorizations().subject(&scope, state).await?;
        if subject.owner.user().is_none_or(|user| scope.reaches(user)) {
            call.about(&subject);
        }
        call.permit(&scope, Facts::of(&subject))?;
    }
    let callback = Callback { parameters: &parameters };
    let bringer = call.bringer(session.as_deref(), public);
    let returned = call.vault.broker.take_callback(&scope, callback, bringer).await?;
    let completed = async {
        let connection = call.connection(&scope, returned.place.connection()).await?;
        let mode = call.vault.mode(&connection.provider, &connection.auth_mode)?;
        let target = Target { scope: &scope, connection: &connection, mode };
        let write = Write { event: call.event(), repeat: None };
        Ok::<_, Refusal>(call.vault.broker.complete_consent(target, &returned, callback, &write).await?)
    };
    let connected = completed.await.map_err(Refusal::spent)?;
    Ok(connected
        .map(|connected| v1::CompleteAuthorizationResponse { connection: Some(wire::connection(connected)) }))
}

async fn refresh_connection(
    call: Arc<Call>,
    request: v1::RefreshConnectionRequest,
) -> Result<Recorded<v1::RefreshConnectionResponse>, Refusal> {
    let scope = call.scope()?;
    let id = wire::connection_id(&request.connection_id)?;
    let connection = call.connection(&scope, id).await?;
    call.vault.mode(&connection.provider, &connection.auth_mode)?;
    call.vault.count_forced(scope.tenant())?;
    let selector = Selector::Connection { id, version: None };
    let fetched = call.vault.store.credentials().fetch(&scope, &selector).await?;
    let (broker, seen) = (&call.vault.broker, fetched.generation());
    broker.refreshed_by(call.patience(), fetched.place(), seen, Need::Forced).await?;
    let connection = call.vault.store.connections().get(&scope, id).await?;
    call.recorded(v1::RefreshConnectionResponse { connection: Some(wire::connection(connection)) }).await
}

async fn test_connection(
    call: Arc<Call>,
    request: v1::TestConnectionRequest,
) -> Result<Recorded<v1::TestConnectionResponse>, Refusal> {
    let scope = call.scope()?;
    let id = wire::connection_id(&request.connection_id)?;
    call.connection(&scope, id).await?;
    let forced = || call.vault.count_forced(scope.tenant());
    let tested = testing::test(&call.vault, &scope, id, call.patience(), call.event(), forced).await?;
    Ok(tested.map(|tested| v1::TestConnectionResponse {
        outcome: match tested.verdict {
            Verdict::Works { .. } => v1::TestOutcome::Works,
            Verdict::Limited | Verdict::Unclear(_) => v1::TestOutcome::Limited,
            Verdict::Dead => v1::TestOutcome::Refused,
        }
        .into(),
        account_changed: tested.account_changed(),
        external_account_id: tested.account().unwrap_or_default().to_owned(),
        account_display_name: tested.name().unwrap_or_default().to_owned(),
        connection: Some(wire::connection(tested.connection)),
    }))
}

async fn disconnect_connection(
    call: Arc<Call>,
    request: v1::DisconnectConnectionRequest,
) -> Result<Recorded<v1::DisconnectConnectionResponse>, Refusal> {
    let scope = call.scope()?;
    let id = wire::connection_id(&request.connection_id)?;
    let etag = wire::etag("etag", &request.etag)?;
    let connection = call.connection(&scope, id).await?;
    // A provider that the catalog does not know any more is left alone; the secret goes all the same.
    let mode = call.vault.mode(&connection.provider, &connection.auth_mode);
    let revocable = mode.is_ok_and(|mode| mode.revocation.is_some());
    let write = call.write(&request.request_id, &request)?;
    let revocations = call.vault.store.revocations();
    let disconnected = revocations.disconnect(&scope, id, etag, revocable, &write).await?;
    let mut connection = disconnected.get().clone();
    if connection.revocation == Some(Revocation::Pending) {
        let place = call.vault.store.place_of(&scope, id);
        let attempt = tokio::time::timeout_at(call.patience(), call.vault.broker.revoke(&place)).await;
        // However it ended, it is looked after from here on.
        if let Ok(Ok(Some(told))) = attempt {
            connection = told;
        }
    }
    Ok(disconnected
        .map(|_| v1::DisconnectConnectionResponse { connection: Some(wire::connection(connection)) }))
}
