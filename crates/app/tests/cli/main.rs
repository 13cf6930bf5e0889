//! The built program from outside: what it prints, what it leaves on disk, how it ends. Torrents travel over loopback.

#![allow(clippy::unwrap_used)]

mod demo;
mod dht;
mod fetching;
mod lab;
mod magnets;
mod making;
mod mediums;
mod members;
mod program;
mod pty;
mod refusals;
mod secrets;
mod sharing;
mod stopping;
mod terminal;
mod tracker;
