//! Room: an amount for all, and a part of it for each, so that no caller can use up what the others need. The vault limits
//! bytes of answers by service, and connections and handshakes by address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use credvault_domain::ServiceId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// How many bytes a share must have too many before they are given back; fewer are not worth the trouble.
const MIN_RETURN_BYTES: usize = 4 * 1024;

/// How many bytes of answers may be in memory at once, in the making or on their way to a client.
///
/// Counting calls does not bound memory: a client that does not read its answers holds them, and one answer may be a
/// thousand times as large as another. So each call takes its share of bytes before it reads what its answer is made
/// of, and the share goes with the bytes until they were sent or dropped. A service has a quarter at most, over all its
/// connections; those without one, whose certificate names none, have a quarter together.
pub type AnswerRoom = Room<Option<ServiceId>>;

impl AnswerRoom {
    /// Room for this many bytes. A quarter must hold the largest answer, which the bounds of `limits.response_bytes` see to.
    pub fn of_bytes(bytes: usize) -> Self {
        Self::new(bytes, bytes / 4)
    }
}

/// Room for all, with a part for each key.
#[derive(Debug)]
pub struct Room<K> {
    all: Arc<Semaphore>,
    size: usize,
    each: usize,
    parts: Parts<K>,
}

/// The parts of those that hold a share at the moment.
#[derive(Debug)]
pub(crate) struct Parts<K>(Mutex<HashMap<K, (usize, Weak<Semaphore>)>>);

impl<K> Default for Parts<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq> Parts<K> {
    /// How much of the part of `key`, of `size`, is taken at the moment.
    pub(crate) fn taken(&self, key: &K, size: usize) -> usize {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let part = parts.get(key).filter(|(known, _)| *known == size).and_then(|(_, part)| part.upgrade());
        part.map_or(0, |part| size.saturating_sub(part.available_permits()))
    }

    /// The part of `key`, of `size`. Shares of a part that had another size stay there until they are free.
    pub(crate) fn of(&self, key: K, size: usize) -> Arc<Semaphore> {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = parts.get(&key).filter(|(known, _)| *known == size);
        known.and_then(|(_, part)| part.upgrade()).unwrap_or_else(|| {
            let part = Arc::new(Semaphore::new(size));
            parts.retain(|_, (_, part)| part.strong_count() > 0);
            parts.insert(key, (size, Arc::downgrade(&part)));
            part
        })
    }
}

impl<K: Hash + Eq> Room<K> {
    /// Room of `size`, at most `u32::MAX`, of which each gets `each` at most; 0 means all.
    pub fn new(size: usize, each: usize) -> Self {
        let each = if each == 0 { size } else { each.min(size) };
        Self { all: Arc::new(Semaphore::new(size)), size, each, parts: Parts::default() }
    }

    /// The account that the shares of `key` come from.
    pub fn account(&self, key: K) -> Account {
        Account { all: Arc::clone(&self.all), part: self.parts.of(key, self.each), tenant: None }
    }

    /// How much is taken at the moment.
    pub fn taken(&self) -> usize {
        self.size - self.all.available_permits()
    }
}

/// Where the shares of one key come from.
#[derive(Clone, Debug)]
pub struct Account {
    all: Arc<Semaphore>,
    part: Arc<Semaphore>,
    /// The room of the tenant that the call is for, if that is limited.
    tenant: Option<Arc<Semaphore>>,
}

/// Whose room is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Full {
    /// The room of the tenant.
    Tenant,
    /// The room of the service, or of all.
    Others,
}

impl Account {
    /// Takes a share if there is room at this moment.
    pub fn try_take(&self, amount: usize) -> Option<Share> {
        let permits = u32::try_from(amount).ok()?;
        let take = |room: &Arc<Semaphore>| Arc::clone(room).try_acquire_many_owned(permits).ok();
        let tenant = match &self.tenant {
            Some(room) => Some(take(room)?),
            None => None,
        };
        let part = take(&self.part)?;
        Some(Share { all: take(&self.all)?, part, tenant })
    }

    /// Takes a share, and waits for room until `until`.
    pub async fn take(&self, amount: usize, until: Instant) -> Option<Share> {
        self.taken(amount, until).await.ok()
    }

    async fn taken(&self, amount: usize, until: Instant) -> Result<Share, Full> {
        if let Some(share) = self.try_take(amount) {
            return Ok(share);
        }
        let permits = u32::try_from(amount).map_err(|_| Full::Others)?;
        let take = async |room: &Arc<Semaphore>, full: Full| {
            let taking = timeout_at(until, Arc::clone(room).acquire_many_owned(permits)).await;
            taking.map_err(|_| full)?.map_err(|_| full)
        };
        // The narrowest comes first: an account that waits for that holds nothing that others wait for.
        let tenant = match &self.tenant {
            Some(room) => Some(take(room, Full::Tenant).await?),
            None => None,
        };
        let part = take(&self.part, Full::Others).await?;
        Ok(Share { all: take(&self.all, Full::Others).await?, part, tenant })
    }
}

/// A share of the room, which is free again when this is dropped.
#[derive(Debug)]
pub struct Share {
    all: OwnedSemaphorePermit,
    part: OwnedSemaphorePermit,
    tenant: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// How much it is.
    pub fn amount(&self) -> usize {
        self.part.num_permits()
    }

    /// Gives back what exceeds `amount`, if that is worth it.
    pub fn shrink(&mut self, amount: usize) {
        let beyond = self.amount().saturating_sub(amount);
        if beyond >= MIN_RETURN_BYTES {
            let tenant = self.tenant.as_mut().map(|tenant| tenant.split(beyond));
            drop((self.all.split(beyond), self.part.split(beyond), tenant));
        }
    }

    /// Adds another share of the same account.
    pub fn add(&mut self, other: Self) {
        let Self { all, part, tenant } = other;
        self.all.merge(all);
        self.part.merge(part);
        match (&mut self.tenant, tenant) {
            (Some(own), Some(tenant)) => own.merge(tenant),
            (own @ None, tenant) => *own = tenant,
            (Some(_), None) => {}
        }
    }
}

/// What one answer has of an account, which changes with what is known of the answer.
#[derive(Debug)]
pub(crate) struct Reservation {
    account: Account,
    share: Option<Share>,
}

impl Reservation {
    /// A reservation that holds nothing so far.
    pub(crate) fn of(account: Account) -> Self {
        Self { account, share: None }
    }

    /// Has the answer take its room from this one of its tenant, too. Call it before the answer has taken any.
    pub(crate) fn limit(&mut self, tenant: Arc<Semaphore>) {
        self.account.tenant = Some(tenant);
    }

    /// Takes what is lacking to `amount`, or gives back what exceeds it.
    ///
    /// # Errors
    /// Whose room had none until `until`.
    pub(crate) async fn resize(&mut self, amount: usize, until: Instant) -> Result<(), Full> {
        let Self { account, share } = self;
        match share {
            Some(share) if share.amount() >= amount => share.shrink(amount),
            Some(share) => share.add(account.taken(amount - share.amount(), until).await?),
            None => *share = Some(account.taken(amount, until).await?),
        }
        Ok(())
    }

    /// The share, for the answer to hold until it is sent.
    pub(crate) fn take(&mut self) -> Option<Share> {
        self.share.take()
    }
}

/// The addresses that count as one: with IPv6 a /64, which one machine has as a whole.
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn service(name: &str) -> Option<ServiceId> {
        Some(ServiceId::parse(&format!("spiffe://test.local/{name}")).expect("id"))
    }

    #[test]
    fn a_service_has_a_quarter_over_all_its_connections() {
        let room = AnswerRoom::of_bytes(64 * MIB);
        let connections = [room.account(service("a")), room.account(service("a"))];
        let shares: Vec<_> = connections.iter().cycle().map_while(|account| account.try_take(MIB)).collect();
        assert_eq!(shares.len(), 16);
        let other = room.account(service("b"));
        assert!(other.try_take(16 * MIB).is_some() && other.try_take(16 * MIB + 1).is_none());
        assert_eq!(room.taken(), 16 * MIB);
        drop(shares);
        assert_eq!(room.taken(), 0);
    }

    #[test]
    fn what_is_given_back_and_put_together_adds_up() {
        let room = AnswerRoom::of_bytes(16 * MIB);
        let account = room.account(None);
        let mut share = account.try_take(3 * MIB).expect("room");
        share.shrink(MIB);
        assert_eq!((share.amount(), room.taken()), (MIB, MIB));
        share.shrink(MIB - 1);
        assert_eq!(room.taken(), MIB, "a byte is not worth it");
        share.add(account.try_take(3 * MIB).expect("room"));
        assert!(account.try_take(1).is_none());
        drop(share);
        assert_eq!(room.taken(), 0);
    }

    #[tokio::test]
    async fn who_waits_gets_what_others_give_back_or_nothing_in_time() {
        let room = AnswerRoom::of_bytes(16 * MIB);
        let account = room.account(None);
        let all = account.try_take(4 * MIB).expect("room");
        assert!(account.take(1, Instant::now()).await.is_none());
        let until = Instant::now() + std::time::Duration::from_secs(60);
        let waiting = {
            let account = account.clone();
            tokio::spawn(async move { account.take(MIB, until).await })
        };
        tokio::task::yield_now().await;
        drop(all);
        assert_eq!(waiting.await.expect("ended").expect("room").amount(), MIB);
    }

    #[test]
    fn the_part_of_an_address_that_is_gone_is_forgotten() {
        let room = Room::new(8, 2);
        for last in 0..=255 {
            let account = room.account(neighbourhood(IpAddr::from([127, 0, 0, last])));
            let places = [account.try_take(1), account.try_take(1), account.try_take(1)];
            assert_eq!(places.iter().flatten().count(), 2);
        }
        assert_eq!(room.parts.0.lock().expect("parts").len(), 1);
        let near =
            ["2001:db8::1", "2001:db8::ffff:1"].map(|text| neighbourhood(text.parse().expect("address")));
        assert_eq!(near[0], near[1]);
        assert_ne!(near[0], neighbourhood("2001:db8:0:1::1".parse().expect("address")));
        assert_eq!(neighbourhood("::ffff:127.0.0.1".parse().expect("address")), IpAddr::from([127, 0, 0, 1]));
    }
}
