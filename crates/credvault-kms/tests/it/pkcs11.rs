//! PKCS#11, against SoftHSM 2. Each test runs in a process of its own.

use std::path::PathBuf;
use std::sync::Arc;

use credvault_crypto::{KeyManager as _, KeyManagerError, SystemRandom, Versioning, WrapPlace};
use credvault_kms::{IvSource, Pkcs11, Pkcs11Settings};
use credvault_testkit::{SoftHsm, soft_hsm};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Module};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use cryptoki::session::UserType;

use crate::{
    PLACE, PLAIN, assert_only_as_wrapped, assert_unwraps, kind_of, logs, unwrap_error, wrap, wrap_error,
};

const PIN: &str = "CANARY-1234";

/// SoftHSM for a test of this file, with a token `vault`, and a key `root` in it.
fn peer(test: &str) -> Option<SoftHsm> {
    let hsm = soft_hsm(&format!("pkcs11::{test}"))?;
    logs::start();
    hsm.token("vault", PIN);
    hsm.key("vault", PIN, "root");
    Some(hsm)
}

fn pin_file(hsm: &SoftHsm, pin: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let file = hsm.folder().join("pin");
    std::fs::write(&file, format!("{pin}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn settings(hsm: &SoftHsm) -> Pkcs11Settings {
    Pkcs11Settings {
        module: hsm.module().to_owned(),
        token: "vault".to_owned(),
        pin_file: pin_file(hsm, PIN),
        key: "root".to_owned(),
        iv: IvSource::Vault,
    }
}

fn manager(settings: Pkcs11Settings) -> Pkcs11 {
    Pkcs11::new(settings, Arc::new(SystemRandom)).unwrap()
}

/// The text of a refusal to wrap, after a look at it.
async fn words(manager: &Pkcs11) -> String {
    let error = manager.wrap(&PLACE, PLAIN).await.unwrap_err();
    kind_of(&error);
    error.to_string()
}

#[tokio::test]
async fn what_was_wrapped_comes_back_in_its_place_and_in_no_other() {
    let Some(hsm) = peer("what_was_wrapped_comes_back_in_its_place_and_in_no_other") else { return };
    let manager = manager(settings(&hsm));
    assert_eq!(
        (manager.kind(), manager.key_name()),
        ("pkcs11", "pkcs11:token=vault;object=root;type=secret-key")
    );
    let wrapped = wrap(&manager).await;
    assert_eq!(wrapped.len(), 1 + 12 + PLAIN.len() + 16);
    assert_ne!(wrap(&manager).await[1..13], wrapped[1..13], "an IV is used once");
    assert_unwraps(&manager, &wrapped).await;
    assert_only_as_wrapped(&manager, &wrapped).await;
    logs::assert_no_canary(&format!("{manager:?}"));
    logs::assert_nothing_secret(&[]);
}

#[tokio::test]
async fn what_was_altered_or_wrapped_by_another_key_does_not_come_back() {
    let Some(hsm) = peer("what_was_altered_or_wrapped_by_another_key_does_not_come_back") else { return };
    hsm.key("vault", PIN, "other");
    let manager = manager(settings(&hsm));
    let wrapped = wrap(&manager).await;
    for at in 0..wrapped.len() {
        let mut altered = wrapped.clone();
        altered[at] ^= 1;
        assert_eq!(unwrap_error(&manager, &PLACE, &altered).await, "foreign", "byte {at}");
    }
    for length in [0, 1, 13, 29, wrapped.len() - 1] {
        assert_eq!(unwrap_error(&manager, &PLACE, &wrapped[..length]).await, "foreign", "{length}");
    }
    let other = self::manager(Pkcs11Settings { key: "other".to_owned(), ..settings(&hsm) });
    assert_eq!(unwrap_error(&other, &PLACE, &wrapped).await, "foreign");
    assert_unwraps(&manager, &wrapped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_share_a_few_sessions() {
    let Some(hsm) = peer("many_calls_at_once_share_a_few_sessions") else { return };
    let manager = Arc::new(manager(settings(&hsm)));
    let calls = (0..100).map(|version| {
        let manager = Arc::clone(&manager);
        tokio::spawn(async move {
            let place = WrapPlace { version, ..PLACE };
            let wrapped = manager.wrap(&place, PLAIN).await.unwrap();
            assert_eq!(manager.unwrap(&place, &wrapped).await.unwrap().as_slice(), PLAIN);
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_pin_is_tried_once_and_a_corrected_one_at_the_next_call() {
    let Some(hsm) = peer("a_wrong_pin_is_tried_once_and_a_corrected_one_at_the_next_call") else { return };
    let manager = manager(settings(&hsm));
    pin_file(&hsm, "CANARY-4321");
    assert_eq!(wrap_error(&manager).await, "denied");
    assert_eq!(wrap_error(&manager).await, "denied");
    let told = words(&manager).await;
    assert!(told.contains("has refused the PIN"), "{told}");
    pin_file(&hsm, PIN);
    wrap(&manager).await;
}

#[tokio::test]
async fn a_pin_that_others_can_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(hsm) = peer("a_pin_that_others_can_read_is_not_used") else { return };
    let settings = settings(&hsm);
    std::fs::set_permissions(&settings.pin_file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let manager = manager(settings);
    assert_eq!(wrap_error(&manager).await, "settings");
    assert!(words(&manager).await.contains("chmod 600"));
}

#[tokio::test]
async fn what_is_not_there_is_a_key_or_unavailable() {
    let Some(hsm) = peer("what_is_not_there_is_a_key_or_unavailable") else { return };
    let none = || "none".to_owned();
    let no_key = manager(Pkcs11Settings { key: none(), ..settings(&hsm) });
    assert_eq!(wrap_error(&no_key).await, "key");
    let no_token = manager(Pkcs11Settings { token: none(), ..settings(&hsm) });
    assert_eq!(wrap_error(&no_token).await, "unavailable");
    let no_module = manager(Pkcs11Settings { module: "/none.so".into(), ..settings(&hsm) });
    assert_eq!(wrap_error(&no_module).await, "unavailable");
}

#[tokio::test]
async fn a_device_that_was_pulled_out_is_unavailable() {
    let Some(hsm) = peer("a_device_that_was_pulled_out_is_unavailable") else { return };
    let manager = manager(settings(&hsm));
    let wrapped = wrap(&manager).await;
    hsm.pull_out();
    assert_eq!(unwrap_error(&manager, &PLACE, &wrapped).await, "unavailable");
}

#[tokio::test]
async fn a_token_that_was_away_is_found_again_and_other_keys_of_the_module_are_not_mixed_up() {
    let test = "a_token_that_was_away_is_found_again_and_other_keys_of_the_module_are_not_mixed_up";
    let Some(hsm) = peer(test) else { return };
    hsm.key("vault", PIN, "other");
    let (root, other) =
        (manager(settings(&hsm)), Pkcs11Settings { key: "other".to_owned(), ..settings(&hsm) });
    let other = manager(other);
    let (of_root, of_other) = (wrap(&root).await, wrap(&other).await);
    hsm.put_away();
    assert_eq!(unwrap_error(&root, &PLACE, &of_root).await, "unavailable");
    hsm.bring_back();
    let begun = std::time::Instant::now();
    while root.unwrap(&PLACE, &of_root).await.is_err() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "it is not found again");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    // The other one's sessions and handles have ended with the module.
    assert_unwraps(&other, &of_other).await;
    assert_eq!(unwrap_error(&other, &PLACE, &of_root).await, "foreign");
    let again = wrap(&other).await;
    assert_eq!(unwrap_error(&root, &PLACE, &again).await, "foreign");
    assert_unwraps(&root, &of_root).await;
}

/// Makes a key of 256 bits in the token, with these attributes besides.
fn generate(hsm: &SoftHsm, label: &str, attributes: &[Attribute]) {
    let module = Module::new(hsm.module()).unwrap();
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap_or_default();
    let slots = module.get_slots_with_initialized_token().unwrap();
    let session = module.open_rw_session(slots[0]).unwrap();
    session.login(UserType::User, Some(&PIN.into())).unwrap();
    let mut template = vec![Attribute::Token(true), Attribute::Label(label.as_bytes().to_vec())];
    template.extend([Attribute::ValueLen(32.into()), Attribute::Encrypt(true), Attribute::Decrypt(true)]);
    template.extend_from_slice(attributes);
    session.generate_key(&Mechanism::AesKeyGen, &template).unwrap();
}

#[tokio::test]
async fn a_key_that_can_leave_its_token_or_is_not_alone_is_refused() {
    let Some(hsm) = peer("a_key_that_can_leave_its_token_or_is_not_alone_is_refused") else { return };
    let kept = [Attribute::Sensitive(true), Attribute::Extractable(false)];
    generate(&hsm, "kept", &kept);
    generate(&hsm, "extractable", &[Attribute::Sensitive(true), Attribute::Extractable(true)]);
    generate(&hsm, "readable", &[Attribute::Sensitive(false), Attribute::Extractable(false)]);
    generate(&hsm, "twice", &kept);
    generate(&hsm, "twice", &kept);
    let with = |key: &str| manager(Pkcs11Settings { key: key.to_owned(), ..settings(&hsm) });
    wrap(&with("kept")).await;
    for (key, why) in [
        ("extractable", "CKA_EXTRACTABLE"),
        ("readable", "CKA_SENSITIVE"),
        ("twice", "several keys have the label"),
    ] {
        assert_eq!(wrap_error(&with(key)).await, "key");
        assert!(words(&with(key)).await.contains(why), "{key}");
    }
}

#[tokio::test]
async fn a_token_that_makes_no_iv_is_not_trusted_to_make_one() {
    let Some(hsm) = peer("a_token_that_makes_no_iv_is_not_trusted_to_make_one") else { return };
    let manager = manager(Pkcs11Settings { iv: IvSource::Token, ..settings(&hsm) });
    assert_eq!(wrap_error(&manager).await, "key");
    assert!(words(&manager).await.contains("makes no IV"));
}

#[tokio::test]
async fn versions_are_other_keys_and_labels_have_bounds() {
    let Some(hsm) = peer("versions_are_other_keys_and_labels_have_bounds") else { return };
    let manager = manager(Pkcs11Settings { key: "root key; 2".to_owned(), ..settings(&hsm) });
    assert_eq!(manager.key_name(), "pkcs11:token=vault;object=root%20key%3B%202;type=secret-key");
    assert!(matches!(manager.add_version().await, Ok(Versioning::ByHand(_))));
    assert!(matches!(manager.destroy_older_versions().await, Ok(Versioning::ByHand(_))));
    assert!(matches!(manager.find_older_versions().await, Ok(Versioning::ByHand(_))));
    let random = || Arc::new(SystemRandom);
    let no_token = Pkcs11Settings { token: String::new(), ..settings(&hsm) };
    assert!(matches!(Pkcs11::new(no_token, random()), Err(KeyManagerError::Settings(_))));
    let long_key = Pkcs11Settings { key: "k".repeat(101), ..settings(&hsm) };
    assert!(matches!(Pkcs11::new(long_key, random()), Err(KeyManagerError::Settings(_))));
}
