//! The steps, named as in `refreshes/` of the store and `refresh/` of the broker. Each is one transaction, one message or one
//! local decision; anything can happen in between.

use crate::explorer::Model;
use crate::provider::{Kind, Token};
use crate::rules::{Broken, Protocol};
use crate::state::{Claim, Failure, Phase, RowState, State, Wire};

/// A step, and the replica that takes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A caller, or the search for due refreshes, begins.
    Want(usize),
    Claim(usize),
    CheckMaySend(usize),
    Send(usize),
    Store(usize),
    Fail(usize),
    /// The provider acts on a request.
    Arrive(usize),
    /// The answer is read.
    Deliver(usize),
    LeaseEnds,
    /// The keeper of the liveness lock finds its session lost and takes a new name.
    NoticeLostSession(usize),
    Resume(usize),
    // Faults.
    Crash(usize),
    CrashAndNothingArrives(usize),
    Pause(usize),
    LoseSession(usize),
    LoseAnswer(usize),
    LoseRequest(usize),
    /// The provider has refreshed, and its answer cannot be read.
    SpoilAnswer(usize),
    RefuseForNow(usize),
    /// The sender gives up while the provider still works on the request.
    StopListening(usize),
    /// A process that was stopped gives up by its clock before it reads what has arrived.
    ForgetToLook(usize),
    OutageBegins,
    OutageEnds,
    /// Breaker or budget hold the request back, or it cannot be filled: the claim is released.
    HoldBack(usize),
    NotSent(usize),
    Dawdle(usize),
    ClaimIsNotAcknowledged(usize),
    StoreIsNotAcknowledged(usize),
    FailIsNotStored(usize),
    RequestComesLate(usize),
    LatecomerArrives,
    // What people do.
    AccessTokenEnds,
    Supersede,
    Revoke,
}

impl Protocol<'_> {
    pub fn breaks(&self, state: &mut State, promise: Broken) {
        if self.promises.contains(&promise) && state.witness.broken.is_none() {
            state.witness.broken = Some(promise);
        }
    }

    fn wants_consent(&self, state: &mut State) {
        state.row.consent_wanted = true;
        if self.kind.repeatable() {
            self.breaks(state, Broken::NeedlessConsent);
        }
    }

    fn is_gone(&self, state: &State, at: usize) -> bool {
        if state.replicas[at].owns {
            // It does not work on that claim any more, or it would not claim: it has one refresh in flight for each connection.
            return self.rules.own_leftovers_end;
        }
        let lease = state.row.lease_over || !self.rules.lease_ends_first;
        let owner = !state.replicas.iter().any(|replica| replica.owns) || !self.rules.owner_is_gone;
        lease && owner
    }

    /// As `Refreshes::claim`. Nothing changes while another replica holds a claim.
    pub fn claim(&self, state: &State, at: usize, seen: u8) -> Option<State> {
        let mut state = *state;
        if (self.rules.claim_compares_generation && state.row.generation != seen) || state.row.consent_wanted
        {
            state.replicas[at].phase = Phase::Idle;
            return Some(state);
        }
        let uncertain = match state.row.state {
            RowState::Idle => false,
            RowState::Uncertain => true,
            RowState::InFlight if self.is_gone(&state, at) => true,
            RowState::InFlight => return None,
        };
        if state.row.state == RowState::InFlight {
            state.witness.note_uncertain();
        }
        let gives_up = match self.kind {
            Kind::Siblings => true,
            Kind::Strict => !self.rules.repeats_until_told,
            Kind::GraceSame | Kind::GraceNew | Kind::Never => false,
        };
        if uncertain && state.row.marked && gives_up {
            if self.kind != Kind::Siblings || state.witness.uncertain_attempts < 2 {
                self.breaks(&mut state, Broken::GivenUp);
            }
            state.idle();
            self.wants_consent(&mut state);
            state.replicas[at].phase = Phase::Idle;
            return Some(state);
        }
        if !state.row.expired {
            self.breaks(&mut state, Broken::NeedlessRequest);
        }
        let claim = Claim {
            generation: state.row.generation,
            token: state.row.token,
            uncertain,
            marked_before: state.row.marked,
            claim_id_stands: true,
            name_stands: true,
            late: false,
            sent: false,
        };
        state.end_claims();
        state.row.marked |= uncertain && self.rules.repeats_are_marked;
        state.row.state = RowState::InFlight;
        state.row.lease_over = false;
        let replica = &mut state.replicas[at];
        replica.owns = replica.locked;
        replica.phase = Phase::Claimed(claim);
        Some(state)
    }

    /// As the end of `Worker::send`.
    pub fn send(&self, state: &mut State, at: usize, mut claim: Claim) {
        let twice = state.replicas.iter().enumerate().any(|(other, replica)| {
            other != at
                && replica.locked
                && matches!(replica.phase, Phase::Sent(first, _)
                    if first.name_stands && (first.generation, first.token) == (claim.generation, claim.token))
        });
        if twice {
            self.breaks(state, Broken::SentTwiceAtOnce);
        }
        if claim.generation == state.row.generation {
            let before = state.witness.open_requests;
            state.witness.open_requests = (before + 1).min(3);
            if before > 0 {
                self.breaks(state, Broken::NeedlessRequest);
            }
            let unmarked = before > 0 && !claim.uncertain;
            if !self.kind.repeatable() && (unmarked || (before > 1 && self.kind == Kind::Siblings)) {
                self.breaks(state, Broken::UnmarkedRepeat);
            }
        } else if claim.token.family == state.row.token.family {
            self.breaks(state, Broken::SentAfterUse);
        }
        claim.sent = true;
        state.replicas[at].phase = Phase::Sent(claim, Wire::OnItsWay);
    }

    /// As `Refreshes::store` does it.
    pub fn store(&self, state: &mut State, at: usize, claim: Claim, token: Token) {
        let same = state.row.generation == claim.generation;
        state.replicas[at].phase = Phase::Idle;
        if (self.rules.store_compares_generation && !same)
            || (self.rules.store_compares_owner && !claim.claim_id_stands)
        {
            if same {
                self.breaks(state, Broken::LostUpdate);
            }
            return;
        }
        if token.family < state.row.token.family {
            self.breaks(state, Broken::LostUpdate);
        }
        let doubted = state.row.doubted;
        state.next_generation(token);
        state.row.expired = doubted;
    }

    /// The provider calls a grant dead that another replica has refreshed or is refreshing: the new token may be dead, too.
    fn doubt(&self, state: &mut State) {
        match state.row.state {
            RowState::InFlight => state.row.doubted = self.rules.doubt_is_verified,
            RowState::Idle | RowState::Uncertain => state.row.expired |= self.rules.doubt_is_verified,
        }
    }

    /// As `Refreshes::fail` does it.
    pub fn fail(&self, state: &mut State, at: usize, claim: Claim, failure: Failure) {
        let same = state.row.generation == claim.generation;
        state.replicas[at].phase = Phase::Idle;
        if failure == Failure::Dead {
            state.witness.told_dead[usize::from(claim.token.family)] = true;
        }
        if (self.rules.fail_compares_generation && !same)
            || (self.rules.fail_compares_claim_id && !claim.claim_id_stands)
        {
            if failure == Failure::Dead && claim.token.family == state.row.token.family {
                self.doubt(state);
            }
            return;
        }
        if claim.token.family < state.row.token.family {
            self.breaks(state, Broken::LostUpdate);
        }
        let marked = state.row.marked;
        state.idle();
        match failure {
            Failure::Temporary if claim.uncertain => {
                state.row.state = RowState::Uncertain;
                state.row.marked =
                    if self.rules.refused_repeats_are_free { claim.marked_before } else { marked };
                state.row.error_shown |= self.rules.uncertain_shows;
            }
            Failure::Temporary => state.row.marked = marked,
            Failure::Uncertain => {
                state.row.state = RowState::Uncertain;
                state.row.marked = marked;
                state.row.error_shown = true;
                if claim.sent {
                    state.witness.note_uncertain();
                }
            }
            Failure::Dead => {
                state.row.doubted = self.rules.doubt_is_verified;
                self.wants_consent(state);
            }
        }
        if state.row.state == RowState::Uncertain && !state.row.error_shown {
            self.breaks(state, Broken::NotShown);
        }
    }
}

impl Model for Protocol<'_> {
    type State = State;
    type Step = Step;
    type Broken = Broken;

    fn initial(&self) -> State {
        State::new(self.budget)
    }

    fn next(&self, state: &State, to: &mut Vec<(Step, State)>) {
        for at in 0..state.replicas.len() {
            if state.replicas[at].stopped {
                self.arrive(state, at, to);
                self.change(state, Step::Resume(at), to, |next| next.replicas[at].stopped = false);
            } else {
                self.own_steps(state, at, to);
                self.arrive(state, at, to);
            }
            self.faults(state, at, to);
        }
        self.world(state, to);
    }

    fn canonical(&self, mut state: State) -> State {
        state.replicas.sort_unstable();
        state
    }

    fn is_progress(&self, step: Step) -> bool {
        let acts = matches!(
            step,
            Step::Want(_)
                | Step::Claim(_)
                | Step::CheckMaySend(_)
                | Step::Send(_)
                | Step::Store(_)
                | Step::Fail(_)
        );
        let comes = matches!(step, Step::Arrive(_) | Step::Deliver(_) | Step::LatecomerArrives);
        let passes =
            matches!(step, Step::LeaseEnds | Step::NoticeLostSession(_) | Step::Resume(_) | Step::OutageEnds);
        acts || comes || passes
    }

    fn broken(&self, state: &State) -> Option<Broken> {
        state.witness.broken
    }

    fn broken_at_rest(&self, state: &State) -> Option<Broken> {
        let (mut state, row) = (*state, state.row);
        let fresh = row.state == RowState::Idle && !row.expired;
        if !fresh && !row.consent_wanted {
            self.breaks(&mut state, Broken::Stuck);
        }
        if self.budget.is_harmless() && state.family(row.token).is_revoked() {
            self.breaks(&mut state, Broken::NeedlessDeath);
        }
        let told = state.witness.told_dead[usize::from(row.token.family)];
        if told && fresh && !row.consent_wanted && state.family(row.token).would_refuse(self.kind, row.token)
        {
            self.breaks(&mut state, Broken::SilentlyDead);
        }
        state.witness.broken
    }

    fn broken_without_rest(&self) -> Broken {
        Broken::Stuck
    }

    fn is_counted(&self, state: &State) -> bool {
        state.row.consent_wanted
    }
}
