//! Chance from the operating system: what seeds the session and names us. Everything after that is `proto`'s seeded generator.
//!
//! BEP: 20 (peer id)

use proto::Seed;
use wire::PeerId;
use wire::mse::{Chance, PAD_LEN_MAX, PRIVATE_KEY_LEN};

/// Client code and version in peer ids, BEP 20 Azureus style: Gannet 0.1.0.
const PEER_ID_PREFIX: [u8; 8] = *b"-GN0100-";

/// Random bytes from the operating system.
pub(crate) fn bytes<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes)
}

/// A seed for a session.
pub(crate) fn seed() -> std::io::Result<Seed> {
    Ok(Seed(u64::from_le_bytes(bytes()?)))
}

/// Chance for one encrypted handshake.
pub(crate) struct MseChance {
    private_key: [u8; PRIVATE_KEY_LEN],
    pad: [u8; PAD_LEN_MAX],
    pad_len: usize,
}

impl MseChance {
    /// As the machines take it. Without PadC and PadD: clients of today expect none, and the other two hide the length.
    pub(crate) fn as_chance(&self) -> Chance<'_> {
        Chance { private_key: self.private_key, pad: &self.pad[..self.pad_len], zeros: 0 }
    }
}

/// A private key and padding of any length.
pub(crate) fn mse() -> std::io::Result<MseChance> {
    let pad_len = usize::from(u16::from_le_bytes(bytes()?)) % (PAD_LEN_MAX + 1);
    Ok(MseChance { private_key: bytes()?, pad: bytes()?, pad_len })
}

/// A fresh peer id: the prefix, then twelve random bytes.
pub(crate) fn peer_id() -> std::io::Result<PeerId> {
    let mut id = [0; 20];
    id[..8].copy_from_slice(&PEER_ID_PREFIX);
    id[8..].copy_from_slice(&bytes::<12>()?);
    Ok(PeerId(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_handshakes_share_nothing() {
        let (a, b) = (mse().unwrap(), mse().unwrap());
        assert!(a.as_chance().private_key != b.as_chance().private_key && a.pad != b.pad);
        assert!((0..200).all(|_| mse().unwrap().as_chance().pad.len() <= PAD_LEN_MAX));
    }

    #[test]
    fn two_peer_ids_share_the_prefix_and_nothing_else() {
        let (a, b) = (peer_id().unwrap(), peer_id().unwrap());
        assert!(a.0.starts_with(b"-GN0100-") && b.0.starts_with(b"-GN0100-"));
        assert_ne!(a, b);
    }
}
