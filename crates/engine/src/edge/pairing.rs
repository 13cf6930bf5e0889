//! Pairings over sockets: a desk to which receivers come with a code, who comes there, and the line between two who are paired.
//! Decides nothing about who is listened to, how often, how long: that is `proto::pairing`'s.
//!
//! A desk, and a pairer, has a thread of its own, which ends with the last of it and of the lines that it made.

pub(crate) mod desk;
pub(crate) mod line;
pub(crate) mod pairer;

use std::future::Future;
use std::io;
use std::pin::Pin;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, WeakUnboundedSender, unbounded_channel};

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A thread that does what it is given. It ends, and gives up what it does, when nobody can give it anything any more.
#[derive(Clone, Debug)]
struct Works(UnboundedSender<Job>);

impl Works {
    fn start() -> io::Result<Works> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (jobs, mut given) = unbounded_channel::<Job>();
        std::thread::Builder::new().name("gannet-pairing".into()).spawn(move || {
            runtime.block_on(async {
                while let Some(job) = given.recv().await {
                    tokio::spawn(job);
                }
            });
        })?;
        Ok(Works(jobs))
    }

    fn give(&self, job: impl Future<Output = ()> + Send + 'static) {
        // The thread takes jobs as long as this exists.
        let _ = self.0.send(Box::pin(job));
    }

    /// For what the thread does itself, which must not keep it from ending.
    fn downgrade(&self) -> WeakWorks {
        WeakWorks(self.0.downgrade())
    }
}

#[derive(Clone, Debug)]
struct WeakWorks(WeakUnboundedSender<Job>);

impl WeakWorks {
    fn upgrade(&self) -> Option<Works> {
        self.0.upgrade().map(Works)
    }
}

/// Reads what is there, as soon as something is; nothing at the end.
async fn read_some(socket: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    loop {
        socket.readable().await?;
        match socket.try_read(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

async fn write_all(socket: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        socket.writable().await?;
        match socket.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
