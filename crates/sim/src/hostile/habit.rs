//! What an attacker is made of: how it opens, what it says it has, how it serves, chokes, asks, chatters and comes back.
//!
//! Data alone; [`super::Attacker`] acts it out, [`super::cast`] has the rows. Rates are per link and second, before the vigour
//! that a driver may multiply them with. BEP: 3, 6, 9, 10, 11

use core::time::Duration;

/// One way to be hostile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Habit {
    /// What it is called, in reports and on command lines.
    pub name: &'static str,
    /// What it does before the first message.
    pub opens: Opens,
    /// What it says it has.
    pub claims: Claims,
    /// How it answers requests.
    pub serves: Serves,
    /// Whom it lets ask.
    pub chokes: Chokes,
    /// What it asks for.
    pub asks: Asks,
    /// What else it says, unasked, and how often a second.
    pub noise: Option<(Noise, u32)>,
    /// How large it says the metadata is, if it speaks of it at all; what it gives of it is rubbish (BEP 9).
    pub metadata: Option<u32>,
    /// Whom it names as peers, and how often (BEP 11).
    pub names: Option<(Names, Duration)>,
    /// How it comes and goes.
    pub visits: Visits,
}

/// What an attacker does before the first message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opens {
    /// A handshake, as everybody.
    Properly,
    /// It takes the link and says nothing.
    Never,
    /// Part of a handshake, and then nothing.
    Halfway,
    /// A handshake byte by byte, one a second.
    Slowly,
    /// A handshake under the peer id of whom it talks to.
    AsYou,
    /// A handshake under a peer id that all its kind use.
    AsMany,
}

/// What an attacker says it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claims {
    /// Not a word.
    Silence,
    /// Nothing.
    Nothing,
    /// Everything.
    All,
    /// Half of it, by chance, and never more.
    Half,
    /// Nothing at first, and then one piece after the other.
    Growing,
    /// Everything, then nothing, and again.
    Changing,
    /// A set that is too long for the torrent.
    Malformed,
    /// Pieces that do not exist.
    Beyond,
}

/// How an attacker answers requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Serves {
    /// Not at all.
    Never,
    /// It rejects each.
    Rejects,
    /// With the right bytes.
    Rightly,
    /// One block of so many is wrong.
    Spoils {
        /// Of how many.
        one_in: u32,
    },
    /// As its ring agreed: see [`super::ring`].
    Colludes,
    /// With the right bytes, so many a second.
    Drips {
        /// Bytes a second.
        rate: u32,
    },
    /// With another block than was asked for.
    Astray,
    /// Twice.
    Twice,
}

/// Whom an attacker lets ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chokes {
    /// Nobody.
    Everybody,
    /// Everybody, at once.
    Nobody,
    /// Everybody, and then nobody, in turn. What was asked for is forgotten with each choke.
    Flaps {
        /// So often.
        every: Duration,
    },
    /// It chokes, and allows as many pieces in spite of it as it may.
    Baits,
}

/// What an attacker asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asks {
    /// Nothing, and it says so.
    Nothing,
    /// Blocks, as long as it is let, this many at a time; never has it more to show.
    Forever {
        /// Requests that wait for an answer.
        pending: u32,
    },
    /// As [`Asks::Forever`], and shows each piece of which it got a block.
    Rides {
        /// Requests that wait for an answer.
        pending: u32,
    },
    /// Only what it was allowed although it is choked, again and again.
    AllowedAgain,
}

/// What an attacker says unasked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noise {
    /// Keep-alives.
    KeepAlives,
    /// Interested, not interested.
    Interest,
    /// Haves that were said before.
    Haves,
    /// Bitfields.
    Bitfields,
    /// Have-all.
    HaveAlls,
    /// Suggestions.
    Suggests,
    /// Pieces allowed although it chokes.
    AllowedFasts,
    /// Requests, whether it may or not.
    Requests,
    /// Requests longer than any block.
    HugeRequests,
    /// Requests beyond the last piece.
    WildRequests,
    /// Cancels of what it never asked.
    Cancels,
    /// A request and its cancel.
    CancelStorms,
    /// Rejects of what nobody asked.
    Rejects,
    /// DHT ports.
    Ports,
    /// Messages that nobody knows.
    Unknowns,
    /// Extension handshakes.
    Introductions,
    /// Extended messages full of rubbish.
    ExtensionJunk,
    /// Blocks that nobody asked for, wrong ones.
    StrayBlocks,
    /// Anything of the above.
    Nonsense,
}

/// Whom an attacker names as peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Names {
    /// One host that is no peer.
    Victim,
    /// The same, at ports where servers listen.
    Servers,
    /// Machines of local networks, which to whoever hears it are others than to who says it.
    Neighbours,
    /// Peers that it makes up, others each time.
    Crowd,
}

/// How an attacker comes and goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Visits {
    /// After a link has ended, or was refused, it tries again after this long.
    pub redials: Duration,
    /// It hangs up this long after it came.
    pub stays: Option<Duration>,
}
