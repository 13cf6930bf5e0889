//! A person on the left side: one download over HTTP, as a browser does it.

use super::news::News;
use super::plan::FILE_NAME;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// How long a client waits for the next byte before it gives up, as browsers do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes read at a time.
const CHUNK: usize = 16 << 10;

/// Starts a download into this folder; what becomes of it is told as news of this client.
pub(super) fn start(
    number: usize,
    server: SocketAddr,
    folder: PathBuf,
    news: SyncSender<News>,
) -> io::Result<()> {
    std::thread::Builder::new().name("demo-client".into()).spawn(move || {
        let ended = match fetch(server, &folder, |bytes| drop(news.send(News::Fetched(number, bytes)))) {
            Ok(()) => News::FetchDone(number),
            Err(_) => News::FetchFailed(number),
        };
        // Nobody listens any more when the demonstration is over.
        let _ = news.send(ended);
    })?;
    Ok(())
}

fn fetch(server: SocketAddr, folder: &std::path::Path, mut told: impl FnMut(u64)) -> io::Result<()> {
    let mut link = TcpStream::connect_timeout(&server, PATIENCE)?;
    link.set_read_timeout(Some(PATIENCE))?;
    write!(link, "GET /{FILE_NAME} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")?;
    let mut link = BufReader::new(link);
    let mut len = None;
    let mut line = String::new();
    loop {
        line.clear();
        link.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some(("Content-Length", value)) => len = value.parse().ok(),
            _ if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let len: u64 = len.ok_or(io::ErrorKind::InvalidData)?;
    let mut file = File::create_new(folder.join(FILE_NAME))?;
    let (mut done, mut chunk) = (0, vec![0; CHUNK]);
    while done < len {
        let read = match link.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => read,
        };
        file.write_all(&chunk[..read])?;
        done += read as u64;
        told(done);
    }
    Ok(())
}
