//! Names to addresses, with a time-out. Asks the system; keeps nothing.

use super::guard;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use url::Url;

/// How long a look-up may take: the system's resolver itself gives up after some 10 s a server.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Names of peers that are looked up at once: a quarter of the threads that may block, the rest are for trackers and web seeds.
const NAMES_MAX: usize = 4;

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

/// The looking up of hosts that links name as peers, a few at once.
pub(super) struct Names {
    turns: Arc<Semaphore>,
    timeout: Duration,
}

impl Default for Names {
    fn default() -> Names {
        Names { turns: Arc::new(Semaphore::new(NAMES_MAX)), timeout: LOOKUP_TIMEOUT }
    }
}

impl Names {
    /// Where a host is: a few addresses, or why there is none.
    pub(super) async fn look_up(&self, host: String, port: u16) -> Result<Vec<SocketAddr>, String> {
        let system = |host: &str, port| {
            let found = (host, port).to_socket_addrs()?;
            Ok(found.take(ADDRESSES_MAX).collect())
        };
        self.look_up_by(system, host, port).await
    }

    /// The system's resolver cannot be called off: whoever waited too long is told so, but the turn ends only when the thread is
    /// free again, so that names that hang never take more threads than theirs.
    async fn look_up_by(
        &self,
        resolver: impl FnOnce(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + 'static,
        host: String,
        port: u16,
    ) -> Result<Vec<SocketAddr>, String> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| "the client ends")?;
        let looked_up = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            resolver(&host, port)
        });
        match tokio::time::timeout(self.timeout, looked_up).await {
            Err(_) => Err(format!("looking up its name took more than {} s", self.timeout.as_secs())),
            Ok(Err(_)) => Err("its name cannot be looked up: the client ends".into()),
            Ok(Ok(Err(error))) => Err(format!("its name cannot be looked up: {error}")),
            Ok(Ok(Ok(found))) => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Condvar, Mutex};

    /// Resolvers that hang until they are let go.
    #[derive(Default)]
    struct Hang {
        over: Mutex<bool>,
        changed: Condvar,
        inside: AtomicUsize,
        most: AtomicUsize,
    }

    impl Hang {
        fn resolve(&self, port: u16) -> io::Result<Vec<SocketAddr>> {
            let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(inside, Ordering::SeqCst);
            let over = self.over.lock().unwrap();
            drop(self.changed.wait_while(over, |over| !*over).unwrap());
            self.inside.fetch_sub(1, Ordering::SeqCst);
            Ok(vec![SocketAddr::from(([192, 0, 2, 1], port))])
        }

        fn let_go(&self) {
            *self.over.lock().unwrap() = true;
            self.changed.notify_all();
        }
    }

    #[test]
    fn a_hundred_names_that_hang_leave_threads_for_others_and_time_out() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(NAMES_MAX + 1)
            .build()
            .unwrap();
        runtime.block_on(async {
            let hang = Arc::new(Hang::default());
            let turns = Names::default().turns;
            let look_up = |port: u16| {
                // The first are not waited for long; those behind them are, however busy the machine is.
                let millis = if usize::from(port) < NAMES_MAX { 20 } else { 60_000 };
                let names = Names { turns: Arc::clone(&turns), timeout: Duration::from_millis(millis) };
                let hang = Arc::clone(&hang);
                let resolver = move |_: &str, port: u16| hang.resolve(port);
                async move { names.look_up_by(resolver, "peer.example".into(), port).await }
            };
            let mut under_way = tokio::task::JoinSet::new();
            (0..100).for_each(|port| drop(under_way.spawn(look_up(port))));
            for _ in 0..NAMES_MAX {
                let told = under_way.join_next().await.unwrap().unwrap().unwrap_err();
                assert!(told.contains("took more than"), "{told}");
            }
            // The rest waits, for four threads still hang; others' work has a thread.
            assert_eq!(tokio::task::spawn_blocking(|| 7).await.unwrap(), 7);
            assert_eq!(hang.inside.load(Ordering::SeqCst), NAMES_MAX);
            hang.let_go();
            while let Some(told) = under_way.join_next().await {
                assert_eq!(told.unwrap().map(|found| found.len()), Ok(1));
            }
            assert_eq!(hang.most.load(Ordering::SeqCst), NAMES_MAX);
        });
    }

    #[tokio::test]
    async fn a_name_that_is_an_address_is_that_address() {
        let found = Names::default().look_up("192.0.2.7".into(), 6881).await;
        assert_eq!(found, Ok(vec![SocketAddr::from(([192, 0, 2, 7], 6881))]));
    }
}
