//! A link that names a publisher and no torrent: which one is the newest, the DHT knows. BEP: 46

use crate::cli::Exit;
use crate::dht::{reach, search_with};
use crate::failure::Failure;
use crate::show::Screen;
use crate::stop::Stop;
use gannet::dht::{Finding, Goal, Item};
use gannet::{Client, Magnet};
use std::time::Duration;
use wire::item::info_hash_of;
use wire::magnet::MutableLink;

/// How long the DHT is tried to be reached, unless the user says otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

/// The link to the torrent that its publisher names now.
pub(crate) fn newest(
    link: &MutableLink,
    client: &Client,
    stop: &Stop,
    patience: Option<Duration>,
    screen: &Screen,
) -> Result<Magnet, Failure> {
    let publisher = &link.publisher;
    let goal = Goal::Item { target: publisher.target(), salt: publisher.salt.clone() };
    if client.dht_stats().wait().is_err() {
        let what =
            "only the DHT knows which torrent is the newest of this publisher, and --no-dht turned it off";
        return Err(Failure::plain(what));
    }
    screen.say(&format!("asking the DHT for the newest torrent of {}", publisher.key));
    reach(client, stop, patience.unwrap_or(PATIENCE))?;
    let mut newest = None;
    let report = search_with(client, stop, goal, |finding| {
        if let Finding::Item(Item::Mutable(item)) = finding {
            newest = Some(item);
        }
    })?;
    let Some(report) = report.filter(|_| !stop.asked()) else {
        return Err(Failure::new(Exit::Interrupted, "stopped before the newest torrent was known"));
    };
    let Some(item) = newest else {
        let what = format!(
            "the DHT has nothing of the publisher {}: it may have stopped putting it there ({} nodes answered)",
            publisher.key, report.answered
        );
        return Err(Failure::new(Exit::NoSource, what));
    };
    let Some(info_hash) = info_hash_of(&item.value) else {
        let what = format!("what {} publishes names no torrent; see it: gannet dht get {0}", publisher.key);
        return Err(Failure::new(Exit::BadTorrent, what));
    };
    screen.say(&format!("version {} is the torrent {info_hash}", item.seq));
    Ok(link.at(info_hash))
}
