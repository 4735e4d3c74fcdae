//! Rows that are imported again.

use credvault_proto::v1;

use super::{item, outcomes, send};
use crate::harness::{VaultBuilder, by_id, refusal};
use crate::on_both;

on_both![only_a_source_that_has_changed_replaces, a_row_is_recognised_by_its_source_alone];

/// What the vault has learnt since is newer than a source that has not changed, and older than one that has.
async fn only_a_source_that_has_changed_replaces(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let items = vec![item("s/1", "one", "CANARY 1"), item("s/2", "two", "CANARY 2")];
    let first = send(&app, items, v1::ImportMode::Keep).await.unwrap();
    app.put(&first[0].connection_id, "CANARY of the vault").await.unwrap();
    let again = || vec![item("s/1", "one", "CANARY 1"), item("s/2", "two", "CANARY 2 changed")];
    let kept = send(&app, again(), v1::ImportMode::Keep).await.unwrap();
    assert_eq!(outcomes(&kept), ["UNCHANGED", "UNCHANGED"]);
    let replaced = send(&app, again(), v1::ImportMode::Replace).await.unwrap();
    assert_eq!(outcomes(&replaced), ["UNCHANGED", "REPLACED"]);
    // Where both have changed, neither is known to be newer: the vault's stays.
    let both =
        send(&app, vec![item("s/1", "one", "CANARY 1 changed")], v1::ImportMode::Replace).await.unwrap();
    assert_eq!(outcomes(&both), ["STATE_INVALID"]);
    assert!(both[0].error.as_ref().unwrap().message.contains("was changed here, too"), "{both:?}");
    for (result, expected) in replaced.iter().zip(["CANARY of the vault", "CANARY 2 changed"]) {
        assert_eq!(app.token(by_id(&result.connection_id)).await.unwrap(), expected);
    }
}

/// A row is recognised whatever it says by now, and whatever became of its connection.
async fn a_row_is_recognised_by_its_source_alone(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let replace = async |item: v1::ImportItem| send(&app, vec![item], v1::ImportMode::Replace).await.unwrap();
    let first = replace(item("s/1", "one", "CANARY A")).await;
    let id = first[0].connection_id.clone();
    // Another value and the first one again: each is what the row holds last.
    for secret in ["CANARY B", "CANARY A"] {
        let again = replace(item("s/1", "one", secret)).await;
        assert_eq!((outcomes(&again), &again[0].connection_id), (vec!["REPLACED"], &id));
        assert_eq!(app.token(by_id(&id)).await.unwrap(), secret);
    }
    let renamed = replace(item("s/1", "another name", "CANARY A")).await;
    assert_eq!((outcomes(&renamed), &renamed[0].connection_id), (vec!["UNCHANGED"], &id));
    let mut moved = item("s/1", "one", "CANARY A");
    moved.owner.as_mut().unwrap().user_id = "u2".to_owned();
    let moved = replace(moved).await;
    assert_eq!(outcomes(&moved), ["STATE_INVALID"]);
    assert!(moved[0].error.as_ref().unwrap().message.contains("another owner"), "{moved:?}");
    let twice = vec![item("s/2", "two", "CANARY 2"), item("s/2", "three", "CANARY 3")];
    let twice = send(&app, twice, v1::ImportMode::Keep).await.unwrap();
    assert_eq!(outcomes(&twice), ["CREATED", "STATE_INVALID"]);
    assert!(twice[1].error.as_ref().unwrap().message.contains("same source"), "{twice:?}");

    // What was ended here stays ended, and what is switched off there is switched off here.
    let off = v1::ImportItem { disabled: true, ..item("s/2", "two", "CANARY 2") };
    assert_eq!(outcomes(&replace(off.clone()).await), ["REPLACED"]);
    assert_eq!(outcomes(&replace(off).await), ["UNCHANGED"]);
    let fetch = app.fetch(by_id(&twice[0].connection_id)).await.unwrap_err();
    assert_eq!(refusal(&fetch), "FailedPrecondition CONNECTION_DISABLED");
    let disconnect = v1::DisconnectConnectionRequest { connection_id: id.clone(), ..Default::default() };
    app.connections().disconnect_connection(disconnect).await.unwrap();
    for (secret, expected) in [("CANARY A", "UNCHANGED"), ("CANARY C", "STATE_INVALID")] {
        assert_eq!(outcomes(&replace(item("s/1", "one", secret)).await), [expected]);
    }
    let delete = v1::DeleteConnectionRequest { connection_id: id.clone(), ..Default::default() };
    app.connections().delete_connection(delete).await.unwrap();
    for secret in ["CANARY A", "CANARY C"] {
        let deleted = replace(item("s/1", "one", secret)).await;
        assert_eq!((outcomes(&deleted), &deleted[0].connection_id), (vec!["UNCHANGED"], &id));
    }
}
