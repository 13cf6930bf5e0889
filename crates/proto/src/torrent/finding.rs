//! Being found, and finding, without a tracker: what the driver's finders (DHT, LSD) are told of this torrent, and when.
//!
//! Who finds, and how often, is theirs to say. What always holds: they are told of every change once, and a private torrent is
//! never named to them. BEP: 5, 14, 27. Threats: G5

use super::Torrent;
use crate::cx::Cx;
use crate::output::Need;
use crate::{Duration, Output, PeerKey};

/// Whoever has nobody to dial for so long should look for others meanwhile.
const ALONE: Duration = Duration::from_secs(30);

impl Torrent {
    /// Tells the finders what they do not know yet. Call it after whatever may change what is wanted of them.
    pub fn consider_finding(&mut self, cx: &mut Cx<'_>) {
        let may = self.stage.is_active() && !self.metainfo.private;
        let need = may.then(|| self.need(cx));
        let told = core::mem::replace(&mut self.dialer.finding, need);
        let (torrent, info_hash) = (self.id, self.metainfo.info_hash);
        match need {
            Some(need) if told != Some(need) => cx.push(Output::FindPeers { torrent, info_hash, need }),
            None if told.is_some() => cx.push(Output::StopFinding { torrent, info_hash }),
            Some(_) | None => {}
        }
    }

    /// The user wants to look for peers now.
    pub fn find_again(&mut self, cx: &mut Cx<'_>) {
        let (torrent, info_hash) = (self.id, self.metainfo.info_hash);
        if let Some(need) = self.dialer.finding {
            cx.push(Output::FindPeers { torrent, info_hash, need });
        }
    }

    /// A peer says where its node of the DHT is.
    pub(super) fn on_node(&mut self, cx: &mut Cx<'_>, key: PeerKey, port: u16) {
        // Whoever is in a private torrent is told of by its tracker alone: not even that it is there is said elsewhere.
        // And where services are, no node is: behind one address there may be others' machines.
        let heeded = !self.metainfo.private && port >= 1024;
        let Some(peer) = self.peers.get(key).filter(|_| heeded) else { return };
        // With the scope of the link, without which a link-local address leads nowhere.
        let mut node = peer.terms.remote.get();
        node.set_port(port);
        cx.push(Output::MeetNode(node));
    }

    fn need(&self, cx: &Cx<'_>) -> Need {
        let alone = self.peers.count() == 0 && self.dialer.is_idle_until(cx.now + ALONE);
        let hungry = alone && !self.is_finished() && self.links_wanted(cx) > 0;
        Need { seed: self.is_known() && self.is_seed(), hungry }
    }
}
