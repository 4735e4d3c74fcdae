//! Fetches of shared credentials, counted in memory and written once a minute. What a process that is killed had not written
//! yet is lost: the fetches of a minute at most.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use credvault_domain::Timestamp;
use credvault_store::{Dependant, Error as StoreError, Store, Uses};

/// How many tenants, users, services and providers one process counts at once; further ones wait for the next minute.
const MAX_COUNTED: usize = 50_000;

/// What this process has counted and not written yet.
#[derive(Default)]
pub(crate) struct Counted(Mutex<HashMap<Dependant, Uses>>);

impl Counted {
    /// Counts a fetch that was served the platform's credential.
    pub(crate) fn count(&self, dependant: Dependant, now: Timestamp) {
        let uses = Uses { fetches: 1, first_time: now, last_time: now };
        add(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), dependant, uses);
    }

    fn take(&self) -> HashMap<Dependant, Uses> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back(&self, rest: impl IntoIterator<Item = (Dependant, Uses)>) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (dependant, uses) in rest {
            add(&mut counted, dependant, uses);
        }
    }
}

fn add(counted: &mut HashMap<Dependant, Uses>, dependant: Dependant, uses: Uses) {
    if let Some(known) = counted.get_mut(&dependant) {
        known.fetches += uses.fetches;
        known.first_time = known.first_time.min(uses.first_time);
        known.last_time = known.last_time.max(uses.last_time);
    } else if counted.len() < MAX_COUNTED {
        counted.insert(dependant, uses);
    }
}

impl Counted {
    /// Writes what was counted since the last time.
    ///
    /// # Errors
    /// The database fails; what was not written is written the next time.
    pub(crate) async fn write(&self, store: &Store) -> Result<(), StoreError> {
        let mut of_tenants: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (dependant, uses) in self.take() {
            of_tenants.entry(dependant.tenant.clone()).or_default().push((dependant, uses));
        }
        while let Some((tenant, counted)) = of_tenants.pop_first() {
            if let Err(error) = store.dependants().add(&tenant, &counted).await {
                self.put_back(of_tenants.into_values().flatten().chain(counted));
                return Err(error);
            }
        }
        Ok(())
    }
}
