//! Search without structure, for comparison: a question is passed on from neighbour to neighbour, each passing it to all its others, until it
//! has gone so many steps (Gnutella's way, over links such as PEX makes). What it costs and how often it finds, over the number of nodes.

use proto::{Rng, Seed};
use std::collections::VecDeque;

/// What floods came to.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Flooded {
    /// Questions sent, in the mean of one search.
    pub messages: f64,
    /// Searches that reached somebody who has it.
    pub found: f64,
    /// Nodes that each question reached, in the mean.
    pub reached: f64,
}

/// So many searches among `nodes` nodes with `neighbours` links each, of which `holders` have what is sought, with questions that go at most `steps`
/// steps.
pub fn flood(nodes: u32, neighbours: u32, holders: u32, steps: u32, searches: u32, seed: u64) -> Flooded {
    let mut rng = Rng::new(Seed(seed));
    let links = random_graph(nodes, neighbours, &mut rng);
    let mut sum = Flooded::default();
    let mut seen = vec![u32::MAX; nodes as usize];
    for search in 0..searches {
        let holds: Vec<u32> = (0..holders).map(|_| rng.below(nodes)).collect();
        let start = rng.below(nodes);
        let (messages, reached, found) = one(&links, start, &holds, steps, search, &mut seen);
        sum.messages += f64::from(messages);
        sum.reached += f64::from(reached);
        sum.found += f64::from(u8::from(found));
    }
    let count = f64::from(searches.max(1));
    Flooded { messages: sum.messages / count, found: sum.found / count, reached: sum.reached / count }
}

fn one(
    links: &[Vec<u32>],
    start: u32,
    holds: &[u32],
    steps: u32,
    mark: u32,
    seen: &mut [u32],
) -> (u32, u32, bool) {
    let (mut messages, mut reached, mut found) = (0, 0, holds.contains(&start));
    let mut queue = VecDeque::from([(start, start, 0)]);
    seen[start as usize] = mark;
    while let Some((node, from, step)) = queue.pop_front() {
        if step == steps {
            continue;
        }
        for &next in links[node as usize].iter().filter(|next| **next != from) {
            messages += 1;
            // Who has heard the question before passes it on no more.
            if core::mem::replace(&mut seen[next as usize], mark) == mark {
                continue;
            }
            reached += 1;
            found |= holds.contains(&next);
            queue.push_back((next, node, step + 1));
        }
    }
    (messages, reached, found)
}

/// Every node has about so many neighbours, anybody.
fn random_graph(nodes: u32, neighbours: u32, rng: &mut Rng) -> Vec<Vec<u32>> {
    let mut links = vec![Vec::new(); nodes as usize];
    for node in 0..nodes {
        for _ in 0..neighbours / 2 {
            let other = rng.below(nodes);
            if other != node {
                links[node as usize].push(other);
                links[other as usize].push(node);
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_costs_as_much_as_there_are_links_and_finds_what_is_within_reach() {
        let far = flood(1_000, 8, 1, 20, 20, 1);
        assert!(far.found == 1.0 && far.reached > 990.0, "{far:?}");
        assert!((6_000.0..8_500.0).contains(&far.messages), "{far:?}");
        let near = flood(1_000, 8, 1, 2, 200, 1);
        assert!(near.found < 0.2 && near.messages < 150.0, "{near:?}");
    }
}
