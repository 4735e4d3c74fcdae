//! What one process remembers of the users that it has seen, within a bound.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use credvault_domain::{TenantId, UserId};

/// How far the written time may be behind, in microseconds: a user who calls all the time is written once in a while.
const GRAIN_MICROS: i64 = 60_000_000;
/// After which time without a call a user is no longer remembered, in microseconds.
const IDLE_MICROS: i64 = 600_000_000;
/// How many users one process remembers at most. Those beyond are written once there is room again.
const MAX_REMEMBERED: usize = 100_000;

/// The users that this process has seen.
#[derive(Default, Debug)]
pub(crate) struct Sightings(Mutex<Remembered>);

#[derive(Default, Debug)]
struct Remembered {
    users: HashMap<TenantId, HashMap<UserId, Seen>>,
    count: usize,
}

/// When a user was seen, in microseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// What the database has of `last`.
    written: Option<i64>,
}

impl Seen {
    fn is_due(&self) -> bool {
        self.written.is_none_or(|written| self.last - written >= GRAIN_MICROS)
    }
}

impl Sightings {
    /// Notes a call. It costs two lookups and no allocation, but for a user who was not seen for a while.
    pub(crate) fn note(&self, tenant: &TenantId, user: &UserId, now: i64) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = remembered.users.get_mut(tenant).and_then(|users| users.get_mut(user));
        if let Some(seen) = known {
            seen.last = now;
        } else if remembered.count < MAX_REMEMBERED {
            remembered.count += 1;
            let seen = Seen { first: now, last: now, written: None };
            remembered.users.entry(tenant.clone()).or_default().insert(user.clone(), seen);
        }
    }

    /// What is to be written, by tenant. Forgets users who have not called for a while.
    pub(crate) fn due(&self, now: i64) -> Vec<(TenantId, Vec<(UserId, Seen)>)> {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        for (tenant, users) in &mut remembered.users {
            users.retain(|_, seen| seen.is_due() || now - seen.last < IDLE_MICROS);
            let mut rows: Vec<_> = users
                .iter()
                .filter(|(_, seen)| seen.is_due())
                .map(|(user, seen)| (user.clone(), *seen))
                .collect();
            rows.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
            if !rows.is_empty() {
                due.push((tenant.clone(), rows));
            }
        }
        remembered.users.retain(|_, users| !users.is_empty());
        remembered.count = remembered.users.values().map(HashMap::len).sum();
        due
    }

    /// Notes what was written.
    pub(crate) fn written(&self, tenant: &TenantId, rows: &[(UserId, Seen)]) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(users) = remembered.users.get_mut(tenant) else { return };
        for (user, wrote) in rows {
            if let Some(seen) = users.get_mut(user) {
                seen.written = Some(wrote.last);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_written_once_in_a_while_and_forgotten_when_idle() {
        let sightings = Sightings::default();
        let (tenant, user) = (TenantId::parse("acme").expect("tenant"), UserId::parse("u1").expect("user"));
        let due = |now| sightings.due(now).into_iter().map(|(_, rows)| rows.len()).sum::<usize>();
        sightings.note(&tenant, &user, 1);
        sightings.note(&tenant, &user, 2);
        let rows = sightings.due(3);
        assert_eq!((rows[0].1[0].1.first, rows[0].1[0].1.last), (1, 2));
        assert_eq!(due(3), 1, "what was not written stays due");
        sightings.written(&tenant, &rows[0].1);
        sightings.note(&tenant, &user, GRAIN_MICROS);
        assert_eq!(due(GRAIN_MICROS), 0);
        sightings.note(&tenant, &user, GRAIN_MICROS + 2);
        assert_eq!(due(GRAIN_MICROS + 2), 1);
        sightings.written(&tenant, &sightings.due(GRAIN_MICROS + 2)[0].1);
        assert_eq!(due(GRAIN_MICROS + 2 + IDLE_MICROS), 0);
        assert_eq!(sightings.0.lock().expect("lock").count, 0);
    }
}
