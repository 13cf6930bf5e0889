//! What a tracker's answers are worth: every one is read and held against the population.
//!
//! Wrong is: a peer that is nobody's or of another torrent, the same twice, more than were asked for, counts that exceed the population
//! or fall short of the peers named; to a strict judge also the asker itself, and seeds for a seed. Invariant: costs no memory per
//! answer. BEP: 3, 15, 23

use crate::population::{Peer, Population};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// Wrong answers that are shown.
const SHOWN_MAX: u64 = 5;
/// Cells to find repeated peers with: more than twice as many as an answer can hold.
const CELLS: usize = 1024;
/// Peers in an answer at most; BEP 15's datagram holds no more than some 240 without being broken up.
const PEERS_MAX: usize = 400;

/// An announce's answer in figures and packed peers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) seeders: u32,
    pub(crate) leechers: u32,
    /// 6 bytes each (BEP 23).
    pub(crate) peers: &'a [u8],
}

/// Looks at answers and counts.
#[derive(Debug)]
pub(crate) struct Judge {
    population: Arc<Population>,
    /// Whether who is handed itself, or as a seed seeds, was answered wrongly: some trackers do so.
    pub(crate) strict: bool,
    /// Peers seen in the answer at hand: the answer's number and the peer's.
    cells: Box<[(u32, u32)]>,
    answer: u32,
    pub(crate) checked: u64,
    pub(crate) peers: u64,
    pub(crate) wrong: u64,
    /// Peers that are the asker.
    pub(crate) itself: u64,
    /// Answers with fewer peers than were asked for and than the tracker says there are.
    pub(crate) short: u64,
    /// Answers with at least 28 peers, and those that could have them.
    pub(crate) full: u64,
    pub(crate) could_be_full: u64,
}

/// What the bench asks of an answer, where a swarm has as many.
const FULL: u32 = 28;

impl Judge {
    /// Nothing seen so far.
    pub(crate) fn new(population: Arc<Population>, strict: bool) -> Judge {
        Judge {
            population,
            strict,
            cells: vec![(0, 0); CELLS].into(),
            answer: 0,
            checked: 0,
            peers: 0,
            wrong: 0,
            itself: 0,
            short: 0,
            full: 0,
            could_be_full: 0,
        }
    }

    /// Looks at one answer to `asker`, who wanted so many.
    pub(crate) fn look(&mut self, asker: Peer, want: u32, answer: Answer<'_>) {
        self.checked += 1;
        let named = answer.peers.len() as u32 / 6;
        self.peers += u64::from(named);
        let (_, leechers) = self.population.counts(asker.torrent);
        let others = self.population.members(asker.torrent).len() as u32 - 1;
        let for_it = if asker.is_seed { leechers } else { others };
        self.could_be_full += u64::from(for_it.min(want) >= FULL);
        self.full += u64::from(named >= FULL);
        self.short += u64::from(named < for_it.min(want));
        if let Err(why) = self.verdict(asker, want, answer) {
            self.blame(&format!("peer {} of torrent {}: {why}", asker.number, asker.torrent));
        }
    }

    /// Something is wrong that is no announce's answer.
    pub(crate) fn blame(&mut self, why: &str) {
        self.wrong += 1;
        if self.wrong <= SHOWN_MAX {
            eprintln!("wrong: {why}");
        }
    }

    fn verdict(&mut self, asker: Peer, want: u32, answer: Answer<'_>) -> Result<(), String> {
        let Answer { seeders, leechers, peers } = answer;
        let (seeds_max, leechers_max) = self.population.counts(asker.torrent);
        if seeders > seeds_max || leechers > leechers_max {
            return Err(format!(
                "{seeders} seeders, {leechers} leechers; there are {seeds_max} and {leechers_max}"
            ));
        }
        let named = (peers.len() / 6) as u32;
        // To aquatic, nobody wanted is as many as it likes.
        let too_many = named > want && (self.strict || want > 0);
        if !peers.len().is_multiple_of(6) || peers.len() / 6 > PEERS_MAX || too_many {
            return Err(format!("{} bytes of peers where {want} were wanted", peers.len()));
        }
        // Whether the asker counts itself is the tracker's choice.
        if named > seeders + leechers {
            return Err(format!("{named} peers of {seeders} seeders and {leechers} leechers"));
        }
        let members = self.population.members(asker.torrent);
        self.answer = self.answer.wrapping_add(1).max(1);
        for packed in peers.chunks_exact(6) {
            let at = SocketAddrV4::new(
                Ipv4Addr::new(packed[0], packed[1], packed[2], packed[3]),
                u16::from_be_bytes([packed[4], packed[5]]),
            );
            let Some(number) = self.population.number_of(at).filter(|number| members.contains(number)) else {
                return Err(format!("{at} is nobody of that torrent"));
            };
            if number == asker.number {
                self.itself += 1;
                if self.strict {
                    return Err(format!("{at} is the asker"));
                }
            }
            if self.strict && asker.is_seed && self.population.is_seed(number) {
                return Err(format!("{at} is a seed, as the asker is"));
            }
            if !self.is_first(number) {
                return Err(format!("{at} twice"));
            }
        }
        Ok(())
    }

    /// Whether the answer at hand names this peer for the first time.
    fn is_first(&mut self, number: u32) -> bool {
        let mut at = number.wrapping_mul(0x9e37_79b1) as usize >> 16;
        loop {
            at %= CELLS;
            match &mut self.cells[at] {
                &mut (answer, seen) if answer == self.answer && seen == number => return false,
                &mut (answer, _) if answer == self.answer => at += 1,
                cell => {
                    *cell = (self.answer, number);
                    return true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A population, a judge, a leecher and others of its torrent.
    fn scene() -> (Arc<Population>, Judge, Peer, Vec<Peer>) {
        let population = Arc::new(Population::new(1_000, 10, 1.0, 3));
        let judge = Judge::new(Arc::clone(&population), true);
        let members: Vec<Peer> = population.members(0).map(|number| population.peer(number)).collect();
        let asker = *members.iter().find(|peer| !peer.is_seed).unwrap();
        let others = members.into_iter().filter(|&peer| peer != asker).collect();
        (population, judge, asker, others)
    }

    fn packed(population: &Population, peers: &[Peer]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for peer in peers {
            bytes.extend(population.source(peer.source).octets());
            bytes.extend(peer.port.to_be_bytes());
        }
        bytes
    }

    fn wrong(judge: &mut Judge, asker: Peer, peers: &[u8]) -> u64 {
        let before = judge.wrong;
        judge.look(asker, 30, Answer { seeders: 10, leechers: 30, peers });
        judge.wrong - before
    }

    #[test]
    fn others_of_the_torrent_are_right_and_every_other_answer_is_wrong() {
        let (population, mut judge, asker, others) = scene();
        let right = packed(&population, &others[..30]);
        assert_eq!(wrong(&mut judge, asker, &right), 0);
        assert_eq!(wrong(&mut judge, asker, &[]), 0);
        assert_eq!((judge.short, judge.full, judge.could_be_full, judge.peers), (1, 1, 2, 30));
        for bad in [
            packed(&population, &[asker]),
            packed(&population, &[others[0], others[1], others[0]]),
            packed(&population, &[population.peer(population.members(1).start)]),
            packed(&population, &others[..31]),
            right[..right.len() - 1].to_vec(),
            vec![127, 0, 0, 1, 80, 80],
        ] {
            assert_eq!(wrong(&mut judge, asker, &bad), 1, "{bad:?}");
        }
    }

    #[test]
    fn a_strict_judge_hands_seeds_no_seeds_and_nobody_itself() {
        let (population, mut judge, _, others) = scene();
        let mut seeds = others.iter().copied().filter(|peer| peer.is_seed);
        let (seed, other) = (seeds.next().unwrap(), seeds.next().unwrap());
        let bytes = packed(&population, &[other]);
        assert_eq!(wrong(&mut judge, seed, &bytes), 1);
        let own = packed(&population, &[seed]);
        assert_eq!(wrong(&mut judge, seed, &own), 1);
        judge.strict = false;
        assert_eq!(wrong(&mut judge, seed, &bytes), 0);
        assert_eq!((wrong(&mut judge, seed, &own), judge.itself), (0, 2));
    }

    #[test]
    fn counts_beyond_the_population_are_wrong() {
        let (population, mut judge, asker, _) = scene();
        let (seeds, leechers) = population.counts(asker.torrent);
        for (seeders, leechers, bad) in
            [(seeds, leechers, 0), (seeds + 1, leechers, 1), (seeds, leechers + 1, 1)]
        {
            let before = judge.wrong;
            judge.look(asker, 30, Answer { seeders, leechers, peers: &[] });
            assert_eq!(judge.wrong - before, bad);
        }
    }
}
