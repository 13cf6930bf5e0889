//! A plan as text, one thing a line, and back: what a failing world is kept as.
//!
//! ```text
//! world 7                                          its seed; always the first line
//! content 1048576 65536                            bytes, and bytes of a piece
//! private | untracked | as-bytes | names 3         the torrent, the tracker, the codec
//! peer leecher 400000 2500000 20000 1500000 ...    part, up, down, latency, when it joins; then what is not as usual
//! web 50000 20000 honest                           up, latency, manners
//! fault 5000000 crash 3 kill 2000000               when, what
//! crash 3 12 begun power 2000000                   node, step, phase, how, back after
//! ```
//! Times are microseconds, rates bytes a second. Invariant: what is written is read back the same, whatever a plan holds.

use super::plan::{Limits, Part, PeerPlan, Plan, Rules, Ways};
use crate::disk::Crash;
use crate::fault::{CrashPoint, Fault, Phase};
use crate::hostile::cast;
use crate::network::Access;
use crate::node::Leaves;
use crate::web::{Manners, WebServer};
use core::fmt::{self, Write};
use core::str::{FromStr, SplitWhitespace};
use core::time::Duration;
use proto::Instant;
use proto::config::{SeedPolicy, SuperSeeding};
use wire::PieceIndex;

/// Peers of a plan that is read: far more than any that is drawn.
const PEERS_MAX: usize = 10_000;

/// Why a text is no plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misread {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "world {}", self.seed)?;
        writeln!(f, "content {} {}", self.total, self.piece_len)?;
        for (is, word) in
            [(self.private, "private"), (!self.tracked, "untracked"), (self.byte_true, "as-bytes")]
        {
            if is {
                writeln!(f, "{word}")?;
            }
        }
        if self.named_max != Plan::new(0).named_max {
            writeln!(f, "names {}", self.named_max)?;
        }
        self.peers.iter().try_for_each(|peer| writeln!(f, "{}", peer_line(peer)))?;
        for WebServer { up, latency, manners } in &self.web {
            writeln!(f, "web {up} {} {}", latency.as_micros(), manners_words(*manners))?;
        }
        for (at, fault) in &self.faults {
            writeln!(f, "fault {} {}", at.as_micros(), fault_words(fault))?;
        }
        if let Some(CrashPoint { node, step, phase, how, back_after }) = self.crash {
            let phase = word_of(PHASES, phase);
            writeln!(f, "crash {node} {step} {phase} {} {}", word_of(CRASHES, how), back_after.as_micros())?;
        }
        Ok(())
    }
}

impl FromStr for Plan {
    type Err = Misread;

    fn from_str(text: &str) -> Result<Plan, Misread> {
        let mut plan = Plan::new(0);
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let read = match line.is_empty() {
                true => Ok(()),
                false => read_line(&mut plan, Words(line.split_whitespace())),
            };
            read.map_err(|what| Misread { line: number + 1, what })?;
        }
        let line = text.lines().count();
        plan.check().map_err(|what| Misread { line, what })?;
        Ok(plan)
    }
}

const PHASES: &[(&str, Phase)] = &[("asked", Phase::Asked), ("begun", Phase::Begun), ("done", Phase::Done)];
const CRASHES: &[(&str, Crash)] = &[("kill", Crash::Kill), ("power", Crash::PowerLoss)];
const POLICIES: &[(&str, SeedPolicy)] = &[
    ("round-robin", SeedPolicy::RoundRobin),
    ("fastest", SeedPolicy::Fastest),
    ("anti-leech", SeedPolicy::AntiLeech),
];
const SUPER: &[(&str, SuperSeeding)] =
    &[("auto", SuperSeeding::Auto), ("always", SuperSeeding::Always), ("never", SuperSeeding::Never)];

fn word_of<T: Copy + PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    table.iter().find(|(_, other)| *other == value).map_or("?", |(word, _)| word)
}

fn peer_line(peer: &PeerPlan) -> String {
    let mut line = format!("peer {}", part_words(peer.part));
    let Access { up, down, latency } = peer.access;
    // Writing to a string cannot fail.
    let _ = write!(line, " {up} {down} {} {}", latency.as_micros(), peer.joins.as_micros());
    match peer.leaves {
        Leaves::Never => {}
        Leaves::AfterFinish(span) => line += &format!(" leaves-after {}", span.as_micros()),
        Leaves::WhenSpread => line += " leaves-when-spread",
        Leaves::AfterCopies { permille } => line += &format!(" dies-after-copies {permille}"),
        Leaves::Impatient { gives_up, stays } => {
            line += &format!(" impatient {} {}", gives_up.as_micros(), stays.as_micros());
        }
    }
    let (limits, usual) = (peer.limits, Limits::default());
    let mut number = |is_usual: bool, word: &str, value: u64| {
        if !is_usual {
            line += &format!(" {word} {value}");
        }
    };
    number(limits.slots == usual.slots, "slots", u64::from(limits.slots));
    number(limits.up.is_none(), "limit-up", limits.up.unwrap_or(0));
    number(limits.down.is_none(), "limit-down", limits.down.unwrap_or(0));
    number(limits.links == usual.links, "links", u64::from(limits.links));
    number(limits.buffer == usual.buffer, "buffer", limits.buffer);
    let Ways { reachable, fast, spinning, dht } = peer.ways;
    let flags = [(!reachable, "gated"), (!fast, "plain"), (spinning, "spinning"), (dht, "dht")];
    for (_, word) in flags.into_iter().chain([(peer.rules.sequential, "sequential")]).filter(|flag| flag.0) {
        line += &format!(" {word}");
    }
    if peer.rules.seed_policy != SeedPolicy::default() {
        line += &format!(" policy {}", word_of(POLICIES, peer.rules.seed_policy));
    }
    if peer.rules.super_seeding != SuperSeeding::default() {
        line += &format!(" super-seeding {}", word_of(SUPER, peer.rules.super_seeding));
    }
    if !peer.knows.is_empty() {
        line += &format!(" knows {}", list(&peer.knows));
    }
    line
}

fn part_words(part: Part) -> String {
    match part {
        Part::Seed => "seed".into(),
        Part::Unrecorded => "unrecorded".into(),
        Part::Partial(permille) => format!("partial {permille}"),
        Part::Leecher => "leecher".into(),
        Part::Magnet => "magnet".into(),
        Part::Corrupts(permille) => format!("corrupts {permille}"),
        Part::Stalls => "stalls".into(),
        Part::Liar(size) => format!("liar {size}"),
        Part::Attacker(habit) => format!("attacker {}", habit.name),
    }
}

fn manners_words(manners: Manners) -> String {
    match manners {
        Manners::Honest => "honest".into(),
        Manners::Corrupts { permille } => format!("corrupts {permille}"),
        Manners::BreaksOff { after } => format!("breaks-off {after}"),
        Manners::Stumbles { after, spoilt } => format!("stumbles {after} {spoilt}"),
        Manners::Refuses => "refuses".into(),
        Manners::Stalls => "stalls".into(),
        Manners::Dies { at } => format!("dies {}", at.as_micros()),
    }
}

fn fault_words(fault: &Fault) -> String {
    let micros = Duration::as_micros;
    match fault {
        Fault::Crash { node, how, back_after } => {
            let back = back_after.map(|span| format!(" {}", span.as_micros())).unwrap_or_default();
            format!("crash {node} {}{back}", word_of(CRASHES, *how))
        }
        Fault::Leave { node } => format!("leave {node}"),
        Fault::CutOff { node, lasts } => format!("cut-off {node} {}", micros(lasts)),
        Fault::Split { nodes, lasts } => format!("split {} {}", micros(lasts), list(nodes)),
        Fault::BreakLink { node, nth } => format!("break-link {node} {nth}"),
        Fault::BreakSome { of_ten_thousand } => format!("break-some {of_ten_thousand}"),
        Fault::DiskPauses { node, lasts } => format!("disk-pauses {node} {}", micros(lasts)),
        Fault::ClockLeaps { node, by } => format!("clock-leaps {node} {}", micros(by)),
        Fault::DiskFull { node, lasts } => format!("disk-full {node} {}", micros(lasts)),
        Fault::SyncFails { node, lasts } => format!("sync-fails {node} {}", micros(lasts)),
        Fault::ReadFails { node, lasts } => format!("read-fails {node} {}", micros(lasts)),
        Fault::DiskVanishes { node, lasts } => format!("disk-vanishes {node} {}", micros(lasts)),
        Fault::BitRot { node, piece, block } => format!("bit-rot {node} {} {block}", piece.0),
        Fault::Touch { node } => format!("touch {node}"),
        Fault::TrackerDies { lasts: Some(lasts) } => format!("tracker-dies {}", micros(lasts)),
        Fault::TrackerDies { lasts: None } => "tracker-dies".into(),
        // The world's own, never a plan's.
        Fault::Heals(_) => "nothing".into(),
    }
}

fn list(numbers: &[u32]) -> String {
    let words: Vec<String> = numbers.iter().map(u32::to_string).collect();
    if words.is_empty() { "-".into() } else { words.join(",") }
}

/// The words of one line.
struct Words<'a>(SplitWhitespace<'a>);

impl<'a> Words<'a> {
    fn next(&mut self) -> Result<&'a str, String> {
        self.0.next().ok_or_else(|| "it ends too early".to_string())
    }

    fn number<T: FromStr>(&mut self) -> Result<T, String> {
        let word = self.next()?;
        word.parse().map_err(|_| format!("{word} is no number that fits here"))
    }

    fn span(&mut self) -> Result<Duration, String> {
        self.number().map(Duration::from_micros)
    }

    fn at(&mut self) -> Result<Instant, String> {
        self.number().map(Instant::from_micros)
    }

    fn one_of<T: Copy>(&mut self, table: &[(&str, T)]) -> Result<T, String> {
        let word = self.next()?;
        let found = table.iter().find(|(other, _)| *other == word);
        found.map(|(_, value)| *value).ok_or_else(|| format!("{word} is not known here"))
    }

    fn list(&mut self) -> Result<Vec<u32>, String> {
        let word = self.next()?;
        if word == "-" {
            return Ok(Vec::new());
        }
        let number = |word: &str| word.parse().map_err(|_| format!("{word} is no number"));
        word.split(',').map(number).collect()
    }

    fn end(mut self) -> Result<(), String> {
        self.0.next().map_or(Ok(()), |word| Err(format!("{word} is too much")))
    }
}

fn read_line(plan: &mut Plan, mut words: Words<'_>) -> Result<(), String> {
    match words.next()? {
        "world" => plan.seed = words.number()?,
        "content" => (plan.total, plan.piece_len) = (words.number()?, words.number()?),
        "private" => plan.private = true,
        "untracked" => plan.tracked = false,
        "as-bytes" => plan.byte_true = true,
        "names" => plan.named_max = words.number()?,
        "peer" if plan.peers.len() >= PEERS_MAX => return Err("too many peers".into()),
        "peer" => {
            let peer = read_peer(&mut words)?;
            plan.peers.push(peer);
        }
        "web" => {
            let (up, latency) = (words.number()?, words.span()?);
            plan.web.push(WebServer { up, latency, manners: read_manners(&mut words)? });
        }
        "fault" => {
            let at = words.at()?;
            let fault = read_fault(&mut words)?;
            plan.faults.push((at, fault));
        }
        "crash" => {
            let (node, step) = (words.number()?, words.number()?);
            let (phase, how) = (words.one_of(PHASES)?, words.one_of(CRASHES)?);
            plan.crash = Some(CrashPoint { node, step, phase, how, back_after: words.span()? });
        }
        other => return Err(format!("{other} is nothing that a world has")),
    }
    words.end()
}

fn read_peer(words: &mut Words<'_>) -> Result<PeerPlan, String> {
    let part = match words.next()? {
        "seed" => Part::Seed,
        "unrecorded" => Part::Unrecorded,
        "partial" => Part::Partial(words.number()?),
        "leecher" => Part::Leecher,
        "magnet" => Part::Magnet,
        "corrupts" => Part::Corrupts(words.number()?),
        "stalls" => Part::Stalls,
        "liar" => Part::Liar(words.number()?),
        "attacker" => {
            let name = words.next()?;
            Part::Attacker(cast::by_name(name).ok_or_else(|| format!("{name} is no attacker"))?)
        }
        other => return Err(format!("{other} is no part")),
    };
    let access = Access::new(words.number()?, words.number()?).latency(words.span()?);
    let mut peer = PeerPlan { joins: words.at()?, ..PeerPlan::new(part, access) };
    while let Ok(word) = words.next() {
        read_trait(&mut peer, word, words)?;
    }
    Ok(peer)
}

fn read_trait(peer: &mut PeerPlan, word: &str, words: &mut Words<'_>) -> Result<(), String> {
    let PeerPlan { limits, ways, rules, .. } = peer;
    let Rules { seed_policy, super_seeding, sequential } = rules;
    match word {
        "leaves-after" => peer.leaves = Leaves::AfterFinish(words.span()?),
        "leaves-when-spread" => peer.leaves = Leaves::WhenSpread,
        "dies-after-copies" => peer.leaves = Leaves::AfterCopies { permille: words.number()? },
        "impatient" => peer.leaves = Leaves::Impatient { gives_up: words.span()?, stays: words.span()? },
        "slots" => limits.slots = words.number()?,
        "limit-up" => limits.up = Some(words.number()?),
        "limit-down" => limits.down = Some(words.number()?),
        "links" => limits.links = words.number()?,
        "buffer" => limits.buffer = words.number()?,
        "gated" => ways.reachable = false,
        "plain" => ways.fast = false,
        "spinning" => ways.spinning = true,
        "dht" => ways.dht = true,
        "sequential" => *sequential = true,
        "policy" => *seed_policy = words.one_of(POLICIES)?,
        "super-seeding" => *super_seeding = words.one_of(SUPER)?,
        "knows" => peer.knows = words.list()?,
        other => return Err(format!("{other} is nothing that a peer has")),
    }
    Ok(())
}

fn read_manners(words: &mut Words<'_>) -> Result<Manners, String> {
    Ok(match words.next()? {
        "honest" => Manners::Honest,
        "corrupts" => Manners::Corrupts { permille: words.number()? },
        "breaks-off" => Manners::BreaksOff { after: words.number()? },
        "stumbles" => Manners::Stumbles { after: words.number()?, spoilt: words.number()? },
        "refuses" => Manners::Refuses,
        "stalls" => Manners::Stalls,
        "dies" => Manners::Dies { at: words.at()? },
        other => return Err(format!("{other} are no manners")),
    })
}

fn read_fault(words: &mut Words<'_>) -> Result<Fault, String> {
    Ok(match words.next()? {
        "crash" => {
            let (node, how) = (words.number()?, words.one_of(CRASHES)?);
            Fault::Crash { node, how, back_after: words.span().ok() }
        }
        "leave" => Fault::Leave { node: words.number()? },
        "cut-off" => Fault::CutOff { node: words.number()?, lasts: words.span()? },
        "split" => Fault::Split { lasts: words.span()?, nodes: words.list()? },
        "break-link" => Fault::BreakLink { node: words.number()?, nth: words.number()? },
        "break-some" => Fault::BreakSome { of_ten_thousand: words.number()? },
        "disk-pauses" => Fault::DiskPauses { node: words.number()?, lasts: words.span()? },
        "clock-leaps" => Fault::ClockLeaps { node: words.number()?, by: words.span()? },
        "disk-full" => Fault::DiskFull { node: words.number()?, lasts: words.span()? },
        "sync-fails" => Fault::SyncFails { node: words.number()?, lasts: words.span()? },
        "read-fails" => Fault::ReadFails { node: words.number()?, lasts: words.span()? },
        "disk-vanishes" => Fault::DiskVanishes { node: words.number()?, lasts: words.span()? },
        "bit-rot" => {
            let (node, piece, block) = (words.number()?, words.number()?, words.number()?);
            Fault::BitRot { node, piece: PieceIndex(piece), block }
        }
        "touch" => Fault::Touch { node: words.number()? },
        "tracker-dies" => Fault::TrackerDies { lasts: words.span().ok() },
        other => return Err(format!("{other} is no fault")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::draw;

    #[test]
    fn a_plan_is_read_back_as_it_was_written() {
        for seed in 0..2_000 {
            let plan = draw(seed);
            let text = plan.to_string();
            assert_eq!(text.parse::<Plan>(), Ok(plan), "{text}");
        }
    }

    #[test]
    fn what_is_no_plan_is_told_by_its_line() {
        let told = |text: &str| text.parse::<Plan>().unwrap_err().to_string();
        assert_eq!(told("world 1\npeer queen"), "line 2: queen is no part");
        assert_eq!(told("world 1\ncontent 0 many"), "line 2: many is no number that fits here");
        assert_eq!(told("world 1\nfault 3 leave 7"), "line 2: a word of node 7, and there are 0");
        assert_eq!(told("world one"), "line 1: one is no number that fits here");
        assert_eq!(told("private yes"), "line 1: yes is too much");
        assert_eq!(told("content 0 65536"), "line 1: no such content: Empty");
    }
}
