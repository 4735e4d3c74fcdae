//! What is not a backup, not whole, or of another vault: each is refused by its own reason, and changes nothing.

use crate::harness::backup::Ran;
use crate::harness::{TestVault, VaultBuilder, generic};
use crate::on_both;

use super::filled;

on_both![
    a_byte_altered_anywhere_is_noticed,
    a_backup_cut_anywhere_is_noticed,
    another_root_key_and_another_vault_are_refused_as_that,
];

/// Verifies altered bytes, and restores them; both must refuse, and the database must stay empty.
async fn refused(vault: &TestVault, bytes: &[u8], what: &str) -> String {
    std::fs::write(vault.folder.path().join("altered.backup"), bytes).unwrap();
    let verified = vault.verify("altered.backup", &[]).await;
    assert_eq!(verified.code, 5, "{what}: {}", verified.error);
    verified.error
}

async fn restore_refused(vault: &TestVault, code: i32) -> String {
    let place = vault.sqlite_place("restored.db");
    let refused = vault.restore("altered.backup", &place, &[]).await.refused(code);
    // Only an empty database takes a backup.
    vault.restore("vault.backup", &place, &[]).await.done();
    std::fs::remove_file(vault.folder.path().join("restored.db")).unwrap();
    refused
}

/// A vault with a backup of some frames.
async fn backed_up(builder: VaultBuilder) -> (TestVault, Vec<u8>) {
    let vault = builder.start().await;
    filled(&vault).await;
    let app = vault.app("acme").await;
    for number in 0..14 {
        let large = format!("CANARY{}", "x".repeat(60_000));
        app.create(generic(&format!("large-{number}"), &large)).await.unwrap();
    }
    vault.back_up("vault.backup").await.done();
    let bytes = std::fs::read(vault.folder.path().join("vault.backup")).unwrap();
    assert!(bytes.len() > 2 * 256 * 1024, "{}", bytes.len());
    (vault, bytes)
}

/// Where the frames begin.
fn header_bytes(bytes: &[u8]) -> usize {
    let length: [u8; 4] = bytes[17..21].try_into().unwrap();
    21 + u32::from_be_bytes(length) as usize
}

async fn a_byte_altered_anywhere_is_noticed(builder: VaultBuilder) {
    let (vault, bytes) = backed_up(builder).await;
    let frames = header_bytes(&bytes);
    let regions = [
        ("magic", 3),
        ("length of the header", 20),
        ("header", 21 + (frames - 21) / 2),
        ("length of a frame", frames + 3),
        ("first frame", frames + 4),
        ("tag of the first frame", frames + 4 + 256 * 1024 + 5),
        ("length of the second frame", frames + 4 + 256 * 1024 + 16 + 1),
        ("middle", bytes.len() / 2),
        ("last tag", bytes.len() - 1),
    ];
    for (what, at) in regions {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        refused(&vault, &altered, what).await;
    }
    let error = restore_refused(&vault, 5).await;
    assert!(error.contains("was altered"), "{error}");
    // Frames in another order, and one that is left out.
    let frame = 4 + 256 * 1024 + 16;
    let (first, second) = (frames..frames + frame, frames + frame..frames + 2 * frame);
    let swapped =
        [&bytes[..frames], &bytes[second.clone()], &bytes[first.clone()], &bytes[second.end..]].concat();
    let lacking = [&bytes[..frames], &bytes[second]].concat();
    for (bytes, what) in [(swapped, "swapped"), (lacking, "lacking")] {
        let error = refused(&vault, &bytes, what).await;
        assert!(error.contains("is out of order"), "{what}: {error}");
    }
    let error = refused(&vault, &[&bytes[..], b"more"].concat(), "longer").await;
    assert!(error.contains("bytes behind its end"), "{error}");
    let error = refused(&vault, b"PGDMP and so on, which is a dump of a database", "foreign").await;
    assert!(error.contains("this is not a credvault backup"), "{error}");
}

async fn a_backup_cut_anywhere_is_noticed(builder: VaultBuilder) {
    let (vault, bytes) = backed_up(builder).await;
    let frames = header_bytes(&bytes);
    let frame = 4 + 256 * 1024 + 16;
    // In the header, at its end, in a frame, between two, and all but the last byte.
    for end in [30, frames, frames + 2, frames + 1000, frames + frame, bytes.len() / 2, bytes.len() - 1] {
        let error = refused(&vault, &bytes[..end], &format!("{end} bytes")).await;
        assert!(error.contains("it was cut off"), "{end}: {error}");
    }
    let error = restore_refused(&vault, 5).await;
    assert!(error.contains("it was cut off"), "{error}");
    assert!(refused(&vault, b"", "nothing").await.contains("not a credvault backup"));
}

async fn another_root_key_and_another_vault_are_refused_as_that(builder: VaultBuilder) {
    let vault = builder.start().await;
    filled(&vault).await;
    let made = vault.back_up("vault.backup").await.done();
    let own = made["manifest"]["public_key"].as_str().unwrap().to_owned();
    vault.verify("vault.backup", &["--public-key", &own]).await.done();

    let another = VaultBuilder::sqlite().start().await;
    filled(&another).await;
    let theirs = another.back_up("vault.backup").await.done();
    let theirs = theirs["manifest"]["public_key"].as_str().unwrap().to_owned();
    let of_another = |ran: Ran| {
        let error = ran.refused(5);
        assert!(error.contains("it is of another vault"), "{error}");
    };
    // The root keys of all tests are one, so the signature is what tells the vaults apart.
    of_another(vault.verify("vault.backup", &["--public-key", &theirs]).await);
    let place = vault.sqlite_place("restored.db");
    of_another(vault.restore("vault.backup", &place, &["--public-key", &theirs]).await);
    let no_key = vault.verify("vault.backup", &["--public-key", "AAAA"]).await.refused(2);
    assert!(no_key.contains("32 bytes in base64"), "{no_key}");

    vault.write("other.key", &format!("{}00", "6b".repeat(31)));
    let with_other = ["--set", "root_key.file=other.key"];
    of_another(vault.verify("vault.backup", &with_other).await);
    of_another(vault.restore("vault.backup", &place, &with_other).await);
    // Nothing of that has left a row.
    vault.restore("vault.backup", &place, &["--public-key", &own]).await.done();
}
