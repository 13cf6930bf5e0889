//! Both sides as they stand: who has what, who sent how much to whom, when each side will be done. Pure: time is an
//! argument, news come in, and whoever draws looks.

use super::news::{Linked, News, Said};
use super::plan;
use gannet::{Bitfield, PieceIndex};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Members of the swarm that are shown, guests from other terminals among them.
pub(super) const MEMBERS_MAX: usize = 40;

/// Over which span a rate is taken: shorter ones jump.
const RATE_SPAN: Duration = Duration::from_secs(4);

/// A side on which nothing has moved for so long will not move any more.
const STANDSTILL: Duration = Duration::from_secs(8);

/// After this long a stranger is a guest. Our own say who they are at once, but others may be heard first.
const STRANGE: Duration = Duration::from_secs(2);

/// A flow that has grown within this span is under way.
const FRESH: Duration = Duration::from_millis(1500);

/// A person on the left side.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Client {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) end: Option<ClientEnd>,
}

/// How a download over HTTP ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ClientEnd {
    /// With the file.
    Done(Duration),
    /// With half of it, or nothing.
    Failed,
}

/// What a member of the swarm is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// It had everything from the start.
    Seed,
    /// It wants the file, and gives back.
    Peer,
    /// It wants the file, and gives nothing.
    FreeRider,
    /// Somebody who joined from elsewhere.
    Guest,
}

/// A member of the swarm.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) address: Option<String>,
    pub(super) have: Bitfield,
    /// Pieces it has; of guests the number is all that is known.
    pub(super) pieces: u32,
    pub(super) downloaded: u64,
    pub(super) uploaded: u64,
    pub(super) finished: Option<Duration>,
    pub(super) durable: bool,
    pub(super) gone: bool,
    peer_id: Option<String>,
}

/// When a side will be done, as it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Finish {
    /// Too early to say.
    Unknown,
    /// Then, if it goes on like this.
    About(Duration),
    /// It was, then.
    Done(Duration),
    /// Never: what is missing is nowhere any more.
    Never,
}

/// Everything that is shown.
#[derive(Clone, Debug)]
pub(super) struct Board {
    pub(super) file_len: u64,
    pub(super) pieces: u32,
    pub(super) clients: Vec<Client>,
    pub(super) members: Vec<Member>,
    /// Bytes that left the server.
    pub(super) server_sent: u64,
    /// When the server and the seed were killed.
    pub(super) origins_killed: Option<Duration>,
    /// When the tracker was.
    pub(super) tracker_killed: Option<Duration>,
    flows: BTreeMap<(usize, usize), Flow>,
    /// Who was heard of and is nobody that we know, and since when.
    strangers: BTreeMap<String, Duration>,
    left: Meter,
    right: Meter,
}

/// What went from one member to another.
#[derive(Clone, Debug, Default)]
struct Flow {
    /// As the giver counts.
    given: Count,
    /// As the taker counts.
    taken: Count,
    grew: Duration,
}

/// A count that begins anew with each link.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    before: u64,
    last: u64,
}

/// How fast something grows.
#[derive(Clone, Debug, Default)]
struct Meter {
    samples: VecDeque<(Duration, u64)>,
    grew: Duration,
}

impl Board {
    /// Nobody yet.
    pub(super) fn new(file_len: u64, pieces: u32) -> Board {
        Board {
            file_len,
            pieces,
            clients: Vec::new(),
            members: Vec::new(),
            server_sent: 0,
            origins_killed: None,
            tracker_killed: None,
            flows: BTreeMap::new(),
            strangers: BTreeMap::new(),
            left: Meter::default(),
            right: Meter::default(),
        }
    }

    /// Somebody begins to fetch from the server; their number.
    pub(super) fn add_client(&mut self) -> usize {
        let number = self.clients.len();
        self.clients.push(Client { name: plan::name(number).into(), bytes: 0, end: None });
        number
    }

    /// Somebody joins the swarm; their number.
    pub(super) fn add_member(&mut self, role: Role) -> usize {
        let same = self.members.iter().filter(|member| member.role == role).count();
        let name = match role {
            Role::Seed => "seed".into(),
            Role::Peer => plan::name(same).into(),
            Role::FreeRider => format!("rider{}", same + 1),
            Role::Guest => format!("guest{}", same + 1),
        };
        let have = match role {
            Role::Seed => Bitfield::full(self.pieces),
            Role::Peer | Role::FreeRider | Role::Guest => Bitfield::new(self.pieces),
        };
        self.members.push(Member {
            name,
            role,
            address: None,
            pieces: have.count(),
            have,
            downloaded: 0,
            uploaded: 0,
            finished: None,
            durable: false,
            gone: false,
            peer_id: None,
        });
        self.members.len() - 1
    }

    /// Takes in what happened.
    pub(super) fn on_news(&mut self, at: Duration, news: News) {
        match news {
            News::Fetched(client, bytes) => self.clients[client].bytes = bytes,
            News::FetchDone(client) => self.clients[client].end = Some(ClientEnd::Done(at)),
            News::FetchFailed(client) => self.clients[client].end = Some(ClientEnd::Failed),
            News::Said(member, said) => self.on_said(at, member, said),
            News::Left(member) => self.members[member].gone = true,
        }
    }

    /// Time has passed: rates are taken.
    pub(super) fn tick(&mut self, at: Duration) {
        let left = self.clients.iter().map(|client| client.bytes).sum();
        self.left.note(at, left);
        let right = self.peers().map(|member| self.bytes_of(member)).sum();
        self.right.note(at, right);
    }

    /// Those whom the comparison is about: as many as on the left side.
    pub(super) fn peers(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.role == Role::Peer)
    }

    /// Bytes that went from one member to another, and whether more are on their way.
    pub(super) fn flow(&self, at: Duration, from: usize, to: usize) -> (u64, bool) {
        self.flows.get(&(from, to)).map_or((0, false), |flow| {
            (flow.total(), flow.total() > 0 && at.saturating_sub(flow.grew) < FRESH)
        })
    }

    /// Bytes that left the seed.
    pub(super) fn seed_sent(&self) -> u64 {
        self.members.iter().filter(|member| member.role == Role::Seed).map(|seed| seed.uploaded).sum()
    }

    /// Pieces that somebody still here has, the seed not counted.
    pub(super) fn pieces_out(&self) -> u32 {
        let holders: Vec<&Member> =
            self.members.iter().filter(|member| member.role != Role::Seed && !member.gone).collect();
        let held = |piece: &PieceIndex| holders.iter().any(|member| member.have.has(*piece));
        (0..self.pieces).map(PieceIndex).filter(held).count() as u32
    }

    /// Whether some pieces are with nobody any more.
    fn is_broken(&self) -> bool {
        let seeds = self.members.iter().any(|member| member.role == Role::Seed && !member.gone);
        // A guest may have what others lack: it is not known which pieces.
        let guests = self.members.iter().any(|member| member.role == Role::Guest && member.pieces > 0);
        !seeds && !guests && self.pieces_out() < self.pieces
    }

    /// When everybody on the left has the file.
    pub(super) fn left_finish(&self, at: Duration) -> Finish {
        let done = self.clients.iter().map(|client| match client.end {
            Some(ClientEnd::Done(at)) => Some(at),
            Some(ClientEnd::Failed) | None => None,
        });
        if let Some(last) = done.collect::<Option<Vec<_>>>().and_then(|ends| ends.into_iter().max()) {
            return Finish::Done(last);
        }
        let failed = self.clients.iter().any(|client| client.end == Some(ClientEnd::Failed));
        if failed || self.origins_killed.is_some() {
            return Finish::Never;
        }
        let missing = self.clients.iter().map(|client| self.file_len - client.bytes.min(self.file_len));
        self.left.finish(at, missing.sum())
    }

    /// When every peer on the right has.
    pub(super) fn right_finish(&self, at: Duration) -> Finish {
        let done: Option<Vec<Duration>> = self.peers().map(|member| member.finished).collect();
        if let Some(last) = done.and_then(|ends| ends.into_iter().max()) {
            return Finish::Done(last);
        }
        if self.peers().any(|member| member.gone && member.finished.is_none()) || self.is_stuck(at) {
            return Finish::Never;
        }
        let missing = self.peers().map(|member| self.file_len - self.bytes_of(member));
        self.right.finish(at, missing.sum())
    }

    /// Whether everything that can come has come.
    pub(super) fn is_over(&self, at: Duration) -> bool {
        let left = match self.left_finish(at) {
            Finish::Done(_) | Finish::Never => true,
            Finish::Unknown | Finish::About(_) => false,
        };
        let right = match self.right_finish(at) {
            // What is verified must be under its name, too.
            Finish::Done(_) => self.peers().all(|member| member.durable || member.gone),
            Finish::Never => true,
            Finish::Unknown | Finish::About(_) => false,
        };
        left && right
    }

    /// Pieces are lost, and what was not has been passed on.
    fn is_stuck(&self, at: Duration) -> bool {
        self.is_broken() && at.saturating_sub(self.right.grew) > STANDSTILL
    }

    fn bytes_of(&self, member: &Member) -> u64 {
        let share =
            u128::from(self.file_len) * u128::from(member.have.count()) / u128::from(self.pieces.max(1));
        share as u64
    }

    fn on_said(&mut self, at: Duration, number: usize, said: Said) {
        let member = &mut self.members[number];
        match said {
            Said::Listening { address, peer_id } => {
                (member.address, member.peer_id) = (Some(address), Some(peer_id));
            }
            Said::Piece(piece) if piece < self.pieces => {
                member.have.insert(PieceIndex(piece));
                member.pieces = member.have.count();
            }
            Said::Traffic { downloaded, uploaded } => {
                (member.downloaded, member.uploaded) = (downloaded, uploaded);
            }
            Said::Peers(linked) => linked.iter().for_each(|linked| self.on_linked(at, number, linked)),
            Said::Finished => member.finished = member.finished.or(Some(at)),
            Said::Durable => member.durable = true,
            Said::Seeding | Said::Piece(_) => {}
        }
    }

    fn on_linked(&mut self, at: Duration, number: usize, linked: &Linked) {
        let Some(other) = self.member_called(at, &linked.peer_id) else { return };
        if self.members[other].role == Role::Guest {
            let guest = &mut self.members[other];
            guest.pieces = guest.pieces.max(linked.pieces);
            guest.finished = guest.finished.or((guest.pieces == self.pieces).then_some(at));
        }
        let taken = self.flows.entry((other, number)).or_default();
        taken.note(at, |flow| &mut flow.taken, linked.downloaded);
        let given = self.flows.entry((number, other)).or_default();
        given.note(at, |flow| &mut flow.given, linked.uploaded);
    }

    /// Whose peer id this is; of a stranger who stays, a new guest.
    fn member_called(&mut self, at: Duration, peer_id: &str) -> Option<usize> {
        let known = |member: &Member| member.peer_id.as_deref() == Some(peer_id);
        if let Some(known) = self.members.iter().position(known) {
            return Some(known);
        }
        if self.members.len() + self.strangers.len() >= MEMBERS_MAX && !self.strangers.contains_key(peer_id) {
            return None;
        }
        let since = *self.strangers.entry(peer_id.to_owned()).or_insert(at);
        (at.saturating_sub(since) >= STRANGE).then(|| {
            self.strangers.remove(peer_id);
            let guest = self.add_member(Role::Guest);
            self.members[guest].peer_id = Some(peer_id.to_owned());
            guest
        })
    }
}

impl Flow {
    fn note(&mut self, at: Duration, which: impl Fn(&mut Flow) -> &mut Count, value: u64) {
        let before = self.total();
        which(self).note(value);
        if self.total() > before {
            self.grew = at;
        }
    }

    /// Both ends count the same bytes, one of them a little later; a dead one not at all.
    fn total(&self) -> u64 {
        self.given.total().max(self.taken.total())
    }
}

impl Count {
    fn note(&mut self, value: u64) {
        if value < self.last {
            self.before += self.last;
        }
        self.last = value;
    }

    fn total(self) -> u64 {
        self.before + self.last
    }
}

impl Meter {
    fn note(&mut self, at: Duration, total: u64) {
        if self.samples.back().is_some_and(|&(_, last)| total > last) {
            self.grew = at;
        }
        self.samples.push_back((at, total));
        while self.samples.front().is_some_and(|&(first, _)| at.saturating_sub(first) > RATE_SPAN) {
            self.samples.pop_front();
        }
    }

    /// When so much more will have come, at the rate of the last seconds.
    fn finish(&self, at: Duration, missing: u64) -> Finish {
        let (Some(&(from, first)), Some(&(to, last))) = (self.samples.front(), self.samples.back()) else {
            return Finish::Unknown;
        };
        let (span, grown) = (to.saturating_sub(from), last.saturating_sub(first));
        if grown == 0 || span < RATE_SPAN / 4 {
            return Finish::Unknown;
        }
        Finish::About(at + span.mul_f64(missing as f64 / grown as f64))
    }
}

#[cfg(test)]
mod tests;
