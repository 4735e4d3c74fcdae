//! Which steps are possible in which state.

use crate::protocol::Step;
use crate::rules::Protocol;
use crate::state::{Claim, Failure, Phase, Replica, RowState, State, Wire};

type To = Vec<(Step, State)>;

/// Uses up one fault or event of the budget.
macro_rules! spend {
    ($state:expr, $what:ident) => {{
        let mut next = *$state;
        next.left.$what -= 1;
        next
    }};
}

/// The failure that the protocol records if it keeps the rule, and the other one if it breaks it.
fn failure(rule: bool, kept: Failure, broken: Failure) -> Failure {
    if rule { kept } else { broken }
}

impl Protocol<'_> {
    pub fn change(&self, state: &State, step: Step, to: &mut To, change: impl FnOnce(&mut State)) {
        let mut next = *state;
        change(&mut next);
        to.push((step, next));
    }

    /// The next steps of a running replica.
    pub fn own_steps(&self, state: &State, at: usize, to: &mut To) {
        let replica = state.replicas[at];
        let set = |next: &mut State, phase| next.replicas[at].phase = phase;
        match replica.phase {
            Phase::Idle if state.row.expired && !state.row.consent_wanted => {
                let seen = state.row.generation;
                self.change(state, Step::Want(at), to, |next| set(next, Phase::Wanting(seen)));
            }
            Phase::Idle => {}
            Phase::Wanting(seen) => self.claims(state, at, seen, to),
            Phase::Claimed(claim) => {
                let may_send = !self.rules.may_send || (claim.name_stands && !claim.late);
                let phase =
                    if may_send { Phase::Checked(claim) } else { Phase::Failing(claim, Failure::Temporary) };
                self.change(state, Step::CheckMaySend(at), to, |next| set(next, phase));
            }
            Phase::Checked(claim) => {
                self.change(state, Step::Send(at), to, |next| self.send(next, at, claim));
            }
            Phase::Sent(_, Wire::OnItsWay) => {}
            Phase::Sent(claim, Wire::Granted(token)) => {
                self.change(state, Step::Deliver(at), to, |next| set(next, Phase::Keeping(claim, token)));
            }
            Phase::Sent(claim, Wire::Refused) => {
                let phase = Phase::Failing(claim, Failure::Dead);
                self.change(state, Step::Deliver(at), to, |next| set(next, phase));
            }
            Phase::Keeping(claim, token) => {
                self.change(state, Step::Store(at), to, |next| self.store(next, at, claim, token));
                if state.left.database > 0 {
                    let mut next = spend!(state, database);
                    self.store(&mut next, at, claim, token);
                    set(&mut next, replica.phase);
                    to.push((Step::StoreIsNotAcknowledged(at), next));
                }
            }
            Phase::Failing(claim, failure) => {
                self.change(state, Step::Fail(at), to, |next| self.fail(next, at, claim, failure));
                if state.left.database > 0 {
                    let mut next = spend!(state, database);
                    set(&mut next, Phase::Idle);
                    to.push((Step::FailIsNotStored(at), next));
                }
            }
        }
        if !replica.locked {
            self.change(state, Step::NoticeLostSession(at), to, |next| {
                next.replicas[at].locked = true;
                if let Some(claim) = next.replicas[at].claim() {
                    claim.name_stands = false;
                }
            });
        }
    }

    /// A claim that succeeds, and one whose commit the database does not acknowledge.
    fn claims(&self, state: &State, at: usize, seen: u8, to: &mut To) {
        let Some(next) = self.claim(state, at, seen) else { return };
        to.push((Step::Claim(at), next));
        if state.left.database > 0 && matches!(next.replicas[at].phase, Phase::Claimed(_)) {
            let mut next = spend!(&next, database);
            next.replicas[at].phase = Phase::Idle;
            to.push((Step::ClaimIsNotAcknowledged(at), next));
        }
    }

    /// The provider acts on a request, whether or not its sender still runs.
    pub fn arrive(&self, state: &State, at: usize, to: &mut To) {
        if let Phase::Sent(claim, Wire::OnItsWay) = state.replicas[at].phase {
            self.change(state, Step::Arrive(at), to, |next| {
                let granted = next.family(claim.token).renew(self.kind, claim.token);
                next.replicas[at].phase = Phase::Sent(claim, granted.map_or(Wire::Refused, Wire::Granted));
            });
        }
    }

    pub fn faults(&self, state: &State, at: usize, to: &mut To) {
        let (replica, left) = (state.replicas[at], state.left);
        let busy = !matches!(replica.phase, Phase::Idle | Phase::Wanting(_));
        if left.crashes > 0 && (busy || replica.owns) {
            let mut next = spend!(state, crashes);
            next.replicas[at] = Replica::FRESH;
            if let Phase::Sent(claim, Wire::OnItsWay) = replica.phase {
                to.push((Step::CrashAndNothingArrives(at), next));
                // A request that arrives does so before the lease ends, and no other replica sends before that, so it may arrive at once.
                next.family(claim.token).renew(self.kind, claim.token);
            }
            to.push((Step::Crash(at), next));
        }
        if left.lost_sessions > 0 && replica.locked && replica.phase != Phase::Idle {
            let mut next = spend!(state, lost_sessions);
            next.replicas[at].locked = false;
            next.replicas[at].owns = false;
            to.push((Step::LoseSession(at), next));
        }
        if replica.stopped {
            return;
        }
        if left.pauses > 0 && busy {
            let mut next = spend!(state, pauses);
            next.replicas[at].stopped = true;
            to.push((Step::Pause(at), next));
        }
        self.mishaps(state, at, to);
    }

    /// The faults that an attempt can meet.
    fn mishaps(&self, state: &State, at: usize, to: &mut To) {
        let (replica, left) = (state.replicas[at], state.left);
        let mut ends = |step, mut next: State, claim, failure| {
            next.replicas[at].phase = Phase::Failing(claim, failure);
            to.push((step, next));
        };
        match replica.phase {
            Phase::Checked(claim) if state.down => {
                ends(Step::NotSent(at), *state, claim, Failure::Temporary);
            }
            Phase::Claimed(mut claim) if left.outages > 0 => {
                let failure =
                    failure(self.rules.held_back_is_not_sent, Failure::Temporary, Failure::Uncertain);
                ends(Step::HoldBack(at), spend!(state, outages), claim, failure);
                if !claim.late {
                    let mut next = spend!(state, outages);
                    claim.late = true;
                    next.replicas[at].phase = Phase::Claimed(claim);
                    to.push((Step::Dawdle(at), next));
                }
            }
            Phase::Checked(claim) if left.outages > 0 => {
                ends(Step::NotSent(at), spend!(state, outages), claim, Failure::Temporary);
            }
            Phase::Sent(claim, wire) => self.wire_mishaps(state, at, claim, wire, &mut ends),
            Phase::Idle
            | Phase::Wanting(_)
            | Phase::Claimed(_)
            | Phase::Checked(_)
            | Phase::Keeping(..)
            | Phase::Failing(..) => {}
        }
    }

    /// The faults that a request or its answer can meet under way.
    fn wire_mishaps(
        &self,
        state: &State,
        at: usize,
        claim: Claim,
        wire: Wire,
        ends: &mut dyn FnMut(Step, State, Claim, Failure),
    ) {
        let left = state.left;
        if wire == Wire::OnItsWay && (left.outages > 0 || state.down) {
            let mut next = if state.down { *state } else { spend!(state, outages) };
            if claim.generation == next.row.generation {
                next.witness.open_requests -= 1;
            }
            ends(Step::RefuseForNow(at), next, claim, Failure::Temporary);
        }
        if wire == Wire::OnItsWay && state.down {
            ends(Step::LoseRequest(at), *state, claim, Failure::Uncertain);
        }
        if wire == Wire::OnItsWay && left.slow > 0 && !self.rules.reads_on {
            let mut next = spend!(state, slow);
            next.latecomer = Some(claim.token);
            ends(Step::StopListening(at), next, claim, Failure::Uncertain);
        }
        let was_stopped = left.pauses < self.budget.pauses;
        if matches!(wire, Wire::Granted(_)) && was_stopped && !self.rules.looks_once_more {
            ends(Step::ForgetToLook(at), *state, claim, Failure::Uncertain);
        }
        if wire == Wire::OnItsWay && left.latecomers > 0 && state.latecomer.is_none() {
            let mut next = spend!(state, latecomers);
            next.latecomer = Some(claim.token);
            ends(Step::RequestComesLate(at), next, claim, Failure::Uncertain);
        }
        if left.losses > 0 {
            let step = if wire == Wire::OnItsWay { Step::LoseRequest } else { Step::LoseAnswer };
            ends(step(at), spend!(state, losses), claim, Failure::Uncertain);
        }
        if left.losses > 0 && matches!(wire, Wire::Granted(_)) {
            let failure = failure(self.rules.unreadable_is_uncertain, Failure::Uncertain, Failure::Temporary);
            ends(Step::SpoilAnswer(at), spend!(state, losses), claim, failure);
        }
    }

    /// Steps of time, the network and people.
    pub fn world(&self, state: &State, to: &mut To) {
        if state.row.state == RowState::InFlight && !state.row.lease_over && !awaited(state) {
            self.change(state, Step::LeaseEnds, to, |next| {
                next.row.lease_over = true;
                for claim in next.replicas.iter_mut().filter_map(Replica::claim) {
                    claim.late |= claim.claim_id_stands;
                }
            });
        }
        if state.down {
            self.change(state, Step::OutageEnds, to, |next| next.down = false);
        } else if state.left.long_outages > 0 {
            let mut next = spend!(state, long_outages);
            next.down = true;
            to.push((Step::OutageBegins, next));
        }
        if let Some(token) = state.latecomer {
            self.change(state, Step::LatecomerArrives, to, |next| {
                next.latecomer = None;
                next.family(token).renew(self.kind, token);
            });
        }
        let row = state.row;
        if state.left.needs > 0 && !row.expired && !row.consent_wanted && row.state == RowState::Idle {
            let mut next = spend!(state, needs);
            next.row.expired = true;
            to.push((Step::AccessTokenEnds, next));
        }
        if state.left.consents > 0 {
            let mut next = spend!(state, consents);
            next.next_generation(crate::provider::Token { family: row.token.family + 1, number: 0 });
            to.push((Step::Supersede, next));
        }
        if state.left.revocations > 0 {
            let mut next = spend!(state, revocations);
            next.family(row.token).revoke();
            to.push((Step::Revoke, next));
        }
    }
}

/// A running owner has the answers to all its requests before its lease ends: `SEND_TIMEOUT` and `ANSWER_TIMEOUT` together are
/// less than `LEASE`. It may hold new tokens for longer than that if the database fails.
fn awaited(state: &State) -> bool {
    state.replicas.iter().any(|replica| {
        let running = match replica.phase {
            Phase::Claimed(claim) => claim.claim_id_stands && !claim.late,
            Phase::Checked(claim) | Phase::Sent(claim, _) => claim.claim_id_stands,
            Phase::Idle | Phase::Wanting(_) | Phase::Keeping(..) | Phase::Failing(..) => false,
        };
        running && !replica.stopped
    })
}
