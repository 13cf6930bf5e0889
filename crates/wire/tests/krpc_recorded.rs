//! Datagrams that other clients sent are read in full: what was read, written again, is what they wrote.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use wire::item::{Item, target_of_value};
use wire::krpc::{Body, Method, Packet, Reply};

/// What was recorded: whose and what it is, and the bytes.
fn recorded() -> Vec<(&'static str, Vec<u8>)> {
    let mut lines = include_str!("recorded/krpc.txt").lines().filter(|line| !line.starts_with('#'));
    let mut all = Vec::new();
    while let (Some(title), Some(digits)) = (lines.next(), lines.next()) {
        let digit = |digit: &u8| char::from(*digit).to_digit(16).unwrap() as u8;
        let pairs = digits.as_bytes().chunks(2);
        all.push((title, pairs.map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect()));
    }
    all
}

fn encoded(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out
}

fn replies() -> impl Iterator<Item = (&'static str, Reply)> {
    recorded().into_iter().filter_map(|(title, bytes)| match Packet::decode(&bytes).unwrap().body {
        Body::Reply(reply) => Some((title, reply)),
        Body::Query(_) | Body::Error(_) => None,
    })
}

#[test]
fn what_others_wrote_is_read_whole_and_written_the_same() {
    let all = recorded();
    assert!(all.len() >= 30, "{}", all.len());
    for (title, bytes) in all {
        let packet = Packet::decode(&bytes).unwrap_or_else(|error| panic!("{title}: {error}"));
        let mut again = encoded(&packet);
        // Some spell out what is not so or empty; we say nothing then.
        for spoken in [b"4:seedi0e".as_slice(), b"12:implied_porti0e", b"6:valuesle"] {
            if let Some(at) = bytes.windows(spoken.len()).position(|window| window == spoken) {
                again.splice(at..at, spoken.iter().copied());
            }
        }
        // libtorrent's errors say who is speaking, as if they were replies too.
        let errs = matches!(packet.body, Body::Error(_));
        if let (true, Some(at)) = (errs, bytes.windows(4).position(|window| window == b"1:rd")) {
            let end = bytes.windows(4).position(|window| window == b"1:t2").unwrap();
            again.splice(at..at, bytes[at..end].iter().copied());
        }
        assert_eq!(again.escape_ascii().to_string(), bytes.escape_ascii().to_string(), "{title}");
    }
}

#[test]
fn titles_of_queries_name_the_method_that_was_read() {
    let mut methods: BTreeMap<String, usize> = BTreeMap::new();
    for (title, bytes) in recorded() {
        let Body::Query(query) = Packet::decode(&bytes).unwrap().body else { continue };
        assert!(title.contains(&format!("query {}", query.method.name())), "{title}: {query:?}");
        assert!(!matches!(query.method, Method::Unknown { .. }), "{title}");
        *methods.entry(query.method.name().to_owned()).or_default() += 1;
    }
    assert_eq!(methods.len(), 6, "{methods:?}");
}

#[test]
fn items_that_others_signed_are_genuine_under_the_salt_they_were_put_with() {
    let (mut puts, mut mutable, mut immutable) = (Vec::new(), 0, 0);
    for (title, bytes) in recorded() {
        if let Body::Query(query) = Packet::decode(&bytes).unwrap().body
            && let Method::Put { put, .. } = query.method
        {
            if let Item::Mutable(item) = &put.item {
                assert!(item.is_genuine() && !item.salt.is_empty(), "{title}");
            }
            puts.push(put.item);
        }
    }
    for (title, reply) in replies() {
        match reply.item {
            None => {}
            Some(Item::Immutable { value }) => {
                let known = puts.iter().any(|put| put.target() == target_of_value(&value));
                assert!(known, "{title}");
                immutable += 1;
            }
            Some(Item::Mutable(item)) => {
                assert!(!item.is_genuine(), "{title}: signed with a salt that a reply does not carry");
                let salts = puts.iter().filter_map(|put| match put {
                    Item::Mutable(put) if put.key == item.key => Some(put.salt.clone()),
                    Item::Mutable(_) | Item::Immutable { .. } => None,
                });
                assert!(salts.into_iter().any(|salt| item.clone().with_salt(&salt).is_genuine()), "{title}");
                mutable += 1;
            }
        }
    }
    assert!(mutable >= 3 && immutable >= 2, "{mutable} mutable, {immutable} immutable items");
}

#[test]
fn what_is_in_a_reply_is_where_it_belongs() {
    for (title, reply) in replies() {
        for (key, present) in [
            ("nodes", !reply.nodes.is_empty()),
            ("nodes6", !reply.nodes6.is_empty()),
            ("values", !reply.values.is_empty()),
            ("token", reply.token.is_some()),
            ("p", reply.port.is_some()),
            ("BFsd", reply.scrape.is_some()),
            ("v", reply.item.is_some()),
            ("samples", reply.samples.is_some()),
        ] {
            let keys = title.split_once("reply").unwrap().1;
            assert_eq!(keys.trim().split('+').any(|named| named == key), present, "{title}: {key}");
        }
        if let Some(scrape) = reply.scrape {
            let (seeds, peers) = *scrape;
            let estimates = [seeds.estimate().round(), peers.estimate().round()];
            assert_eq!(estimates, [1.0, 3.0], "{title}: one of the four had announced itself as a seed");
        }
    }
}
