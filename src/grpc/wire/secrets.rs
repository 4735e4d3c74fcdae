//! Where secrets are kept, as messages.

use credvault_domain::Timestamp;
use credvault_proto::v1;
use credvault_store::{SecretPlace, SecretPlaces, StoreCheck};

use super::keys::rotation;

pub(crate) fn secret_places(places: SecretPlaces, now: Timestamp) -> v1::GetSecretPlacesResponse {
    let SecretPlaces { chosen, target, places, latest_move } = places;
    v1::GetSecretPlacesResponse {
        chosen: chosen.unwrap_or_default(),
        target,
        places: places.into_iter().map(place).collect(),
        latest_move: latest_move.map(|latest| rotation(latest, now)),
    }
}

fn place(place: SecretPlace) -> v1::SecretPlace {
    let SecretPlace { name, kind, location, versions, adopted } = place;
    v1::SecretPlace { name, kind, location, versions, adopted }
}

pub(crate) fn store_check(check: StoreCheck) -> v1::CheckSecretStoreResponse {
    let StoreCheck { compared, orphans, missing, next } = check;
    let missing = missing.into_iter().map(|(key, reference)| v1::MissingSecret {
        tenant_id: if key.tenant().is_platform() { String::new() } else { key.tenant().to_string() },
        connection_id: key.connection().to_string(),
        reference,
    });
    v1::CheckSecretStoreResponse {
        compared: i64::try_from(compared).unwrap_or(i64::MAX),
        orphans,
        missing: missing.collect(),
        next_page_token: next.unwrap_or_default(),
    }
}
