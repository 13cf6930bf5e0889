//! Walks among honest nodes, among crowds, and among liars.

use super::*;

const TARGET: NodeId = NodeId([0; 20]);

/// A node so far from the target, in a network of its own unless it is given one.
fn node(far: u8, network: Option<u8>) -> NodeInfo {
    let mut id = [0; 20];
    id[0] = far;
    let address = SocketAddr::from(([network.unwrap_or(11 + far % 100), far, 1, 1], 6881));
    NodeInfo { id: NodeId(id), address }
}

fn token() -> Option<Token> {
    Some(Token::from_array([1]))
}

/// Asks all that there are to be asked, who answer with nobody; returns them in order.
fn walk(lookup: &mut Lookup, answers: impl Fn(&NodeInfo) -> bool) -> Vec<u8> {
    let mut asked = Vec::new();
    while let Some((address, Some(id))) = lookup.next() {
        let info = NodeInfo { id, address };
        asked.push(id.0[0]);
        if answers(&info) {
            lookup.answered(info, token(), &[]);
        } else {
            lookup.failed(address);
        }
    }
    assert!(lookup.is_done(false));
    asked
}

fn lookup(nodes: &[NodeInfo], defences: Defences) -> Lookup {
    Lookup::new(TARGET, nodes, Vec::new(), 0, defences)
}

#[test]
fn a_walk_ends_when_enough_of_the_nearest_answered() {
    let nodes: Vec<_> = (1..=60).map(|far| node(far, None)).collect();
    for (defences, enough) in [(Defences::NONE, K), (Defences::ALL, NEAREST_WIDE)] {
        let mut all = lookup(&nodes, defences);
        let asked = walk(&mut all, |_| true);
        assert!((enough..enough + PATHS * 2).contains(&asked.len()), "{asked:?}");
        assert!((1..=enough as u8).all(|far| asked.contains(&far)), "{asked:?}");
        let mut odd = lookup(&nodes, defences);
        walk(&mut odd, |info| info.id.0[0] % 2 == 1);
        let nearest: Vec<u8> = odd.nearest().map(|info| info.id.0[0]).take(K).collect();
        assert_eq!(nearest, [1, 3, 5, 7, 9, 11, 13, 15]);
    }
}

#[test]
fn few_are_asked_at_once_and_who_is_slow_frees_a_place_but_may_still_answer() {
    let nodes: Vec<_> = (1..=30).map(|far| node(far, None)).collect();
    let mut lookup = lookup(&nodes, Defences::ALL);
    let first: Vec<_> = core::iter::from_fn(|| lookup.next()).collect();
    assert_eq!(first.len(), ALPHA);
    lookup.slow(first[0].0);
    assert!(lookup.next().is_some() && lookup.next().is_none());
    let late = NodeInfo { id: first[0].1.unwrap(), address: first[0].0 };
    lookup.answered(late, token(), &[node(0x80, None)]);
    assert_eq!((lookup.answers(), lookup.hops()), (1, 0));
}

#[test]
fn a_network_has_its_turns_and_more_only_if_there_is_nobody_else() {
    let crowd = || (1..=40).map(|far| node(far, Some(66)));
    let others = (100..=140).map(|far| node(far, None));
    let asked = walk(&mut lookup(&crowd().chain(others).collect::<Vec<_>>(), Defences::ALL), |_| true);
    let of_crowd = asked.iter().filter(|far| **far <= 40).count();
    assert_eq!(of_crowd, PER_NETWORK_MAX, "{asked:?}");
    let asked = walk(&mut lookup(&crowd().collect::<Vec<_>>(), Defences::ALL), |_| true);
    assert!(asked.len() >= K, "{asked:?}");
}

#[test]
fn where_nodes_crowd_around_the_target_more_are_told_out_to_where_the_nearest_should_lie() {
    let nodes: Vec<_> = (1..=40).map(|far| node(far, None)).collect();
    let told = |expected: u64| {
        let mut lookup = Lookup::new(TARGET, &nodes, Vec::new(), expected, Defences::ALL);
        walk(&mut lookup, |_| true);
        lookup.to_store_at().len()
    };
    let reach = |far: u8| nearness(&node(far, None).id.distance(&TARGET));
    assert_eq!([told(0), told(reach(8)), told(reach(12)), told(reach(40))], [K, K, 12, 20]);
}

#[test]
fn a_crowd_nearer_than_any_node_should_be_has_a_few_turns_and_the_others_have_theirs() {
    // Spacing 4: with a hundred nodes of 30 networks at no distance, the honest at 4, 8, 12 ...
    let crowd = (0..100u8).map(|n| {
        let mut info = node(0, Some(100 + n % 30));
        (info.id.0[19], info.address) = (n, SocketAddr::from(([100 + n % 30, n, 7, 7], 6881)));
        info
    });
    let honest = (1..=20u8).map(|n| node(4 * n, None));
    let all: Vec<NodeInfo> = crowd.chain(honest).collect();
    let expected = nearness(&node(32, None).id.distance(&TARGET));
    let mut defended = Lookup::new(TARGET, &all, Vec::new(), expected, Defences::ALL);
    let asked = walk(&mut defended, |_| true);
    let of_crowd = asked.iter().filter(|far| **far == 0).count();
    assert!((4..=8).contains(&of_crowd), "{asked:?}");
    assert!((1..=8).all(|n| asked.contains(&(4 * n))), "{asked:?}");
    let told = defended.to_store_at();
    assert!((1..=8).all(|n| told.iter().any(|(info, _)| info.id.0[0] == 4 * n)), "{told:?}");
    let asked = walk(&mut Lookup::new(TARGET, &all, Vec::new(), expected, Defences::NONE), |_| true);
    assert!(asked.iter().all(|far| *far == 0), "undefended: {asked:?}");
}

#[test]
fn what_is_said_falsely_of_a_node_does_not_keep_its_true_self_out() {
    let honest = node(9, None);
    let lie = |id: u8, port: u16| NodeInfo {
        id: NodeId([id; 20]),
        address: SocketAddr::new(honest.address.ip(), port),
    };
    // Another id and another port are said first.
    let mut lookup = lookup(&[lie(1, 1), lie(200, honest.address.port()), honest], Defences::ALL);
    let mut asked = Vec::new();
    while let Some((address, _)) = lookup.next() {
        asked.push(address);
        match address == honest.address {
            true => lookup.answered(honest, token(), &[]),
            false => lookup.failed(address),
        }
    }
    assert_eq!(asked, [lie(1, 1).address, honest.address]);
    assert_eq!(lookup.nearest().collect::<Vec<_>>(), [honest]);
    assert!(lookup.is_done(false));
}

#[test]
fn who_names_more_than_others_may_is_believed_as_much_as_they_are() {
    let namer = node(200, None);
    for (defences, most) in [(Defences::ALL, NAMED_MAX), (Defences::NONE, 32)] {
        let mut lookup = lookup(&[namer], defences);
        let named: Vec<NodeInfo> = (1..=32).map(|far| node(far, None)).collect();
        assert!(lookup.next().is_some());
        lookup.answered(namer, token(), &named);
        assert_eq!(walk(&mut lookup, |_| false).len(), most);
    }
}

#[test]
fn a_node_that_bears_another_id_than_it_was_named_under_counts_for_what_it_is() {
    let mut lookup = lookup(&[node(1, None)], Defences::ALL);
    let (address, _) = lookup.next().unwrap();
    let truly = NodeInfo { id: NodeId([0xee; 20]), address };
    lookup.answered(truly, token(), &[]);
    assert_eq!(lookup.nearest().collect::<Vec<_>>(), [truly]);
    assert!(lookup.next().is_none() && lookup.is_done(false));
}
