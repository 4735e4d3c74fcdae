//! What a return value of PKCS#11 means to the vault. Errors name function and value, which never hold a secret.

use credvault_crypto::KeyManagerError;
use cryptoki::error::{Error, RvError};

/// `CKR_AEAD_DECRYPT_FAILED` of PKCS#11 3.0, for which cryptoki has no name.
const AEAD_DECRYPT_FAILED: u64 = 0x42;

/// What the error of a call means.
pub(super) fn of(error: &Error) -> KeyManagerError {
    let Error::Pkcs11(value, function) = error else {
        return KeyManagerError::Unavailable("the module does not answer as PKCS#11 says".to_owned());
    };
    let words = format!("C_{function:?} returned {value:?}");
    let is_denied = matches!(
        value,
        RvError::UserNotLoggedIn | RvError::UserTypeInvalid | RvError::UserAnotherAlreadyLoggedIn
    );
    if is_denied || is_about_the_pin(error) {
        KeyManagerError::Denied(words)
    } else if is_about_the_key(value) {
        KeyManagerError::Key(words)
    } else {
        KeyManagerError::Unavailable(words)
    }
}

/// The token has refused the PIN, and the same PIN must not be tried again.
pub(super) fn is_about_the_pin(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::PinIncorrect
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinExpired
                | RvError::PinLocked
                | RvError::UserPinNotInitialized,
            _
        )
    )
}

fn is_about_the_key(value: &RvError) -> bool {
    matches!(
        value,
        RvError::KeyHandleInvalid
            | RvError::ObjectHandleInvalid
            | RvError::KeyFunctionNotPermitted
            | RvError::KeyTypeInconsistent
            | RvError::KeySizeRange
            | RvError::MechanismInvalid
            | RvError::MechanismParamInvalid
    )
}

/// What was to be decrypted is not of this key, or was altered.
pub(super) fn is_about_the_ciphertext(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::EncryptedDataInvalid
                | RvError::EncryptedDataLenRange
                | RvError::UnknownErrorCode(AEAD_DECRYPT_FAILED),
            _
        )
    )
}

/// The token says only that something went wrong.
pub(super) fn is_vague(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::GeneralError
                | RvError::FunctionFailed
                | RvError::DataInvalid
                | RvError::DeviceError
                | RvError::VendorDefined(_),
            _
        )
    )
}

/// A new session, or a new login, may help.
pub(super) fn is_stale(error: &Error) -> bool {
    let is_gone = matches!(
        error,
        Error::Pkcs11(
            RvError::SessionHandleInvalid
                | RvError::SessionClosed
                | RvError::DeviceRemoved
                | RvError::TokenNotPresent
                | RvError::TokenNotRecognized
                | RvError::SlotIdInvalid
                | RvError::CryptokiNotInitialized
                | RvError::UserNotLoggedIn
                | RvError::KeyHandleInvalid
                | RvError::ObjectHandleInvalid
                | RvError::OperationActive,
            _
        )
    );
    is_gone || is_vague(error)
}
