//! Makes a failing schedule smaller: leaves faults out as long as the run still fails (Zeller and
//! Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", TSE 2002).

use crate::fault::{Fault, Plan};

/// Most runs that one search takes.
const RUNS_MAX: usize = 400;

/// A plan with as few faults as could be found for which `fails` still holds, which must hold for `plan`.
pub fn shrink(plan: &Plan, mut fails: impl FnMut(&Plan) -> bool) -> Plan {
    let (mut best, mut parts, mut runs) = (plan.clone(), 2, 0);
    while !best.faults.is_empty() && runs < RUNS_MAX {
        let size = best.faults.len().div_ceil(parts);
        let smaller = (0..parts).find_map(|part| {
            let (begin, end) = (part * size, (part + 1) * size);
            let kept = best.faults.iter().enumerate();
            let kept = kept.filter(|(index, _)| *index < begin || *index >= end);
            let faults: Vec<Fault> = kept.map(|(_, fault)| *fault).collect();
            if faults.len() == best.faults.len() {
                return None;
            }
            let candidate = Plan {
                faults,
                ..best.clone()
            };
            runs += 1;
            fails(&candidate).then_some(candidate)
        });
        match smaller {
            Some(smaller) => {
                best = smaller;
                parts = 2.max(parts - 1);
            }
            None if size <= 1 => break,
            None => parts = (parts * 2).min(best.faults.len()),
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Kind;

    #[test]
    fn schedule_that_fails_by_two_faults_is_shrunk_to_the_two() {
        let mut plan = Plan::draw(1, &Kind::ALL, None);
        plan.faults = (1..=30).map(|percent| Fault::Loss { percent }).collect();
        let wanted = [7, 23].map(|percent| Fault::Loss { percent });
        let small = shrink(&plan, |plan| {
            wanted.iter().all(|fault| plan.faults.contains(fault))
        });
        assert_eq!(small.faults, wanted);
    }
}
