//! Keys and their rotations, as messages.

use credvault_domain::{Timestamp, Violations};
use credvault_proto::v1;
use credvault_store::{KeyStatus, OlderVersions, RootState, RootStatus, Rotation, TenantKeyStatus};

use super::render::timestamp;

/// The most records a second that a request may ask for.
const MAX_RATE: i32 = 1_000_000;

/// The rate that a rotation may have; none for the usual one.
pub(crate) fn records_per_second(rate: i32) -> Result<Option<u32>, Violations> {
    if !(0..=MAX_RATE).contains(&rate) {
        return Err(Violations::of("records_per_second", format!("must be from 0 to {MAX_RATE}")));
    }
    Ok(u32::try_from(rate).ok().filter(|rate| *rate > 0))
}

/// The root key that a request names, if it names one.
pub(crate) fn root_key_id(text: &str) -> Result<Option<u32>, Violations> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = u32::from_str_radix(text, 16).ok().filter(|_| digits);
    let rule = "must be the id of a root key, 8 hexadecimal digits, as GetKeyStatus shows it";
    id.map(Some).ok_or_else(|| Violations::of("root_key_id", rule))
}

pub(crate) fn key_status(status: KeyStatus, now: Timestamp) -> v1::GetKeyStatusResponse {
    let KeyStatus { roots, keys, rotation: of_tenant, root_rotation } = status;
    let root_keys: Vec<_> = roots.into_iter().map(root).collect();
    v1::GetKeyStatusResponse {
        root_key: root_keys.first().cloned(),
        root_keys,
        tenant_keys: keys.into_iter().map(key).collect(),
        rotation: of_tenant.map(|latest| rotation(latest, now)),
        root_rotation: root_rotation.map(|latest| rotation(latest, now)),
    }
}

fn root(root: RootStatus) -> v1::RootKeyStatus {
    let RootStatus { id, source, name, state, configured, generation, create_time, wrapped_keys } = root;
    let state = match state {
        RootState::Known => v1::RootKeyState::Known,
        RootState::Active => v1::RootKeyState::Active,
        RootState::Previous => v1::RootKeyState::Previous,
        RootState::Retired => v1::RootKeyState::Retired,
    };
    v1::RootKeyStatus {
        id: format!("{id:08x}"),
        source,
        name,
        state: state.into(),
        configured,
        generation,
        create_time: Some(timestamp(create_time)),
        wrapped_keys,
    }
}

fn key(key: TenantKeyStatus) -> v1::TenantKeyStatus {
    let TenantKeyStatus { version, active, root_id, create_time, sealed_credentials, sealed_records, uses } =
        key;
    v1::TenantKeyStatus {
        version,
        active,
        root_key_id: format!("{root_id:08x}"),
        create_time: Some(timestamp(create_time)),
        sealed_credentials,
        sealed_records,
        uses,
    }
}

pub(crate) fn older_versions(found: OlderVersions) -> v1::DestroyOlderRootKeyVersionsResponse {
    let OlderVersions { root, source, name, destroyed, backups_before, newest_backup } = found;
    v1::DestroyOlderRootKeyVersionsResponse {
        root_key_id: format!("{root:08x}"),
        source,
        name,
        destroyed,
        backups_before: Some(timestamp(backups_before)),
        newest_backup_time: newest_backup.map(timestamp),
    }
}

/// How far a rotation has come by `now`.
pub(crate) fn rotation(rotation: Rotation, now: Timestamp) -> v1::RotationProgress {
    let Rotation { target, running, done, total, failed, trouble, begin_time, end_time, retire_time, .. } =
        rotation;
    let taken = end_time.unwrap_or(now).micros().saturating_sub(begin_time.micros());
    let per_second = if taken > 0 { done as f64 * 1e6 / taken as f64 } else { 0.0 };
    v1::RotationProgress {
        target,
        running,
        done,
        total,
        failed,
        per_second,
        trouble: trouble.unwrap_or_default(),
        begin_time: Some(timestamp(begin_time)),
        end_time: end_time.map(timestamp),
        retire_time: retire_time.map(timestamp),
    }
}
