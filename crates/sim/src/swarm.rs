//! A world as data: who takes part in which roles, on what links, when they come and go, and about what content.
//!
//! A [`Swarm`] names no engine: sessions take part in it in a [`crate::World`] ([`Swarm::scenario`]), and a server serves the
//! same people in [`crate::ClientServer`]. Always: the same swarm is cast the same way, whoever runs it ([`Swarm::cast`]), so that two ways
//! of running it differ in nothing but how bytes move.

pub mod access;
pub mod nat;
pub mod schedule;

use crate::fault::Fault;
use crate::hostile::habit::Habit;
use crate::network::{Access, micros};
use crate::node::{Holds, Leaves, NodeSpec};
use crate::scenario::{Outcome, Scenario};
use crate::sharing::Sharing;
use access::Mix;
use core::fmt;
use core::time::Duration;
use nat::Nat;
use proto::{Config, Instant, Lease, Rng, Seed};
use schedule::{Arrivals, Departures};
use wire::layout::LayoutError;
use wire::{Layout, PeerId};

/// What one session of the engine may use unless its user says otherwise.
pub const SHIPPED: Lease =
    Lease { up: None, down: None, unchoke_slots: 16, links: 500, buffer: 64 * 1024 * 1024 };

/// How long one block for each slot may take to leave an uplink. A peer that waits longer than 10 s for its first block from us
/// takes us for dead (snubbed), and the rest is for what nobody foresees.
const ROUND_OF_BLOCKS_MAX: Duration = Duration::from_secs(8);

/// Members at which nodes of the DHT begin.
const DHT_FIRST: u32 = 4;

/// A world to be.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// What it is called.
    pub name: &'static str,
    /// What it is about.
    pub content: Shape,
    /// Who takes part. Members are numbered group by group, from 0.
    pub groups: Vec<Group>,
    /// How many peers the tracker names in one answer at most.
    pub named_max: u32,
    /// What goes wrong, and when. Nodes are members by number.
    pub faults: Vec<(Instant, Fault)>,
    /// How long it is watched at most.
    pub within: Duration,
    /// The torrent is private (BEP 27): peers come from the tracker alone.
    pub private: bool,
    /// How blocks share links.
    pub sharing: Sharing,
    /// Who takes part only to do harm, after all members.
    pub attackers: Option<Attackers>,
    /// Everybody is a node of the DHT, and begins at the first few.
    pub dht: bool,
    /// How often it is looked how the swarm stands, if that is asked for.
    pub samples: Option<Duration>,
    /// All chance comes from here.
    pub seed: u64,
}

/// How a content is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Bytes in all.
    pub total: u64,
    /// Bytes of a piece.
    pub piece_len: u32,
    /// Bytes of a block: 16 KiB in a real swarm, more where it is to be cheap.
    pub block_len: u32,
}

/// Those who take part only to do harm. They are no members: nobody waits for them.
#[derive(Clone, Copy, Debug)]
pub struct Attackers {
    /// How they behave.
    pub habit: &'static Habit,
    /// How many.
    pub count: u32,
    /// The link of each.
    pub access: Access,
}

/// In what order pieces are begun.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum PickOrder {
    /// Those that the fewest have, but for the first few, as the engine ships it.
    #[default]
    RarestFirst,
    /// By lot.
    Random,
    /// From the first to the last.
    Sequential,
}

/// Members of one kind.
#[derive(Clone, Debug)]
pub struct Group {
    /// What they are called.
    pub name: &'static str,
    /// How many.
    pub count: u32,
    /// What they are there for.
    pub role: Role,
    /// Their links.
    pub access: Mix<Access>,
    /// What stands between them and the world.
    pub nat: Mix<Nat>,
    /// When they come.
    pub arrivals: Arrivals,
    /// When they go.
    pub departures: Departures,
    /// In what order they fetch.
    pub order: PickOrder,
    /// What each may use.
    pub lease: Lease,
    /// Their settings; the peer id is set by the world.
    pub config: Config,
}

/// What a member is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Has everything from the start.
    Seed,
    /// Has nothing, and gives as its lease lets it.
    Leecher,
    /// Has nothing, and gives nobody a slot, whatever its lease says: nothing but what is promised to beginners without one (BEP 6).
    FreeRider,
}

/// One member, as it was cast.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Which group, by number.
    pub group: u8,
    /// What it is there for.
    pub role: Role,
    /// Its link.
    pub access: Access,
    /// What stands between it and the world.
    pub nat: Nat,
    /// When it comes.
    pub joins: Instant,
    /// When it goes.
    pub leaves: Leaves,
}

/// Why a swarm cannot be run, or would not show what it seems to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// There is no such content.
    Content(LayoutError),
    /// There are more than 255 groups.
    Groups,
    /// Nobody has the content, or nobody wants it.
    Alone,
    /// A member of this group has a link that carries nothing.
    DeadLink(&'static str),
    /// Blocks are so large for an uplink of this group, and its slots so many, that its peers would take it for dead.
    LargeBlocks(&'static str),
    /// A lease limits rates, and a fleet does not.
    RateLimit,
    /// Something is to go wrong that a fleet does not have.
    Fault,
    /// Attackers or nodes of the DHT take part, which a fleet does not have.
    Company,
}

impl Group {
    /// So many who want it: on such a link, reachable, there from the start to the end, with what the engine gives a session.
    pub fn leechers(count: u32, access: Access) -> Group {
        Group {
            name: "leechers",
            count,
            role: Role::Leecher,
            access: Mix::only(access),
            nat: Mix::only(Nat::None),
            arrivals: Arrivals::AtOnce,
            departures: Departures::Never,
            order: PickOrder::RarestFirst,
            lease: SHIPPED,
            config: Config::new(PeerId([0; 20])),
        }
    }

    /// So many who have it.
    pub fn seeds(count: u32, access: Access) -> Group {
        Group { name: "seeds", role: Role::Seed, ..Group::leechers(count, access) }
    }
}

impl Swarm {
    /// A swarm about such a content with nobody in it yet: half an hour, 200 peers an answer.
    pub fn new(name: &'static str, content: Shape, seed: u64) -> Swarm {
        Swarm {
            name,
            content,
            groups: Vec::new(),
            named_max: proto::tracker::swarm_table::WANT_MAX,
            faults: Vec::new(),
            within: Duration::from_secs(1800),
            private: false,
            sharing: Sharing::MaxMin,
            attackers: None,
            dht: false,
            samples: None,
            seed,
        }
    }

    /// Another group.
    #[must_use]
    pub fn group(mut self, group: Group) -> Swarm {
        self.groups.push(group);
        self
    }

    /// The content's layout.
    ///
    /// # Errors
    /// If there can be no such content.
    pub fn layout(&self) -> Result<Layout, LayoutError> {
        Layout::with_block_len(self.content.total, self.content.piece_len, self.content.block_len)
    }

    /// Whether it can be run and says what it seems to.
    ///
    /// # Errors
    /// What stands against it.
    pub fn check(&self) -> Result<(), Unfit> {
        self.layout().map_err(Unfit::Content)?;
        if self.groups.len() > usize::from(u8::MAX) {
            return Err(Unfit::Groups);
        }
        let count = |seeds: bool| {
            let groups = self.groups.iter().filter(|group| (group.role == Role::Seed) == seeds);
            groups.map(|group| u64::from(group.count)).sum::<u64>()
        };
        if count(true) == 0 || count(false) == 0 {
            return Err(Unfit::Alone);
        }
        for group in &self.groups {
            let slots = u64::from(group.allowance().unchoke_slots);
            for access in group.access.kinds() {
                if access.up == 0 || access.down == 0 {
                    return Err(Unfit::DeadLink(group.name));
                }
                let round = (slots + 1) * u64::from(self.content.block_len) * 1_000_000 / access.up;
                if slots > 0 && round > micros(ROUND_OF_BLOCKS_MAX) {
                    return Err(Unfit::LargeBlocks(group.name));
                }
            }
        }
        Ok(())
    }

    /// All members in order, with what each of them drew.
    pub fn cast(&self) -> Vec<Member> {
        let mut rng = Rng::new(Seed(self.seed ^ 0x6361_7374));
        let mut members = Vec::new();
        for (number, group) in self.groups.iter().enumerate() {
            let mut rng = rng.fork();
            let access = group.access.deal(group.count, &mut rng);
            let nat = group.nat.deal(group.count, &mut rng);
            let joins = group.arrivals.draw(group.count, &mut rng);
            let rows = access.into_iter().zip(nat).zip(joins);
            members.extend(rows.map(|((access, nat), joins)| Member {
                group: number as u8,
                role: group.role,
                access,
                nat,
                joins,
                leaves: group.departures.draw(&mut rng),
            }));
        }
        members
    }

    /// The soonest that a fluid could fill all who want it, if all come together and stay: the seeds' uplink, the slowest
    /// downlink, or all uplinks together are what it takes (max of F / u_s, F / d_min, N F / (u_s + sum of u_i)).
    pub fn bound(&self) -> Duration {
        let (seeds, all, down, wanting) = self.sums();
        let total = u128::from(self.content.total);
        at_rate(total, seeds).max(at_rate(total, down)).max(at_rate(total * wanting, all))
    }

    /// The soonest that the seeds could fill all who want it if nobody else gave anything (max of N F / u_s, F / d_min).
    pub fn bound_of_server(&self) -> Duration {
        let (seeds, _, down, wanting) = self.sums();
        let total = u128::from(self.content.total);
        at_rate(total * wanting, seeds).max(at_rate(total, down))
    }

    /// The seeds' uplinks, those of all who give, the slowest downlink of who wants, and how many want.
    fn sums(&self) -> (u64, u64, u64, u128) {
        let (mut seeds, mut all, mut down, mut wanting) = (0, 0, u64::MAX, 0);
        for member in self.cast() {
            match member.role {
                Role::Seed => seeds += member.access.up,
                Role::Leecher | Role::FreeRider => {
                    wanting += 1;
                    down = down.min(member.access.down);
                }
            }
            let lease = self.groups[usize::from(member.group)].lease;
            all += match member.role {
                Role::FreeRider => 0,
                Role::Seed | Role::Leecher => member.access.up.min(lease.up.unwrap_or(u64::MAX)),
            };
        }
        (seeds, all, down, wanting)
    }

    /// The same as a sentence about a [`crate::World`], which runs a session for each member, message by message.
    pub fn scenario(&self) -> Scenario {
        let Shape { total, piece_len, block_len } = self.content;
        let mut scenario = Scenario::new(self.name, self.seed)
            .content(total, piece_len)
            .blocks_of(block_len)
            .tracker_names(self.named_max)
            .sharing(self.sharing)
            .within(self.within)
            .lingers(Duration::ZERO);
        if self.private {
            scenario = scenario.private();
        }
        for member in self.cast() {
            let group = &self.groups[usize::from(member.group)];
            scenario = scenario.node(NodeSpec {
                holds: if member.role == Role::Seed { Holds::All } else { Holds::Nothing },
                lease: group.allowance(),
                joins: member.joins,
                leaves: member.leaves,
                reachable: member.nat.lets_strangers_in(),
                sequential: group.order == PickOrder::Sequential,
                dht: self.dht.then(|| (0..DHT_FIRST).collect()),
                config: group.settings(),
                ..NodeSpec::leecher(member.access)
            });
        }
        if let Some(Attackers { habit, count, access }) = self.attackers {
            scenario = scenario.nodes(count, NodeSpec::attacker(habit, access));
        }
        self.faults.iter().fold(scenario, |scenario, (at, fault)| scenario.fault_at(*at, fault.clone()))
    }

    /// Lets sessions run it message by message.
    pub fn run_messages(&self) -> Outcome {
        self.scenario().run()
    }
}

impl Group {
    /// Their settings, with what the order of pieces makes of them.
    pub(crate) fn settings(&self) -> Config {
        let mut config = self.config.clone();
        if self.order == PickOrder::Random {
            config.random_first_pieces = u32::MAX;
        }
        config
    }

    /// What each really may use.
    pub(crate) fn allowance(&self) -> Lease {
        match self.role {
            Role::Seed | Role::Leecher => self.lease,
            Role::FreeRider => Lease { unchoke_slots: 0, ..self.lease },
        }
    }
}

/// How long so many bytes take at so many bytes per second.
fn at_rate(bytes: u128, rate: u64) -> Duration {
    let micros = bytes * 1_000_000 / u128::from(rate.max(1));
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Content(error) => write!(f, "no such content: {error}"),
            Unfit::Groups => write!(f, "more than 255 groups"),
            Unfit::Alone => write!(f, "nobody has the content, or nobody wants it"),
            Unfit::DeadLink(group) => write!(f, "{group}: a link carries nothing"),
            Unfit::RateLimit => write!(f, "a lease limits rates, which a fleet cannot"),
            Unfit::Company => {
                write!(f, "attackers or nodes of the DHT take part, which a fleet does not have")
            }
            Unfit::Fault => write!(f, "something goes wrong that there is not in a fleet"),
            Unfit::LargeBlocks(group) => {
                write!(f, "{group}: a block for each slot takes over {ROUND_OF_BLOCKS_MAX:?} to leave")
            }
        }
    }
}

impl core::error::Error for Unfit {}

#[cfg(test)]
mod tests;
