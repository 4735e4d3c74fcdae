//! Credentials in and out. A fetch has files of its own: `fetch.rs`, `fresh.rs`, `batch.rs`; and
//! `rejected.rs` and `inquiry.rs` for credentials that a provider has rejected.

mod batch;
mod fetch;
mod fresh;
mod input;
mod inquiry;
mod rejected;
mod versions;

use credvault_broker::TestError;
use credvault_catalog::{Mode, Verdict};
use credvault_domain::{
    Config, Connection, ConnectionId, CredentialVersion, LimitKind, ProviderId, SecretFields, TenantScope,
    Version, Violations,
};
use credvault_store::{
    Accepted, Credentials, Error as StoreError, NewCredential, NewSettings, Recorded, SecretReference, Write,
};
use serde_json::{Map, Value};

use crate::{Call, Context, Parsed, Refusal, Repeat};

pub use batch::fetch_batch;
pub use fetch::{Credential, Fetch, fetch};
pub(crate) use fresh::{Fresh, fresh};
pub use input::{Expiry, GivenCredential};
pub(crate) use input::{accepted_config, new_credential, with_endpoints};
pub use rejected::Rejection;
pub use versions::{destroy, list, rollback};

/// A credential to be stored for a connection.
#[derive(Debug)]
pub struct Put {
    /// The connection that it belongs to.
    pub connection: ConnectionId,
    /// How a repetition is recognised.
    pub repeat: Parsed<Option<Repeat>>,
    /// The version that must be current; zero means none.
    pub expected: Parsed<Option<Version>>,
    /// The credential, ready to use.
    pub credential: Option<GivenCredential>,
    /// The settings that it is for, all of them; `None` leaves them.
    pub config: Option<Map<String, Value>>,
    /// Whether the provider is asked first whether it accepts the credential.
    pub verify: bool,
    /// Whether a credential is refused that the test finds to be another account's than the connection's.
    pub keeps_account: bool,
    /// A secret of others, which the fields are read from.
    pub reference: Parsed<Option<SecretReference>>,
}

/// Where the fields of a credential come from.
enum Source {
    /// The caller gives them.
    Given(Box<NewCredential>),
    /// A secret that others keep, and when the caller says that it ends.
    Others(SecretReference, Parsed<Option<Expiry>>),
}

/// `PutCredential`: stores a new version, which is served from now on.
///
/// # Errors
/// Policy does not permit it, the credential is not one of the connection's mode, or the provider does not accept it.
pub async fn put(call: &mut Call, put: Put) -> Result<Recorded<CredentialVersion>, Refusal> {
    Ok(put_tested(call, put).await?.map(|(version, _)| version))
}

/// The same, with what the provider said of the credential, if it was asked.
///
/// # Errors
/// As for [`put()`].
pub(crate) async fn put_tested(
    call: &mut Call,
    put: Put,
) -> Result<Recorded<(CredentialVersion, Option<Verdict>)>, Refusal> {
    let Put { connection: id, repeat, expected, credential, config, verify, keeps_account, reference } = put;
    let scope = call.scope()?;
    let (mut permit, connection) = call.connection(id).await?;
    // Before anything else is checked, so that a repetition with a malformed id is refused for that.
    let repeat = repeat?;
    let expected = expected?;
    let reference = reference?;
    let context = call.context.clone();
    let mode = context.mode(&connection.provider, &connection.auth_mode)?;
    let config = config.map(|config| accepted_config(&context, "config", config, mode, &connection.config));
    let source = match reference {
        Some(reference) => {
            // On record, whatever becomes of the call.
            call.subject.changed.push(format!("reference:{}/{}", reference.store, reference.name));
            permit = permit.and(call.permit_reference(&scope, &connection)?);
            Source::Others(reference, expiry_alone(credential, mode)?)
        }
        None => Source::Given(Box::new(given(&context, credential, mode, config.as_ref())?)),
    };
    // A secret is sent only where the issuer's metadata say, so the endpoints are found before it is stored.
    let config = with_endpoints(&context, mode, config.transpose()?, &connection.config).await?;
    let settings = config.map(|config| NewSettings { config, destinations: mode.destinations().clone() });
    if let Some(settings) = &settings {
        let hosts = mode.moved(&connection.config, &settings.config);
        call.subject.changed.extend(std::iter::once("config".to_owned()).chain(hosts));
    }
    let credentials = context.store.credentials();
    let write = call.write(&permit, Ok(repeat))?;
    // A store or a provider is asked only for what was not done before, and will not be refused.
    if (verify || matches!(source, Source::Others(..)))
        && let Some(before) = credentials.before_put(&scope, id, settings.as_ref(), expected, &write).await?
    {
        return Ok(before.map(|version| (version, None)));
    }
    let mut credential = match source {
        Source::Given(credential) => *credential,
        Source::Others(reference, expiry) => adopted(&context, &scope, reference, expiry, mode).await?,
    };
    let tried = match verify {
        false => None,
        true => {
            call.count_everywhere(&scope, LimitKind::TestsPerMinute).await?;
            Some(tried(&context, &scope, &connection, mode, settings.as_ref(), &credential).await?)
        }
    };
    if let Some((verdict, config)) = &tried {
        if keeps_account && is_other_account(verdict, &connection) {
            return Err(StoreError::OtherAccount.into());
        }
        credential.accepted = accepted(verdict, mode, config);
    }
    let (verdict, tried) = tried.unzip();
    let with = (settings.as_ref(), tried.as_ref());
    let stored = store(credentials, &scope, id, &credential, with, expected, &write).await?;
    Ok(stored.map(|version| (version, verdict)))
}

/// Stores a credential with `settings`, or else beside the stored ones with which it was `tried`, if it was.
async fn store(
    credentials: Credentials<'_>,
    scope: &TenantScope,
    id: ConnectionId,
    credential: &NewCredential,
    (settings, tried): (Option<&NewSettings>, Option<&Config>),
    expected: Option<Version>,
    write: &Write,
) -> Result<Recorded<CredentialVersion>, StoreError> {
    match (settings, tried) {
        (Some(settings), _) => {
            credentials.put_with_settings(scope, id, credential, settings, expected, write).await
        }
        // The stored settings that the secret was sent by are compared when it is stored.
        (None, Some(tried)) => credentials.put_tried(scope, id, credential, tried, expected, write).await,
        (None, None) => credentials.put(scope, id, credential, expected, write).await,
    }
}

/// Whether a test has found another account than those that are known of a connection.
fn is_other_account(verdict: &Verdict, connection: &Connection) -> bool {
    let Verdict::Works { account: Some(found), .. } = verdict else { return false };
    let known = [&connection.external_account_id, &connection.confirmed_account_id];
    known.into_iter().flatten().any(|known| known != found)
}

/// What the store keeps of a test that was made before the credential is stored.
pub(crate) fn accepted(verdict: &Verdict, mode: &Mode, config: &Config) -> Option<Accepted> {
    match verdict {
        Verdict::Works { account, .. } => {
            Some(Accepted { account: account.clone(), settings: mode.settings_in_test(config) })
        }
        Verdict::Limited => Some(Accepted::default()),
        Verdict::Refused | Verdict::Unclear(_) => None,
    }
}

/// The credential that a caller gives. What is wrong with the settings beside it is said at once.
fn given(
    context: &Context,
    credential: Option<GivenCredential>,
    mode: &Mode,
    config: Option<&Parsed<Config>>,
) -> Parsed<NewCredential> {
    let credential = credential.ok_or_else(|| Violations::of("credential", "must be given"))?;
    let credential = new_credential(context, credential, mode);
    match (credential, config) {
        (Err(mut wrong), Some(Err(also))) => {
            wrong.extend(also.clone());
            Err(wrong)
        }
        (Ok(_), Some(Err(wrong))) => Err(wrong.clone()),
        (credential, _) => credential,
    }
}

/// When the credential ends that comes with a reference, which must have no fields.
fn expiry_alone(given: Option<GivenCredential>, mode: &Mode) -> Result<Parsed<Option<Expiry>>, Violations> {
    let mut violations = Violations::default();
    let (fields, expiry) =
        given.map_or((Ok(SecretFields::default()), Ok(None)), |given| (given.fields, given.expiry));
    let fields = violations.collect(fields);
    if fields.is_some_and(|fields| !fields.is_empty()) {
        violations
            .add("credential.fields", "must be left out with reference, which says where the fields are");
    }
    if mode.refreshes() {
        let rule = "must be left out for an auth mode whose tokens the vault refreshes: it would have to write them there";
        violations.add("reference", rule);
    }
    violations.into_result().map(|()| expiry)
}

/// A credential whose fields others keep. They are held against the auth mode like any others.
async fn adopted(
    context: &Context,
    scope: &TenantScope,
    reference: SecretReference,
    expiry: Parsed<Option<Expiry>>,
    mode: &Mode,
) -> Result<NewCredential, Refusal> {
    let (fields, adoption) = context.store.secrets().adopt(scope, reference).await?;
    let credential = new_credential(context, GivenCredential { fields: Ok(fields), expiry }, mode)?;
    Ok(NewCredential { adopted: Some(adoption), ..credential })
}

/// Asks the provider about a credential with the given settings, or else with the stored ones. Gives those, too.
async fn tried(
    context: &Context,
    scope: &TenantScope,
    connection: &Connection,
    mode: &Mode,
    given: Option<&NewSettings>,
    credential: &NewCredential,
) -> Result<(Verdict, Config), Refusal> {
    let config = match given {
        Some(settings) => settings.config.clone(),
        None => context.store.credentials().whole(scope, connection).await?.config,
    };
    let verdict = try_out(context, scope, &connection.provider, (mode, &config), credential).await?;
    Ok((verdict, config))
}

/// Asks the provider whether it accepts a credential that is about to be stored. The answer is never [`Verdict::Refused`].
pub(crate) async fn try_out(
    context: &Context,
    scope: &TenantScope,
    provider: &ProviderId,
    (mode, config): (&Mode, &Config),
    credential: &NewCredential,
) -> Result<Verdict, Refusal> {
    mode.check_destinations(config).map_err(Refusal::Settings)?;
    let broker = &context.broker;
    match broker
        .try_out(scope, provider, mode, config, &credential.fields)
        .await?
        .ok_or(TestError::Untestable)?
    {
        Verdict::Refused => {
            let rule = "must be one that the provider accepts; nothing was stored";
            Err(Violations::of("credential", rule).into())
        }
        verdict @ (Verdict::Works { .. } | Verdict::Limited | Verdict::Unclear(_)) => Ok(verdict),
    }
}
