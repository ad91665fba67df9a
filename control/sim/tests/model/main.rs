//! Every interleaving of one place in the order, through view 0 and view 1, with the real replica: four voters,
//! one of which lies and leads one of the two views. Nobody may decide what another has not, overrule a
//! decision, contradict itself, hide a vote, vote late or halt; one honest node may crash at any point.
//!
//! A message that was said may arrive at any time, any number of times, or never; the liar shows each of
//! its own to whom it likes, as soon as what it is made of has been said. Each node is explored alone first:
//! a message that only counts together with others is as if it arrived with the last of them. States of a
//! node that nobody can tell apart, now or later, are made one; then all that the three can be together
//! is looked at.

#![expect(clippy::unwrap_used, reason = "a model that cannot be built must fail")]
#![expect(clippy::print_stdout, reason = "the figures of docs/simulator.md")]

mod explore;
mod node;
mod setting;

use std::collections::BTreeSet;

use sim::Sabotage;

use explore::look;
use node::Wrong;
use setting::{Setting, Wish};

/// Wishes of the liar: it has heard of nothing.
const SILENT: Wish = Wish {
    accepted: None,
    certified: None,
};
const ACCEPTED_1: Wish = Wish {
    accepted: Some(1),
    certified: None,
};
const ACCEPTED_2: Wish = Wish {
    accepted: Some(2),
    certified: None,
};
const PROVEN_1: Wish = Wish {
    accepted: Some(1),
    certified: Some(1),
};
const PROVEN_3: Wish = Wish {
    accepted: Some(3),
    certified: Some(3),
};
/// A certificate, and word of another batch beside it.
const TORN: Wish = Wish {
    accepted: Some(2),
    certified: Some(1),
};

/// The liar leads view 0, and proposes to two what it keeps from the third.
const LEFT_OUT: Setting = Setting {
    liar: 0,
    fast_path: false,
    proposals: [&[], &[1], &[1]],
    wishes: &[SILENT, PROVEN_1],
    crashes: None,
    sabotage: Sabotage::None,
};
/// It proposes another batch to the third.
const TWO_WAYS: Setting = Setting {
    proposals: [&[1], &[1], &[2]],
    wishes: &[SILENT, PROVEN_1, ACCEPTED_2, TORN],
    ..LEFT_OUT
};
/// It proposes two batches to one, who crashes.
const TEMPTED: Setting = Setting {
    proposals: [&[], &[1, 2], &[]],
    wishes: &[SILENT],
    crashes: Some(1),
    ..LEFT_OUT
};
/// Everybody consents, and the liar hides it or not.
const CONSENT: Setting = Setting {
    fast_path: true,
    proposals: [&[1], &[1], &[1]],
    ..TWO_WAYS
};
/// The liar leads view 1, and begins it with any quorum of wishes: with nothing, then with a batch of its own to
/// two and with another to the third; or with the batch of the honest primary of view 0.
const SECOND: Setting = Setting {
    liar: 1,
    proposals: [&[1], &[1], &[2]],
    wishes: &[SILENT, PROVEN_3, ACCEPTED_1],
    ..LEFT_OUT
};
const SECOND_CONSENT: Setting = Setting {
    fast_path: true,
    proposals: [&[1], &[1], &[1]],
    ..SECOND
};

/// Which batch was decided in which view. 1 and 2 are the liar's; 3 an honest primary's; "3 later" one's that
/// knew of another batch before.
type Decided = (u64, &'static str);

/// All states hold, and each of these was decided and, by an honest primary, begun with, and no other.
fn assert_holds(setting: Setting, decided: &[Decided], opened: &[&'static str]) {
    let seen = look(setting, &BTreeSet::new());
    println!("{seen}");
    assert_eq!(seen.wrong, [].into());
    assert_eq!(seen.decided, decided.iter().copied().collect());
    assert_eq!(seen.opened, opened.iter().copied().collect());
    assert!(seen.states > 1000);
}

/// The model sees all of this go wrong.
fn assert_found(setting: Setting, wrong: &[Wrong]) {
    let wrong: BTreeSet<_> = wrong.iter().copied().collect();
    let seen = look(setting, &wrong);
    println!("{seen}");
    assert!(seen.wrong.is_superset(&wrong), "{seen:?}");
}

const BY_VIEW_0: [Decided; 4] = [(0, "1"), (1, "1"), (1, "3"), (1, "3 later")];

#[test]
fn slow_path_with_a_voter_left_out_holds() {
    assert_holds(LEFT_OUT, &[(0, "1"), (1, "1"), (1, "3")], &["1", "nothing"]);
}

#[test]
fn slow_path_with_two_proposals_holds() {
    let decided = [&BY_VIEW_0[..], &[(1, "2")]].concat();
    assert_holds(TWO_WAYS, &decided, &["1", "2", "nothing"]);
}

#[test]
fn slow_path_with_a_liar_that_leads_the_second_view_holds() {
    assert_holds(SECOND, &[(0, "3"), (1, "1"), (1, "3")], &[]);
}

#[test]
fn slow_path_with_a_crash_holds() {
    let setting = Setting {
        crashes: Some(1),
        ..LEFT_OUT
    };
    assert_holds(setting, &[(0, "1"), (1, "1"), (1, "3")], &["1", "nothing"]);
}

#[test]
fn slow_path_with_a_crash_of_the_next_primary_holds() {
    let setting = Setting {
        crashes: Some(0),
        ..LEFT_OUT
    };
    assert_holds(setting, &[(0, "1"), (1, "1"), (1, "3")], &["1", "nothing"]);
}

#[test]
fn slow_path_with_a_crash_of_the_first_primary_holds() {
    let setting = Setting {
        crashes: Some(0),
        ..SECOND
    };
    assert_holds(setting, &[(0, "3"), (1, "1"), (1, "3")], &[]);
}

#[test]
fn fast_path_whose_consent_is_hidden_holds() {
    assert_holds(CONSENT, &BY_VIEW_0, &["1", "nothing"]);
}

#[test]
fn fast_path_with_a_liar_that_leads_the_second_view_holds() {
    assert_holds(SECOND_CONSENT, &[(0, "3"), (1, "1"), (1, "3")], &[]);
}

#[test]
fn fast_path_with_a_crash_holds() {
    let setting = Setting {
        crashes: Some(1),
        ..CONSENT
    };
    assert_holds(setting, &BY_VIEW_0, &["1", "nothing"]);
}

/// As it is sabotaged: after a crash of one who has voted, on the slow path.
fn crashing(sabotage: Sabotage) -> Setting {
    Setting {
        crashes: Some(1),
        sabotage,
        ..LEFT_OUT
    }
}

/// The same on the fast path. Commits get lost there, and who has decided and remembers consents to nothing
/// else: a decision is overruled, but none stands beside it.
fn crashing_fast(sabotage: Sabotage) -> Setting {
    Setting {
        wishes: &[SILENT],
        crashes: Some(1),
        sabotage,
        ..CONSENT
    }
}

#[test]
fn hidden_locks_are_found_to_fork() {
    let setting = Setting {
        sabotage: Sabotage::HideLocks,
        ..LEFT_OUT
    };
    assert_found(setting, &[Wrong::Fork, Wrong::Overruled, Wrong::HiddenVote]);
    let setting = Setting {
        crashes: None,
        ..crashing_fast(Sabotage::HideLocks)
    };
    assert_found(setting, &[Wrong::Overruled, Wrong::HiddenVote]);
}

#[test]
fn hidden_locks_are_found_to_halt_who_has_decided() {
    let setting = Setting {
        proposals: [&[2], &[1], &[1]],
        wishes: &[ACCEPTED_2],
        sabotage: Sabotage::HideLocks,
        ..LEFT_OUT
    };
    assert_found(setting, &[Wrong::Halt]);
}

#[test]
fn forgotten_promises_are_found_to_fork() {
    let setting = crashing(Sabotage::ForgetPromises);
    assert_found(setting, &[Wrong::Fork, Wrong::Overruled, Wrong::HiddenVote]);
    let setting = crashing_fast(Sabotage::ForgetPromises);
    assert_found(setting, &[Wrong::Overruled, Wrong::HiddenVote]);
}

#[test]
fn speech_before_the_disk_is_found_to_fork() {
    let setting = crashing(Sabotage::SendBeforeDurable);
    assert_found(setting, &[Wrong::Fork, Wrong::Overruled, Wrong::HiddenVote]);
    let setting = crashing_fast(Sabotage::SendBeforeDurable);
    assert_found(setting, &[Wrong::Overruled, Wrong::HiddenVote]);
}

#[test]
fn tempted_node_without_a_memory_is_found_to_contradict_itself() {
    assert_eq!(look(TEMPTED, &BTreeSet::new()).wrong, [].into());
    for sabotage in [Sabotage::ForgetPromises, Sabotage::SendBeforeDurable] {
        let setting = Setting {
            sabotage,
            ..TEMPTED
        };
        assert_found(setting, &[Wrong::Contradiction, Wrong::LateVote]);
    }
}
