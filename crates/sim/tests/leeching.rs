//! C8 in whole swarms of up to 32 peers: what those who take and do not give cost the others, and what they get. Measured when this was
//! written: three of them 3 to 9 % of the median's time, eleven 14 to 39 %; they got 5 to 13 % and 13 to 31 % of the bytes.

use core::time::Duration;
use proto::Instant;
use sim::hostile::cast::by_name;
use sim::hostile::swarm::median_finish;
use sim::{Access, NodeSpec, Outcome, Scenario};

/// Honest leechers, beside one seed.
const LEECHERS: u32 = 20;
const CONTENT: u64 = 8 << 20;

fn run(attack: Option<(&str, u32)>, seed: u64) -> Outcome {
    let access = Access::new(100_000, 800_000).latency(Duration::from_millis(30));
    let mut scenario = Scenario::new("leeching", seed)
        .content(CONTENT, 64 << 10)
        .within(Duration::from_secs(3600))
        .lingers(Duration::ZERO)
        .quantum(Duration::from_millis(20))
        .node(NodeSpec::seed(Access::new(200_000, 800_000)))
        .nodes(LEECHERS, NodeSpec::leecher(access));
    let (kind, attackers) = attack.unwrap_or(("quiet", 0));
    for number in 0..attackers {
        let habit = by_name(kind).unwrap_or_else(|| panic!("{kind}"));
        let joins = Instant::from_micros(u64::from(number) * 100_000);
        scenario = scenario.node(NodeSpec { joins, ..NodeSpec::attacker(habit, access) });
    }
    scenario.check()
}

/// Bytes that went to attackers, in thousandths of all.
fn taken_permille(outcome: &Outcome) -> u64 {
    let sent = &outcome.world.network().sent;
    let to_attackers =
        sent.iter().filter(|((_, to), _)| *to > LEECHERS).map(|(_, bytes)| *bytes).sum::<u64>();
    to_attackers * 1000 / sent.values().sum::<u64>().max(1)
}

#[test]
fn those_who_only_take_cost_little_and_get_little() {
    let mut cases = 0;
    for (seed, attackers, slowdown_max, taken_max) in [(1, 3, 1_200, 170), (2, 11, 1_500, 350)] {
        let alone = median_finish(&run(None, seed)).unwrap();
        for kind in ["free-rider", "drain", "allowed-fast-glutton", "newcomer"] {
            let outcome = run(Some((kind, attackers)), seed);
            let took = median_finish(&outcome).unwrap();
            let slowdown = took.as_micros() * 1000 / alone.as_micros();
            let taken = taken_permille(&outcome);
            println!(
                "{kind} x{attackers}, seed {seed}: {} s, alone {} s, {slowdown} permille; {taken} permille taken",
                took.as_secs(),
                alone.as_secs()
            );
            assert!(slowdown <= slowdown_max, "{kind} x{attackers}, seed {seed}: {slowdown} permille");
            assert!(taken <= taken_max, "{kind} x{attackers}, seed {seed}: {taken} permille taken");
            cases += 1;
        }
    }
    println!("C8: {cases} worlds");
    assert_eq!(cases, 8);
}
