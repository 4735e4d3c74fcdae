//! Requests into domain types. What is wrong is named by field and rule, all of it at once, and never repeated.

use std::collections::BTreeMap;

use credvault_broker::due_time;
use credvault_catalog::{Mode, Provider};
use credvault_domain::{
    AccountName, Action, AuditOutcome, ConnectionId, ConnectionState, Etag, FieldName, Labels, NameError,
    Owner, ProviderId, Purpose, Random, RequestId, SecretFields, ServiceId, TenantId, TenantState, Timestamp,
    UserId, Version, Violations,
};
use credvault_store::{AuditFilter, AuditGroup, ConnectionFilter, NewApp, NewCredential, Renewal, Selector};
use prost_types::Timestamp as WireTimestamp;
use secrecy::SecretString;

use crate::proto::v1;

/// Longest external account id, in characters.
const EXTERNAL_ID_MAX: usize = 256;
/// Longest display name, in characters.
const DISPLAY_NAME_MAX: usize = 128;

pub(super) fn required<T>(
    field: &str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, NameError>,
) -> Result<T, Violations> {
    if text.is_empty() {
        return Err(Violations::of(field, "must be given"));
    }
    parse(text).map_err(|rule| Violations::of(field, rule.to_string()))
}

pub(super) fn optional<T>(
    field: &str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, NameError>,
) -> Result<Option<T>, Violations> {
    if text.is_empty() { Ok(None) } else { required(field, text, parse).map(Some) }
}

pub(crate) fn connection_id(text: &str) -> Result<ConnectionId, Violations> {
    required("connection_id", text, str::parse)
}

pub(crate) fn provider_id(text: &str) -> Result<ProviderId, Violations> {
    required("provider", text, ProviderId::parse)
}

pub(crate) fn account_name(field: &str, text: &str) -> Result<AccountName, Violations> {
    AccountName::parse(text).map_err(|rule| Violations::of(field, rule.to_string()))
}

pub(crate) fn request_id(text: &str) -> Result<Option<RequestId>, Violations> {
    optional("request_id", text, RequestId::parse)
}

pub(crate) fn tenant_id(text: &str) -> Result<TenantId, Violations> {
    required("tenant_id", text, TenantId::parse)
}

pub(crate) fn optional_tenant_id(text: &str) -> Result<Option<TenantId>, Violations> {
    optional("tenant_id", text, TenantId::parse)
}

pub(crate) fn user_id(text: &str) -> Result<UserId, Violations> {
    required("user_id", text, UserId::parse)
}

pub(crate) fn etag(field: &str, text: &str) -> Result<Option<Etag>, Violations> {
    let parse =
        |text: &str| Etag::parse(text).ok_or(NameError("must be an etag as the vault gave it, or left out"));
    optional(field, text, parse)
}

/// A version that a request names.
pub(crate) fn version(number: i64) -> Result<Version, Violations> {
    if number > 0 {
        Ok(number)
    } else {
        Err(Violations::of("version", "must be a version's number, 1 or more"))
    }
}

/// The version that must be current; 0 means none.
pub(crate) fn expected_version(number: Option<i64>) -> Result<Option<Version>, Violations> {
    match number {
        Some(..0) => {
            Err(Violations::of("expected_version", "must not be negative; 0 means that there is none yet"))
        }
        number => Ok(number),
    }
}

pub(crate) fn labels(field: &str, pairs: BTreeMap<String, String>) -> Result<Labels, Violations> {
    Labels::parse(field, pairs)
}

/// An account's id at a provider; empty means none.
pub(crate) fn external_account_id(field: &str, text: String) -> Result<Option<String>, Violations> {
    printable(field, &text, EXTERNAL_ID_MAX, "must be at most 256 printable characters")?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

pub(crate) fn display_name(text: &str) -> Result<(), Violations> {
    printable("display_name", text, DISPLAY_NAME_MAX, "must be at most 128 printable characters")
}

pub(super) fn printable(field: &str, text: &str, max: usize, rule: &str) -> Result<(), Violations> {
    let fits = text.chars().count() <= max && !text.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(Violations::of(field, rule)) }
}

/// The owner that a request names; `None` if it names no kind.
pub(crate) fn owner(owner: Option<v1::Owner>) -> Result<Option<Owner>, Violations> {
    let Some(v1::Owner { kind, user_id }) = owner else { return Ok(None) };
    let unknown = |_| Violations::of("owner.kind", "must be one of the kinds that the protos name");
    let parsed = match v1::OwnerKind::try_from(kind).map_err(unknown)? {
        v1::OwnerKind::User => Owner::User(required("owner.user_id", &user_id, UserId::parse)?),
        v1::OwnerKind::Tenant => Owner::Tenant,
        v1::OwnerKind::Platform => Owner::Platform,
        v1::OwnerKind::Unspecified if user_id.is_empty() => return Ok(None),
        v1::OwnerKind::Unspecified => {
            return Err(Violations::of("owner.kind", "must be OWNER_KIND_USER where a user_id is given"));
        }
    };
    if parsed.user().is_none() && !user_id.is_empty() {
        return Err(Violations::of("owner.user_id", "must be left out unless the kind is OWNER_KIND_USER"));
    }
    Ok(Some(parsed))
}

/// The secret fields out of a message, without a copy.
fn secret_fields(path: &str, input: &mut v1::CredentialInput) -> Result<SecretFields, Violations> {
    let fields = std::mem::take(&mut input.fields);
    SecretFields::parse(
        &format!("{path}.fields"),
        fields.into_iter().map(|(name, value)| (name, SecretString::from(value))),
    )
}

/// How long a pasted access token counts as alive that nobody has said anything about.
const UNKNOWN_LIFE: std::time::Duration = std::time::Duration::from_secs(3600);

/// A credential that the provider's auth mode accepts.
pub(crate) fn new_credential(
    path: &str,
    mut input: v1::CredentialInput,
    mode: &Mode,
    now: Timestamp,
    random: &dyn Random,
) -> Result<NewCredential, Violations> {
    let mut violations = Violations::default();
    let expire_time = match expire_time(path, input.expiry.take(), now) {
        Ok(time) => time,
        Err(wrong) => {
            violations.extend(wrong);
            None
        }
    };
    let fields = match secret_fields(path, &mut input) {
        Ok(fields) => fields,
        Err(wrong) => {
            violations.extend(wrong);
            return Err(violations);
        }
    };
    if let Err(wrong) = mode.check_secrets(&format!("{path}.fields"), &fields) {
        violations.extend(wrong);
    }
    violations.into_result()?;
    let hints = mode.hints(&fields);
    let renewal = mode.renews().then(|| {
        // Of a refresh token without a word on its access token's life, the life is soon found out.
        let unknown = expire_time.is_none() && fields.get("refresh_token").is_some();
        let expires = if unknown { Some(now.after(UNKNOWN_LIFE)) } else { expire_time };
        Renewal { due_time: due_time(mode, expires, None, now, random), client_id: None }
    });
    Ok(NewCredential { fields, hints, expire_time, renewal })
}

fn expire_time(
    path: &str,
    expiry: Option<v1::credential_input::Expiry>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Violations> {
    use v1::credential_input::Expiry;
    match expiry {
        None => Ok(None),
        Some(Expiry::ExpireTime(time)) => {
            let field = format!("{path}.expire_time");
            let time = timestamp(&field, time)?;
            Ok(Some(time))
        }
        Some(Expiry::Ttl(ttl)) => {
            let wrong =
                || Violations::of(format!("{path}.ttl"), "must be more than zero and at most 100 years");
            let ttl = std::time::Duration::try_from(ttl).map_err(|_| wrong())?;
            let century = std::time::Duration::from_secs(100 * 366 * 24 * 3600);
            if ttl.is_zero() || ttl > century { Err(wrong()) } else { Ok(Some(now.after(ttl))) }
        }
    }
}

fn timestamp(field: &str, time: WireTimestamp) -> Result<Timestamp, Violations> {
    Timestamp::from_seconds(time.seconds, time.nanos)
        .ok_or_else(|| Violations::of(field, "must be an instant between the years 1 and 9999"))
}

/// What a fetch asks for. `user` is the verified user of the call.
pub(crate) struct FetchQuery {
    pub(crate) selector: Selector,
    pub(crate) purpose: Option<Purpose>,
    /// The user that the request names itself.
    pub(crate) named_user: Option<UserId>,
}

pub(crate) fn fetch_query(
    request: v1::FetchCredentialRequest,
    user: Option<&UserId>,
) -> Result<FetchQuery, Violations> {
    let v1::FetchCredentialRequest {
        connection_id: id,
        version,
        provider,
        account_name: account,
        user_id,
        purpose,
    } = request;
    let mut violations = Violations::default();
    let mut only = |given: bool, field: &str, with: &str| {
        if given {
            violations.add(field, format!("must be left out with {with}"));
        }
    };
    let by_id = !id.is_empty();
    if by_id {
        only(!provider.is_empty(), "provider", "connection_id");
        only(!account.is_empty(), "account_name", "connection_id");
        only(!user_id.is_empty(), "user_id", "connection_id");
    } else {
        only(version != 0, "version", "provider");
    }
    let purpose = note(&mut violations, optional("purpose", &purpose, Purpose::parse)).flatten();
    let named_user = note(&mut violations, optional("user_id", &user_id, UserId::parse)).flatten();
    let selector = if by_id {
        let id = note(&mut violations, connection_id(&id));
        let version =
            note(&mut violations, if version == 0 { Ok(None) } else { self::version(version).map(Some) });
        id.zip(version).map(|(id, version)| Selector::Connection { id, version })
    } else if provider.is_empty() {
        violations.add("connection_id", "or provider must be given");
        None
    } else {
        let provider = note(&mut violations, provider_id(&provider));
        let account = note(&mut violations, optional("account_name", &account, AccountName::parse));
        let user = named_user.clone().or_else(|| user.cloned());
        provider.zip(account).map(|(provider, account)| Selector::Provider { provider, user, account })
    };
    violations.clone().into_result()?;
    selector.map(|selector| FetchQuery { selector, purpose, named_user }).ok_or(violations)
}

fn note<T>(violations: &mut Violations, result: Result<T, Violations>) -> Option<T> {
    result.map_err(|wrong| violations.extend(wrong)).ok()
}

pub(crate) fn connection_filter(
    request: &v1::ListConnectionsRequest,
) -> Result<ConnectionFilter, Violations> {
    let mut violations = Violations::default();
    let owner = note(&mut violations, owner(request.owner.clone())).flatten();
    if request.owner.is_some() && owner.is_none() && violations.is_empty() {
        violations.add("owner.kind", "must be given in a filter; leave owner out for all");
    }
    let provider =
        note(&mut violations, optional("provider", &request.provider, ProviderId::parse)).flatten();
    let name =
        note(&mut violations, optional("account_name", &request.account_name, AccountName::parse)).flatten();
    let state = note(&mut violations, connection_state(request.state)).flatten();
    violations.into_result()?;
    Ok(ConnectionFilter { owner, provider, account_name: name, state, show_deleted: request.show_deleted })
}

fn connection_state(state: i32) -> Result<Option<ConnectionState>, Violations> {
    let unknown = |_| Violations::of("state", "must be one of the states that the protos name");
    Ok(match v1::ConnectionState::try_from(state).map_err(unknown)? {
        v1::ConnectionState::Unspecified => None,
        v1::ConnectionState::Disconnected => Some(ConnectionState::Disconnected),
        v1::ConnectionState::Connecting => Some(ConnectionState::Connecting),
        v1::ConnectionState::Connected => Some(ConnectionState::Connected),
        v1::ConnectionState::Error => Some(ConnectionState::Error),
    })
}

pub(crate) fn tenant_state(state: i32) -> Result<Option<TenantState>, Violations> {
    let unknown = |_| Violations::of("state", "must be one of the states that the protos name");
    Ok(match v1::TenantState::try_from(state).map_err(unknown)? {
        v1::TenantState::Unspecified => None,
        v1::TenantState::Active => Some(TenantState::Active),
        v1::TenantState::Suspended => Some(TenantState::Suspended),
    })
}

pub(crate) fn audit_filter(filter: Option<v1::AuditFilter>) -> Result<AuditFilter, Violations> {
    let Some(filter) = filter else { return Ok(AuditFilter::default()) };
    let v1::AuditFilter { start_time, end_time, service, user_id, action, connection_id: id, outcome } =
        filter;
    let mut violations = Violations::default();
    let mut time = |field: &str, time: Option<WireTimestamp>| {
        time.and_then(|time| note(&mut violations, timestamp(field, time)))
    };
    let (start_time, end_time) = (time("filter.start_time", start_time), time("filter.end_time", end_time));
    let service_id = |text: &str| match text {
        ServiceId::VAULT => Ok(ServiceId::vault()),
        text => ServiceId::parse(text)
            .map_err(|_| NameError("must be a SPIFFE ID, spiffe://domain/path, or `vault`")),
    };
    let rpc = |text: &str| Action::from_stored(text).ok_or(NameError("must be the name of an RPC"));
    let parsed = AuditFilter {
        start_time,
        end_time,
        service: note(&mut violations, optional("filter.service", &service, service_id)).flatten(),
        user: note(&mut violations, optional("filter.user_id", &user_id, UserId::parse)).flatten(),
        action: note(&mut violations, optional("filter.action", &action, rpc)).flatten(),
        connection: note(&mut violations, optional("filter.connection_id", &id, str::parse)).flatten(),
        outcome: note(&mut violations, audit_outcome(outcome)).flatten(),
    };
    violations.into_result().map(|()| parsed)
}

fn audit_outcome(outcome: i32) -> Result<Option<AuditOutcome>, Violations> {
    let unknown = |_| Violations::of("filter.outcome", "must be one of the outcomes that the protos name");
    Ok(match v1::AuditOutcome::try_from(outcome).map_err(unknown)? {
        v1::AuditOutcome::Unspecified => None,
        v1::AuditOutcome::Ok => Some(AuditOutcome::Ok),
        v1::AuditOutcome::Denied => Some(AuditOutcome::Denied),
        v1::AuditOutcome::Failed => Some(AuditOutcome::Failed),
    })
}

pub(crate) fn audit_groups(groups: &[i32]) -> Result<Vec<AuditGroup>, Violations> {
    let parsed: Option<Vec<_>> = groups.iter().map(|group| audit_group(*group)).collect();
    let unique = |groups: &Vec<AuditGroup>| {
        (1..=4).contains(&groups.len())
            && groups.iter().enumerate().all(|(i, group)| !groups[..i].contains(group))
    };
    parsed.filter(unique).ok_or_else(|| {
        Violations::of("group_by", "must have 1 to 4 of the groups that the protos name, each once")
    })
}

fn audit_group(group: i32) -> Option<AuditGroup> {
    match v1::AuditGroup::try_from(group).ok()? {
        v1::AuditGroup::Unspecified => None,
        v1::AuditGroup::Service => Some(AuditGroup::Service),
        v1::AuditGroup::User => Some(AuditGroup::User),
        v1::AuditGroup::Action => Some(AuditGroup::Action),
        v1::AuditGroup::Connection => Some(AuditGroup::Connection),
        v1::AuditGroup::Provider => Some(AuditGroup::Provider),
        v1::AuditGroup::Outcome => Some(AuditGroup::Outcome),
        v1::AuditGroup::Reason => Some(AuditGroup::Reason),
        v1::AuditGroup::Day => Some(AuditGroup::Day),
    }
}

/// The fields that an update changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum UpdateField {
    AccountName,
    Enabled,
    Config,
    Labels,
    ExternalAccountId,
}

impl UpdateField {
    const ALL: [Self; 5] =
        [Self::AccountName, Self::Enabled, Self::Config, Self::Labels, Self::ExternalAccountId];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::AccountName => "account_name",
            Self::Enabled => "enabled",
            Self::Config => "config",
            Self::Labels => "labels",
            Self::ExternalAccountId => "external_account_id",
        }
    }
}

pub(crate) fn update_mask(mask: Option<prost_types::FieldMask>) -> Result<Vec<UpdateField>, Violations> {
    const RULE: &str =
        "must name some of account_name, enabled, config, labels, external_account_id, or be \"*\" for all";
    let paths = mask.unwrap_or_default().paths;
    if paths == ["*"] {
        return Ok(UpdateField::ALL.to_vec());
    }
    let field = |path: &String| UpdateField::ALL.into_iter().find(|field| field.as_str() == path);
    let fields: Option<Vec<_>> = paths.iter().map(field).collect();
    fields.filter(|fields| !fields.is_empty()).ok_or_else(|| Violations::of("update_mask", RULE))
}

/// Scopes: at most 64, each a word.
pub(crate) fn scopes(field: &str, scopes: Vec<String>) -> Result<Vec<String>, Violations> {
    let word = |scope: &String| {
        (1..=512).contains(&scope.len()) && scope.chars().all(|c| !c.is_control() && !c.is_whitespace())
    };
    if scopes.len() > 64 || !scopes.iter().all(word) {
        return Err(Violations::of(
            field,
            "must be at most 64 scopes of 1 to 512 printable characters without blanks",
        ));
    }
    Ok(scopes)
}

/// What stands for a browser or session.
pub(crate) fn session(session: String) -> Result<Option<String>, Violations> {
    match session.len() {
        0 => Ok(None),
        1..=256 => Ok(Some(session)),
        _ => Err(Violations::of("session", "must be at most 256 bytes")),
    }
}

/// Where a consent ends in the browser: the origin of the page that is told, one of those that are configured, and the URL
/// of that origin to which the browser goes where no page can be told.
pub(crate) fn way_back(
    origin: String,
    url: &str,
    known: &[String],
) -> Result<(Option<String>, Option<String>), Violations> {
    const RULE: &str =
        "must be one of the vault's setting public.origins, exactly; an operator can add it there";
    if !origin.is_empty() && !known.contains(&origin) {
        return Err(Violations::of("return_origin", RULE));
    }
    let origin = Some(origin).filter(|origin| !origin.is_empty());
    if url.is_empty() {
        return Ok((origin, None));
    }
    let parsed = url::Url::parse(url).ok().filter(|parsed| {
        let bare = parsed.username().is_empty() && parsed.password().is_none();
        bare && parsed.fragment().is_none() && url.len() <= 2048
    });
    let its = parsed.as_ref().map(|parsed| parsed.origin().ascii_serialization());
    match (parsed, its) {
        (Some(parsed), Some(its))
            if known.contains(&its) && origin.as_ref().is_none_or(|given| *given == its) =>
        {
            Ok((Some(its), Some(parsed.into())))
        }
        _ => Err(Violations::of(
            "return_url",
            "must be a URL of return_origin, without a fragment, of at most 2048 bytes; its origin must be one of the \
             vault's setting public.origins",
        )),
    }
}

/// The parameters of a callback.
pub(crate) fn parameters(given: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Violations> {
    if given.len() > 32 || given.iter().any(|(name, value)| name.len() > 256 || value.len() > 8 * 1024) {
        return Err(Violations::of("parameters", "must be at most 32, of at most 8 KiB each"));
    }
    Ok(given)
}

/// An app that is registered at a provider.
pub(crate) fn new_app(
    provider: &Provider,
    request: &mut v1::PutOAuthAppRequest,
) -> Result<NewApp, Violations> {
    let mut violations = Violations::default();
    let client_id = std::mem::take(&mut request.client_id);
    let client_secret = std::mem::take(&mut request.client_secret);
    let redirect_uri = std::mem::take(&mut request.redirect_uri);
    let settings = std::mem::take(&mut request.settings);
    let line = |text: &str, most: usize| {
        text.len() <= most && !text.chars().any(char::is_control) && text.trim() == text
    };
    if client_id.is_empty() || !line(&client_id, 512) {
        violations.add("client_id", "must be 1 to 512 printable characters without blanks at the ends");
    }
    if !line(&client_secret, 4096) {
        violations.add("client_secret", "must be one line of at most 4 KiB without blanks at the ends");
    }
    if !line(&redirect_uri, 2048) {
        violations.add("redirect_uri", "must be one line of at most 2,048 characters");
    }
    let scopes = match scopes("default_scopes", std::mem::take(&mut request.default_scopes)) {
        Ok(scopes) => scopes,
        Err(wrong) => {
            violations.extend(wrong);
            Vec::new()
        }
    };
    let named = |(name, value): (&String, &String)| FieldName::parse(name).is_ok() && line(value, 1024);
    if settings.len() > 16 || !settings.iter().all(named) {
        violations.add(
            "settings",
            "must be at most 16, named by a-z 0-9 _, each one line of at most 1,024 characters",
        );
    }
    violations.into_result()?;
    let (settings, secrets) = provider.app_settings("settings", settings)?;
    Ok(NewApp {
        provider: provider.id.clone(),
        client_id,
        client_secret: (!client_secret.is_empty()).then(|| client_secret.into()),
        keep_previous: request.keep_previous_secret,
        redirect_uri,
        scopes,
        settings,
        secrets,
    })
}
