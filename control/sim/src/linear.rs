//! Whether a history of reads and writes of registers could have happened one after the other.
//!
//! No two writes of a register may have the same value. Then the question has a fast and exact answer
//! (Gibbons and Korach, "Testing Shared Memories", SIAM J. Comput. 1997, §4): a write and the reads
//! of its value are a cluster; clusters must fit into an order that contradicts no clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Read a register.
    Read,
    /// Wrote a register.
    Write,
}

/// One operation of a client: one JSON object a line in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Who.
    pub process: String,
    /// Read or write.
    pub op: Action,
    /// Which register.
    pub key: String,
    /// What was written or read; none if nothing had been written.
    pub value: Option<String>,
    /// When it began, on the one clock of all operations.
    pub call: u64,
    /// When it ended well; none if nobody knows whether it took place.
    #[serde(rename = "return")]
    pub end: Option<u64>,
}

/// Why a history is impossible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// In words.
    pub reason: String,
    /// Operations that contradict each other.
    pub operations: Vec<Operation>,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.reason)?;
        self.operations.iter().try_for_each(|operation| {
            let line = serde_json::to_string(operation).unwrap_or_default();
            write!(out, "\n  {line}")
        })
    }
}

/// A write and the reads of its value.
struct Cluster<'o> {
    /// None for the value before the first write.
    write: Option<&'o Operation>,
    reads: Vec<&'o Operation>,
    /// Earliest end and latest beginning, one later than they were: the first value was there at 0.
    first_end: u64,
    last_call: u64,
}

impl Cluster<'_> {
    /// Whether it is certain that its value was there from `first_end` to `last_call`.
    fn is_forward(&self) -> bool {
        self.first_end < self.last_call
    }

    fn zone(&self) -> (u64, u64) {
        let (end, call) = (self.first_end, self.last_call);
        (end.min(call), end.max(call))
    }

    fn operations(&self) -> Vec<Operation> {
        self.write
            .iter()
            .copied()
            .chain(self.reads.iter().copied())
            .take(8)
            .cloned()
            .collect()
    }
}

/// Finds a contradiction, if there is one. A register is judged by itself: linearizability is local.
///
/// # Errors
/// The first contradiction.
pub fn check(history: &[Operation]) -> Result<(), Box<Violation>> {
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in history {
        keys.entry(&operation.key).or_default().push(operation);
    }
    keys.values().try_for_each(|operations| {
        let clusters = clusters(operations)?;
        clusters.iter().try_for_each(check_cluster)?;
        check_zones(&clusters)
    })
}

fn violation(reason: &str, operations: Vec<Operation>) -> Box<Violation> {
    Box::new(Violation {
        reason: reason.to_owned(),
        operations,
    })
}

fn later(time: u64) -> u64 {
    time.saturating_add(1)
}

/// Clusters of one register. Writes of an unknown end that nobody read need not have taken place.
fn clusters<'o>(operations: &[&'o Operation]) -> Result<Vec<Cluster<'o>>, Box<Violation>> {
    let mut clusters: BTreeMap<Option<&str>, Cluster<'o>> = BTreeMap::new();
    let initial = Cluster {
        write: None,
        reads: Vec::new(),
        first_end: 0,
        last_call: 0,
    };
    clusters.insert(None, initial);
    let writes = operations.iter().filter(|one| one.op == Action::Write);
    for write in writes {
        let cluster = Cluster {
            write: Some(write),
            reads: Vec::new(),
            first_end: write.end.map_or(u64::MAX, later),
            last_call: later(write.call),
        };
        let before = clusters.insert(write.value.as_deref(), cluster);
        if let Some(other) = before {
            let both = other.operations().into_iter().chain([(*write).clone()]);
            return Err(violation("one value was written twice", both.collect()));
        }
    }
    for read in operations.iter().filter(|one| one.op == Action::Read) {
        let Some(end) = read.end else { continue };
        let Some(cluster) = clusters.get_mut(&read.value.as_deref()) else {
            let reason = "a value was read that nobody wrote";
            return Err(violation(reason, vec![(*read).clone()]));
        };
        cluster.reads.push(read);
        cluster.first_end = cluster.first_end.min(later(end));
        cluster.last_call = cluster.last_call.max(later(read.call));
    }
    let counts = |cluster: &Cluster<'_>| {
        !cluster.reads.is_empty() || cluster.write.is_some_and(|write| write.end.is_some())
    };
    Ok(clusters.into_values().filter(counts).collect())
}

fn check_cluster(cluster: &Cluster<'_>) -> Result<(), Box<Violation>> {
    let Some(write) = cluster.write else {
        return Ok(());
    };
    let early = |read: &&&Operation| read.end.is_some_and(|end| end < write.call);
    match cluster.reads.iter().find(early) {
        Some(read) => Err(violation(
            "a value was read before it was written",
            vec![write.clone(), (**read).clone()],
        )),
        None => Ok(()),
    }
}

/// Two forward zones may not overlap, and no backward zone may lie inside a forward one.
fn check_zones(clusters: &[Cluster<'_>]) -> Result<(), Box<Violation>> {
    let (mut forward, backward): (Vec<_>, Vec<_>) =
        clusters.iter().partition(|cluster| cluster.is_forward());
    forward.sort_by_key(|cluster| cluster.zone());
    for (one, next) in forward.iter().zip(forward.iter().skip(1)) {
        if next.zone().0 < one.zone().1 {
            let both = one.operations().into_iter().chain(next.operations());
            let reason = "two values were each certainly there before and after the other";
            return Err(violation(reason, both.collect()));
        }
    }
    for inner in backward {
        let (low, high) = inner.zone();
        // Forward zones do not overlap: only the last that begins before it can hold it.
        let count = forward.partition_point(|outer| outer.zone().0 < low);
        let outer = count.checked_sub(1).and_then(|index| forward.get(index));
        if let Some(outer) = outer.filter(|outer| high < outer.zone().1) {
            let both = outer.operations().into_iter().chain(inner.operations());
            let reason = "a value came and went while another was certainly there";
            return Err(violation(reason, both.collect()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn operation(op: Action, value: u64, call: u64, end: Option<u64>) -> Operation {
        Operation {
            process: String::new(),
            op,
            key: "a".to_owned(),
            value: (value > 0).then(|| value.to_string()),
            call,
            end,
        }
    }

    /// Tries every order (Wing and Gong, JPDC 1993).
    fn has_order(left: &[&Operation], value: Option<&str>) -> bool {
        let first_end = left.iter().filter_map(|one| one.end).min();
        if first_end.is_none() {
            return true;
        }
        left.iter().enumerate().any(|(index, next)| {
            let may_be_next = first_end.is_none_or(|end| next.call <= end);
            let fits = next.op == Action::Write || next.value.as_deref() == value;
            let rest: Vec<_> = [&left[..index], &left[index + 1..]].concat();
            may_be_next && fits && has_order(&rest, next.value.as_deref())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn history_is_judged_as_by_trying_every_order(
            shape in prop::collection::vec((any::<bool>(), 0u64..4, 0u64..20, 0u64..12, 0u8..8), 1..7)
        ) {
            let mut written = 0;
            // Distinct times, as a clock gives them.
            let history: Vec<_> = shape.iter().enumerate().map(|(index, (write, value, call, length, known))| {
                let index = u64::try_from(index).unwrap();
                let (call, end) = (call * 16 + index, (call + length) * 16 + index + 8);
                if *write {
                    written += 1;
                    operation(Action::Write, written, call, (*known > 0).then_some(end))
                } else {
                    operation(Action::Read, *value, call, Some(end))
                }
            }).collect();
            let all: Vec<_> = history.iter().collect();
            prop_assert_eq!(check(&history).is_ok(), has_order(&all, None), "{:?}", history);
        }
    }

    #[test]
    fn old_value_read_after_a_newer_write_ended_is_found() {
        let history = [
            operation(Action::Write, 1, 0, Some(10)),
            operation(Action::Write, 2, 20, Some(30)),
            operation(Action::Read, 1, 40, Some(50)),
        ];
        assert!(check(&history).is_err());
    }

    #[test]
    fn lost_write_that_nobody_knew_to_be_done_is_allowed() {
        let history = [
            operation(Action::Write, 1, 0, None),
            operation(Action::Read, 0, 40, Some(50)),
            operation(Action::Read, 1, 60, Some(70)),
        ];
        assert_eq!(check(&history), Ok(()));
    }
}
