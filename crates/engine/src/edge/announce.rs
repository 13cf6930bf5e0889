//! One visit to a tracker, whatever it speaks: over each family that the tracker and we have, the answers put together.
//!
//! BEP: 3, 7, 12, 15, 23, 24, 31

use super::guard::Errand;
use super::http::{Bounds, Http, VisitError, allowed};
use super::resolve::resolve;
use super::udp::{UdpAnswer, UdpTrackers};
use proto::Duration;
use proto::input::{AnnounceFailure, AnnounceReply};
use proto::output::{Announce, AnnounceEvent};
use std::net::SocketAddr;
use url::Url;
use wire::announce::AnnounceRequest;
use wire::compact::Family;
use wire::tracker_http::query::announce_url;
use wire::tracker_http::{Reply, Retry};
use wire::{DisplaySafe, InfoHash, PeerId};

/// How long a visit may take.
pub(super) const VISIT_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest answer of a tracker, packed and unpacked: 4,096 peers as dictionaries are some 400 KiB.
pub(super) const REPLY_LEN_MAX: usize = 1024 * 1024;

/// A visit, and what the session leaves to the driver to add.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    /// What the session wants.
    pub(crate) announce: Announce,
    /// Which torrent.
    pub(crate) info_hash: InfoHash,
    /// What we call ourselves.
    pub(crate) peer_id: PeerId,
    /// Where we listen; 1 if nowhere, which no tracker hands out for long.
    pub(crate) port: u16,
    /// Whether peers can reach us over IPv6 too.
    pub(crate) ipv6: bool,
}

impl Visit {
    /// How long it may take.
    pub(crate) fn timeout(&self) -> Duration {
        match self.announce.event {
            AnnounceEvent::Stopped => GOODBYE_TIMEOUT,
            AnnounceEvent::None
            | AnnounceEvent::Started
            | AnnounceEvent::Completed
            | AnnounceEvent::Paused => VISIT_TIMEOUT,
        }
    }

    pub(super) fn request(&self) -> AnnounceRequest {
        let Announce { uploaded, downloaded, left, event, want, key, .. } = self.announce;
        AnnounceRequest {
            info_hash: self.info_hash,
            peer_id: self.peer_id,
            port: self.port,
            uploaded,
            downloaded,
            left,
            event,
            want: Some(want),
            key: Some(key),
        }
    }
}

/// Makes the visit.
pub(crate) async fn announce(
    http: &Http,
    udp: &UdpTrackers,
    visit: &Visit,
) -> Result<AnnounceReply, AnnounceFailure> {
    let url = Url::parse(&visit.announce.url).map_err(|error| forbidden(&error))?;
    super::guard::check_url(&url, Errand::Tracker).map_err(|error| forbidden(&error))?;
    let addresses = resolve(&url).await.map_err(|why| AnnounceFailure::Unreachable(why.into()))?;
    let has = |family| addresses.iter().any(|address| Family::of(address) == family);
    let over = |family| one_family(http, udp, visit, &url, &addresses, family);
    match (has(Family::V4), has(Family::V6)) {
        (true, true) if visit.ipv6 => {
            let (v4, v6) = tokio::join!(over(Family::V4), over(Family::V6));
            merge(v4, v6)
        }
        (true, _) => over(Family::V4).await,
        (false, _) => over(Family::V6).await,
    }
}

async fn one_family(
    http: &Http,
    udp: &UdpTrackers,
    visit: &Visit,
    url: &Url,
    addresses: &[SocketAddr],
    family: Family,
) -> Result<AnnounceReply, AnnounceFailure> {
    let bounds = Bounds { errand: Errand::Tracker, family: Some(family), body_len_max: REPLY_LEN_MAX };
    if url.scheme() == "udp" {
        over_udp(udp, visit, url, &allowed(url, bounds, addresses, None).map_err(failure)?).await
    } else {
        over_http(http, visit, bounds).await
    }
}

async fn over_udp(
    udp: &UdpTrackers,
    visit: &Visit,
    url: &Url,
    addresses: &[SocketAddr],
) -> Result<AnnounceReply, AnnounceFailure> {
    let Some(&tracker) = addresses.first() else {
        return Err(AnnounceFailure::Unreachable("the host has no address".into()));
    };
    let url_data = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_string(),
    };
    match udp.announce(tracker, &visit.request(), &url_data).await.map_err(failure)? {
        UdpAnswer::Told(reply) => Ok(reply),
        UdpAnswer::Refused(reason) => Err(AnnounceFailure::Refused { reason, retry: None }),
    }
}

async fn over_http(http: &Http, visit: &Visit, bounds: Bounds) -> Result<AnnounceReply, AnnounceFailure> {
    let tracker_id = visit.announce.tracker_id.as_deref();
    let url =
        announce_url(&visit.announce.url, &visit.request(), tracker_id).map_err(|error| forbidden(&error))?;
    let url = Url::parse(&url).map_err(|error| forbidden(&error))?;
    let answered = http.get(&url, bounds).await.map_err(failure)?;
    match Reply::decode(&answered.body) {
        Ok(Reply::Peers(announced)) => Ok(AnnounceReply {
            interval: Duration::from_secs(announced.interval.into()),
            min_interval: announced.min_interval.map(|seconds| Duration::from_secs(seconds.into())),
            peers: announced.peers,
            complete: announced.complete,
            incomplete: announced.incomplete,
            tracker_id: announced.tracker_id,
            external_ip: announced.external_ip,
            warning: announced.warning,
        }),
        Ok(Reply::Refused { reason, retry }) => Err(AnnounceFailure::Refused {
            reason,
            retry: retry.map(|retry| match retry {
                Retry::Minutes(minutes) => Some(Duration::from_secs(u64::from(minutes) * 60)),
                Retry::Never => None,
            }),
        }),
        Err(_) if answered.status != 200 => {
            Err(AnnounceFailure::Unreachable(format!("HTTP status {}", answered.status).into()))
        }
        Err(error) => Err(AnnounceFailure::Unreachable(error.to_string().into())),
    }
}

/// Two families' answers as one: all peers, the larger counts, the more patient interval. One good answer is enough.
fn merge(
    v4: Result<AnnounceReply, AnnounceFailure>,
    v6: Result<AnnounceReply, AnnounceFailure>,
) -> Result<AnnounceReply, AnnounceFailure> {
    match (v4, v6) {
        (Ok(mut reply), Ok(other)) => {
            reply.peers.extend(other.peers);
            reply.peers.sort_unstable();
            reply.peers.dedup();
            reply.interval = reply.interval.max(other.interval);
            reply.min_interval = reply.min_interval.max(other.min_interval);
            reply.complete = reply.complete.max(other.complete);
            reply.incomplete = reply.incomplete.max(other.incomplete);
            reply.tracker_id = reply.tracker_id.or(other.tracker_id);
            reply.external_ip = reply.external_ip.or(other.external_ip);
            reply.warning = reply.warning.or(other.warning);
            Ok(reply)
        }
        (Ok(reply), Err(_)) | (Err(_), Ok(reply)) => Ok(reply),
        (Err(failure), Err(_)) => Err(failure),
    }
}

pub(super) fn failure(error: VisitError) -> AnnounceFailure {
    match error {
        VisitError::Forbidden(why) => forbidden(&why),
        VisitError::BadUrl(_) => forbidden(&error),
        VisitError::Failed(why) => AnnounceFailure::Unreachable(DisplaySafe::new(why).to_string().into()),
    }
}

pub(super) fn forbidden(error: &impl std::error::Error) -> AnnounceFailure {
    AnnounceFailure::Forbidden(error.to_string().into())
}
