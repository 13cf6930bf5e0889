//! Where both kinds of visitors are answered: the swarm table with its clock.

use crate::accounts::{Accounts, Books};
use crate::shards::{Errand, Routes};
use crate::state::saving::{Piece, Saving, Told};
use crate::tally::{Count, Tally};
use proto::tracker::SwarmTable;
use proto::tracker::ledger::{Member, NoLedger};
use proto::tracker::swarm_table::{Kept, Peers, Restored, Rules, SnapshotError, Standing, Visit};
use proto::{Duration, Instant, Seed};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use wire::InfoHash;
use wire::announce::{AnnounceEvent, AnnounceRequest};
use wire::tracker_udp::ScrapeCounts;

/// Peers for a visitor who does not say how many: what clients ask for by custom (BEP 3).
const WANT_DEFAULT: u32 = 50;

/// How long after a change of members some worker may serve by what was before.
const HEEDED_WITHIN: Duration = Duration::from_secs(5);

/// The table and what it needs from the world.
pub(crate) struct Desk {
    table: SwarmTable,
    peers: Peers,
    began: std::time::Instant,
    now: Instant,
    interval: Duration,
    /// On a private tracker.
    accounts: Option<Accounts>,
    tally: Arc<Tally>,
    /// What is kept over a restart, if anything.
    saving: Option<Saving>,
}

/// How a visitor asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Over {
    Udp,
    Http,
}

impl Desk {
    /// A desk without visitors so far.
    pub(crate) fn new(rules: Rules, books: Option<Books>, tally: Arc<Tally>) -> Desk {
        // Each `RandomState` has fresh keys of its own, which is all the chance a tracker needs.
        let seed = Seed(RandomState::new().hash_one("the swarm table"));
        Desk {
            table: SwarmTable::new(rules, seed),
            peers: Peers::new(),
            began: std::time::Instant::now(),
            now: Instant::from_micros(0),
            interval: rules.interval,
            accounts: books.map(Accounts::new),
            tally,
            saving: None,
        }
    }

    /// When peers are told to come again.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// A visit from this address: how the swarm stands, and others in it; or what is told to a member that is not served.
    pub(crate) fn announce(
        &mut self,
        over: Over,
        from: IpAddr,
        who: Option<&Member>,
        request: &AnnounceRequest,
        want_max: u32,
    ) -> Result<(Standing, &Peers), &'static str> {
        let peer = SocketAddr::new(from, request.port);
        if let (Some(member), Some(accounts)) = (who, &mut self.accounts)
            && let Err(reason) = accounts.announce(self.now, member, peer, request)
        {
            self.tally.count(Count::Withheld);
            // It may have been served until now: others are to hear of it no more.
            self.remove(from, request);
            return Err(reason);
        }
        let standing = self.attend(from, request, want_max);
        self.tally.count(match (over, from.is_ipv4()) {
            (Over::Udp, true) => Count::AnnounceUdp4,
            (Over::Udp, false) => Count::AnnounceUdp6,
            (Over::Http, true) => Count::AnnounceHttp4,
            (Over::Http, false) => Count::AnnounceHttp6,
        });
        if standing.kept == Kept::NoRoom {
            self.tally.count(Count::NotKept);
        }
        Ok((standing, &self.peers))
    }

    /// Others are not told any more of who announces this from there with a passkey that was good until then. If it was served since, it has
    /// another one that is good, as a client to which a new URL was given and which asks at the old one as well: then it stays. For a moment
    /// after the change it may have been served by a worker that did not know yet.
    pub(crate) fn take_out(&mut self, from: IpAddr, request: &AnnounceRequest, until: std::time::Instant) {
        let heard = self.table.heard_of(&request.info_hash, SocketAddr::new(from, request.port));
        if heard.is_some_and(|heard| heard <= self.time_of(until + HEEDED_WITHIN)) {
            self.remove(from, request);
        }
    }

    fn remove(&mut self, from: IpAddr, request: &AnnounceRequest) {
        let leaving = AnnounceRequest { event: AnnounceEvent::Stopped, ..request.clone() };
        self.attend(from, &leaving, 0);
    }

    /// The table is told, and others of the swarm are written to `peers`.
    fn attend(&mut self, from: IpAddr, request: &AnnounceRequest, want_max: u32) -> Standing {
        let visit = Visit {
            info_hash: request.info_hash,
            peer: SocketAddr::new(from, request.port),
            event: request.event,
            left: request.left,
            want: request.want.unwrap_or(WANT_DEFAULT).min(want_max),
        };
        let standing = self.table.announce(self.now, &visit, &mut self.peers);
        self.tell_size();
        standing
    }

    /// These visits probably come next: of swarms, from addresses. What they need is brought near, for all of them at once.
    pub(crate) fn look_ahead(&self, visits: impl Iterator<Item = (InfoHash, SocketAddr)>) {
        self.table.look_ahead(visits);
    }

    /// How a swarm stands.
    pub(crate) fn scrape(&mut self, over: Over, info_hash: InfoHash) -> ScrapeCounts {
        self.tally.count(match over {
            Over::Udp => Count::ScrapeUdp,
            Over::Http => Count::ScrapeHttp,
        });
        let counts = self.table.scrape(&info_hash).unwrap_or_default();
        ScrapeCounts { seeders: counts.complete, completed: counts.downloaded, leechers: counts.incomplete }
    }

    /// Tells the keeper of the books what is due to members, if it is time.
    pub(crate) fn settle(&mut self) {
        if let Some(accounts) = &mut self.accounts
            && accounts.settle(self.now)
        {
            // What the books' keeper counts now is not to be counted here as well.
            self.tally.set(Count::RowsDue, accounts.rows_due() as u64);
        }
    }

    /// Nobody comes any more: tells the keeper of the books what is left, as long as it takes something within this time.
    pub(crate) fn hand_over_books(&mut self, patience: std::time::Duration) {
        if let Some(accounts) = &mut self.accounts {
            accounts.hand_over(patience);
        }
    }

    /// The table, to look at.
    pub(crate) fn table(&self) -> &SwarmTable {
        &self.table
    }

    /// Forgets some of those that stayed away.
    pub(crate) fn sweep(&mut self) {
        if let Some(accounts) = &mut self.accounts {
            accounts.look_around(self.now);
            self.tally.set(Count::Accounts, accounts.len() as u64);
            self.tally.set(Count::RowsDue, accounts.rows_due() as u64);
            self.tally.set(Count::Uncredited, accounts.uncredited());
        }
        self.table.sweep(self.now);
        self.tell_size();
        self.tally.set(Count::TableBytes, self.table.memory());
    }

    /// Takes in what another tracker has saved of swarms that are ours: one whose walk began so long ago.
    pub(crate) fn restore(
        &mut self,
        slices: &[u8],
        since: Duration,
        is_ours: impl Fn(&InfoHash) -> bool,
    ) -> Result<Restored, SnapshotError> {
        self.set_time(std::time::Instant::now());
        let restored = self.table.restore(self.now, slices, since, is_ours);
        self.tell_size();
        restored
    }

    /// Whether it counts for members.
    pub(crate) fn has_accounts(&self) -> bool {
        self.accounts.is_some()
    }

    /// Goes on counting for members in swarms that are ours where it stood so long ago.
    pub(crate) fn restore_accounts(
        &mut self,
        slice: &[u8],
        since: Duration,
        is_ours: impl Fn(&InfoHash) -> bool,
    ) -> Result<u64, NoLedger> {
        self.set_time(std::time::Instant::now());
        self.accounts.as_mut().map_or(Ok(0), |accounts| accounts.restore(self.now, slice, since, is_ours))
    }

    /// From now on snapshots are taken and sent there, as this worker's.
    pub(crate) fn save_to(&mut self, pieces: SyncSender<Piece>, worker: usize) {
        self.saving = Some(Saving::new(worker, self.interval, self.now, pieces));
    }

    /// Goes on with a snapshot, if that is due.
    pub(crate) fn save_on(&mut self) {
        if let Some(saving) = &mut self.saving {
            saving.go_on(self.now, &mut self.table);
        }
    }

    /// How long nothing is due.
    pub(crate) fn saves_in(&self) -> Option<Duration> {
        self.saving.as_ref().map(|saving| saving.due().since(self.now))
    }

    /// Takes a snapshot now.
    pub(crate) fn save_now(&mut self, told: Told) {
        match &mut self.saving {
            Some(saving) => saving.begin_now(self.now, told),
            // Nothing is to be kept, and nothing is lost.
            None => drop(told),
        }
    }

    /// Takes the last snapshots.
    pub(crate) fn finish_saving(&mut self) {
        if let Some(saving) = self.saving.take() {
            saving.finish(self.now, &mut self.table, self.accounts.as_ref());
        }
    }

    fn tell_size(&self) {
        self.tally.set(Count::Swarms, self.table.swarms().into());
        self.tally.set(Count::Peers, self.table.peers().into());
    }

    /// It is so late. Said once for all that came together.
    pub(crate) fn set_time(&mut self, now: std::time::Instant) {
        self.now = self.time_of(now);
    }

    fn time_of(&self, moment: std::time::Instant) -> Instant {
        let passed = moment.saturating_duration_since(self.began).as_micros();
        Instant::from_micros(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

/// Somebody announces who is not served any more, since then: whose swarm it is takes it out, see [`Desk::take_out`]. If that one is too
/// busy, it is when it comes again.
pub(crate) fn take_out(
    from: IpAddr,
    request: &AnnounceRequest,
    until: std::time::Instant,
    desk: &mut Desk,
    routes: &mut Routes,
) {
    if routes.is_mine(&request.info_hash) {
        desk.take_out(from, request, until);
    } else {
        let owner = routes.owner(&request.info_hash);
        let _ = routes.send(owner, Errand::TakeOut { ip: from, announce: request.clone(), until });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::tracker::ledger::{self, UserId};
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;
    use wire::PeerId;

    fn request() -> AnnounceRequest {
        AnnounceRequest {
            info_hash: InfoHash([7; 20]),
            peer_id: PeerId([7; 20]),
            port: 1001,
            uploaded: 0,
            downloaded: 0,
            left: 0,
            event: AnnounceEvent::None,
            want: None,
            key: None,
        }
    }

    #[test]
    fn a_row_is_due_once_while_it_is_on_its_way_to_the_books() {
        let (rows, received) = sync_channel(1);
        let (standing, tally) = (Arc::default(), Arc::<Tally>::default());
        let books = Books { rules: ledger::Rules::default(), rows, standing: Arc::clone(&standing) };
        let mut desk = Desk::new(Rules::default(), Some(books), Arc::clone(&tally));
        let due = || tally.get(Count::RowsDue) + standing.unwritten();
        let member = Member { user: UserId(1), may_download: true, clients_max: None };
        let from = "127.0.0.1".parse().unwrap();
        desk.announce(Over::Http, from, Some(&member), &request(), 0).unwrap();
        desk.sweep();
        assert_eq!(due(), 1);
        desk.set_time(desk.began + Duration::from_secs(10));
        desk.settle();
        assert_eq!((due(), standing.unwritten()), (1, 1));
        standing.written(received.try_recv().unwrap().len());
        assert_eq!(due(), 0);
    }

    #[test]
    fn an_old_passkey_takes_nobody_out_who_was_served_since_it_is_old() {
        let request = request();
        for from in ["127.0.0.1", "::1"].map(|ip| ip.parse().unwrap()) {
            let mut desk = Desk::new(Rules::default(), None, Arc::default());
            let began = desk.began;
            let after = |seconds| began + Duration::from_secs(seconds);
            // Served at 10, the passkey was good until 20; and so on.
            for (served, until, stays) in [(10, 20, false), (30, 20, true), (44, 40, false), (56, 50, true)] {
                desk.set_time(after(served));
                desk.announce(Over::Http, from, None, &request, 0).unwrap();
                desk.set_time(after(served + 5));
                desk.take_out(from, &request, after(until));
                assert_eq!(desk.table.peers() == 1, stays, "{from} {served} {until}");
                desk.remove(from, &request);
            }
            // Who is not there is not taken out.
            desk.take_out(from, &request, after(60));
        }
    }
}
