//! What members of a private tracker say they have sent and received, made into what is due to their accounts: differences between
//! visits, within what is believable. No file, no names: rows leave with a user's number, and whoever keeps books adds them up.
//!
//! Invariants: no row takes anything away from an account; what one client is credited in one direction is at most
//! [`Rules::rate_max`] times the time since it was first here; the number of accounts is bounded, and one user has no more of them
//! than are free; what is due stays here until it is taken. BEP: 3, 7. Threats: E8

mod snapshot;
#[cfg(test)]
mod tests;

pub use snapshot::{NoLedger, Walk};

use crate::{Duration, Instant};
use core::net::SocketAddr;
use core::num::NonZeroU32;
use core::ops::Bound;
use std::collections::{BTreeMap, VecDeque};
use wire::announce::{AnnounceEvent, AnnounceRequest};
use wire::{InfoHash, PeerId};

/// Clients of one user in one torrent of which is known what they said; more are told of others, but not credited.
const CLIENTS_MAX: usize = 32;

/// Lower counts so soon after a visit are an earlier visit that comes late (a datagram sent again, the other family), not a new beginning.
const LATE_MAX: Duration = Duration::from_secs(60);

/// Accounts looked at by [`Ledger::sweep`], at least.
const SWEEP_MIN: usize = 16;

/// A member, as the keeper of the books numbers it. No other ever has the same number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UserId(pub u64);

/// A member who visits, and what it may do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// Whether it is told of peers while it lacks something.
    pub may_download: bool,
    /// With how many clients at once it may take part in one torrent; `None` leaves it to the member.
    pub clients_max: Option<NonZeroU32>,
}

/// How a ledger behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Clients of users in torrents that are known at once; a user in a torrent whose clients have left, and of which something is still
    /// due, counts as one. At most some 300 bytes each.
    pub accounts_max: u32,
    /// Bytes a second, of one client in one direction, beyond which nothing is believed.
    pub rate_max: u64,
    /// Who stayed away for so long is forgotten.
    pub life: Duration,
}

impl Default for Rules {
    /// Two million clients; 10 Gbit/s; two of a tracker's usual intervals.
    fn default() -> Rules {
        Rules { accounts_max: 2_000_000, rate_max: 1_250_000_000, life: Duration::from_secs(3600) }
    }
}

/// What a visit is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// As any visit.
    Welcome,
    /// It lacks something and may not download: it is told of nobody, and nobody of it.
    MayNotDownload,
    /// It takes part with as many clients as it may, and this is one more.
    TooManyClients,
}

/// What is due to a user for a torrent, beyond what was due before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Whose.
    pub user: UserId,
    /// For which torrent.
    pub info_hash: InfoHash,
    /// Bytes sent.
    pub uploaded: u64,
    /// Bytes received.
    pub downloaded: u64,
    /// Bytes lacking, as was last said: not a difference.
    pub left: u64,
    /// Downloads completed.
    pub completed: u32,
    /// Time as a seed, of all clients together.
    pub seeded: Duration,
    /// Visits that claimed more than is believable, and were credited what is.
    pub excesses: u32,
}

/// Accounts of users in torrents.
#[derive(Clone, Debug)]
pub struct Ledger {
    rules: Rules,
    accounts: BTreeMap<Key, Account>,
    /// How much of the room each user takes, and all of them: see [`Account::weight`].
    per_user: BTreeMap<UserId, u32>,
    weight: u32,
    /// Accounts with something due, in the order in which it became so.
    due: VecDeque<Key>,
    /// Where the sweep looked last.
    swept: Option<Key>,
    unkept: u64,
}

type Key = (UserId, InfoHash);

/// A user in a torrent.
#[derive(Clone, Debug, Default)]
struct Account {
    clients: Vec<Client>,
    due: Option<Due>,
}

/// What the keeper of the books does not know yet.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    uploaded: u64,
    downloaded: u64,
    left: u64,
    completed: u32,
    seeded: Duration,
    excesses: u32,
}

/// A client as it was here last. Known by its id, since it may come over IPv4 and IPv6 with the same counts (BEP 7).
#[derive(Clone, Copy, Debug)]
struct Client {
    id: PeerId,
    /// Where it was last: with another id it was started anew.
    peer: SocketAddr,
    at: Instant,
    uploaded: u64,
    downloaded: u64,
    seeds: bool,
}

impl Ledger {
    /// Without any account.
    pub fn new(rules: Rules) -> Ledger {
        let (accounts, per_user) = (BTreeMap::new(), BTreeMap::new());
        Ledger { rules, accounts, per_user, weight: 0, due: VecDeque::new(), swept: None, unkept: 0 }
    }

    /// A member announces: what it is credited becomes due. Where counting begins (a new client, one that was started anew, one that was
    /// away for long) nothing is credited.
    pub fn announce(
        &mut self,
        now: Instant,
        member: &Member,
        peer: SocketAddr,
        request: &AnnounceRequest,
    ) -> Verdict {
        let leaves = request.event == AnnounceEvent::Stopped;
        let lacks = request.left > 0 && !leaves;
        let verdict = if lacks && !member.may_download { Verdict::MayNotDownload } else { Verdict::Welcome };
        let key = (member.user, request.info_hash);
        let has_room = self.has_room(member.user);
        let weight = self.accounts.get(&key).map_or(0, Account::weight);
        if weight == 0 {
            if leaves {
                return verdict;
            }
            if !has_room {
                self.unkept += 1;
                return verdict;
            }
        }
        let life = self.rules.life;
        let account = self.accounts.entry(key).or_default();
        account.clients.retain(|client| !client.is_stale(now, life));
        let had_due = account.due.is_some();
        let told = account.visit(&self.rules, member, has_room, &Client::now(now, peer, request), request);
        account.fit();
        let (becomes, is_due) = (account.weight(), account.due.is_some());
        self.weigh(member.user, weight, becomes);
        if is_due && !had_due {
            self.due.push_back(key);
        }
        match told {
            Told::Counted => verdict,
            Told::Unkept => {
                self.unkept += 1;
                verdict
            }
            Told::OneTooMany => Verdict::TooManyClients,
        }
    }

    fn has_room(&self, user: UserId) -> bool {
        let free = self.rules.accounts_max.saturating_sub(self.weight);
        self.per_user.get(&user).copied().unwrap_or_default() < free
    }

    /// One of this user's accounts weighs no longer this, but that.
    fn weigh(&mut self, user: UserId, before: u32, after: u32) {
        if before == after {
            return;
        }
        self.weight = self.weight.saturating_sub(before).saturating_add(after);
        let all = self.per_user.entry(user).or_default();
        *all = all.saturating_sub(before).saturating_add(after);
        if *all == 0 {
            self.per_user.remove(&user);
        }
    }

    /// How many rows are due.
    pub fn rows_due(&self) -> usize {
        self.due.len()
    }

    /// Users in torrents that are known.
    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// Visits so far that were not credited for want of room.
    pub fn unkept(&self) -> u64 {
        self.unkept
    }

    /// Takes what is due, so many rows at most.
    pub fn take(&mut self, rows_max: usize) -> Vec<Row> {
        let keys: Vec<Key> = self.due.drain(..rows_max.min(self.due.len())).collect();
        let mut rows = Vec::with_capacity(keys.len());
        for (user, info_hash) in keys {
            let key = (user, info_hash);
            let Some(account) = self.accounts.get_mut(&key) else { continue };
            if let Some(Due { uploaded, downloaded, left, completed, seeded, excesses }) = account.due.take()
            {
                rows.push(Row { user, info_hash, uploaded, downloaded, left, completed, seeded, excesses });
            }
            if account.clients.is_empty() {
                self.remove(key);
            }
        }
        rows
    }

    /// Looks at the next few accounts and forgets clients that stayed away. To be called about once a second.
    pub fn sweep(&mut self, now: Instant) {
        let calls = usize::try_from(self.rules.life.as_secs() / 4).unwrap_or(usize::MAX).max(1);
        let budget = SWEEP_MIN + self.accounts.len() / calls;
        let from = self.swept.map_or(Bound::Unbounded, Bound::Excluded);
        let (life, mut over, mut lighter, mut last) = (self.rules.life, Vec::new(), Vec::new(), None);
        for (key, account) in self.accounts.range_mut((from, Bound::Unbounded)).take(budget) {
            let weight = account.weight();
            account.clients.retain(|client| !client.is_stale(now, life));
            account.fit();
            if account.weight() < weight {
                lighter.push((key.0, weight, account.weight()));
            }
            if account.clients.is_empty() && account.due.is_none() {
                over.push(*key);
            }
            last = Some(*key);
        }
        // Behind the last one it begins again.
        self.swept = last;
        lighter.into_iter().for_each(|(user, before, after)| self.weigh(user, before, after));
        over.into_iter().for_each(|key| self.remove(key));
    }

    fn remove(&mut self, key: Key) {
        if let Some(account) = self.accounts.remove(&key) {
            self.weigh(key.0, account.weight(), 0);
        }
    }
}

/// What became of a visit.
enum Told {
    Counted,
    /// For want of room.
    Unkept,
    OneTooMany,
}

impl Account {
    /// How much of the room it takes.
    fn weight(&self) -> u32 {
        u32::try_from(self.clients.len()).unwrap_or(u32::MAX).max(1)
    }

    /// Holds no memory for clients that are gone.
    fn fit(&mut self) {
        if self.clients.capacity() > 2 * self.clients.len() {
            self.clients.shrink_to_fit();
        }
    }

    /// A client is here: what it is credited becomes due.
    fn visit(
        &mut self,
        rules: &Rules,
        member: &Member,
        has_room: bool,
        client: &Client,
        request: &AnnounceRequest,
    ) -> Told {
        let leaves = request.event == AnnounceEvent::Stopped;
        let place = self.clients.iter().position(|known| known.id == client.id);
        let restarted = || self.clients.iter().position(|known| known.peer == client.peer);
        let mut due = self.due.unwrap_or_default();
        due.left = request.left;
        let Some(place) = place.or_else(restarted) else {
            if !leaves {
                // A larger number than are known is as good as the most that are.
                let most = member.clients_max.map_or(usize::MAX, |most| CLIENTS_MAX.min(most.get() as usize));
                if self.clients.len() >= most && !self.forget_absent(rules, client.at) {
                    return Told::OneTooMany;
                }
                due.completed += u32::from(completes(request));
            }
            self.due = Some(due);
            // The first has its room with the account.
            if leaves {
                return Told::Counted;
            }
            if self.clients.len() >= CLIENTS_MAX || !has_room && !self.clients.is_empty() {
                return Told::Unkept;
            }
            self.clients.reserve_exact(1);
            self.clients.push(*client);
            return Told::Counted;
        };
        if let Some(before) = self.clients.get_mut(place)
            && !client.comes_late(before, request.event)
        {
            due.credit(before, client, rules.rate_max);
            due.completed += u32::from(completes(request) && !before.seeds);
            *before = *client;
            self.due = Some(due);
        }
        if leaves {
            self.clients.swap_remove(place);
        }
        Told::Counted
    }

    /// Forgets the client that was silent longest, if it has missed its time to come: it was probably ended without a word. Whether it has.
    fn forget_absent(&mut self, rules: &Rules, now: Instant) -> bool {
        // Half a life is the interval; it may be late by some of it.
        let absent = rules.life / 8 * 5;
        let silent = self.clients.iter().enumerate().min_by_key(|(_, client)| client.at);
        let Some((place, _)) = silent.filter(|(_, client)| now.since(client.at) > absent) else {
            return false;
        };
        self.clients.swap_remove(place);
        true
    }
}

fn completes(request: &AnnounceRequest) -> bool {
    request.event == AnnounceEvent::Completed && request.left == 0
}

impl Client {
    fn now(now: Instant, peer: SocketAddr, request: &AnnounceRequest) -> Client {
        let AnnounceRequest { peer_id: id, uploaded, downloaded, left, .. } = *request;
        Client { id, peer, at: now, uploaded, downloaded, seeds: left == 0 }
    }

    /// It was said before what is known was, and only came later.
    fn comes_late(&self, before: &Client, event: AnnounceEvent) -> bool {
        let less = self.uploaded < before.uploaded || self.downloaded < before.downloaded;
        less && self.id == before.id
            && event != AnnounceEvent::Started
            && self.at.since(before.at) <= LATE_MAX
    }

    fn is_stale(&self, now: Instant, life: Duration) -> bool {
        now.since(self.at) > life
    }
}

impl Due {
    /// Adds what lies between two visits of one client.
    fn credit(&mut self, before: &Client, after: &Client, rate_max: u64) {
        let anew =
            before.id != after.id || after.uploaded < before.uploaded || after.downloaded < before.downloaded;
        if anew {
            return;
        }
        let passed = after.at.since(before.at);
        let most = u128::from(rate_max) * passed.as_micros() / 1_000_000;
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let (up, down) = (after.uploaded - before.uploaded, after.downloaded - before.downloaded);
        self.uploaded = self.uploaded.saturating_add(up.min(most));
        self.downloaded = self.downloaded.saturating_add(down.min(most));
        self.excesses = self.excesses.saturating_add(u32::from(up > most || down > most));
        if before.seeds {
            self.seeded = self.seeded.saturating_add(passed);
        }
    }
}
