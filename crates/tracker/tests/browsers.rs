//! Browsers at a tracker on loopback: they meet, and what is none of theirs they do not hear.

#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;
use tracker::{Access, Config, Listen, TorrentList, Tracker, WebSocketRules};
use tungstenite::{Message, WebSocket};
use wire::announce::AnnounceEvent;
use wire::tracker_ws::{Announce, Answer, Offer, OfferId, Request};
use wire::{InfoHash, PeerId};

/// Whoever does not answer within this does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

const TORRENT: InfoHash = InfoHash([0xe7; 20]);

fn tracker(websocket: Option<WebSocketRules>) -> (Tracker, SocketAddr) {
    let listen = vec![Listen::http((Ipv4Addr::LOCALHOST, 0).into())];
    let tracker = Tracker::start(Config { listen, websocket, ..Config::default() }).unwrap();
    let at = tracker.http_addr().unwrap();
    (tracker, at)
}

struct Browser(WebSocket<TcpStream>);

impl Browser {
    fn connect(at: SocketAddr) -> Browser {
        Browser::try_connect(at).unwrap()
    }

    fn try_connect(at: SocketAddr) -> Option<Browser> {
        let stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Some(Browser(tungstenite::client(format!("ws://{at}/announce"), stream).ok()?.0))
    }

    fn say(&mut self, request: &Request) {
        self.0.send(Message::text(request.encode())).unwrap();
    }

    fn announce(&mut self, n: u8, left: u64, offers: &[u8]) {
        let offer = |&n: &u8| Offer { id: OfferId([n; 20]), sdp: format!("offer {n}").into() };
        let offers = offers.iter().map(offer).collect();
        let (peer_id, event) = (PeerId([n; 20]), AnnounceEvent::Started);
        self.say(&Request::Announce(Announce {
            info_hash: TORRENT,
            peer_id,
            left: Some(left),
            event,
            offers,
        }));
    }

    fn hears(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.0.read().unwrap() {
                return serde_json::from_str(text.as_str()).unwrap();
            }
        }
    }
}

/// As JSON says names.
fn name(n: u8) -> String {
    char::from(n).to_string().repeat(20)
}

#[test]
fn two_browsers_exchange_an_offer_and_its_answer_and_are_counted() {
    let (tracker, at) = tracker(Some(WebSocketRules::default()));
    let (mut first, mut second) = (Browser::connect(at), Browser::connect(at));
    first.announce(1, 5, &[]);
    let announced = first.hears();
    assert_eq!((&announced["action"], &announced["info_hash"]), (&"announce".into(), &name(0xe7).into()));
    assert_eq!((announced["interval"].as_u64(), announced["incomplete"].as_u64()), (Some(120), Some(1)));
    second.announce(2, 0, &[0x81, 0x82]);
    assert_eq!(second.hears()["complete"], 1);
    let offered = first.hears();
    assert_eq!((&offered["peer_id"], &offered["offer_id"]), (&name(2).into(), &name(0x81).into()));
    assert_eq!(offered["offer"]["sdp"], "offer 129");
    let answer = Answer {
        info_hash: TORRENT,
        peer_id: PeerId([1; 20]),
        to: PeerId([2; 20]),
        offer: OfferId([0x81; 20]),
        sdp: "answer".into(),
    };
    first.say(&Request::Answer(answer));
    let answered = second.hears();
    assert_eq!((&answered["peer_id"], &answered["answer"]["sdp"]), (&name(1).into(), &"answer".into()));
    second.say(&Request::Scrape(vec![TORRENT]));
    let scraped = second.hears();
    assert_eq!(scraped["files"][name(0xe7)]["complete"], 1);
    assert_eq!(tracker.figures().announces, 2);
    // Whose connection is gone takes part no more.
    drop(first);
    loop {
        second.say(&Request::Scrape(vec![TORRENT]));
        if second.hears()["files"][name(0xe7)]["incomplete"] == 0 {
            break;
        }
    }
}

#[test]
fn what_is_no_message_is_refused_with_a_reason_and_the_connection_stays() {
    let (_tracker, at) = tracker(Some(WebSocketRules::default()));
    let mut browser = Browser::connect(at);
    for (text, why) in [("hello", "JSON"), ("{}", "action"), (r#"{"action":"announce"}"#, "info_hash")] {
        browser.0.send(Message::text(text)).unwrap();
        let refused = browser.hears();
        assert!(refused["failure reason"].as_str().unwrap().contains(why), "{refused}");
    }
    browser.announce(1, 0, &[]);
    assert_eq!(browser.hears()["complete"], 1);
    // What is longer than anything that makes sense ends it.
    let long = Message::text(" ".repeat(wire::tracker_ws::MESSAGE_LEN_MAX + 1));
    let _ = browser.0.send(long);
    while let Ok(said) = browser.0.read() {
        assert!(said.is_close(), "{said:?}");
    }
}

#[test]
fn torrents_that_are_not_served_are_not_and_that_changes_at_work() {
    let (tracker, at) = tracker(Some(WebSocketRules::default()));
    let mut browser = Browser::connect(at);
    browser.announce(1, 0, &[]);
    assert_eq!(browser.hears()["complete"], 1);
    tracker.set_access(Access::Deny(TorrentList::read("e7".repeat(20).as_bytes()))).unwrap();
    browser.announce(1, 0, &[]);
    let refused = browser.hears();
    assert!(refused["failure reason"].is_string() && refused["info_hash"] == name(0xe7), "{refused}");
}

#[test]
fn who_speaks_too_much_is_heard_later_but_whole() {
    let rules = WebSocketRules { messages_per_second_max: 500, ..WebSocketRules::default() };
    let (_tracker, at) = tracker(Some(rules));
    let mut browser = Browser::connect(at);
    for _ in 0..300 {
        browser.say(&Request::Scrape(vec![TORRENT]));
    }
    for _ in 0..300 {
        assert_eq!(browser.hears()["action"], "scrape");
    }
}

#[test]
fn one_address_has_but_so_many_connections_and_gets_them_back() {
    let rules = WebSocketRules { connections_per_address_max: 2, ..WebSocketRules::default() };
    let (_tracker, at) = tracker(Some(rules));
    let mut two = [Browser::connect(at), Browser::connect(at)];
    for (n, browser) in (1..).zip(&mut two) {
        browser.announce(n, 0, &[]);
        browser.hears();
    }
    assert!(Browser::try_connect(at).is_none(), "it is closed");
    let [one, _other] = two;
    drop(one);
    // As soon as that was noticed.
    let mut again = loop {
        if let Some(browser) = Browser::try_connect(at) {
            break browser;
        }
    };
    again.announce(3, 0, &[]);
    assert_eq!(again.hears()["action"], "announce");
}

#[test]
fn where_browsers_are_refused_or_ask_wrongly_they_are_told_so_over_http() {
    for (websocket, version) in [(None, 13), (Some(WebSocketRules::default()), 8)] {
        let (_tracker, at) = tracker(websocket);
        let mut link = TcpStream::connect(at).unwrap();
        link.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "GET / HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: {version}\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nGET /scrape HTTP/1.1\r\nConnection: close\r\n\r\n"
        );
        link.write_all(head.as_bytes()).unwrap();
        let mut all = String::new();
        link.read_to_string(&mut all).unwrap();
        assert!(all.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{all}");
        assert_eq!(all.matches("HTTP/1.1 ").count(), 2, "HTTP is spoken as before: {all}");
    }
}

#[test]
fn a_message_of_empty_parts_without_end_keeps_nobody_waiting() {
    let (_tracker, at) = tracker(Some(WebSocketRules::default()));
    let endless = Browser::connect(at);
    let mut stream = endless.0.get_ref().try_clone().unwrap();
    // It ends when it is cut off, at the latest with the process.
    std::thread::spawn(move || {
        // The first part, and so many further ones at once that the next are there before these are read.
        let parts = [&[0x01, 0x80, 0, 0, 0, 0][..], &[0x00, 0x80, 0, 0, 0, 0].repeat(20_000)].concat();
        let mut said = stream.write_all(&parts);
        while said.is_ok() {
            said = stream.write_all(&parts[6..]);
        }
    });
    let mut browser = Browser::connect(at);
    for n in 0..20 {
        browser.announce(1, n, &[]);
        assert_eq!(browser.hears()["action"], "announce");
    }
    endless.0.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
}

#[test]
fn a_long_message_counts_as_several() {
    // So few a second that no more than what a newcomer may say at once is heard in time.
    let rules = WebSocketRules { messages_per_second_max: 1, ..WebSocketRules::default() };
    let (tracker, at) = tracker(Some(rules));
    let mut long = Browser::connect(at);
    let offer = |n| Offer { id: OfferId([n; 20]), sdp: "v=0 ".repeat(4000).into() };
    for _ in 0..3 {
        let offers = (0..10).map(offer).collect();
        let (peer_id, event) = (PeerId([1; 20]), AnnounceEvent::None);
        let announce = Announce { info_hash: TORRENT, peer_id, left: Some(5), event, offers };
        long.say(&Request::Announce(announce));
    }
    long.hears();
    let mut short = Browser::connect(at);
    for n in 0..40 {
        short.announce(2, n, &[]);
        short.hears();
    }
    // One of some 160 KB, and the second before it was over; the third waits.
    assert!((41..=42).contains(&tracker.figures().announces), "{:?}", tracker.figures());
}
