//! Makes a failing world smaller while it fails in the same way: fewer peers, faults and servers, less content, plainer peers.
//!
//! Greedy: a step is kept if the world still fails before the same checker, and all steps are tried until none helps or the
//! allowance of runs is spent. Chance is another after each step, so what is left is small, not smallest.

use super::plan::{Limits, PeerPlan, Plan, Rules, Ways};
use super::verdict::Verdict;
use crate::node::Leaves;
use proto::Instant;

/// Shrinks a plan that fails before this judge (see [`super::run`]), in so many runs at most; gives what is left and how that fails.
///
/// A plan that does not fail comes back as it is.
pub fn shrink(plan: &Plan, runs_max: u32, judge: impl Fn(&Plan) -> Verdict) -> (Plan, Verdict) {
    let verdict = judge(plan);
    let Some(checker) = verdict.checker() else { return (plan.clone(), verdict) };
    let mut best = (plan.clone(), verdict);
    let mut runs = runs_max;
    loop {
        let mut better = false;
        for step in steps(&best.0) {
            let Some(next) = step(&best.0).filter(|next| *next != best.0 && next.check().is_ok()) else {
                continue;
            };
            if runs == 0 {
                return best;
            }
            runs -= 1;
            let verdict = judge(&next);
            if verdict.findings.iter().any(|finding| finding.checker == checker) {
                best = (next, verdict);
                better = true;
            }
        }
        if !better {
            return best;
        }
    }
}

/// A way to make a plan smaller; nothing if it does not apply.
type Step = Box<dyn Fn(&Plan) -> Option<Plan>>;

/// What may be tried, boldest first. Peers from the end, so that numbers of those before them stay.
fn steps(plan: &Plan) -> Vec<Step> {
    let mut steps: Vec<Step> = vec![
        Box::new(|plan| Some(Plan { faults: Vec::new(), crash: None, ..plan.clone() })),
        Box::new(|plan| Some(Plan { web: Vec::new(), ..plan.clone() })),
        Box::new(half_of_the_peers),
        Box::new(|plan| Some(Plan { total: plan.total / 2, ..plan.clone() })),
        Box::new(|plan| Some(Plan { crash: None, ..plan.clone() })),
        Box::new(|plan| Some(Plan { byte_true: false, private: false, ..plan.clone() })),
        Box::new(|plan| Some(Plan { named_max: Plan::new(0).named_max, tracked: true, ..plan.clone() })),
    ];
    for fault in (0..plan.faults.len()).rev() {
        steps.push(Box::new(move |plan| {
            let mut plan = plan.clone();
            (fault < plan.faults.len()).then(|| plan.faults.remove(fault))?;
            Some(plan)
        }));
    }
    for server in (0..plan.web.len()).rev() {
        steps.push(Box::new(move |plan| {
            let mut plan = plan.clone();
            (server < plan.web.len()).then(|| plan.web.remove(server))?;
            Some(plan)
        }));
    }
    for peer in (0..plan.peers.len() as u32).rev() {
        steps.push(Box::new(move |plan| {
            ((peer as usize) < plan.peers.len()).then(|| plan.without_peer(peer))
        }));
    }
    for change in PLAINER {
        steps.push(Box::new(move |plan| {
            let mut plan = plan.clone();
            plan.peers.iter_mut().for_each(change);
            Some(plan)
        }));
        for peer in 0..plan.peers.len() {
            steps.push(Box::new(move |plan| {
                let mut plan = plan.clone();
                plan.peers.get_mut(peer).map(change)?;
                Some(plan)
            }));
        }
    }
    steps
}

/// How a peer becomes plainer.
const PLAINER: [fn(&mut PeerPlan); 6] = [
    |peer| peer.limits = Limits::default(),
    |peer| peer.rules = Rules::default(),
    |peer| peer.ways = Ways { fast: peer.ways.fast, ..Ways::default() },
    |peer| peer.ways.fast = true,
    |peer| peer.leaves = Leaves::Never,
    |peer| peer.joins = Instant::ZERO,
];

fn half_of_the_peers(plan: &Plan) -> Option<Plan> {
    let mut plan = plan.clone();
    let half = plan.peers.len().div_ceil(2);
    while plan.peers.len() > half.max(2) {
        plan = plan.without_peer(plan.peers.len() as u32 - 1);
    }
    Some(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::Finding;
    use crate::fuzz::{Part, draw};

    /// A world fails if two of its peers know the hash alone and its content has more than two pieces.
    fn judge(plan: &Plan) -> Verdict {
        let magnets = plan.peers.iter().filter(|peer| peer.part == Part::Magnet).count();
        let fails = magnets > 1 && plan.pieces() > 2;
        let finding = Finding { at: Instant::ZERO, node: 0, checker: "example", text: String::new() };
        Verdict { findings: if fails { vec![finding] } else { Vec::new() }, ..Verdict::of(plan.seed) }
    }

    #[test]
    fn what_has_nothing_to_do_with_a_failure_is_taken_out_of_the_world() {
        let mut failed = 0;
        for plan in (0..100).map(draw) {
            let (smaller, verdict) = shrink(&plan, 2_000, judge);
            if judge(&plan).is_clean() {
                assert_eq!(smaller, plan);
                continue;
            }
            failed += 1;
            assert!(!verdict.is_clean() && smaller.check().is_ok());
            assert_eq!(
                (smaller.peers.len(), smaller.faults.len(), smaller.web.len()),
                (2, 0, 0),
                "{smaller}"
            );
            assert!((3..=5).contains(&smaller.pieces()), "{smaller}");
            assert!(smaller.peers.iter().all(|peer| peer.ways == Ways::default()), "{smaller}");
        }
        assert!(failed > 10, "only {failed} worlds failed");
    }
}
