//! The protocol of `docs/refresh.md`, explored exhaustively within bounds: every order of steps of three replicas, and
//! every place for the faults that a case allows. The steps are written by hand after the store's `refreshes/` and
//! `database/liveness.rs` and after the broker's `refresh/`; a change to one needs the same change to the other.
//!
//! `cargo test -p credvault-broker --test model -- --nocapture` shows how many states there are.

#![allow(missing_docs, unreachable_pub, reason = "a test binary")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test binary")]

#[path = "model/explorer.rs"]
mod explorer;
#[path = "model/protocol.rs"]
mod protocol;
#[path = "model/provider.rs"]
mod provider;
#[path = "model/rules.rs"]
mod rules;
#[path = "model/state.rs"]
mod state;
#[path = "model/steps.rs"]
mod steps;

use explorer::{Report, explore};
use provider::Kind;
use rules::Broken::{self, *};
use rules::{Protocol, Rules};
use state::Budget;

/// The faults that happen, and the promises that are not kept then.
struct Case {
    name: &'static str,
    budget: Budget,
    /// Promises that cannot be kept, because the provider does not compare generations.
    beyond: &'static [Broken],
}

const NOTHING: Budget = Budget {
    needs: 0,
    crashes: 0,
    pauses: 0,
    lost_sessions: 0,
    losses: 0,
    outages: 0,
    long_outages: 0,
    slow: 0,
    database: 0,
    latecomers: 0,
    consents: 0,
    revocations: 0,
};
/// The access token expires twice, and the account's owner consents again once, at any moment.
const USUAL: Budget = Budget { needs: 1, consents: 1, ..NOTHING };

const fn case(name: &'static str, budget: Budget) -> Case {
    Case { name, budget, beyond: &[] }
}

const CASES: [Case; 26] = [
    case("nothing goes wrong", USUAL),
    case("a crash", Budget { crashes: 1, ..USUAL }),
    case("two crashes", Budget { crashes: 2, ..USUAL }),
    case("a crash, a lost answer", Budget { crashes: 1, losses: 1, ..USUAL }),
    case("three lost answers", Budget { losses: 3, ..USUAL }),
    case("two refusals for a while", Budget { outages: 2, ..USUAL }),
    case("a pause", Budget { pauses: 1, ..USUAL }),
    case("three pauses", Budget { pauses: 3, ..NOTHING }),
    case("a crash, a refusal for a while", Budget { crashes: 1, outages: 1, ..USUAL }),
    case("a crash, a pause", Budget { crashes: 1, pauses: 1, ..USUAL }),
    case("a lost answer, a refusal for a while", Budget { losses: 1, outages: 1, ..USUAL }),
    case(
        "a crash, a lost answer, a refusal for a while, a pause",
        Budget { crashes: 1, losses: 1, outages: 1, pauses: 1, ..NOTHING },
    ),
    case("a slow answer", Budget { slow: 1, ..USUAL }),
    case("an outage of any length", Budget { long_outages: 1, ..USUAL }),
    case("two outages of any length", Budget { long_outages: 2, ..NOTHING }),
    case("an outage of any length, two lost answers", Budget { long_outages: 1, losses: 2, ..NOTHING }),
    case("an outage of any length, a crash", Budget { long_outages: 1, crashes: 1, ..NOTHING }),
    case("an outage of any length, a pause", Budget { long_outages: 1, pauses: 1, ..NOTHING }),
    case("a database failure", Budget { database: 1, ..USUAL }),
    case("two database failures, a lost answer", Budget { database: 2, losses: 1, ..USUAL }),
    Case {
        beyond: &[NeedlessConsent],
        ..case("the owner removes the app, a lost answer", Budget { revocations: 1, losses: 1, ..USUAL })
    },
    Case {
        beyond: &[NeedlessConsent],
        ..case("a request that comes late", Budget { latecomers: 1, ..USUAL })
    },
    Case {
        beyond: &[SentAfterUse],
        ..case("a lost session", Budget { lost_sessions: 1, consents: 1, ..NOTHING })
    },
    Case {
        beyond: &[SentAfterUse, NeedlessConsent],
        ..case("a lost session, a second need", Budget { lost_sessions: 1, ..USUAL })
    },
    Case {
        beyond: &[SentAfterUse],
        ..case("a lost session, a crash", Budget { lost_sessions: 1, crashes: 1, ..NOTHING })
    },
    Case {
        beyond: &[SentTwiceAtOnce, SentAfterUse, UnmarkedRepeat],
        ..case("a lost session, a pause", Budget { lost_sessions: 1, pauses: 1, ..NOTHING })
    },
];

fn run(
    kind: Kind,
    rules: Rules,
    budget: Budget,
    promises: &[Broken],
    wanted: Option<Broken>,
) -> Report<Broken> {
    explore(&Protocol { kind, rules, budget, promises }, wanted)
}

/// All promises are kept but those `excepted`, which are not.
fn keeps_all_but(case: &Case, excepted: &[Broken]) {
    let faultless = case.budget == USUAL;
    let looked_for = |promise: &Broken| *promise != NeedlessRequest || faultless;
    let promises: Vec<Broken> = Broken::ALL.into_iter().filter(looked_for).collect();
    let (kept, rest): (Vec<Broken>, Vec<Broken>) =
        promises.into_iter().partition(|promise| !excepted.contains(promise));
    let mut not_kept = Vec::new();
    for kind in Kind::ALL {
        let report = run(kind, Rules::CODE, case.budget, &kept, None);
        println!(
            "{}, {kind:?}: {} states, {} at rest, {} of them want consent",
            case.name, report.states, report.at_rest, report.counted
        );
        if let Some((broken, path)) = report.violations.first_key_value() {
            panic!("{}, {kind:?}: {broken:?}{path}", case.name);
        }
        assert!(report.at_rest > report.counted, "some end well");
        for promise in &rest {
            if let Some(path) =
                run(kind, Rules::CODE, case.budget, &[*promise], Some(*promise)).violations.get(promise)
            {
                println!("  {promise:?}:{}", path.replace("\n ", ""));
                not_kept.push(*promise);
            }
        }
    }
    for promise in rest {
        assert!(
            not_kept.contains(&promise),
            "{}: {promise:?} is kept now, and listed as beyond reach",
            case.name
        );
    }
}

#[test]
fn the_code_keeps_what_it_promises() {
    for case in &CASES {
        keeps_all_but(case, case.beyond);
    }
}

#[test]
fn a_crash_costs_consent_where_the_provider_is_strict_and_nowhere_else() {
    for kind in Kind::ALL {
        let budget = Budget { crashes: 1, ..NOTHING };
        let report = run(kind, Rules::CODE, budget, &Broken::ALL[..4], None);
        assert!(report.violations.is_empty() && (report.counted > 0) != kind.repeatable(), "{kind:?}");
    }
}

/// Without this rule, these faults are enough to break this promise.
fn needs_the_rule(name: &str, rules: Rules, kind: Kind, budget: Budget, promise: Broken) {
    let report = run(kind, rules, budget, &[promise], Some(promise));
    let path = report.violations.get(&promise).map(String::as_str);
    println!("{name}: {promise:?}{}", path.unwrap_or_default().replace("\n ", ""));
    assert!(path.is_some(), "{name}: nothing breaks {promise:?}");
    let with = run(kind, Rules::CODE, budget, &[promise], None);
    assert!(with.violations.is_empty(), "{name}: {promise:?} is broken with the rule, too");
}

#[test]
fn without_comparing_generations_a_newer_consent_is_lost() {
    let consent = Budget { consents: 1, ..NOTHING };
    for kind in Kind::ALL {
        let rules = Rules { store_compares_generation: false, ..Rules::CODE };
        needs_the_rule("store does not compare generations", rules, kind, consent, LostUpdate);
        let rules = Rules { fail_compares_generation: false, fail_compares_claim_id: false, ..Rules::CODE };
        let consent = Budget { losses: 1, ..consent };
        needs_the_rule("fail compares nothing", rules, kind, consent, LostUpdate);
        let rules = Rules { claim_compares_generation: false, ..Rules::CODE };
        needs_the_rule("claim does not compare generations", rules, kind, NOTHING, NeedlessRequest);
    }
}

#[test]
fn without_comparing_claim_ids_a_failure_ends_another_replicas_claim() {
    let rules = Rules { fail_compares_claim_id: false, ..Rules::CODE };
    let budget = Budget { lost_sessions: 1, outages: 1, ..NOTHING };
    needs_the_rule("fail compares generations only", rules, Kind::GraceNew, budget, SentTwiceAtOnce);
}

#[test]
fn a_takeover_needs_both_the_end_of_the_lease_and_proof_that_the_owner_is_gone() {
    for kind in Kind::ALL {
        let rules = Rules { owner_is_gone: false, ..Rules::CODE };
        let budget = Budget { pauses: 1, ..NOTHING };
        needs_the_rule("takeover by lease alone", rules, kind, budget, SentTwiceAtOnce);
        let rules = Rules { lease_ends_first: false, ..Rules::CODE };
        let budget = Budget { lost_sessions: 1, ..NOTHING };
        needs_the_rule("takeover by lock alone", rules, kind, budget, SentTwiceAtOnce);
    }
}

#[test]
fn without_asking_whether_it_may_send_a_process_that_lost_its_claim_sends() {
    for kind in Kind::ALL {
        let rules = Rules { may_send: false, ..Rules::CODE };
        let budget = Budget { lost_sessions: 1, outages: 1, ..NOTHING };
        needs_the_rule("no may_send", rules, kind, budget, SentTwiceAtOnce);
    }
}

#[test]
fn storing_by_the_owner_only_throws_away_the_only_tokens_there_are() {
    for kind in Kind::ALL {
        let rules = Rules { store_compares_owner: true, ..Rules::CODE };
        let budget = Budget { lost_sessions: 1, ..NOTHING };
        needs_the_rule("store compares the owner", rules, kind, budget, LostUpdate);
    }
}

#[test]
fn a_grant_is_given_up_for_silence_without_the_rule() {
    let rules = Rules { repeats_until_told: false, ..Rules::CODE };
    for budget in [Budget { losses: 2, ..NOTHING }, Budget { long_outages: 1, ..NOTHING }] {
        needs_the_rule("silence counts as refusal", rules, Kind::Strict, budget, GivenUp);
    }
}

#[test]
fn an_outage_of_any_length_ends_no_grant() {
    for kind in [Kind::Strict, Kind::GraceSame, Kind::GraceNew, Kind::Never] {
        let budget = Budget { long_outages: 2, ..USUAL };
        let report = run(kind, Rules::CODE, Budget { consents: 0, ..budget }, &Broken::ALL, None);
        let broken: Vec<_> = report.violations.keys().filter(|broken| **broken != NeedlessRequest).collect();
        assert!(
            broken.is_empty() && report.counted == 0,
            "{kind:?}: {broken:?}, {} want consent",
            report.counted
        );
    }
}

#[test]
fn an_answer_that_is_not_waited_for_ends_the_grant() {
    let rules = Rules { reads_on: false, ..Rules::CODE };
    needs_the_rule(
        "a time-out is a lost answer",
        rules,
        Kind::Strict,
        Budget { slow: 1, ..NOTHING },
        NeedlessDeath,
    );
}

#[test]
fn a_process_that_was_stopped_looks_once_more() {
    let rules = Rules { looks_once_more: false, ..Rules::CODE };
    needs_the_rule(
        "the clock judges first",
        rules,
        Kind::Strict,
        Budget { pauses: 1, ..NOTHING },
        NeedlessDeath,
    );
}

#[test]
fn repeats_that_are_not_marked_never_end() {
    let rules = Rules { repeats_are_marked: false, ..Rules::CODE };
    for budget in [
        Budget { losses: 2, ..NOTHING },
        Budget { crashes: 2, ..NOTHING },
        Budget { crashes: 1, losses: 1, ..NOTHING },
    ] {
        needs_the_rule("repeats are not marked", rules, Kind::Siblings, budget, UnmarkedRepeat);
    }
}

#[test]
fn what_a_process_left_behind_itself_is_over() {
    for kind in Kind::ALL {
        let rules = Rules { own_leftovers_end: false, ..Rules::CODE };
        let budget = Budget { database: 1, ..NOTHING };
        needs_the_rule("own leftovers do not end", rules, kind, budget, Stuck);
    }
}

#[test]
fn a_repeat_that_was_not_taken_does_not_count() {
    let rules = Rules { refused_repeats_are_free: false, ..Rules::CODE };
    let budget = Budget { losses: 1, outages: 1, ..NOTHING };
    needs_the_rule("refused repeats count", rules, Kind::Siblings, budget, GivenUp);
}

#[test]
fn a_consent_that_was_called_dead_meanwhile_is_looked_at_again() {
    let rules = Rules { doubt_is_verified: false, ..Rules::CODE };
    let budget = Budget { lost_sessions: 1, ..NOTHING };
    needs_the_rule("doubt is forgotten", rules, Kind::Strict, budget, SilentlyDead);
}

#[test]
fn what_stays_uncertain_shows() {
    let rules = Rules { uncertain_shows: false, ..Rules::CODE };
    let budget = Budget { crashes: 1, outages: 1, ..NOTHING };
    needs_the_rule("uncertainty does not show", rules, Kind::Strict, budget, NotShown);
}

#[test]
fn what_was_held_back_uses_nothing_up() {
    let rules = Rules { held_back_is_not_sent: false, ..Rules::CODE };
    let budget = Budget { outages: 2, ..NOTHING };
    needs_the_rule("what was held back counts as sent", rules, Kind::Siblings, budget, GivenUp);
}

#[test]
fn an_answer_that_cannot_be_read_may_have_renewed() {
    let rules = Rules { unreadable_is_uncertain: false, ..Rules::CODE };
    let budget = Budget { losses: 1, ..NOTHING };
    needs_the_rule("what cannot be read counts as refused", rules, Kind::Strict, budget, UnmarkedRepeat);
}
