//! One question to a tracker for a torrent's counts, whatever it speaks; over one family, for both would count the same.
//!
//! BEP: 15, 48. Threats: A13, E1

use super::announce::{REPLY_LEN_MAX, failure, forbidden};
use super::guard::{Errand, check_url};
use super::http::{Bounds, Http, allowed};
use super::resolve::resolve;
use super::udp::{UdpAnswer, UdpTrackers};
use proto::input::AnnounceFailure;
use proto::output::Scrape;
use std::net::SocketAddr;
use url::Url;
use wire::InfoHash;
use wire::compact::Family;
use wire::tracker_http::scrape::{ScrapeReply, scrape_url};
use wire::tracker_udp::ScrapeCounts;

/// A question, and what the session leaves to the driver to add.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// What the session wants.
    pub(crate) scrape: Scrape,
    /// Which torrent.
    pub(crate) info_hash: InfoHash,
}

/// Asks.
pub(crate) async fn scrape(
    http: &Http,
    udp: &UdpTrackers,
    question: &Question,
) -> Result<ScrapeCounts, AnnounceFailure> {
    let announce = Url::parse(&question.scrape.url).map_err(|error| forbidden(&error))?;
    check_url(&announce, Errand::Scrape).map_err(|error| forbidden(&error))?;
    let addresses = resolve(&announce).await.map_err(|why| AnnounceFailure::Unreachable(why.into()))?;
    // A machine without IPv6 may hear of such addresses all the same; one without IPv4 hears of no others that work.
    let has_v4 = addresses.iter().any(SocketAddr::is_ipv4);
    let family = Some(if has_v4 { Family::V4 } else { Family::V6 });
    let bounds = Bounds { errand: Errand::Scrape, family, body_len_max: REPLY_LEN_MAX };
    if announce.scheme() == "udp" {
        let addresses = allowed(&announce, bounds, &addresses, None).map_err(failure)?;
        over_udp(udp, question, &addresses).await
    } else {
        over_http(http, question, bounds).await
    }
}

async fn over_udp(
    udp: &UdpTrackers,
    question: &Question,
    addresses: &[SocketAddr],
) -> Result<ScrapeCounts, AnnounceFailure> {
    let Some(&tracker) = addresses.first() else {
        return Err(AnnounceFailure::Unreachable("the host has no address".into()));
    };
    match udp.scrape(tracker, question.info_hash).await.map_err(failure)? {
        UdpAnswer::Told(counts) => Ok(counts),
        UdpAnswer::Refused(reason) => Err(AnnounceFailure::Refused { reason, retry: None }),
    }
}

async fn over_http(
    http: &Http,
    question: &Question,
    bounds: Bounds,
) -> Result<ScrapeCounts, AnnounceFailure> {
    let url = scrape_url(&question.scrape.url, question.info_hash).map_err(|error| forbidden(&error))?;
    let url = url.ok_or_else(|| AnnounceFailure::Forbidden("its URL names no place for scrapes".into()))?;
    let url = Url::parse(&url).map_err(|error| forbidden(&error))?;
    let answered = http.get(&url, bounds).await.map_err(failure)?;
    let unreachable = |why: String| AnnounceFailure::Unreachable(why.into());
    match ScrapeReply::decode(&answered.body) {
        Ok(ScrapeReply::Refused(reason)) => Err(AnnounceFailure::Refused { reason, retry: None }),
        Ok(files @ ScrapeReply::Files(_)) => {
            files.of(question.info_hash).ok_or_else(|| unreachable("it does not count this torrent".into()))
        }
        Err(_) if answered.status != 200 => Err(unreachable(format!("HTTP status {}", answered.status))),
        Err(error) => Err(unreachable(error.to_string())),
    }
}
