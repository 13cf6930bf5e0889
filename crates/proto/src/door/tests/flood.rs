//! Floods of handshakes that stop at each of their stages, from everywhere, with honest encrypted peers among them.
//! Threats: C4, C5

use super::*;

/// How far a stranger goes before it falls silent for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stops {
    /// Nothing is said.
    Silent,
    /// Fewer bytes than tell what it speaks.
    Muttering,
    /// The beginning of a plaintext handshake.
    Plaintext,
    /// A key, and nothing after our answer.
    Encrypted,
    /// Never: our answer is answered a round trip later.
    Honest,
}

/// How long the first bytes take after the connection: they follow at its heels, but loops take their turns.
const FIRST_BYTES: Duration = Duration::from_millis(5);

/// From our key to the answer of an honest peer on the other side of the world.
const ROUND_TRIP: Duration = Duration::from_millis(250);

/// Honest encrypted peers that come per second.
const HONEST_PER_SECOND: u64 = 20;

/// How long each storm lasts.
const STORM: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug)]
enum Act {
    Come(Stops),
    Speak(Stops),
    Finish,
}

/// A door in a storm of so many strangers per second who all stop there; how many honest peers came in, and how many came.
fn storm(stops: Stops, per_second: u64) -> (usize, usize) {
    let mut door = Door::new(Pace::default(), Encryption::default());
    let start = at(1_000_000_000);
    let seconds = STORM.as_micros() as u64 / 1_000_000;
    let came = (HONEST_PER_SECOND * seconds) as usize;
    let strangers = vec![stops; (per_second * seconds) as usize];
    // At any time: an even pace would fall into step with the door's own.
    let mut rng = Rng::new(Seed(per_second));
    let mut acts = BTreeMap::new();
    for (id, who) in strangers.into_iter().chain(vec![Stops::Honest; came]).enumerate() {
        let when = start + Duration::from_micros(rng.below(STORM.as_micros() as u32).into());
        acts.insert((when, id as u64), Act::Come(who));
    }
    let (mut honest, mut came_in) = (BTreeSet::new(), 0);
    while let Some((&(when, id), &act)) = acts.first_key_value() {
        let wake = door.next_wake().filter(|wake| *wake < when);
        let (now, inputs) = match (wake, act) {
            (Some(wake), _) => (wake, vec![Input::Wake]),
            (None, Act::Come(who)) => {
                acts.insert((when + FIRST_BYTES, id), Act::Speak(who));
                if who == Stops::Honest {
                    honest.insert(id);
                }
                (when, vec![Input::Accepted { pending: PendingId(id), remote: nth(id as u32) }])
            }
            (None, Act::Speak(who)) => {
                let greeted = |greeting| Input::Greeted { pending: PendingId(id), greeting };
                let said = match who {
                    Stops::Silent => vec![],
                    Stops::Muttering => vec![Input::Heard(PendingId(id))],
                    Stops::Plaintext => vec![Input::Heard(PendingId(id)), greeted(Greeting::Plaintext)],
                    Stops::Encrypted | Stops::Honest => {
                        vec![Input::Heard(PendingId(id)), greeted(Greeting::Encrypted)]
                    }
                };
                (when, said)
            }
            (None, Act::Finish) => {
                came_in += usize::from(honest.remove(&id));
                (when, vec![Input::Settled(PendingId(id))])
            }
        };
        if wake.is_none() {
            acts.remove(&(when, id));
        }
        for output in inputs.into_iter().flat_map(|input| tell(&mut door, now, input)) {
            match output {
                Output::Answer { pending, crypto: Crypto::Mse(_) } if honest.contains(&pending.0) => {
                    acts.insert((now + ROUND_TRIP, pending.0), Act::Finish);
                }
                Output::DropPending(PendingId(id)) => drop(honest.remove(&id)),
                _ => {}
            }
        }
        assert!(door.pending() <= PENDING_MAX);
    }
    (came_in, came)
}

/// C4: who stalls displaces those that stall at the same stage, and nobody who goes on.
#[test]
fn honest_encrypted_peers_come_in_among_those_that_stall_before_keys_are_exchanged() {
    for stops in [Stops::Silent, Stops::Muttering, Stops::Plaintext] {
        for per_second in [20, 200, 1_000, 5_000] {
            let (came_in, came) = storm(stops, per_second);
            println!("C4: {per_second} per second that stop at {stops:?}: {came_in} of {came} came in");
            assert_eq!(came_in, came, "{per_second} per second that stop at {stops:?}");
        }
    }
}

/// C5: key exchanges are rationed; where more are asked for than there are, an honest peer gets one as often as anybody, and
/// whoever got one has the time to make use of it.
#[test]
fn honest_encrypted_peers_get_their_share_of_key_exchanges_and_time_to_use_it() {
    for per_second in [20, 60, 200, 500, 1_000] {
        let (came_in, came) = storm(Stops::Encrypted, per_second);
        let asked = per_second + HONEST_PER_SECOND;
        let share = (f64::from(EXCHANGES_PER_SECOND_MAX) / asked as f64).min(1.0);
        println!(
            "C5: {per_second} per second that stall: {came_in} of {came} came in, a share of {share:.2}"
        );
        let fair = share * came as f64;
        // A draw of so few, or all of them.
        let least = if share < 1.0 { fair - 2.0 * (fair * (1.0 - share)).sqrt() } else { fair };
        assert!(
            came_in as f64 >= least,
            "{came_in} of {came} at {per_second} per second: {least:.0} are fair"
        );
    }
}
