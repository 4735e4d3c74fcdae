//! Keys in all forms that people paste, what cannot sign, and signatures that our own verification accepts.

use super::*;
use crate::PublicKey;

const PKCS8: &str = include_str!("../../tests/keys/rsa_pkcs8.pem");
const PKCS1: &str = include_str!("../../tests/keys/rsa_pkcs1.pem");
const EC: &str = include_str!("../../tests/keys/ec_sec1.pem");
const EC_PKCS8: &str = include_str!("../../tests/keys/ec_pkcs8.pem");
const PUBLIC: &str = include_str!("../../tests/keys/rsa_public.pem");

fn rs256(key: &str) -> Result<Vec<u8>, KeyError> {
    let key = SigningKey::parse(key)?;
    key.sign(key.algorithm(&[SigningAlgorithm::Rs256])?, b"message")
}

/// The private members of a JWK, made of what [`SigningKey::generate`] gives.
fn jwk(alg: Option<&str>) -> String {
    let (pem, mut members) = SigningKey::generate("k-1").expect("a key");
    let body: String =
        secrecy::ExposeSecret::expose_secret(&pem).lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(body).expect("base64");
    // The private key stands behind the head of an octet string of 32 bytes.
    let at = der.windows(2).position(|head| head == [0x04, 0x20]).expect("a private key") + 2;
    members.insert("d".to_owned(), json!(URL_SAFE_NO_PAD.encode(&der[at..at + 32])));
    match alg {
        Some(alg) => members.insert("alg".to_owned(), json!(alg)),
        None => members.remove("alg"),
    };
    Value::Object(members).to_string()
}

#[test]
fn a_key_signs_in_every_form_that_people_paste() {
    let signed = rs256(PKCS8).expect("a key");
    for key in [PKCS8, PKCS1] {
        let forms = [
            key.replace('\n', "\\n"),
            key.replace('\n', "\\r\\n"),
            key.replace('\n', "\r\n"),
            key.replace('\n', " "),
            key.replace('\n', ""),
            key.trim_end().to_owned(),
            format!("  \n{key}\n\n"),
            format!("{PUBLIC}{key}"),
        ];
        for form in forms {
            assert_eq!(rs256(&form), Ok(signed.clone()), "{form}");
        }
    }
}

#[test]
fn what_cannot_sign_is_named() {
    let cases = [
        ("", KeyError::NotPem),
        ("CANARY", KeyError::NotPem),
        (EC_PKCS8, KeyError::NotRsa),
        (EC, KeyError::NotRsa),
        (include_str!("../../tests/keys/rsa_short.pem"), KeyError::Size),
        (include_str!("../../tests/keys/rsa_encrypted.pem"), KeyError::Encrypted),
        (PUBLIC, KeyError::Public),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbg==\n-----END", KeyError::OpenSsh),
        ("-----BEGIN PRIVATE KEY-----\nTUlJ\n-----END PRIVATE KEY-----", KeyError::Broken),
        (&PKCS8[..PKCS8.len() / 2], KeyError::Broken),
        ("{", KeyError::NotJwk),
        (r#"{"kty":"RSA","n":"AQ","e":"AQAB"}"#, KeyError::Public),
        (r#"{"kty":"RSA","n":"AQ","e":"AQAB","d":"AQ"}"#, KeyError::NotJwk),
        (r#"{"kty":"OKP","crv":"Ed25519","d":"AQ"}"#, KeyError::Kind),
        (&jwk(Some("ES512")), KeyError::Algorithm),
    ];
    for (key, error) in cases {
        assert_eq!(rs256(key), Err(error), "{key}");
    }
    let rsa = SigningKey::parse(PKCS8).expect("a key");
    assert_eq!(rsa.algorithm(&[SigningAlgorithm::Es256]), Err(KeyError::NotP256));
}

#[test]
fn keys_on_p256_sign_and_verify_from_every_form() {
    for (form, key_id) in
        [(EC, None), (EC_PKCS8, None), (&jwk(None), Some("k-1")), (&jwk(Some("ES256")), Some("k-1"))]
    {
        let key = SigningKey::parse(form).expect("a key");
        assert_eq!(key.key_id(), key_id);
        let algorithm = key.algorithm(&[SigningAlgorithm::Ps256, SigningAlgorithm::Es256]).expect("it fits");
        let signed = key.sign(algorithm, b"message").expect("signed");
        let Pair::P256(pair) = &key.pair else { panic!("another kind") };
        let public = PublicKey::Es256(pair.public_key().as_ref().to_vec());
        assert_eq!(public.verify(b"message", &signed), Ok(()));
    }
}

#[test]
fn a_certificate_beside_the_key_gives_the_thumbprint() {
    let certificate = "-----BEGIN CERTIFICATE-----\nY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
    let key = SigningKey::parse(&format!("{PKCS8}{certificate}")).expect("a key");
    assert_eq!(key.thumbprint(), Some(URL_SAFE_NO_PAD.encode(sha256(&[b"certificate"])).as_str()));
    assert_eq!(key.algorithm(&[SigningAlgorithm::Ps256]), Ok(SigningAlgorithm::Ps256));
    assert_eq!(key.sign(SigningAlgorithm::Ps256, b"message").map(|signed| signed.len()), Ok(256));
    assert!(matches!(SigningKey::parse(certificate), Err(KeyError::Public)));
}
