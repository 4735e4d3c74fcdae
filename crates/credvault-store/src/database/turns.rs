//! Turns at something that all tenants share: at a provider, at the queries of the log, in the background.
//!
//! A tenant takes another turn only while it holds fewer than three times as many as are free. Alone it gets three
//! quarters of them; two that want all get three sevenths each; there is always one left for a tenant that has none, if
//! there are four or more and each tenant wants no more than that. Waiting callers are served tenant by tenant, so a
//! tenant with a thousand waiting callers delays only itself.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use credvault_domain::TenantId;
use tokio::sync::oneshot;

/// How many turns a tenant may hold for each that is free.
const FOR_EACH_FREE: usize = 3;

/// Turns that tenants share.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    held: HashMap<TenantId, usize>,
    waiting: HashMap<TenantId, VecDeque<oneshot::Sender<Turn>>>,
    /// The tenants that wait, the next one first.
    order: VecDeque<TenantId>,
}

/// A turn. Given back when it is dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Turns,
    tenant: TenantId,
}

/// Why there is no turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// All turns are taken.
    All,
    /// The tenant has its share.
    Tenant,
}

impl Turns {
    /// So many turns, one at least.
    pub fn new(all: usize) -> Self {
        let (held, waiting, order) = (HashMap::new(), HashMap::new(), VecDeque::new());
        Self(Arc::new(Mutex::new(State { free: all.max(1), held, waiting, order })))
    }

    /// A turn now.
    ///
    /// # Errors
    /// There is none for this tenant.
    pub fn try_take(&self, tenant: &TenantId) -> Result<Turn, Full> {
        self.state().grant(tenant)?;
        Ok(Turn { turns: self.clone(), tenant: tenant.clone() })
    }

    /// A turn, when it is this tenant's.
    pub async fn take(&self, tenant: &TenantId) -> Turn {
        loop {
            let (sender, receiver) = oneshot::channel();
            {
                let mut state = self.state();
                let behind = state.waiting.contains_key(tenant);
                if !behind && state.grant(tenant).is_ok() {
                    return Turn { turns: self.clone(), tenant: tenant.clone() };
                }
                if !behind {
                    state.order.push_back(tenant.clone());
                }
                state.waiting.entry(tenant.clone()).or_default().push_back(sender);
            }
            // A sender is dropped unsent only together with the turns themselves.
            if let Ok(turn) = receiver.await {
                return turn;
            }
        }
    }

    /// Whether no caller holds a turn or waits for one.
    pub fn is_idle(&self) -> bool {
        let state = self.state();
        state.held.is_empty() && state.waiting.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands free turns to those who wait, tenant by tenant.
    fn hand_on(&self) {
        let mut has_its_share = HashSet::new();
        loop {
            let (tenant, sender) = {
                let mut state = self.state();
                if state.free == 0 {
                    return;
                }
                let Some(tenant) = state.order.pop_front() else { return };
                // Who has gone away waits no more.
                let senders = state.waiting.entry(tenant.clone()).or_default();
                senders.retain(|sender| !sender.is_closed());
                if senders.is_empty() {
                    state.waiting.remove(&tenant);
                    continue;
                }
                if state.grant(&tenant).is_err() {
                    let all_asked = !has_its_share.insert(tenant.clone());
                    state.order.push_back(tenant);
                    if all_asked {
                        return;
                    }
                    continue;
                }
                state.order.push_back(tenant.clone());
                let sender = state.waiting.get_mut(&tenant).and_then(VecDeque::pop_front);
                (tenant, sender)
            };
            let turn = Turn { turns: self.clone(), tenant };
            if let Some(sender) = sender {
                // If the caller has stopped waiting, the turn is dropped and so returned.
                let _ = sender.send(turn);
            }
        }
    }
}

impl State {
    fn grant(&mut self, tenant: &TenantId) -> Result<(), Full> {
        let held = self.held.get(tenant).copied().unwrap_or_default();
        if self.free == 0 {
            return Err(Full::All);
        }
        if held >= FOR_EACH_FREE * self.free {
            return Err(Full::Tenant);
        }
        self.free -= 1;
        *self.held.entry(tenant.clone()).or_default() += 1;
        Ok(())
    }

    fn take_back(&mut self, tenant: &TenantId) {
        self.free += 1;
        if let Some(held) = self.held.get_mut(tenant) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(tenant);
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.state().take_back(&self.tenant);
        self.turns.hand_on();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(number: usize) -> TenantId {
        TenantId::parse(&format!("t{number}")).expect("an id")
    }

    /// How many turns tenants get that want all there are.
    fn greedy(turns: &Turns, tenants: usize) -> (Vec<Turn>, Vec<usize>) {
        let (mut held, mut counts) = (Vec::new(), vec![0; tenants]);
        while let Some((number, turn)) =
            (0..tenants).find_map(|number| Some((number, turns.try_take(&tenant(number)).ok()?)))
        {
            held.push(turn);
            counts[number] += 1;
        }
        (held, counts)
    }

    #[test]
    fn whatever_others_hold_a_tenant_with_none_gets_one() {
        for all in 4..40 {
            let turns = Turns::new(all);
            let (_held, counts) = greedy(&turns, 1);
            assert!(counts[0] * 4 <= all * 3 + 3, "{all}: {counts:?}");
            assert!(turns.try_take(&tenant(1)).is_ok(), "{all}");
            assert_eq!(turns.try_take(&tenant(0)).unwrap_err(), Full::Tenant);
        }
        let turns = Turns::new(1);
        let only = turns.try_take(&tenant(0)).expect("a turn");
        assert_eq!(turns.try_take(&tenant(0)).unwrap_err(), Full::All);
        drop(only);
        assert!(turns.is_idle() && turns.try_take(&tenant(0)).is_ok());
    }

    #[tokio::test]
    async fn those_who_wait_are_served_tenant_by_tenant() {
        let turns = Turns::new(1);
        let first = turns.take(&tenant(0)).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = tokio::task::JoinSet::new();
        // A thousand of one tenant, and then one of each of two others.
        for number in std::iter::repeat_n(0, 1000).chain([1, 2]) {
            let (turns, order) = (turns.clone(), Arc::clone(&order));
            waiting.spawn(async move {
                let _turn = turns.take(&tenant(number)).await;
                order.lock().expect("sound").push(number);
            });
            tokio::task::yield_now().await;
        }
        drop(first);
        while waiting.join_next().await.is_some() {}
        let order = order.lock().expect("sound");
        let place = |number| order.iter().position(|at| *at == number).expect("served");
        assert!(place(1) <= 2 && place(2) <= 3, "{:?}", &order[..8]);
        assert_eq!(order.len(), 1002);
        assert!(turns.is_idle());
    }

    #[tokio::test]
    async fn who_stops_waiting_is_passed_over() {
        let turns = Turns::new(1);
        let first = turns.take(&tenant(0)).await;
        for number in [0, 1, 1] {
            let tenant = tenant(number);
            let taken = turns.take(&tenant);
            assert!(tokio::time::timeout(std::time::Duration::ZERO, taken).await.is_err());
        }
        let (tenant, held) = (tenant(2), first);
        let waiting = turns.take(&tenant);
        tokio::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        drop(held);
        drop(waiting.await);
        assert!(turns.is_idle());
    }
}
