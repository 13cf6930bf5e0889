//! Just enough HTTP for two JSON-RPC interfaces on a private network.

use anyhow::{Context, Result};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a server answered.
pub(crate) struct Reply {
    head: String,
    pub(crate) body: String,
}

impl Reply {
    /// A header of the answer.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// Posts JSON and reads the answer to its end.
pub(crate) fn post(server: SocketAddr, path: &str, headers: &str, body: &Value) -> Result<Reply> {
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(2))?;
    // aria2 answers when it has nothing else to do: on a busy machine after it has hashed a content.
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let body = body.to_string();
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nHost: {server}\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("no end of the head")?;
    Ok(Reply { head: head.into(), body: body.into() })
}
