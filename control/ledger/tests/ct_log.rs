//! The certificate log in the ledger: who opens shards, which entries get which place, and what the node hears.

#![allow(
    clippy::unwrap_used,
    reason = "a test must fail when that cannot be had"
)]

mod common;

use std::sync::Arc;

use common::{Cluster, ROOTS, certificate, cosigner, shard, submission};
use consensus::{Digest, StateMachine};
use ct::{CtExtensions, Frontier, Hash, LogEntry, TimestampedEntry};
use ledger::{
    CT_ISSUERS_MAX, CT_RECENT_ENTRIES, CT_REFRESH_MS, Change, Command, CtCosignerKey, CtNews,
    CtPlace, CtRefusal, CtSubmission, Outcome, Reason,
};

/// The places that a submission of the first node gets.
fn submit(cluster: &mut Cluster, submission: CtSubmission) -> Vec<CtPlace> {
    match cluster.one(cluster.ids[0], Command::CtEntries(submission)) {
        Outcome::CtEntries(places) => places,
        other => panic!("{other:?}"),
    }
}

fn placed(index: u64, timestamp_ms: u64, is_new: bool) -> CtPlace {
    CtPlace::Placed {
        index,
        timestamp_ms,
        is_new,
    }
}

/// The tree as RFC 6962 has it, from what the node heard.
fn tree(news: &[CtNews], name: &str) -> Frontier {
    let mut frontier = Frontier::default();
    for item in news {
        let CtNews::Appended {
            shard,
            first_index,
            timestamp_ms,
            entries,
        } = item
        else {
            continue;
        };
        if **shard != *name {
            continue;
        }
        assert_eq!(*first_index, frontier.size());
        for entry in entries {
            frontier.push(leaf(entry, *timestamp_ms, frontier.size()), |_, _, _| {});
        }
    }
    frontier
}

fn leaf(entry: &LogEntry, timestamp_ms: u64, index: u64) -> Hash {
    let extensions = CtExtensions::of_index(index).unwrap();
    let leaf = TimestampedEntry::new(entry.clone(), timestamp_ms, extensions);
    leaf.unwrap().leaf_hash()
}

#[test]
fn shard_opens_when_enough_ask_for_the_same_and_only_if_it_fits_beside_the_others() {
    let mut cluster = Cluster::of(4);
    let [one, two, three] = [0, 1, 2].map(|node| cluster.ids[node]);
    let open = |shard| Command::Propose(Change::CtOpen(shard));
    let other = ledger::CtShard {
        origin: "elsewhere.example/log27".into(),
        ..shard("log27", 27)
    };
    let pending = Outcome::Pending {
        supporters: 1,
        wanted: 2,
    };
    assert_eq!(cluster.one(one, open(shard("log27", 27))), pending);
    assert_eq!(cluster.one(two, open(other)), pending);
    assert_eq!(cluster.ledger.ct_shards().count(), 0);
    let asked = cluster.one(three, open(shard("log27", 27)));
    assert_eq!(asked, Outcome::Done);
    let state = cluster.ledger.ct_shards().next().unwrap();
    assert_eq!(state.shard, shard("log27", 27));
    assert_eq!(state.frontier, Frontier::default());
    for unfit in [
        shard("log27", 27),
        shard("log27", 28),
        shard("again", 27),
        shard("Log28", 28),
        ledger::CtShard {
            spki: Arc::from(*b"no key"),
            ..shard("log28", 28)
        },
        ledger::CtShard {
            end: shard("log28", 28).start,
            ..shard("log28", 28)
        },
        ledger::CtShard {
            spki: shard("log27", 27).spki,
            ..shard("log28", 28)
        },
    ] {
        let refused = cluster.one(one, open(unfit.clone()));
        assert_eq!(refused, Outcome::Refused(Reason::NotSafe), "{unfit:?}");
    }
}

#[test]
fn entries_get_places_in_their_order_and_the_batch_s_time() {
    let mut cluster = Cluster::with_log();
    cluster.ledger.take_ct_news();
    let [a, b, c] = [1, 2, 3].map(|serial| certificate(serial, 27));
    let places = submit(&mut cluster, submission("log27", &[a, b]));
    let first_ms = cluster.time_ms;
    assert_eq!(
        places,
        [placed(0, first_ms, true), placed(1, first_ms, true)]
    );
    cluster.wait(5);
    let places = submit(&mut cluster, submission("log27", &[c]));
    assert_eq!(places, [placed(2, cluster.time_ms, true)]);
    let news = cluster.ledger.take_ct_news();
    let frontier = tree(&news, "log27");
    let state = cluster.ledger.ct_shards().next().unwrap();
    assert_eq!(state.frontier, frontier);
    assert_eq!(frontier.size(), 3);
    let issuers = news.iter().filter(|n| matches!(n, CtNews::Issuers(_)));
    assert_eq!(issuers.count(), 1, "an issuer is told of once");
    // A head for each batch, and the last is the tree's.
    let heads: Vec<_> = news
        .iter()
        .filter_map(|item| match item {
            CtNews::Head { head, .. } => Some((head.size, head.timestamp_ms)),
            _ => None,
        })
        .collect();
    assert_eq!(heads, [(2, first_ms), (3, cluster.time_ms)]);
    assert_eq!(state.head().root, frontier.root());
}

#[test]
fn same_submission_keeps_its_place_however_it_comes_again() {
    let mut cluster = Cluster::with_log();
    let [a, b] = [1, 2].map(|serial| certificate(serial, 27));
    let twice = [a.clone(), a.clone(), b.clone()];
    let places = submit(&mut cluster, submission("log27", &twice));
    let first_ms = cluster.time_ms;
    let expected = [
        placed(0, first_ms, true),
        placed(0, first_ms, false),
        placed(1, first_ms, true),
    ];
    assert_eq!(places, expected);
    cluster.wait(1000);
    let again = submit(&mut cluster, submission("log27", &[b, a]));
    assert_eq!(
        again,
        [placed(1, first_ms, false), placed(0, first_ms, false)]
    );
    // After a restoration, too.
    let snapshot = cluster.ledger.snapshot();
    let mut other = cluster.ledger.fresh();
    other.restore(&snapshot).unwrap();
    assert_eq!(other.root(), cluster.ledger.root());
    cluster.ledger = other;
    let again = submit(&mut cluster, submission("log27", &[certificate(2, 27)]));
    assert_eq!(again, [placed(1, first_ms, false)]);
    assert_eq!(
        cluster.ledger.ct_shards().next().unwrap().frontier.size(),
        2
    );
}

#[test]
fn entry_that_the_shard_does_not_take_gets_no_place_and_spoils_none() {
    let mut cluster = Cluster::with_log();
    let good = certificate(1, 27);
    let mut mixed = submission(
        "log27",
        &[certificate(9, 28), good.clone(), b"?"[..].into()],
    );
    mixed.entries.push(LogEntry {
        chain: [Hash::of(b"nobody")].into(),
        ..mixed.entries[1].clone()
    });
    let places = submit(&mut cluster, mixed);
    assert_eq!(
        places,
        [
            CtPlace::Refused(CtRefusal::OtherShard),
            placed(0, cluster.time_ms, true),
            CtPlace::Refused(CtRefusal::Malformed),
            CtPlace::Refused(CtRefusal::UnknownIssuer),
        ]
    );
    let node = cluster.ids[0];
    for (submission, reason) in [
        (
            submission("log29", std::slice::from_ref(&good)),
            Reason::NoSuchShard,
        ),
        (
            CtSubmission {
                roots: Digest([8; 32]),
                ..submission("log27", std::slice::from_ref(&good))
            },
            Reason::OtherRoots,
        ),
    ] {
        let refused = cluster.one(node, Command::CtEntries(submission));
        assert_eq!(refused, Outcome::Refused(reason));
    }
}

#[test]
fn no_member_fills_the_issuers_with_what_no_entry_needs_or_takes_more_than_its_share() {
    let mut cluster = Cluster::with_log();
    cluster.ledger.take_ct_news();
    let none_known = |cluster: &mut Cluster| {
        let news = cluster.ledger.take_ct_news();
        assert!(
            !news.iter().any(|item| matches!(item, CtNews::Issuers(_))),
            "{news:?}"
        );
    };
    // Without an entry, of entries that are refused, and of what is no certificate.
    let mut idle = submission("log27", &[]);
    idle.issuers = (0..200).map(|serial| certificate(serial, 40)).collect();
    submit(&mut cluster, idle);
    none_known(&mut cluster);
    submit(&mut cluster, submission("log27", &[certificate(1, 28)]));
    none_known(&mut cluster);
    let mut rubbish = submission("log27", &[certificate(1, 27)]);
    rubbish.issuers = vec![b"rubbish"[..].into()];
    rubbish.entries[0].chain = [Hash::of(b"rubbish")].into();
    let refused = CtPlace::Refused(CtRefusal::UnknownIssuer);
    assert_eq!(submit(&mut cluster, rubbish), [refused]);
    none_known(&mut cluster);
    // One with a thousand bytes in it for each number: a share is a quarter of the bytes here.
    let large = |number: usize| {
        let mut der = certificate(7, 49).to_vec();
        der.truncate(der.len() - 65);
        der.extend([&number.to_be_bytes()[..], &[0; 57]].concat());
        Arc::<[u8]>::from(der)
    };
    let mut number = 0;
    let mut bring = |cluster: &mut Cluster, node: usize| {
        let issuers: Vec<_> = (number..number + 1000).map(large).collect();
        number += 1000;
        let mut bundle = submission("log27", &[]);
        bundle.entries = issuers
            .iter()
            .enumerate()
            .map(|(index, issuer)| LogEntry {
                kind: ct::EntryKind::Precertificate {
                    issuer_key_hash: Hash::of(&(number + index).to_be_bytes()),
                    tbs: Arc::from(*b"tbs"),
                    submitted: certificate(1, 27),
                },
                chain: [Hash::of(issuer)].into(),
            })
            .collect();
        bundle.issuers = issuers;
        match cluster.one(cluster.ids[node], Command::CtEntries(bundle)) {
            Outcome::CtEntries(places) => places
                .iter()
                .filter(|place| matches!(place, CtPlace::Placed { .. }))
                .count(),
            other => panic!("{other:?}"),
        }
    };
    let share = CT_ISSUERS_MAX / 4;
    let taken: usize = (0..6).map(|_| bring(&mut cluster, 0)).sum();
    assert_eq!(taken, share);
    // The others have theirs.
    assert_eq!(bring(&mut cluster, 1), 1000);
    let mut other = cluster.ledger.fresh();
    other.restore(&cluster.ledger.snapshot()).unwrap();
    assert_eq!(other.root(), cluster.ledger.root());
    cluster.ledger = other;
    assert_eq!(bring(&mut cluster, 0), 0);
}

#[test]
fn closed_shard_keeps_its_tree_and_may_have_a_successor_of_another_name() {
    let mut cluster = Cluster::with_log();
    submit(&mut cluster, submission("log27", &[certificate(1, 27)]));
    cluster.ledger.take_ct_news();
    let ask = |cluster: &mut Cluster, change: Change| {
        let [one, two] = [0, 1].map(|node| cluster.ids[node]);
        cluster.one(one, Command::Propose(change.clone()));
        cluster.one(two, Command::Propose(change))
    };
    let closed = ask(&mut cluster, Change::CtClose("log27".into()));
    assert_eq!(closed, Outcome::Done);
    let node = cluster.ids[0];
    let late = Command::CtEntries(submission("log27", &[certificate(2, 27)]));
    let refused = Outcome::Refused(Reason::ShardClosed);
    assert_eq!(cluster.one(node, late), refused);
    let news = cluster.ledger.take_ct_news();
    assert!(news.iter().any(
        |item| matches!(item, CtNews::Shard(state) if state.is_closed && state.frontier.size() == 1)
    ));
    let mut successor = shard("log27b", 27);
    successor.spki = shard("x", 99).spki;
    assert_eq!(ask(&mut cluster, Change::CtOpen(successor)), Outcome::Done);
    let places = submit(&mut cluster, submission("log27b", &[certificate(2, 27)]));
    assert_eq!(places, [placed(0, cluster.time_ms, true)]);
}

#[test]
fn idle_shard_gets_a_new_time_and_no_other_tree() {
    let mut cluster = Cluster::with_log();
    submit(&mut cluster, submission("log27", &[certificate(1, 27)]));
    let before = cluster.ledger.ct_shards().next().unwrap().head();
    let node = cluster.ids[3];
    let refresh = || Command::CtRefresh("log27".into());
    assert_eq!(cluster.one(node, refresh()), Outcome::Known);
    cluster.wait(CT_REFRESH_MS);
    cluster.ledger.take_ct_news();
    assert_eq!(cluster.one(node, refresh()), Outcome::Done);
    let after = cluster.ledger.ct_shards().next().unwrap().head();
    assert_eq!((after.size, after.root), (before.size, before.root));
    assert_eq!(after.timestamp_ms, cluster.time_ms);
    let news = cluster.ledger.take_ct_news();
    assert!(matches!(&news[..], [CtNews::Head { head, .. }] if *head == after));
}

#[test]
fn cosigners_are_voters_with_keys_of_their_own() {
    let mut cluster = Cluster::with_log();
    let news = cluster.ledger.take_ct_news();
    let heard = news.iter().find_map(|item| match item {
        CtNews::Validators(validators) => Some(validators.clone()),
        _ => None,
    });
    let heard = heard.unwrap();
    let found = (heard.keys.len(), heard.quorum, heard.faults_max);
    assert_eq!(found, (0, 3, 1));
    let [one, two] = [0, 1].map(|node| cluster.ids[node]);
    let keys = [cosigner(&cluster, 1, one), cosigner(&cluster, 2, two)];
    let [first, second] = keys.clone().map(|key| key.key);
    let say = |cluster: &mut Cluster, node, key: &CtCosignerKey| {
        cluster.one(node, Command::CtCosigner(key.clone()))
    };
    assert_eq!(say(&mut cluster, one, &keys[0]), Outcome::Done);
    assert_eq!(say(&mut cluster, one, &keys[0]), Outcome::Known);
    // Heard from another, and said before that one; or made by both.
    let stolen = say(&mut cluster, two, &keys[0]);
    assert_eq!(stolen, Outcome::Refused(Reason::NotYours));
    let shared = cosigner(&cluster, 1, two);
    let shared = say(&mut cluster, two, &shared);
    assert_eq!(shared, Outcome::Refused(Reason::UsedKey));
    assert_eq!(say(&mut cluster, two, &keys[1]), Outcome::Done);
    let news = cluster.ledger.take_ct_news();
    let [CtNews::Validators(heard)] = &news[..] else {
        panic!("{news:?}");
    };
    assert_eq!(heard.keys, [(one, first), (two, second)].into());
    // Who is no member any more cosigns nothing.
    let [three, four] = [2, 3].map(|node| cluster.ids[node]);
    for node in [three, four] {
        cluster.one(node, Command::Propose(Change::Remove(two)));
    }
    let validators = cluster.ledger.ct_validators();
    assert_eq!(validators.keys, [(one, first)].into());
}

#[test]
fn restored_state_tells_all_that_the_node_needs() {
    let mut cluster = Cluster::with_log();
    let key = cosigner(&cluster, 1, cluster.ids[0]);
    cluster.one(cluster.ids[0], Command::CtCosigner(key));
    submit(&mut cluster, submission("log28", &[certificate(1, 28)]));
    let mut other = cluster.ledger.fresh();
    other.restore(&cluster.ledger.snapshot()).unwrap();
    let news = other.take_ct_news();
    let [
        CtNews::Validators(validators),
        CtNews::Issuers(issuers),
        CtNews::Roots(ROOTS),
        CtNews::Shard(first),
        CtNews::Shard(second),
    ] = &news[..]
    else {
        panic!("{news:?}");
    };
    assert_eq!(validators, &cluster.ledger.ct_validators());
    assert_eq!(issuers[..], [certificate(255, 49)]);
    let states = [first.clone(), second.clone()];
    assert!(cluster.ledger.ct_shards().eq(&states));
    assert!(other.take_ct_news().is_empty());
}

#[test]
fn places_are_remembered_for_as_many_entries_as_promised_and_not_for_many_more() {
    let mut cluster = Cluster::with_log();
    // Serials have one byte here, so the entries differ by what follows a chain's name: the key counts only the first.
    let entry = |number: usize| {
        let mut kind = submission("log27", &[certificate(1, 27)]).entries.remove(0);
        kind.kind = ct::EntryKind::Precertificate {
            issuer_key_hash: Hash::of(&number.to_be_bytes()),
            tbs: Arc::from(*b"tbs"),
            submitted: certificate(1, 27),
        };
        kind
    };
    let count = CT_RECENT_ENTRIES + 600;
    for first in (0..count).step_by(1000) {
        let mut bundle = submission("log27", &[]);
        bundle.entries = (first..count.min(first + 1000)).map(entry).collect();
        submit(&mut cluster, bundle);
    }
    let newest_forgotten = count - CT_RECENT_ENTRIES - 256;
    let oldest_known = count - CT_RECENT_ENTRIES;
    let mut again = |number| {
        let mut bundle = submission("log27", &[]);
        bundle.entries = vec![entry(number)];
        submit(&mut cluster, bundle)[0]
    };
    assert!(
        matches!(again(oldest_known), CtPlace::Placed { index, is_new: false, .. } if index == oldest_known as u64)
    );
    assert!(
        matches!(again(newest_forgotten - 1), CtPlace::Placed { index, is_new: true, .. } if index == count as u64)
    );
    let mut other = cluster.ledger.fresh();
    other.restore(&cluster.ledger.snapshot()).unwrap();
    assert_eq!(other.root(), cluster.ledger.root());
}
