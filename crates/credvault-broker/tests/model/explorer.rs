//! Explores all states of a model, breadth first, and remembers how each was reached, so that the path to a violation is one
//! of the shortest. It knows nothing about refreshes.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{Debug, Write as _};
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A model that can be explored.
pub trait Model {
    /// Everything that exists at one moment.
    type State: Clone + Eq + Hash;
    /// The steps that lead from one state to another.
    type Step: Copy + Debug;
    /// A promise that can be broken.
    type Broken: Copy + Ord + Debug;

    /// The state in which it begins.
    fn initial(&self) -> Self::State;
    /// Adds each step that is possible in a state, and the state that it leads to.
    fn next(&self, state: &Self::State, to: &mut Vec<(Self::Step, Self::State)>);
    /// The same state for all states that differ in names only.
    fn canonical(&self, state: Self::State) -> Self::State;
    /// Whether the system takes this step by itself, sooner or later. Faults and people's wishes are no such steps.
    fn is_progress(&self, step: Self::Step) -> bool;
    /// The promise that the step to this state has broken.
    fn broken(&self, state: &Self::State) -> Option<Self::Broken>;
    /// The promise that a state breaks if no further step happens by itself.
    fn broken_at_rest(&self, state: &Self::State) -> Option<Self::Broken>;
    /// The promise that is broken if the system never comes to rest.
    fn broken_without_rest(&self) -> Self::Broken;
    /// Whether to count this state, if no further step happens by itself.
    fn is_counted(&self, state: &Self::State) -> bool;
}

/// The result of an exploration.
pub struct Report<B> {
    /// The number of states. States that differ in names only count once.
    pub states: usize,
    /// The number of states in which no further step happens by itself.
    pub at_rest: usize,
    /// The number of states at rest that the model counts.
    pub counted: usize,
    /// A shortest path to each broken promise.
    pub violations: BTreeMap<B, String>,
}

/// Hashing that is fast without optimisation. It need not resist keys that an attacker chooses.
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number.cast_unsigned() as u64);
    }
}

struct Explored<S> {
    states: Vec<S>,
    /// The state from which each was found. The first state was found from itself.
    parents: Vec<usize>,
    numbers: HashMap<S, usize, BuildHasherDefault<Quick>>,
}

impl<S: Clone + Eq + Hash> Explored<S> {
    fn number(&mut self, state: S, parent: usize) -> usize {
        match self.numbers.entry(state) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                self.states.push(new.key().clone());
                self.parents.push(parent);
                *new.insert(self.states.len() - 1)
            }
        }
    }
}

/// Explores all states, or stops where `wanted` is broken first.
pub fn explore<M: Model>(model: &M, wanted: Option<M::Broken>) -> Report<M::Broken> {
    let mut all = Explored { states: Vec::new(), parents: Vec::new(), numbers: HashMap::default() };
    let mut report = Report { states: 0, at_rest: 0, counted: 0, violations: BTreeMap::new() };
    let (mut progress, mut steps): (Vec<Vec<u32>>, _) = (Vec::new(), Vec::new());
    all.number(model.canonical(model.initial()), 0);
    let mut at = 0;
    while at < all.states.len() {
        let state = all.states[at].clone();
        let mut leads = Vec::new();
        let mut broken = model.broken(&state);
        if broken.is_none() {
            model.next(&state, &mut steps);
            let mut rests = true;
            for (step, next) in steps.drain(..) {
                let number = all.number(model.canonical(next), at);
                if model.is_progress(step) {
                    rests = false;
                    leads.push(u32::try_from(number).unwrap());
                }
            }
            if rests {
                broken = model.broken_at_rest(&state);
                report.at_rest += 1;
                report.counted += usize::from(model.is_counted(&state));
            }
        }
        progress.push(leads);
        if let Some(broken) = broken {
            report.violations.entry(broken).or_insert_with(|| path(model, &all, at));
            if wanted == Some(broken) {
                break;
            }
        }
        at += 1;
    }
    report.states = all.states.len();
    if wanted.is_none()
        && let Some(at) = on_a_circle(&progress)
    {
        report.violations.entry(model.broken_without_rest()).or_insert_with(|| path(model, &all, at));
    }
    report
}

/// A state that the system can return to by itself, if there is one. A system without such a state comes to rest.
fn on_a_circle(progress: &[Vec<u32>]) -> Option<usize> {
    let mut entries = vec![0_u32; progress.len()];
    for next in progress.iter().flatten() {
        entries[*next as usize] += 1;
    }
    let mut free: Vec<usize> = (0..progress.len()).filter(|at| entries[*at] == 0).collect();
    while let Some(at) = free.pop() {
        for next in &progress[at] {
            let next = *next as usize;
            entries[next] -= 1;
            if entries[next] == 0 {
                free.push(next);
            }
        }
    }
    entries.iter().position(|entries| *entries > 0)
}

/// The steps from the beginning to a state, with the same names in all of them.
fn path<M: Model>(model: &M, all: &Explored<M::State>, to: usize) -> String {
    let mut numbers = vec![to];
    while let Some(last) = numbers.last().copied().filter(|last| *last != 0) {
        numbers.push(all.parents[last]);
    }
    let (mut state, mut text, mut steps) = (model.initial(), String::new(), Vec::new());
    for number in numbers.iter().rev().skip(1) {
        model.next(&state, &mut steps);
        let next = steps.drain(..).find(|(_, next)| model.canonical(next.clone()) == all.states[*number]);
        let (step, next) = next.unwrap();
        write!(text, "\n  {step:?}").unwrap();
        state = next;
    }
    text
}
