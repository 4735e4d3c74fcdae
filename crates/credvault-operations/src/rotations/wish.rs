//! What an attempt to rotate needs to know of the provider's file.

use credvault_catalog::{Mint, Mode};
use credvault_domain::Config;
use credvault_store::RotationWish;

/// The wish of the vault itself to replace a credential of this mode.
pub(super) fn wish(mode: &Mode, config: &Config) -> RotationWish {
    RotationWish {
        forced: false,
        mints: mode.mints_with(config),
        new_key_only: false,
        revoke_now: false,
        one_by_one: mode.mint().is_some_and(|mint| !mint.names_keys()),
        old_key_life: mode.mint().and_then(Mint::old_key_life),
    }
}
