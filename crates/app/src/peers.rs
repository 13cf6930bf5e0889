//! Peers as the user types them: addresses, or names that are looked up.

use crate::failure::Failure;
use crate::words::why;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// Where they are; of a name all its addresses.
pub(crate) fn addresses(given: &[String]) -> Result<Vec<SocketAddr>, Failure> {
    let mut found = Vec::new();
    for peer in given {
        found.extend(look_up(peer).map_err(|error| {
            let example = "a peer is given as 192.0.2.7:6881, [2001:db8::7]:6881, [fe80::7%eth0]:6881 or host.example:6881";
            Failure::plain(format!("there is no peer {peer}: {}; {example}", why(&error)))
        })?);
    }
    Ok(found)
}

fn look_up(peer: &str) -> io::Result<Vec<SocketAddr>> {
    // The system knows the names of interfaces, but no brackets.
    if let Some((host, port)) = peer.strip_prefix('[').and_then(|rest| rest.rsplit_once("]:"))
        && let Ok(port) = port.parse::<u16>()
    {
        return Ok((host, port).to_socket_addrs()?.collect());
    }
    Ok(peer.to_socket_addrs()?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_link_alone_is_given_with_its_interface() {
        let given = ["127.0.0.1:1", "[::1]:2", "[fe80::7%lo]:3"].map(str::to_owned);
        let found = addresses(&given).unwrap();
        let SocketAddr::V6(local) = found[2] else { panic!("{found:?}") };
        assert_eq!((found[0].port(), found[1].port(), local.port(), local.scope_id()), (1, 2, 3, 1));
    }

    #[test]
    fn what_is_no_peer_is_refused_with_an_example() {
        for wrong in ["127.0.0.1", "[::1]", "[::1]:x", ":", "[fe80::7%nosuch]:3"] {
            let error = addresses(&[wrong.to_owned()]).unwrap_err().to_string();
            assert!(error.contains("192.0.2.7:6881") && error.contains(wrong), "{error}");
        }
    }
}
