//! What there is to do once the user has accepted: a client of the sharer's swarm, and what it fetches.
//!
//! What always holds: it is begun only where nothing is in the way and where there is room, and only after it was remembered.

use super::content::{Content, free_below, in_the_way};
use super::record::{Held, Memory, Record};
use super::{EVENTS_MAX, ReceiveConfig, ReceiveError};
use crate::client::{Client, ClientConfig};
use crate::events::Events;
use crate::sharing::meter::{Figures, Meter};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use wire::offer::{Lost, Offer};

/// Losses of which the user is told.
const LOST_TOLD_MAX: usize = EVENTS_MAX / 2;

/// Links of the swarm at once: to each of 64 others for three torrents, and what comes to those that are done.
const LINKS_MAX: u32 = 512;

/// What is offered, and where it goes.
pub(super) struct Known {
    pub(super) offer: Offer,
    pub(super) record: Record,
    pub(super) memory: Memory,
    /// An earlier run of this receive was here.
    pub(super) resumed: Option<u64>,
}

/// For how many ticks it has been so.
#[derive(Default)]
pub(super) struct Ticks {
    /// Nothing was received, though there was somebody.
    pub(super) idle: u32,
    /// Nothing was received, and there was no line to the sharer.
    pub(super) gone: u32,
}

/// What was told, and is not told again.
#[derive(Default)]
pub(super) struct Told {
    pub(super) began: bool,
    pub(super) all_offered: bool,
    pub(super) served: bool,
    pub(super) alone: bool,
    /// What is here could not be made sure to last.
    pub(super) unsettled: bool,
}

/// What there is to do once it was accepted.
pub(super) struct Work {
    pub(super) client: Client,
    pub(super) events: Events,
    pub(super) content: Content,
    pub(super) meter: Meter,
    pub(super) figures: Figures,
    pub(super) ticks: Ticks,
    /// What was told as lost, by what stands for it.
    lost: BTreeSet<u64>,
    pub(super) told: Told,
    pub(super) finished: bool,
    /// Nobody else writes to this place.
    _held: Held,
    /// Others that lack something, as far as the sharer has said.
    pub(super) others_incomplete: Option<u32>,
    /// The sharer has said goodbye.
    pub(super) farewell: bool,
}

impl Work {
    /// Begins: the folder is looked at, then it is remembered what is going to happen, then it does.
    pub(super) fn begin(config: &ReceiveConfig, known: &Known) -> Result<Work, ReceiveError> {
        let Known { offer, record, memory, resumed } = known;
        if resumed.is_none()
            && let Some(path) = in_the_way(&record.output, &record.top)
        {
            return Err(ReceiveError::Exists(path));
        }
        let needed = offer.size.saturating_sub(resumed.unwrap_or(0));
        if let Some(free) = free_below(&record.output).filter(|&free| free < needed) {
            return Err(ReceiveError::NoRoom { path: record.output.clone(), needed, free });
        }
        let fault = |error| ReceiveError::Folder { path: record.output.clone(), error };
        let held = memory.remember(record)?;
        std::fs::create_dir_all(&record.output).map_err(fault)?;
        let mut client = ClientConfig::new(memory.client_dir(), &record.output);
        (client.listen, client.swarm_key) = (config.listen.clone(), Some(offer.swarm_key.clone()));
        (client.local_discovery, client.dht) = (false, None);
        (client.limits.up, client.limits.down) = (config.upload_max, config.download_max);
        client.limits.links = LINKS_MAX;
        let client = Client::start(client)?;
        Ok(Work {
            events: client.events(),
            client,
            content: Content::new(record.output.clone(), record.top.clone(), offer),
            meter: Meter::default(),
            figures: Figures::default(),
            ticks: Ticks::default(),
            lost: BTreeSet::new(),
            told: Told::default(),
            finished: false,
            _held: held,
            others_incomplete: None,
            farewell: false,
        })
    }

    /// Whether nobody was told of this loss: everything is said anew over each line. No more are told than leave room for other news.
    pub(super) fn is_news(&mut self, lost: &Lost) -> bool {
        let mut hasher = DefaultHasher::new();
        (lost.path.raw(), lost.why as u8).hash(&mut hasher);
        self.lost.len() < LOST_TOLD_MAX && self.lost.insert(hasher.finish())
    }
}
