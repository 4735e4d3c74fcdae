//! The life of a grant: when it ends, and which warnings it gets.

use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

fn days(days: u32) -> Duration {
    DAY * days
}

fn at(day: u32) -> Timestamp {
    NOW.after(days(day))
}

/// The days before the end of each warning that a grant gets, looked at once an hour, with the hour of each.
fn warned(life: &GrantLife, from: Timestamp) -> Vec<u32> {
    let (mut next, mut all) = (life.next_warning(from), Vec::new());
    for hour in 0..24 * 400 {
        let now = from.after(Duration::from_secs(hour * 3600));
        if next.is_some_and(|next| next <= now) {
            all.extend(life.due_warning(now));
            next = life.next_warning(now);
        }
    }
    all
}

#[test]
fn a_key_that_ends_is_warned_of_three_times_and_one_that_never_ends_not_at_all() {
    let life = GrantLife::begun(Grant::fixed(Some(at(90))), NOW);
    assert_eq!((life.class(), life.end(), life.ending()), (Renewal::Ends, Some(at(90)), Some(at(76))));
    assert_eq!(warned(&life, NOW), [14, 3, 1]);
    // What the time has passed by when it began is not warned of, and of several that are late only the last.
    assert_eq!(warned(&GrantLife::begun(Grant::fixed(Some(at(5))), NOW), NOW), [3, 1]);
    assert_eq!(life.due_warning(at(88)), Some(3));
    assert_eq!((life.due_warning(at(70)), life.due_warning(at(91))), (None, None));
    let never = GrantLife::begun(Grant::fixed(None), NOW);
    assert_eq!((never.class(), never.end(), warned(&never, NOW)), (Renewal::NeverEnds, None, Vec::new()));
}

#[test]
fn a_grant_that_renews_itself_is_warned_of_only_when_that_is_late() {
    // Renewed at half of 30 days, so that 14 days before the end say nothing yet.
    let life = GrantLife::begun(Grant::renewed(Some(at(30))), NOW);
    assert_eq!((life.class(), life.ending()), (Renewal::RenewsItself, Some(at(21))));
    assert_eq!(warned(&life, NOW), [3, 1]);
    // Whether the owner knows of it: the warning is due, and not the next any more.
    let next = life.next_warning(at(27));
    assert!(life.has_warned(next, at(28)) && life.has_warned(None, at(31)));
    assert!(!life.has_warned(Some(at(27)), at(28)) && !life.has_warned(life.next_warning(NOW), at(20)));
    let renewed = life.after_refresh(Grant::renewed(Some(at(45))), at(15));
    assert_eq!((renewed.class(), renewed.end()), (Renewal::RenewsItself, Some(at(45))));
    assert_eq!(warned(&GrantLife::begun(Grant::renewed(Some(at(90))), NOW), NOW), [14, 3, 1]);
}

#[test]
fn a_refresh_that_moves_nothing_shows_that_the_grant_ends() {
    let life = GrantLife::begun(Grant::renewed(Some(at(365))), NOW);
    // A moment later nothing can be told.
    let soon = life.after_refresh(Grant::renewed(Some(at(365))), NOW.after(Duration::from_secs(60)));
    assert_eq!(soon.class(), Renewal::RenewsItself);
    let later = soon.after_refresh(Grant::renewed(Some(at(365))), at(10));
    assert_eq!((later.class(), later.end()), (Renewal::Ends, Some(at(365))));
    assert_eq!(warned(&later, at(10)), [14, 3, 1]);
    let moved = later.after_refresh(Grant::renewed(Some(at(385))), at(20));
    assert_eq!(moved.class(), Renewal::RenewsItself);
}

#[test]
fn a_consent_that_lasts_for_a_year_ends_whatever_is_refreshed() {
    let grant = |end| Grant { lifetime: Some(days(365)), ..Grant::renewed(Some(end)) };
    let life = GrantLife::begun(grant(at(30)), NOW).after_refresh(grant(at(45)), at(15));
    assert_eq!((life.class(), life.end()), (Renewal::Ends, Some(at(365))));
    assert_eq!(warned(&life, at(15)), [14, 3, 1]);
    // An end that refreshes do not move may come before.
    let fixed = Grant { lifetime: Some(days(365)), ..Grant::fixed(Some(at(100))) };
    assert_eq!(GrantLife::begun(fixed, NOW).end(), Some(at(100)));
}

#[test]
fn what_is_stored_can_be_read() {
    assert!(Renewal::ALL.into_iter().all(|class| Renewal::from_stored(class.as_str()) == Some(class)));
}
