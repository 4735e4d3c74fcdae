//! What the error of a key says to a caller.

use credvault_crypto::Error;

/// The words for a caller: the key manager's own are in the log, for they are an operator's.
pub(super) fn words(error: &Error) -> &'static str {
    if error.is_refusal() {
        "the key manager does not permit this to the vault, or cannot use its key; trying again does not help. An operator \
         finds what it answered in the vault's log, and mends it there"
    } else {
        "the tenant's key cannot be made or unwrapped at the moment; try again. If this persists, operators find the \
         cause in the vault's log"
    }
}
