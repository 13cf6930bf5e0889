//! Names to addresses, with a time-out. Asks the system; keeps nothing.

use super::guard;
use std::net::SocketAddr;
use std::time::Duration;
use url::Url;

/// How long a look-up may take: the system's resolver itself gives up after some 10 s a server.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses of one host that are used; names with more are load balancers', and a few will do.
const ADDRESSES_MAX: usize = 8;

/// Where the URL's host is: every address, unchecked. Why not, if there is none.
pub(crate) async fn resolve(url: &Url) -> Result<Vec<SocketAddr>, String> {
    let port = url.port_or_known_default().ok_or("no port")?;
    if let Some(ip) = guard::literal_address(url) {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let host = url.host_str().ok_or("no host")?;
    match tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host, port))).await {
        Err(_) => Err(format!("looking up its name took more than {} s", LOOKUP_TIMEOUT.as_secs())),
        Ok(Err(error)) => Err(format!("its name cannot be looked up: {error}")),
        Ok(Ok(found)) => {
            let mut addresses: Vec<SocketAddr> = found.collect();
            addresses.dedup();
            addresses.truncate(ADDRESSES_MAX);
            Ok(addresses)
        }
    }
}
