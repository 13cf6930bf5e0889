//! Chance from the operating system: what seeds the session and names us. Everything after that is `proto`'s seeded generator.
//!
//! BEP: 20 (peer id)

use proto::Seed;
use wire::PeerId;

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
    fn two_peer_ids_share_the_prefix_and_nothing_else() {
        let (a, b) = (peer_id().unwrap(), peer_id().unwrap());
        assert!(a.0.starts_with(b"-GN0100-") && b.0.starts_with(b"-GN0100-"));
        assert_ne!(a, b);
    }
}
