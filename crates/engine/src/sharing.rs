//! Sharing by a code that people say to each other: how who shares and who receives come to a line that nobody else can read. What
//! they say to each other there is theirs: whole messages, in order. Why it is safe, and against whom: docs/sharing.md.
//!
//! Needs no [`Client`](crate::Client). What follows is one: with a [`SwarmKey`](crate::SwarmKey) that was said over the line.
//!
//! ```
//! use gannet::Listen;
//! use gannet::sharing::{DeskEvent, Pairer, PairingDesk, draw_code};
//! use std::net::Ipv4Addr;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Who shares makes a code and says it aloud: its number may be shown to everybody, its words are the secret.
//! let code = draw_code()?;
//! let here = Listen { ports: 0..=0, ipv4: Some(Ipv4Addr::LOCALHOST), ipv6: None };
//! let desk = PairingDesk::open(code.clone(), &here)?;
//!
//! // Who receives types what was said, and finds out where a share of that number is.
//! let pairer = Pairer::new(code.to_string().parse()?)?;
//! let reply = pairer.pair(desk.local_addrs()[0]);
//!
//! let DeskEvent::Paired(to_receiver) = desk.recv()? else { panic!("the code was right") };
//! let to_sharer = reply.wait()??;
//! to_receiver.send(b"three files, 12 MB".to_vec())?;
//! assert_eq!(to_sharer.recv()?, b"three files, 12 MB");
//! to_sharer.send(b"I want them".to_vec())?;
//! // Answered when the other side has everything.
//! to_sharer.close().wait()??;
//! assert_eq!(to_receiver.recv()?, b"I want them");
//! assert!(to_receiver.recv().is_err());
//! # Ok(())
//! # }
//! ```

mod listing;
mod meter;
mod receive;
mod share;
#[cfg(test)]
mod tests;

pub use listing::{LISTED_MAX, ListError, ListedFile, Listing, LostWhy};
pub use receive::{
    Offered, Receive, ReceiveConfig, ReceiveError, ReceiveEvent, ReceiveStatus, ReceiveTrouble,
};
pub use share::{ReceiverState, ReceiverStatus, Share, ShareConfig, ShareError, ShareEvent, ShareStatus};

pub use crate::edge::pairing::desk::{DeskEvent, PairingDesk};
pub use crate::edge::pairing::line::{LineEnd, PairedLine, Unsaid};
pub use crate::edge::pairing::pairer::{PairError, Pairer};
pub use wire::code::{Code, CodeError};
pub use wire::offer::Place;

/// Bytes of the longest message between two who are paired: 256 KiB.
pub const PAIRED_MESSAGE_LEN_MAX: usize = wire::paired::MESSAGE_LEN_MAX;

/// A new code, by chance that nobody can predict.
///
/// # Errors
/// When the system gives none.
pub fn draw_code() -> std::io::Result<Code> {
    Ok(Code::draw(crate::entropy::bytes()?))
}
