//! The loop: every attacker's socket, one clock. Reads, lets the attackers hear, does what they do, and says once a second how it
//! stands: a line of JSON, so that whoever started it can follow.

use crate::link::{Link, Tally};
use anyhow::{Context, Result};
use mio::{Events, Poll, Token};
use proto::{Instant, Seed};
use sim::hostile::habit::Habit;
use sim::hostile::ring::Ring;
use sim::hostile::{Act, Attacker, Cause};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wire::Metainfo;

/// How often attackers are looked at that do something by the clock.
const TICK: Duration = Duration::from_millis(50);
/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;
/// Files open besides the links: the content, standard streams, the poll.
const FILES_BESIDE: u64 = 32;
/// Attackers that work together.
const RING_MEMBERS: u32 = 3;

/// What is to be done.
pub(crate) struct Orders {
    pub(crate) metainfo: Arc<Metainfo>,
    pub(crate) content: Option<PathBuf>,
    pub(crate) victim: SocketAddr,
    pub(crate) links: usize,
    pub(crate) habits: Vec<&'static Habit>,
    pub(crate) vigour: u32,
    pub(crate) from: Option<Ipv4Addr>,
    pub(crate) seed: u64,
}

/// All attackers and their links.
pub(crate) struct Crowd {
    members: Vec<(Attacker, Link)>,
    poll: Poll,
    began: std::time::Instant,
    tally: Tally,
}

impl Crowd {
    /// Everybody, nobody linked yet. Raises the limit of open files.
    pub(crate) fn new(orders: Orders) -> Result<Crowd> {
        let allowed = os::limits::raise_open_files();
        let needed = orders.links as u64 + FILES_BESIDE;
        anyhow::ensure!(
            allowed >= needed,
            "{} links need {needed} open files and the system allows {allowed}: raise it with `ulimit -Hn`",
            orders.links
        );
        let content = orders
            .content
            .as_ref()
            .map(|path| File::open(path).with_context(|| path.display().to_string()).map(Arc::new));
        let content = content.transpose()?;
        let members = (0..orders.links).map(|number| {
            let habit = orders.habits[number % orders.habits.len()];
            let turn = (number / orders.habits.len()) as u32;
            let ring = Ring {
                secret: orders.seed ^ u64::from(turn / RING_MEMBERS),
                member: turn % RING_MEMBERS,
                members: RING_MEMBERS,
            };
            let cause = Cause {
                metainfo: orders.metainfo.clone(),
                victims: vec![orders.victim],
                ring,
                vigour: orders.vigour,
            };
            let seed = Seed(orders.seed << 20 | number as u64);
            let from = orders.from.map(|first| Ipv4Addr::from_bits(first.to_bits() + ((number as u32) << 8)));
            let link = Link::new(number, *habit, orders.metainfo.clone(), content.clone(), from);
            (Attacker::new(habit, cause, seed, Instant::ZERO), link)
        });
        Ok(Crowd {
            members: members.collect(),
            poll: Poll::new()?,
            began: std::time::Instant::now(),
            tally: Tally::default(),
        })
    }

    /// Attacks for so long.
    pub(crate) fn run(&mut self, span: Duration) -> Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut next_report = Duration::from_secs(1);
        let mut next_tick = Duration::ZERO;
        while self.began.elapsed() < span {
            let wait = next_tick.saturating_sub(self.began.elapsed());
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                polled => polled?,
            }
            for event in &events {
                let Token(number) = event.token();
                self.attend(number, |link, attacker, now, acts, tally| {
                    link.on_ready(event, now, attacker, acts, tally);
                });
            }
            if self.began.elapsed() >= next_tick {
                next_tick = self.began.elapsed() + TICK;
                for number in 0..self.members.len() {
                    self.attend(number, |link, attacker, now, acts, _| {
                        link.on_tick(now);
                        if attacker.next_wake().is_some_and(|at| at <= now) {
                            attacker.wake(now, acts);
                        }
                    });
                }
            }
            if self.began.elapsed() >= next_report {
                next_report += Duration::from_secs(1);
                self.report();
            }
        }
        Ok(())
    }

    /// One attacker's turn: something happens, and what it wants done is done.
    fn attend(
        &mut self,
        number: usize,
        happens: impl FnOnce(&mut Link, &mut Attacker, Instant, &mut Vec<Act>, &mut Tally),
    ) {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let now = Instant::from_micros(micros);
        let Some((attacker, link)) = self.members.get_mut(number) else { return };
        let mut acts = Vec::new();
        happens(link, attacker, now, &mut acts, &mut self.tally);
        // Doing may make the attacker hear of an end, and want more.
        while !acts.is_empty() {
            for act in core::mem::take(&mut acts) {
                link.act(act, now, self.poll.registry(), attacker, &mut acts, &mut self.tally);
            }
        }
        link.flush(now, attacker, &mut acts, &mut self.tally);
        link.watch(self.poll.registry());
    }

    fn report(&self) {
        let open = self.members.iter().filter(|(_, link)| link.is_open()).count();
        let up = self.members.iter().filter(|(_, link)| link.is_up()).count();
        let Tally { dials, failed, ups, downs, messages, sent, received } = self.tally;
        println!(
            "{{\"seconds\":{},\"open\":{open},\"up\":{up},\"dials\":{dials},\"failed\":{failed},\"ups\":{ups},\
             \"downs\":{downs},\"messages\":{messages},\"sent\":{sent},\"received\":{received}}}",
            self.began.elapsed().as_secs()
        );
    }
}
