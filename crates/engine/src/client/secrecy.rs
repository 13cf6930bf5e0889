//! What a client refuses so that the torrents of a private swarm stay among those who hold its key, and those of others where
//! they are. Decides before anything of a torrent is started, remembered or asked for.

use super::{AddError, Client, Entrance, state_failed};
use crate::state::Swarm;
use wire::magnet::PeerHint;
use wire::{InfoHash, Magnet};

impl Client {
    /// Whoever is named here would be told which torrent is ours: not by a client whose links are private.
    pub(super) fn keep_secret<'a>(
        &self,
        mut named: impl Iterator<Item = &'a String>,
    ) -> Result<(), AddError> {
        match named.next().filter(|_| self.swarm != Swarm::Open) {
            Some(url) => {
                // The rest of a tracker's URL may be a secret of its own.
                let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
                Err(AddError::WouldTell(host.unwrap_or_else(|| "a tracker or web seed".into())))
            }
            None => Ok(()),
        }
    }

    /// Nor may anybody be asked where a peer is.
    pub(super) fn look_nowhere(&self, magnet: &Magnet) -> Result<(), AddError> {
        let named = magnet.peers.iter().find_map(|peer| match peer {
            PeerHint::Host(host, _) => Some(host.clone()),
            PeerHint::Address(_) => None,
        });
        named.filter(|_| self.swarm != Swarm::Open).map_or(Ok(()), |host| Err(AddError::WouldLookUp(host)))
    }

    /// What is known as a secret of one swarm is not told in another, nor in the open: a torrent stays where it was taken in. The other
    /// way round neither: its record would make a secret of what is in the open, and by its info-hash everybody who knows it
    /// there would know what the private swarm has.
    pub(super) fn admit(&self, _entrance: &Entrance, info_hash: InfoHash) -> Result<(), AddError> {
        self.is_ours(info_hash)
    }

    /// As [`Client::admit`], of what will not be remembered, so that no other process can be told otherwise meanwhile.
    pub(super) fn is_ours(&self, info_hash: InfoHash) -> Result<(), AddError> {
        match self.shared.state.swarm(info_hash).map_err(state_failed)? {
            Some(Swarm::Open) if self.swarm != Swarm::Open => Err(AddError::NotSecret(info_hash)),
            Some(kept) if kept != self.swarm => Err(AddError::Secret(info_hash)),
            None | Some(_) => Ok(()),
        }
    }
}
