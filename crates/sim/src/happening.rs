//! What can be pending in a world: the kinds of events, each owned by one node or by the network as a whole.

use crate::content::Tag;
use crate::fault::Fault;
use crate::network::{ConnId, Parcel, PipeId, Side};
use core::net::SocketAddr;
use proto::input::{DialFailure, LinkEnd};
use proto::{DialId, FetchId, Input, SendToken};
use wire::Block;

/// The owner of events that are nobody's in particular; last among those of one moment.
pub(crate) const NOBODY: u32 = u32::MAX;

/// One pending event.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A node joins, or comes back.
    Start,
    /// An attacker asked to be woken.
    Prompt { incarnation: u32 },
    /// A session asked to be woken.
    Wake { incarnation: u32 },
    /// An answer that was ready at once.
    Tell { incarnation: u32, input: Box<Input<'static>> },
    /// A disk job is done.
    Disk { incarnation: u32, job: u64 },
    /// A block was read for sending.
    ReadDone { pipe: PipeId, token: SendToken, tag: Tag },
    /// A piece of metadata has left.
    MetadataLeft { incarnation: u32, token: SendToken },
    /// A node of the DHT asked to be woken.
    WakeFinder { incarnation: u32 },
    /// A datagram reaches a node of the DHT, if there is one.
    Datagram { from: SocketAddr, bytes: Box<[u8]> },
    /// Header and control bytes are reported.
    Meter { incarnation: u32 },

    /// A dialer's handshake reaches the dialed node.
    Knock(Knock),
    /// A dial succeeded, at the dialer.
    Answered { conn: ConnId, knock: Knock },
    /// A dial failed, at the dialer.
    Unanswered { knock: Knock, why: DialFailure },
    /// Something arrives through a pipe.
    Arrive { pipe: PipeId, parcel: Parcel },
    /// Part of a block arrived.
    Progress { pipe: PipeId, bytes: u32 },
    /// One end learns that the link is no more.
    Down { conn: ConnId, side: Side, why: LinkEnd },
    /// The block in service has left.
    BlockLeft { pipe: PipeId, stamp: u32 },
    /// A fetch from a web server goes on.
    Web { incarnation: u32, what: WebStep },
    /// The network shares its capacity anew.
    Quantum,

    /// A node that said goodbye is gone.
    Exit { incarnation: u32 },
    /// Something goes wrong, on purpose.
    Fault(Box<Fault>),
    /// The checkers look at the slow things.
    Inspect,
}

/// How a fetch goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WebStep {
    /// A block has left the server: the next one may.
    Left { fetch: FetchId },
    /// A block is here.
    Came { fetch: FetchId, block: Block, tag: Tag },
}

/// A dial on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Knock {
    pub(crate) dial: DialId,
    pub(crate) dialer: u32,
    pub(crate) incarnation: u32,
}
