//! Answering others: what is asked for, as far as it may cost us and might hurt somebody whose address is on a forged question.

use super::guard::AMPLIFICATION_MAX;
use super::items::Refused;
use super::rpc::Why;
use super::{K, Node, Output, family};
use crate::Instant;
use core::net::SocketAddr;
use wire::krpc::{
    Body, KrpcError, KrpcFault, Method, NodeInfo, Packet, Query, Reply, Samples, Transaction, Want,
    error_code,
};
use wire::node_id::NodeId;

/// The longest answer: what passes every link without being cut up (IPv6's least, less its headers).
const ANSWER_LEN_MAX: usize = 1200;

/// Bytes of our ping, by which we see whether a stranger is where it says: they count against what it may be sent.
const PING_LEN: usize = 70;

/// Most peers in an answer (libtorrent: 100): they fill the datagram.
const VALUES_MAX: usize = 100;

/// Most torrents in a sample (BEP 51): 20 of them are 400 bytes, as libtorrent gives.
const SAMPLES_MAX: usize = 20;

/// How long a sample stands, in seconds (BEP 51): six hours at most; ours change with every question.
const SAMPLE_INTERVAL: u32 = 600;

/// An error for a question that cannot be granted (BEP 5).
fn protocol_error(words: &str) -> KrpcFault {
    KrpcFault::new(error_code::PROTOCOL, words)
}

impl Node {
    /// Somebody asks us something.
    pub(super) fn on_query(
        &mut self,
        now: Instant,
        from: SocketAddr,
        len: usize,
        transaction: Transaction,
        query: Query,
        out: &mut Vec<Output>,
    ) {
        let at = family(&from);
        let Some(half) = self.halves[at].as_mut() else { return };
        if query.id == half.table.own() {
            self.tally.garbage += 1;
            return;
        }
        let verified = half.table.is_verified(from, &query.id) || self.proofs.has(now, from);
        let info = NodeInfo { id: query.id, address: from };
        let pinged = !query.read_only && half.table.hear_of(now, info, true);
        if self.config.read_only || !self.guard.admits(now, from.ip()) {
            self.tally.unanswered += 1;
            return;
        }
        let body = match self.answer(now, from, &query) {
            Ok(reply) => Body::Reply(reply),
            Err(fault) => Body::Error(fault),
        };
        let packet = Packet { transaction, version: None, external: Some(from), body };
        let spent = if pinged { PING_LEN } else { 0 };
        let budget = (len * AMPLIFICATION_MAX).saturating_sub(spent).min(ANSWER_LEN_MAX);
        let (whole, cut) =
            if verified { (fit(packet, ANSWER_LEN_MAX), None) } else { fit_stranger(packet, budget) };
        // One that only asks would not answer, and so cannot show where it is.
        if let Some(whole) =
            whole.as_ref().filter(|_| cut.is_some() && !query.read_only && budget >= PING_LEN)
            && self.proofs.hold(now, from, whole)
        {
            self.ask(now, from, Some(query.id), Method::Ping, Why::Proof, out);
            return;
        }
        match cut.unwrap_or(whole) {
            Some(bytes) => self.send_answer(now, from, bytes, out),
            None => self.tally.unanswered += 1,
        }
    }

    /// An address has proved itself: it gets what was held for it.
    pub(super) fn release(&mut self, now: Instant, to: SocketAddr, out: &mut Vec<Output>) {
        for bytes in self.proofs.prove(now, to) {
            self.send_answer(now, to, bytes, out);
        }
    }

    fn send_answer(&mut self, now: Instant, to: SocketAddr, bytes: Vec<u8>, out: &mut Vec<Output>) {
        self.guard.charge(now, bytes.len());
        self.tally.answered += 1;
        self.tally.bytes_out += bytes.len() as u64;
        out.push(Output::Send { to, bytes });
    }

    /// Somebody asks in a way that we do not understand, and is told so if it looks like a node.
    pub(super) fn on_nonsense(
        &mut self,
        now: Instant,
        from: SocketAddr,
        len: usize,
        error: &KrpcError,
        out: &mut Vec<Output>,
    ) {
        self.tally.garbage += 1;
        let Some((transaction, fault)) = error.answer().filter(|_| !self.config.read_only) else { return };
        if !self.guard.admits(now, from.ip()) {
            return;
        }
        let packet = Packet::new(transaction, Body::Error(fault));
        if let Some(bytes) = fit(packet, len * AMPLIFICATION_MAX) {
            self.guard.charge(now, bytes.len());
            self.tally.bytes_out += bytes.len() as u64;
            out.push(Output::Send { to: from, bytes });
        }
    }

    fn answer(&mut self, now: Instant, from: SocketAddr, query: &Query) -> Result<Reply, KrpcFault> {
        let mut reply = self.reply(from);
        // The nodes that lie in it may be of both families; all else is of the asker's own (BEP 32).
        if let Some((target, want)) = names_nodes(&query.method) {
            self.name_nodes(&mut reply, from, &target, want);
        }
        let Some(half) = self.halves[family(&from)].as_mut() else { return Ok(reply) };
        match &query.method {
            Method::Ping | Method::FindNode { .. } | Method::Unknown { target: Some(_), .. } => {}
            Method::GetPeers { info_hash, noseed, scrape, .. } => {
                let target = NodeId::from(*info_hash);
                let v4 = from.is_ipv4();
                reply.values = half.peers.peers(now, info_hash, v4, *noseed, VALUES_MAX, &mut self.rng);
                if *scrape {
                    reply.scrape = half.peers.filters(now, info_hash).map(Box::new);
                }
                if half.peers.has_room_for(info_hash) {
                    reply.token = Some(self.tokens.give(now, from, &query.id, &target));
                }
            }
            Method::AnnouncePeer { info_hash, port, implied_port, seed, token } => {
                let port = if *implied_port { from.port() } else { *port };
                if !self.tokens.take(now, token, from, &query.id, &NodeId::from(*info_hash)) {
                    return Err(protocol_error("invalid token"));
                }
                if port == 0 {
                    return Err(protocol_error("invalid port"));
                }
                // No room is no error: BEP 5 knows none, and who announces tells others too.
                half.peers.announce(now, *info_hash, SocketAddr::new(from.ip(), port), *seed);
            }
            Method::Get { target, seq, .. } => {
                reply.token = Some(self.tokens.give(now, from, &query.id, target));
                reply.item = half.items.get(now, target).cloned();
                if let Some(wire::item::Item::Mutable(item)) = &reply.item
                    && seq.is_some_and(|seq| seq >= item.seq)
                {
                    // The asker has it already (BEP 44).
                    reply.seq = Some(item.seq);
                    reply.item = None;
                }
            }
            Method::Put { token, put } => {
                if !self.tokens.take(now, token, from, &query.id, &put.item.target()) {
                    return Err(protocol_error("invalid token"));
                }
                half.items.put(now, put.clone(), from.ip()).map_err(Refused::fault)?;
            }
            Method::SampleInfohashes { .. } => {
                reply.samples = Some(Samples {
                    interval: SAMPLE_INTERVAL,
                    num: half.peers.torrents() as u32,
                    samples: half.peers.sample(SAMPLES_MAX, &mut self.rng),
                });
            }
            Method::Unknown { target: None, .. } => {
                return Err(KrpcFault::new(error_code::METHOD_UNKNOWN, "method unknown"));
            }
        }
        Ok(reply)
    }

    fn reply(&self, to: SocketAddr) -> Reply {
        let id = self.id(family(&to)).unwrap_or(NodeId([0; 20]));
        Reply::new(id)
    }

    /// The nodes nearest to a target, of the families that are wanted: the asker's own, if it does not say (BEP 32).
    fn name_nodes(&self, reply: &mut Reply, to: SocketAddr, target: &NodeId, want: Option<Want>) {
        let want = want.unwrap_or(Want { v4: to.is_ipv4(), v6: to.is_ipv6() });
        let nearest = |at: usize, wanted: bool| {
            let half = self.halves[at].as_ref().filter(|_| wanted);
            let mut nearest = half.map(|half| half.table.closest(target, K + 1)).unwrap_or_default();
            // The asker knows itself.
            nearest.retain(|info| info.address != to);
            nearest.truncate(K);
            nearest
        };
        (reply.nodes, reply.nodes6) = (nearest(0, want.v4), nearest(1, want.v6));
    }
}

/// Near what an answer names nodes, and of which families; nothing if it names none.
fn names_nodes(method: &Method) -> Option<(NodeId, Option<Want>)> {
    match method {
        Method::FindNode { target, want }
        | Method::Get { target, want, .. }
        | Method::SampleInfohashes { target, want } => Some((*target, *want)),
        Method::GetPeers { info_hash, want, .. } => Some((NodeId::from(*info_hash), *want)),
        Method::Unknown { target, .. } => target.map(|target| (target, None)),
        Method::Ping | Method::AnnouncePeer { .. } | Method::Put { .. } => None,
    }
}

/// An answer to somebody who may not be who it says: the whole one, as far as a datagram takes it; and, if that is too long for a stranger and what
/// he came for would suffer, what is left within the budget. Nodes alone are no loss: others name them too.
fn fit_stranger(mut packet: Packet, budget: usize) -> (Option<Vec<u8>>, Option<Option<Vec<u8>>>) {
    let whole = fit(packet.clone(), ANSWER_LEN_MAX);
    if whole.as_ref().is_some_and(|bytes| bytes.len() <= budget) {
        return (whole, None);
    }
    let Body::Reply(reply) = &mut packet.body else { return (fit(packet, budget), None) };
    let (values, had_item) = (reply.values.len(), reply.item.is_some());
    // Filters take 512 bytes, more than a stranger may be sent.
    let had_filters = reply.scrape.take().is_some();
    let cut = fit(packet, budget);
    let kept = cut.as_ref().and_then(|bytes| match Packet::decode(bytes).ok()?.body {
        Body::Reply(reply) => Some((reply.values.len(), reply.item.is_some())),
        Body::Query(_) | Body::Error(_) => None,
    });
    let suffers =
        had_filters || kept.is_none_or(|(kept, item)| kept < values.min(VALUES_MAX) || item != had_item);
    if suffers { (whole, Some(cut)) } else { (cut, None) }
}

/// The packet's bytes, after leaving out as much as it takes to have at most so many: peers beyond the first few, nodes, the rest of
/// the peers, samples. `None` if even the bare answer is too long.
fn fit(mut packet: Packet, budget: usize) -> Option<Vec<u8>> {
    loop {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        let Some(excess) = bytes.len().checked_sub(budget).filter(|excess| *excess > 0) else {
            return Some(bytes);
        };
        let Body::Reply(reply) = &mut packet.body else { return None };
        if !shorten(reply, excess) {
            return None;
        }
    }
}

/// Leaves out something of an answer that is so many bytes too long. Says whether there was anything.
fn shorten(reply: &mut Reply, excess: usize) -> bool {
    /// Peers that are worth more to an asker than the nodes: it came for peers.
    const VALUES_KEPT: usize = 8;
    /// Nodes that are worth more than the last few peers: without any, a walk ends.
    const NODES_KEPT: usize = 4;
    // A packed peer in a list is `6:` and 6 bytes or `18:` and 18, a node 26 or 38.
    let value = if reply.values.iter().any(SocketAddr::is_ipv6) { 21 } else { 8 };
    let cut = |len: usize, kept: usize, each: usize| len - (len - kept.min(len)).min(excess.div_ceil(each));
    if let Some(samples) = reply.samples.as_mut().filter(|samples| !samples.samples.is_empty()) {
        samples.samples.truncate(cut(samples.samples.len(), 0, 20));
    } else if reply.values.len() > VALUES_KEPT {
        reply.values.truncate(cut(reply.values.len(), VALUES_KEPT, value));
    } else if reply.nodes6.len() > NODES_KEPT {
        reply.nodes6.truncate(cut(reply.nodes6.len(), NODES_KEPT, 38));
    } else if reply.nodes.len() > NODES_KEPT {
        reply.nodes.truncate(cut(reply.nodes.len(), NODES_KEPT, 26));
    } else if !reply.values.is_empty() {
        reply.values.truncate(cut(reply.values.len(), 0, value));
    } else if !reply.nodes6.is_empty() {
        reply.nodes6.truncate(cut(reply.nodes6.len(), 0, 38));
    } else if !reply.nodes.is_empty() {
        reply.nodes.truncate(cut(reply.nodes.len(), 0, 26));
    } else if reply.scrape.is_some() {
        reply.scrape = None;
    } else if reply.item.is_some() {
        reply.item = None;
    } else {
        return false;
    }
    true
}
