//! Words to the neighbourhood: there is one way to write each, so what is read is what would be written. The machine that hears
//! them never says two in a row without a rest, finds nobody at port 0, and always wakes later than now.

use crate::script::Script;
use proto::beacon::{Beacon, Input, Output, REST, Role};
use proto::{Duration, Instant};
use std::net::SocketAddr;
use wire::beacon::{Instance, Kind, WORD_LEN, Word};

/// One input.
pub fn run(data: &[u8]) {
    if let Ok(word) = Word::decode(data) {
        assert_eq!(word.encode(), data);
        hear(word, data);
    }
    let mut script = Script::new(data);
    let role = if script.flag() { Role::Receiver } else { Role::Sharer { port: 1 } };
    let mut now = Instant::ZERO + Duration::from_secs(1000);
    let mut beacon = Beacon::new(role, 42, Instance([0; 16]), now);
    let mut said: Option<Instant> = None;
    while !script.is_over() {
        let input = match script.below(4) {
            0 => {
                now += Duration::from_millis(u64::from(script.u32() % 3000));
                Input::Wake
            }
            1 => Input::NetworkChanged,
            _ => {
                let kind =
                    if script.flag() { Kind::Who } else { Kind::Here { port: script.below(9) as u16 + 1 } };
                let instance = Instance([script.below(9) as u8; 16]);
                let word = Word { nameplate: 41 + script.below(2) as u16, instance, kind };
                let from = SocketAddr::from(([10, 0, 0, script.below(50) as u8], 6772));
                Input::Heard { from, word }
            }
        };
        let mut out = Vec::new();
        beacon.handle(now, input, &mut out);
        for output in out {
            match output {
                Output::Say(_) => {
                    assert!(said.is_none_or(|said| said + REST <= now));
                    said = Some(now);
                }
                Output::Found(sharer) => assert!(role == Role::Receiver && sharer.address.port() != 0),
                Output::Silence(_) => {}
            }
        }
        assert!(beacon.next_wake() > now);
    }
}

/// A word that came out of any bytes, told to both sides.
fn hear(word: Word, data: &[u8]) {
    assert_eq!(data.len(), WORD_LEN);
    for role in [Role::Receiver, Role::Sharer { port: 1 }] {
        let mut out = Vec::new();
        let mut beacon = Beacon::new(role, word.nameplate, Instance([0; 16]), Instant::ZERO);
        let from = SocketAddr::from(([10, 0, 0, 1], 6772));
        beacon.handle(Instant::ZERO, Input::Heard { from, word }, &mut out);
        let found = out.iter().any(|output| matches!(output, Output::Found(_)));
        let theirs = word.instance != Instance([0; 16]);
        assert_eq!(found, role == Role::Receiver && word.kind != Kind::Who && theirs);
    }
}
