//! The introduction that opens the extension protocol: our ids, how many requests may queue, who we are.
//!
//! Sent once right after the handshake; a peer may send more, each of which changes only what it names. BEP: 10, 21

use super::{ExtensionReport, REGISTRY};
use crate::{Config, PeerMisbehaved};
use wire::Message;
use wire::extension::{ExtensionHandshake, HANDSHAKE_ID, name};

/// What the message says.
pub fn receive(body: &[u8]) -> Result<ExtensionReport, PeerMisbehaved> {
    let read = ExtensionHandshake::decode(body).map_err(|_| PeerMisbehaved::ExtensionMalformed)?;
    Ok(ExtensionReport::Handshake(Box::new(read)))
}

/// Whether we take part in peer exchange, as far as a peer knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerExchange {
    /// We do.
    Offered,
    /// We do not, and never said so: a private torrent's peers do not name one another (BEP 27).
    NotOffered,
    /// We said so before we knew that the torrent is private. Silence would leave it as it is: only an id of 0 ends it (BEP 10).
    Withdrawn,
}

impl PeerExchange {
    /// What the first words of a torrent say.
    pub fn of(private: bool) -> PeerExchange {
        if private { PeerExchange::NotOffered } else { PeerExchange::Offered }
    }
}

/// Ours. What a peer need not know is left out when anonymous.
pub fn message(
    config: &Config,
    listening: Option<u16>,
    upload_only: bool,
    exchange: PeerExchange,
    metadata_size: Option<u32>,
) -> Message {
    let id_of = |name: &str, id: u8| match (name == name::PEX, exchange) {
        (false, _) | (true, PeerExchange::Offered) => Some(id),
        (true, PeerExchange::NotOffered) => None,
        (true, PeerExchange::Withdrawn) => Some(0),
    };
    let spoken = REGISTRY.iter().zip(1..);
    let spoken =
        spoken.filter_map(|(extension, id)| Some((extension.name.into(), id_of(extension.name, id)?)));
    let handshake = ExtensionHandshake {
        extensions: spoken.collect(),
        client: (!config.anonymous).then(|| config.client.clone()),
        port: listening.filter(|_| !config.anonymous),
        reqq: Some(config.requests_in_max),
        upload_only: upload_only.then_some(true),
        metadata_size,
        ..ExtensionHandshake::default()
    };
    Message::Extended { id: HANDSHAKE_ID, body: handshake.encode().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extension::RemoteExtensions;
    use wire::PeerId;

    fn read(config: &Config) -> ExtensionHandshake {
        read_of(config, PeerExchange::Offered)
    }

    fn read_of(config: &Config, exchange: PeerExchange) -> ExtensionHandshake {
        let Message::Extended { id: 0, body } = message(config, Some(6881), true, exchange, Some(20_000))
        else {
            panic!("no handshake")
        };
        let Ok(ExtensionReport::Handshake(read)) = receive(&body) else { panic!("not understood") };
        *read
    }

    #[test]
    fn our_own_introduction_is_understood() {
        let config = Config::new(PeerId(*b"-GN0100-abcdefghijkl"));
        let read = read(&config);
        assert_eq!((read.id_of("upload_only"), read.id_of("lt_donthave")), (Some(1), Some(2)));
        assert_eq!((read.reqq, read.port, read.upload_only), (Some(500), Some(6881), Some(true)));
        assert_eq!((read.id_of("ut_metadata"), read.metadata_size), (Some(4), Some(20_000)));
        assert_eq!(read.client, Some(config.client));
    }

    #[test]
    fn a_private_torrent_offers_no_peer_exchange() {
        let config = Config::new(PeerId([0; 20]));
        let read = |private| read_of(&config, PeerExchange::of(private));
        assert_eq!(read(false).id_of("ut_pex"), Some(3));
        assert_eq!((read(true).id_of("ut_pex"), read(true).id_of("upload_only")), (None, Some(1)));
    }

    #[test]
    fn who_was_offered_peer_exchange_hears_that_it_is_over() {
        let config = Config::new(PeerId([0; 20]));
        let mut remote = RemoteExtensions::default();
        for (exchange, speaks) in [
            (PeerExchange::Offered, true),
            (PeerExchange::NotOffered, true),
            (PeerExchange::Withdrawn, false),
        ] {
            remote.meet(&read_of(&config, exchange));
            assert_eq!(remote.speaks(name::PEX), speaks, "{exchange:?}");
            assert!(remote.speaks(name::METADATA), "{exchange:?}");
        }
    }

    #[test]
    fn an_anonymous_introduction_names_neither_client_nor_port() {
        let mut config = Config::new(PeerId([0; 20]));
        config.anonymous = true;
        let read = read(&config);
        assert_eq!((read.client, read.port), (None, None));
    }
}
