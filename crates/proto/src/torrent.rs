//! One content as we take part in it: its pieces, its peers, its way to the disk, its trackers, and how they work together.
//!
//! Here is what the parts are; each file under `torrent/` is one concern of the whole. A torrent never names the session: what
//! reaches beyond it goes through `Cx`. BEP: 3, 6, 9, 10, 11, 12, 16, 19, 21, 27, 40

pub mod audit;
pub mod choking;
pub mod debts;
pub mod dialer;
pub mod disgrace;
pub mod durability;
pub mod fetching;
pub mod finding;
pub mod goals;
pub mod gossip;
pub mod have_log;
pub mod links;
pub mod messages;
pub mod metadata;
pub mod pace;
pub mod peer_list;
pub mod peers;
pub mod receiving;
pub mod requester;
pub mod stage;
pub mod stats;
pub mod suggesting;
pub mod super_seed;
pub mod tracking;
pub mod uploader;
pub mod web_seed;

use crate::announce::Announcer;
use crate::choker::Choker;
use crate::command::AddTorrent;
use crate::cx::Cx;
use crate::pieces::PiecePicker;
use crate::pieces::blame::Blame;
use crate::timers::TorrentTimer;
use crate::{Config, Rng, TorrentId};
use dialer::Dialer;
use durability::{Lifetime, Saver};
use goals::Goals;
use have_log::HaveLog;
use metadata::Metadata;
use peers::Peers;
use stage::Stage;
use std::sync::Arc;
pub use uploader::Turn;
use web_seed::WebSeeds;
use wire::Metainfo;

/// A torrent.
#[derive(Debug)]
pub struct Torrent {
    id: TorrentId,
    metainfo: Arc<Metainfo>,
    metadata: Metadata,
    stage: Stage,
    goals: Goals,
    picker: PiecePicker,
    /// Apart, because nearly always there is nobody to suspect.
    blame: Box<Blame>,
    choker: Choker,
    saver: Saver,
    peers: Peers,
    haves: HaveLog,
    dialer: Dialer,
    announcer: Announcer,
    /// Apart, because most torrents have none.
    web_seeds: Box<WebSeeds>,
    totals: Totals,
}

/// Payload bytes of a torrent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Received, this run.
    pub downloaded: u64,
    /// Sent, this run.
    pub uploaded: u64,
    /// Received and thrown away, this run.
    pub wasted: u64,
    /// In earlier runs.
    pub before: Lifetime,
    /// What was here when this run began to fetch or to serve; `None` until then.
    pub found: Option<FoundHere>,
    /// What of this torrent is counted in the pool's memory.
    pub buffered: u64,
}

/// What an earlier run left, or a check found.
#[derive(Clone, Copy, Debug, Default)]
pub struct FoundHere {
    /// Bytes of wanted content that are verified.
    pub have: u64,
    /// Bytes of blocks of unfinished pieces.
    pub unverified: u64,
}

impl Totals {
    /// Payload came.
    pub fn received(&mut self, cx: &mut Cx<'_>, bytes: u32) {
        self.downloaded += u64::from(bytes);
        cx.pool.down_meter.add(cx.now, u64::from(bytes));
    }

    /// All runs together.
    pub fn life(&self) -> Lifetime {
        Lifetime {
            uploaded: self.before.uploaded.saturating_add(self.uploaded),
            downloaded: self.before.downloaded.saturating_add(self.downloaded),
        }
    }
}

impl Torrent {
    /// A torrent that was just added; [`Torrent::settle`] sets it going.
    pub fn new(config: &Config, rng: &mut Rng, add: AddTorrent) -> Torrent {
        let AddTorrent { torrent, metainfo, resume, priorities, sequential, paused, peers, seed_goal } = add;
        let mut picker = PiecePicker::new(Arc::new(metainfo.layout.clone()), config.random_first_pieces);
        picker.set_sequential(sequential);
        let mut dialer = Dialer::new(torrent);
        for peer in peers {
            dialer.found(crate::input::PeerSource::User, peer, rng);
        }
        let goals = Goals::new(&metainfo.layout, &priorities, seed_goal);
        goals.apply(&metainfo.layout, &mut picker);
        Torrent {
            id: torrent,
            metadata: Metadata::Known,
            stage: Stage::new(resume, paused),
            goals,
            picker,
            blame: Box::new(Blame::new(rng)),
            choker: Choker::new(),
            saver: Saver::new(torrent),
            peers: Peers::new(),
            haves: HaveLog::new(),
            dialer,
            announcer: Announcer::new(torrent, &metainfo.trackers, rng),
            web_seeds: Box::new(WebSeeds::new(&metainfo.web_seeds)),
            totals: Totals::default(),
            metainfo,
        }
    }

    /// Its name across the seam.
    pub fn id(&self) -> TorrentId {
        self.id
    }

    /// Whether it was removed and nothing of it is left.
    pub fn is_gone(&self) -> bool {
        self.stage.is_gone()
    }

    /// One of its timers went off.
    pub fn on_timer(&mut self, cx: &mut Cx<'_>, timer: TorrentTimer) {
        match timer {
            TorrentTimer::Haves => self.flush_haves(cx),
            TorrentTimer::Durability => self.save(cx),
            TorrentTimer::Announce => self.visit_trackers(cx),
            TorrentTimer::Dial => self.dial(cx),
            TorrentTimer::Retry => self.on_retry(cx),
            TorrentTimer::Pex => self.name_peers(cx),
            TorrentTimer::WebSeeds => self.fetch(cx),
            TorrentTimer::Metadata => self.fetch_metadata(cx),
            TorrentTimer::Starved => self.refill_starved(cx),
            TorrentTimer::SeedGoal => self.check_seed_goal(cx),
        }
    }
}
