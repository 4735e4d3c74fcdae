//! The signature of an event, by the specification of Standard Webhooks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credvault_crypto::MacKey;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

/// The start of a secret, before its base64.
const SECRET_PREFIX: &str = "whsec_";

/// `v1,` and the base64 of HMAC-SHA256 over id, time and body, for each secret.
pub(super) fn signatures(secrets: &[SecretString], id: &str, time: &str, body: &str) -> String {
    let signature = |secret: &SecretString| {
        let key = STANDARD.decode(secret.expose_secret().strip_prefix(SECRET_PREFIX)?).ok();
        let tag = MacKey::new(&Zeroizing::new(key?))?.sign(&[id, ".", time, ".", body]);
        Some(format!("v1,{}", STANDARD.encode(tag)))
    };
    secrets.iter().filter_map(signature).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the specification's own libraries are tested with.
    #[test]
    fn the_known_signature() {
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let signed =
            signatures(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
