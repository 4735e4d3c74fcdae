//! Rotations of credentials as responses.

use credvault_catalog::{KeyRotation, OldKeyEnd};
use credvault_store::{RotationRecord, RotationStage};
use prost_types::Duration as WireDuration;

use super::time::timestamp;
use credvault_proto::v1;

/// How the rotation of a connection's credential stands.
pub(super) fn credential_rotation(record: RotationRecord) -> v1::CredentialRotation {
    let RotationRecord {
        automatic,
        stage,
        trouble,
        retry_time,
        ending_keys,
        end_time,
        left_time,
        left_key_id,
        left_keys,
    } = record;
    let stage = match stage {
        RotationStage::Idle => v1::CredentialRotationStage::Unspecified,
        RotationStage::Minting => v1::CredentialRotationStage::Minting,
        RotationStage::Testing => v1::CredentialRotationStage::Testing,
    };
    v1::CredentialRotation {
        automatic,
        stage: stage.into(),
        failure_reason: trouble.unwrap_or_default(),
        next_attempt_time: retry_time.map(timestamp),
        ending_keys: i32::try_from(ending_keys).unwrap_or(i32::MAX),
        old_key_end_time: end_time.map(timestamp),
        left_key_time: left_time.map(timestamp),
        left_key_id: left_key_id.unwrap_or_default(),
        left_keys: i32::try_from(left_keys).unwrap_or(i32::MAX),
    }
}

/// How the credential of an auth mode is replaced.
pub(super) fn key_rotation(rotation: &KeyRotation) -> v1::KeyRotation {
    let KeyRotation { rotate_after_days, mint } = rotation;
    let overlap = mint.as_ref().map(|mint| match mint.end {
        OldKeyEnd::Revoked(time) | OldKeyEnd::ByItself(time) => time,
        OldKeyEnd::AtOnce => std::time::Duration::ZERO,
    });
    let ends = |is: fn(OldKeyEnd) -> bool| mint.as_ref().is_some_and(|mint| is(mint.end));
    v1::KeyRotation {
        rotate_after_days: rotate_after_days.and_then(|days| i32::try_from(days).ok()).unwrap_or_default(),
        mints: mint.is_some(),
        overlap: overlap.and_then(|time| WireDuration::try_from(time).ok()),
        revokes: ends(|end| matches!(end, OldKeyEnd::Revoked(_))),
        self_replacing: ends(|end| matches!(end, OldKeyEnd::AtOnce)),
    }
}
