//! Private keys in PEM (RFC 7468): the first private key of a text, and its first certificate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa;
use ring::signature::RsaKeyPair;
use zeroize::Zeroizing;

use super::error::{KeyError, rejected};
use super::pair::{Pair, p256, p256_of_pkcs8};

/// The bytes before the private key in the DER of SEC 1 keys on P-256 that also have their parameters: a sequence of 119
/// bytes, the version 1, and the head of 32 bytes (RFC 5915).
const SEC1_PREFIX: [u8; 7] = [0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20];

/// The first private key in `text`, which may also hold parameters or certificates, and the first certificate's DER.
pub(super) fn read(text: &str) -> Result<(Pair, Option<Vec<u8>>), KeyError> {
    let text = Zeroizing::new(text.replace("\\r", "").replace("\\n", "\n"));
    let (mut pair, mut certificate, mut problem) = (None, None, KeyError::NotPem);
    for block in text.split("-----BEGIN ").skip(1) {
        let Some((label, body)) = block.split_once("-----") else { continue };
        match label {
            "CERTIFICATE" => {
                problem = KeyError::Public;
                if certificate.is_none() {
                    certificate = Some(der(body)?.to_vec());
                }
            }
            _ if pair.is_some() => {}
            label if label.ends_with("PRIVATE KEY") => pair = Some(private_key(label, body)?),
            label if label.ends_with("PUBLIC KEY") => problem = KeyError::Public,
            _ => {}
        }
    }
    Ok((pair.ok_or(problem)?, certificate))
}

fn private_key(label: &str, body: &str) -> Result<Pair, KeyError> {
    let rsa = |pair: RsaKeyPair| Pair::Rsa(Box::new(pair));
    match label {
        "PRIVATE KEY" => {
            let der = der(body)?;
            match RsaKeyPair::from_pkcs8(&der).map_err(rejected) {
                Err(KeyError::Kind) => p256_of_pkcs8(&der).map(|pair| Pair::P256(Box::new(pair))),
                pair => pair.map(rsa),
            }
        }
        "RSA PRIVATE KEY" | "EC PRIVATE KEY" if body.contains("ENCRYPTED") => Err(KeyError::Encrypted),
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der(body)?).map(rsa).map_err(rejected),
        "EC PRIVATE KEY" => sec1(&der(body)?),
        "ENCRYPTED PRIVATE KEY" => Err(KeyError::Encrypted),
        "OPENSSH PRIVATE KEY" => Err(KeyError::OpenSsh),
        _ => Err(KeyError::Kind),
    }
}

/// A key of `openssl ecparam -genkey`. Its public half is computed.
fn sec1(der: &[u8]) -> Result<Pair, KeyError> {
    let scalar = der.strip_prefix(SEC1_PREFIX.as_slice()).and_then(|rest| rest.get(..32));
    let scalar = scalar.ok_or(KeyError::Kind)?;
    let key = ecdsa::SigningKey::from_slice(scalar).map_err(|_| KeyError::Broken)?;
    p256(scalar, key.verifying_key().to_sec1_point(false).as_bytes())
}

fn der(body: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (base64, _) = body.split_once("-----END").ok_or(KeyError::Broken)?;
    let base64: Zeroizing<String> = Zeroizing::new(base64.split_whitespace().collect());
    STANDARD.decode(base64.as_bytes()).map(Zeroizing::new).map_err(|_| KeyError::Broken)
}
