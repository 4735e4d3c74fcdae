//! Known answers for the primitives that this crate calls, through the same functions of ring: RFC 5869 and Wycheproof.

#![allow(missing_docs, reason = "a test binary")]

use credvault_crypto::PublicKey;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::{hkdf, hmac};
use wycheproof::TestResult;

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive(ikm: &[u8], salt: &[u8], info: &[u8], length: usize) -> Option<Vec<u8>> {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(ikm);
    let mut output = vec![0; length];
    prk.expand(&[info], Length(length)).ok()?.fill(&mut output).ok()?;
    Some(output)
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect()
}

#[test]
fn hkdf_sha256_gives_the_answers_of_rfc_5869_appendix_a() {
    let range = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
    let cases = [
        (
            vec![0x0b; 22],
            range(0, 0x0c),
            range(0xf0, 0xf9),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            range(0, 0x4f),
            range(0x60, 0xaf),
            range(0xb0, 0xff),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8\
             367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            vec![0x0b; 22],
            vec![],
            vec![],
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ];
    for (ikm, salt, info, okm) in cases {
        let expected = hex(okm);
        assert_eq!(derive(&ikm, &salt, &info, expected.len()), Some(expected));
    }
}

#[test]
fn hkdf_sha256_passes_wycheproof() {
    let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256).expect("vectors");
    let mut count = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let output = derive(&test.ikm, &test.salt, &test.info, test.size);
        assert_eq!(output.as_deref() == Some(&test.okm[..]), !test.result.must_fail(), "{test:?}");
        count += 1;
    }
    assert!(count > 80, "{count}");
}

#[test]
fn aes_256_gcm_passes_wycheproof() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesGcm).expect("vectors");
    let mut count = 0;
    for group in set.test_groups.iter().filter(|g| (g.key_size, g.nonce_size, g.tag_size) == (256, 96, 128)) {
        for test in &group.tests {
            let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &test.key).expect("256 bits"));
            let nonce = || Nonce::try_assume_unique_for_key(&test.nonce).expect("96 bits");
            let mut buffer = [&test.ct[..], &test.tag[..]].concat();
            let opened =
                key.open_in_place(nonce(), Aad::from(&test.aad), &mut buffer).map(|plain| plain.to_vec());
            if test.result == TestResult::Invalid {
                assert!(opened.is_err(), "{test:?}");
            } else {
                assert_eq!(opened.expect("valid"), &test.pt[..], "{test:?}");
                let mut sealed = test.pt.to_vec();
                let tag = key
                    .seal_in_place_separate_tag(nonce(), Aad::from(&test.aad), &mut sealed)
                    .expect("seals");
                assert_eq!(&sealed[..], &test.ct[..], "{test:?}");
                assert_eq!(tag.as_ref(), &test.tag[..], "{test:?}");
            }
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
}

#[test]
fn hmac_sha256_passes_wycheproof() {
    let set = wycheproof::mac::TestSet::load(wycheproof::mac::TestName::HmacSha256).expect("vectors");
    let mut count = 0;
    for group in set.test_groups.iter().filter(|group| group.tag_size == 256) {
        for test in &group.tests {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &test.key);
            let verified = hmac::verify(&key, &test.msg, &test.tag).is_ok();
            assert_eq!(verified, test.result == TestResult::Valid, "{test:?}");
            count += 1;
        }
    }
    assert!(count > 80, "{count}");
}

#[test]
fn es256_passes_wycheproof() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256P1363).expect("vectors");
    let mut count = 0;
    for group in &set.test_groups {
        let key = PublicKey::Es256(group.key.key.to_vec());
        for test in &group.tests {
            let verified = key.verify(&test.msg, &test.sig).is_ok();
            assert_eq!(verified, test.result == TestResult::Valid, "{test:?}");
            count += 1;
        }
    }
    assert!(count > 200, "{count}");
}

#[test]
fn ed25519_passes_wycheproof() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).expect("vectors");
    let mut count = 0;
    for group in &set.test_groups {
        let key = PublicKey::Ed25519(group.key.pk.to_vec());
        for test in &group.tests {
            let verified = key.verify(&test.msg, &test.sig).is_ok();
            assert_eq!(verified, test.result == TestResult::Valid, "{test:?}");
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn rs256_passes_wycheproof() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    let set = TestSet::load(TestName::Rsa2048Sha256).expect("vectors");
    let mut count = 0;
    for group in &set.test_groups {
        let modulus = group.key.n.iter().copied().skip_while(|byte| *byte == 0).collect();
        let exponent = group.key.e.iter().copied().skip_while(|byte| *byte == 0).collect();
        let key = PublicKey::Rs256 { modulus, exponent };
        for test in &group.tests {
            let verified = key.verify(&test.msg, &test.sig).is_ok();
            // "Acceptable" marks signatures without the NULL parameter, which ring rightly refuses.
            assert_eq!(verified, test.result == TestResult::Valid, "{test:?}");
            count += 1;
        }
    }
    assert!(count > 200, "{count}");
}
