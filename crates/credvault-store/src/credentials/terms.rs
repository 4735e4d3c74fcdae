//! On what a new version is stored: held against the connection before a store is asked to keep it, and when it is stored.

use credvault_domain::{Config, ConnectionId, TenantScope, Version};

use crate::change::Change;
use crate::connections::lock::locked_live;
use crate::credentials::binding;
use crate::credentials::stored::{NewSettings, require_whole};
use crate::entity::connection;
use crate::{Error, Store, Write};

/// On what a new version is stored.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) id: ConnectionId,
    /// The version that must be current; zero means none.
    pub(super) expected: Option<Version>,
    /// The settings that must be the connection's still.
    pub(super) tried: Option<&'a Config>,
    /// Those that are stored with it.
    pub(super) settings: Option<&'a NewSettings>,
}

impl Terms<'_> {
    /// Begins a change of the connection, whose locked row comes with it; without one if the same request was made before.
    ///
    /// # Errors
    /// The connection is not there, is deleted, does not open, or is not as the terms say.
    pub(super) async fn begin<'a>(
        self,
        store: &'a Store,
        scope: &TenantScope,
        write: &'a Write,
    ) -> Result<(Change<'a>, Option<connection::Model>), Error> {
        let mut change = store.change(scope, write).await?;
        if change.prior().is_some() {
            return Ok((change, None));
        }
        let model = locked_live(&mut change, scope, self.id, None).await?;
        expect(&model, self.expected)?;
        if self.tried.is_some_and(|tried| !binding::has_config(&model, tried)) {
            return Err(Error::EtagMismatch);
        }
        // A caller that names every setting does not rely on the stored ones.
        if self.settings.is_none() {
            require_whole(&change, &model).await?;
        }
        Ok((change, Some(model)))
    }
}

/// Refuses a change for another version than the current one.
///
/// # Errors
/// [`Error::VersionMismatch`].
pub(super) fn expect(model: &connection::Model, expected: Option<Version>) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != model.current_version => {
            Err(Error::VersionMismatch { current: model.current_version })
        }
        _ => Ok(()),
    }
}
