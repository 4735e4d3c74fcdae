//! Fetching a credential: found in one round trip, opened after policy has decided.

use std::sync::Arc;

use credvault_crypto::{Context, TenantKey};
use credvault_domain::{Connection, TenantId, TenantScope, TenantState, Timestamp};

use super::Credentials;
use crate::Error;
use crate::credentials::binding;
use crate::credentials::found::{Fetched, OpenedCredential, Sealed, Selector};
use crate::credentials::lookup::{fetched, look_up};
use crate::database::session::served;
use crate::sealed::SealedRecord;
use crate::secrets::content::SecretContent;

impl Credentials<'_> {
    /// Finds a credential.
    ///
    /// # Errors
    /// The tenant is not served; [`Error::ConnectionNotFound`] for an id that this scope does not have;
    /// [`Error::NoCredential`] if neither user, tenant nor platform has one.
    pub async fn fetch(&self, scope: &TenantScope, selector: &Selector) -> Result<Fetched, Error> {
        self.find(scope, selector, false).await
    }

    /// What was found before, read again by its key: never another connection, whatever has changed meanwhile.
    ///
    /// # Errors
    /// As for [`Credentials::fetch`]; [`Error::ConnectionNotFound`] if it is gone, or is not any more what policy was
    /// asked about.
    pub async fn again(&self, scope: &TenantScope, found: &Fetched) -> Result<Fetched, Error> {
        let before = &found.connection;
        let selector = Selector::Connection { id: before.id, version: found.asked_version };
        let again = self.find(scope, &selector, found.tenant.is_platform()).await?;
        let same = again.tenant == found.tenant && is_same(&again.connection, before);
        if same { Ok(again) } else { Err(Error::ConnectionNotFound) }
    }

    /// `platform`: the connection that the selector names is one of the platform's own.
    async fn find(&self, scope: &TenantScope, selector: &Selector, platform: bool) -> Result<Fetched, Error> {
        let row = look_up(self.store, scope, selector, platform).await?;
        let state = row.try_get::<Option<String>>("", "tenant_state")?;
        let state = state.ok_or_else(|| Error::TenantNotFound(scope.tenant().clone()))?;
        let state = TenantState::from_stored(&state).ok_or(Error::Integrity)?;
        if state == TenantState::Suspended && self.store.is_erased(scope.tenant()).await? {
            return Err(Error::TenantNotFound(scope.tenant().clone()));
        }
        served(scope.tenant(), state)?;
        match fetched(&row, selector)? {
            Some(fetched) => Ok(fetched),
            None => Err(match selector {
                Selector::Connection { .. } => Error::ConnectionNotFound,
                Selector::Provider { .. } => Error::NoCredential,
            }),
        }
    }

    /// Opens what was found, if it may be served now. A credential that `refreshes` is opened after its access token has
    /// expired, too.
    ///
    /// # Errors
    /// The connection is disabled or has no credential, the version is not there, is destroyed or has expired, or the
    /// sealed bytes do not open.
    pub async fn open(
        &self,
        fetched: &Fetched,
        now: Timestamp,
        refreshes: bool,
    ) -> Result<OpenedCredential, Error> {
        if !fetched.connection.enabled {
            return Err(Error::ConnectionDisabled);
        }
        self.open_stored(fetched, now, refreshes).await
    }

    /// Has an adopted secret read anew by the next call that opens it, for the provider has rejected what was read before.
    pub fn doubt(&self, fetched: &Fetched) {
        self.store.doubt_adopted(&fetched.tenant, fetched.connection.id);
    }

    /// The same for the vault's own use: whether fetches are served does not matter.
    ///
    /// # Errors
    /// As for [`Credentials::open`], but for a disabled connection.
    pub async fn open_stored(
        &self,
        fetched: &Fetched,
        now: Timestamp,
        refreshes: bool,
    ) -> Result<OpenedCredential, Error> {
        let Some(sealed) = &fetched.version else {
            return Err(fetched.asked_version.map_or(Error::NoCredential, Error::VersionNotFound));
        };
        let expire_time = if sealed.tokens.is_some() { sealed.token_expire_time } else { sealed.expire_time };
        if !refreshes && expire_time.is_some_and(|time| time <= now) {
            return Err(Error::CredentialExpired);
        }
        let (tenant, id) = (&fetched.tenant, fetched.connection.id);
        let binding = binding::of_connection(&fetched.connection);
        let key = self.unwrapped(tenant, sealed).await?;
        let record =
            SealedRecord { schema: sealed.schema, key_version: sealed.key_version, bytes: &sealed.sealed };
        let content = record.open_content_with(tenant, key.as_deref(), |schema| match sealed.tokens {
            Some(generation) => Context::tokens(tenant, id, generation, schema, binding),
            None => Context::credential(tenant, id, sealed.version, schema, binding),
        })?;
        let adopted = match &content {
            SecretContent::Adopted(adoption) => Some(adoption.store.clone()),
            SecretContent::Fields(_) | SecretContent::Placed(_) => None,
        };
        let fields = self.store.fields_of(tenant, id, content).await?;
        let key = key.ok_or(Error::Integrity)?;
        let current = sealed.version == fetched.connection.current_version;
        Ok(OpenedCredential {
            fields,
            version: sealed.version,
            expire_time,
            generation: fetched.generation,
            current,
            adopted,
            key,
        })
    }

    /// The key that was read beside sealed fields; `None` if it does not unwrap.
    async fn unwrapped(&self, tenant: &TenantId, sealed: &Sealed) -> Result<Option<Arc<TenantKey>>, Error> {
        let Ok(version) = u32::try_from(sealed.key_version) else { return Ok(None) };
        match self.store.keyring().unwrap(tenant, version, &sealed.wrapped).await {
            Ok(key) => Ok(Some(key)),
            Err(credvault_crypto::Error::Integrity) => {
                // The tenant may have been erased after its state was read and before its key was.
                let erased = self.store.is_erased(tenant).await?;
                if erased { Err(Error::TenantNotFound(tenant.clone())) } else { Ok(None) }
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a connection that was read again is still what policy was asked about.
pub(crate) fn is_same(now: &Connection, before: &Connection) -> bool {
    (&now.owner, &now.provider, &now.auth_mode) == (&before.owner, &before.provider, &before.auth_mode)
}
