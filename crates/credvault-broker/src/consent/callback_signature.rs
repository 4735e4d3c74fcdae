//! Signatures of providers over the parameters with which they send a browser back.

use std::collections::BTreeMap;

use credvault_crypto::MacKey;
use credvault_store::UsableApp;
use secrecy::ExposeSecret as _;

/// Whether Shopify has signed these parameters: `hmac` is the hexadecimal HMAC-SHA256 of the others under the app's secret.
/// Source: Shopify's documentation of OAuth, "Verify the installation request".
pub(crate) fn is_signed_by_shopify(parameters: &BTreeMap<String, String>, app: &UsableApp) -> bool {
    let Some(tag) = parameters.get("hmac").and_then(|text| decoded(text)) else { return false };
    let message = shopify_message(parameters);
    [&app.client_secret, &app.previous_client_secret].into_iter().flatten().any(|secret| {
        let key = MacKey::new(secret.expose_secret().as_bytes());
        key.is_some_and(|key| key.matching(&[message.as_bytes()], &[tag]).is_some())
    })
}

/// The parameters that are signed, as `name=value`, sorted and joined with `&`. Separators in them are escaped, as Shopify's
/// libraries do it; otherwise two sets of parameters could have the same signature.
fn shopify_message(parameters: &BTreeMap<String, String>) -> String {
    let signed = parameters.iter().filter(|(name, _)| !matches!(name.as_str(), "hmac" | "signature"));
    let escaped = |text: &str| text.replace('%', "%25").replace('&', "%26");
    let pair = |(name, value): (&String, &String)| {
        format!("{}={}", escaped(name).replace('=', "%3D"), escaped(value))
    };
    let mut pairs: Vec<_> = signed.map(pair).collect();
    pairs.sort_unstable();
    pairs.join("&")
}

fn decoded(hexadecimal: &str) -> Option<[u8; 32]> {
    let digits = hexadecimal.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use credvault_crypto::MacKey;
    use proptest::prelude::*;

    use super::{BTreeMap, decoded, shopify_message};

    fn signed(key: &str, parameters: &BTreeMap<String, String>) -> bool {
        let tag = decoded(&parameters["hmac"]).expect("hexadecimal");
        let key = MacKey::new(key.as_bytes()).expect("a key");
        key.matching(&[shopify_message(parameters).as_bytes()], &[tag]).is_some()
    }

    #[test]
    fn what_shopify_has_published_is_signed() {
        let published = |hmac: &str, more: &[(&str, &str)]| {
            let mut pairs = vec![
                ("code", "0907a61c0c8d55e99db179b68161bc00"),
                ("shop", "some-shop.myshopify.com"),
                ("timestamp", "1337178173"),
                ("hmac", hmac),
                ("signature", "of older days, and not signed"),
            ];
            pairs.extend(more);
            pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let older = published("4712bf92ffc2917d15a2f5a273e39f0116667419aa4b6ac0b3baaf26fa3c4d20", &[]);
        assert!(signed("hush", &older) && !signed("hash", &older));
        let newer = published(
            "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf",
            &[("state", "0.6784241404160823")],
        );
        assert!(signed("hush", &newer));
    }

    #[test]
    fn what_separates_is_escaped_as_shopifys_libraries_do_it() {
        let message = |pairs: &[(&str, &str)]| {
            let owned = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            shopify_message(&owned.collect())
        };
        assert_eq!(message(&[("a", "1&b=2"), ("c=3&d", "4")]), "a=1%26b=2&c%3D3%26d=4");
        assert_eq!(message(&[("note", "50% off"), ("ids", "[1, 2]")]), "ids=[1, 2]&note=50%25 off");
    }

    proptest! {
        /// What is signed can be taken apart again, so no two sets of parameters are signed alike.
        #[test]
        fn parameters_can_be_read_from_what_is_signed(
            parameters in prop::collection::btree_map("[a=&%é256D3]{1,6}", "[a=&%é256D3]{0,6}", 1..5)
        ) {
            let plain = |text: &str| text.replace("%3D", "=").replace("%26", "&").replace("%25", "%");
            let message = shopify_message(&parameters);
            let read: BTreeMap<String, String> = message
                .split('&')
                .map(|pair| pair.split_once('=').expect("a pair"))
                .map(|(name, value)| (plain(name), plain(value)))
                .collect();
            prop_assert_eq!(read, parameters);
        }
    }
}
