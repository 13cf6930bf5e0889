//! BEP 5's own examples to the byte, what is forgiven, what is refused, and who is told so. BEP: 5, 32, 33, 42, 43, 44, 51

use super::*;
use crate::bencode::{BencodeFault, bytes, dict, int, list};

const ID: NodeId = NodeId(*b"abcdefghij0123456789");
const OTHER: NodeId = NodeId(*b"mnopqrstuvwxyz123456");
const PEER_V4: &str = "axje.u";
const PEER_V6: &str = "abcdefghijklmnop.u";

fn decode(text: impl AsRef<[u8]>) -> Result<Packet, KrpcError> {
    Packet::decode(text.as_ref())
}

fn encode(packet: &Packet) -> String {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out.escape_ascii().to_string()
}

/// Without version and address, as the examples are.
fn packet(transaction: &[u8], body: Body) -> Packet {
    Packet::new(Transaction::from(transaction).unwrap(), body)
}

fn query(method: Method) -> Packet {
    packet(b"aa", Body::Query(Query { id: ID, read_only: false, method }))
}

fn reply(with: impl FnOnce(&mut Reply)) -> Packet {
    let mut reply = Reply::new(ID);
    with(&mut reply);
    packet(b"aa", Body::Reply(reply))
}

/// What is read of a reply that holds these keys and an id.
fn read_reply(keys: &str) -> Reply {
    let text = format!("d1:rd2:id20:abcdefghij0123456789{keys}e1:t2:aa1:y1:re");
    match decode(&text).unwrap_or_else(|error| panic!("{error}: {text}")).body {
        Body::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

/// What is read of a query with this method and these arguments besides the id.
fn read_query(name: &str, args: &str) -> Result<Query, KrpcError> {
    let text = format!("d1:ad2:id20:abcdefghij0123456789{args}e1:q{}:{name}1:t2:aa1:y1:qe", name.len());
    decode(&text).map(|packet| match packet.body {
        Body::Query(query) => query,
        other => panic!("{other:?}"),
    })
}

#[test]
fn the_examples_of_bep_5_are_read_and_written_to_the_byte() {
    let token = Token::from(b"aoeusnth").unwrap();
    let info_hash = InfoHash(OTHER.0);
    let peers = ["97.120.106.101:11893", "105.100.104.116:28269"].map(|peer| peer.parse().unwrap());
    let examples = [
        (
            "d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee",
            packet(b"aa", Body::Error(KrpcFault::new(201, "A Generic Error Ocurred"))),
        ),
        ("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", query(Method::Ping)),
        ("d1:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re", reply(|_| {})),
        (
            "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
            query(Method::FindNode { target: OTHER, want: None }),
        ),
        (
            "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
            query(Method::GetPeers { info_hash, want: None, noseed: false, scrape: false }),
        ),
        (
            "d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re",
            reply(|reply| (reply.token, reply.values) = (Some(token), peers.to_vec())),
        ),
        (
            "d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e\
             5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
            query(Method::AnnouncePeer { info_hash, port: 6881, implied_port: true, seed: false, token }),
        ),
    ];
    for (text, packet) in examples {
        assert_eq!(decode(text), Ok(packet.clone()), "{text}");
        assert_eq!(encode(&packet), text);
    }
}

#[test]
fn what_later_beps_add_is_read_and_written_to_the_byte() {
    let info_hash = InfoHash(OTHER.0);
    let want = Some(Want { v4: true, v6: true });
    let mut asked = query(Method::GetPeers { info_hash, want, noseed: true, scrape: true });
    asked.version = Some(*b"GN01");
    let Body::Query(inner) = &mut asked.body else { unreachable!() };
    inner.read_only = true;
    let node = |address: &str| NodeInfo { id: OTHER, address: address.parse().unwrap() };
    let mut answered = reply(|reply| {
        reply.nodes = vec![node("97.120.106.101:11893")];
        reply.nodes6 = vec![node("[6162:6364:6566:6768:696a:6b6c:6d6e:6f70]:11893")];
        reply.port = Some(7);
        reply.samples = Some(Samples { interval: 60, num: 9, samples: vec![info_hash] });
    });
    answered.external = Some("97.120.106.101:11893".parse().unwrap());
    let examples = [
        (
            "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234566:noseedi1e6:scrapei1e\
             4:wantl2:n42:n6ee1:q9:get_peers2:roi1e1:t2:aa1:v4:GN011:y1:qe",
            asked,
        ),
        (
            "d2:ip6:axje.u1:rd2:id20:abcdefghij01234567898:intervali60e\
             5:nodes26:mnopqrstuvwxyz123456axje.u6:nodes638:mnopqrstuvwxyz123456abcdefghijklmnop.u3:numi9e1:pi7e\
             7:samples20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re",
            answered,
        ),
        (
            "d1:ad2:id20:abcdefghij01234567893:seqi4e6:target20:mnopqrstuvwxyz1234564:wantl2:n6ee\
             1:q3:get1:t2:aa1:y1:qe",
            query(Method::Get { target: OTHER, seq: Some(4), want: Some(Want { v4: false, v6: true }) }),
        ),
        (
            "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e\
             1:q17:sample_infohashes1:t2:aa1:y1:qe",
            query(Method::SampleInfohashes { target: OTHER, want: None }),
        ),
    ];
    for (text, packet) in examples {
        assert_eq!(decode(text), Ok(packet.clone()), "{text}");
        assert_eq!(encode(&packet), text);
    }
}

#[test]
fn a_scrape_travels_as_two_filters_and_counts_only_if_both_are_whole() {
    let mut seeds = Filter::default();
    seeds.insert("192.0.2.1".parse().unwrap());
    let sent = reply(|reply| reply.scrape = Some(Box::new((seeds.clone(), Filter::default()))));
    let mut out = Vec::new();
    sent.encode(&mut out);
    assert_eq!(Packet::decode(&out), Ok(sent));
    let at = out.windows(4).position(|window| window == b"BFsd").unwrap();
    out[at] = b'C';
    let Body::Reply(reply) = Packet::decode(&out).unwrap().body else { panic!() };
    assert_eq!(reply.scrape, None);
    assert_eq!(read_reply("4:BFpe3:abc4:BFsd3:abc").scrape, None);
}

#[test]
fn keys_in_any_order_and_unknown_ones_are_forgiven() {
    let ping = Ok(query(Method::Ping));
    for text in [
        "d1:y1:q1:t2:aa1:q4:ping1:ad2:id20:abcdefghij0123456789ee",
        "d1:ad2:id20:abcdefghij01234567891:xld1:yleeee1:q4:ping1:t2:aa1:x3:any1:y1:qe",
        "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe and more",
        "d01:ad2:id20:abcdefghij0123456789e1:q4:ping1:t02:aa1:y1:qe",
        "d1:ad2:id20:abcdefghij0123456789e1:q4:ping2:roi0e1:t2:aa1:v9:too long 1:y1:qe",
        "d1:ad2:id20:abcdefghij0123456789e2:ip5:short1:q4:ping2:ro1:11:t2:aa1:vi7e1:y1:qe",
    ] {
        assert_eq!(decode(text), ping, "{text}");
    }
}

#[test]
fn read_only_is_heard_at_the_top_and_among_the_arguments() {
    let at_top = decode("d1:ad2:id20:abcdefghij0123456789e1:q4:ping2:roi1e1:t2:aa1:y1:qe").unwrap();
    let Body::Query(at_top) = at_top.body else { panic!() };
    assert!(at_top.read_only && read_query("ping", "2:roi1e").unwrap().read_only);
    assert!(!read_query("ping", "2:roi0e").unwrap().read_only);
}

#[test]
fn want_is_heard_in_odd_forms() {
    let both = Some(Want { v4: true, v6: true });
    for (args, expected) in [
        ("4:wantl2:n42:n6e", both),
        ("4:wantl2:n62:n4e", both),
        ("4:wantl2:n42:n42:n8i6e2:n6e", both),
        ("4:want2:n4", Some(Want { v4: true, v6: false })),
        ("4:wantl2:n6e", Some(Want { v4: false, v6: true })),
        ("4:wantle", None),
        ("4:wantl2:n9e", None),
        ("4:wanti1e", None),
        ("", None),
    ] {
        let args = format!("6:target20:mnopqrstuvwxyz123456{args}");
        let method = Method::FindNode { target: OTHER, want: expected };
        assert_eq!(read_query("find_node", &args).map(|query| query.method), Ok(method), "{args}");
    }
}

#[test]
fn a_port_may_be_missing_only_where_it_is_implied() {
    let announce = |more: &str, implied: &str| {
        let args = format!("{implied}9:info_hash20:mnopqrstuvwxyz123456{more}5:token2:xx");
        read_query("announce_peer", &args).map(|query| match query.method {
            Method::AnnouncePeer { port, implied_port, .. } => (port, implied_port),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(announce("4:porti7e", ""), Ok((7, false)));
    for (more, port) in [("", 0), ("4:porti0e", 0), ("4:porti7e", 7), ("4:porti65536e", 0), ("4:port1:7", 0)]
    {
        assert_eq!(announce(more, "12:implied_porti1e"), Ok((port, true)), "{more}");
        if port == 0 {
            for implied in ["", "12:implied_porti0e"] {
                let error = announce(more, implied).unwrap_err();
                assert_eq!(error.answer().map(|(_, fault)| fault.code), Some(203), "{more}");
            }
        }
    }
}

#[test]
fn an_unknown_method_keeps_its_name_and_what_it_is_near() {
    for (args, target) in [
        ("6:target20:mnopqrstuvwxyz123456", Some(OTHER)),
        ("9:info_hash20:mnopqrstuvwxyz123456", Some(OTHER)),
        ("6:target3:abc9:info_hash20:mnopqrstuvwxyz123456", Some(OTHER)),
        ("6:target3:abc", None),
        ("", None),
    ] {
        let method = Method::Unknown { name: "vote".into(), target };
        assert_eq!(read_query("vote", args).map(|query| query.method), Ok(method), "{args}");
    }
    let Method::Unknown { name, .. } = read_query(&"ä".repeat(500), "").unwrap().method else { panic!() };
    assert_eq!(&*name, "ä".repeat(METHOD_NAME_LEN_MAX / 2));
    let text = "d1:ad2:id20:abcdefghij0123456789e1:q3:\x7f\x1b\"1:t2:aa1:y1:qe";
    assert!(decode(text).is_ok(), "the name is not for display, and so may be anything");
}

#[test]
fn a_transaction_has_1_to_20_bytes() {
    for len in 0..=40 {
        let transaction = "t".repeat(len);
        let read = decode(format!("d1:rd2:id20:abcdefghij0123456789e1:t{len}:{transaction}1:y1:re"));
        match read {
            Ok(packet) => assert_eq!(packet.transaction.as_bytes(), transaction.as_bytes()),
            Err(error) => assert!(matches!(error, KrpcError::Field { key: "t", .. }), "{error}"),
        }
        assert_eq!(Transaction::from(transaction.as_bytes()).is_some(), (1..=20).contains(&len), "{len}");
    }
    assert_eq!(Transaction::from_u16(0xfffe).as_bytes(), [0xff, 0xfe]);
    assert_eq!(Transaction::from_u32(7).as_u32(), Some(7));
    assert_eq!((Transaction::from_u16(7).as_u16(), Transaction::from_u16(7).as_u32()), (Some(7), None));
}

#[test]
fn d4_a_token_that_is_too_long_is_none_and_harms_nothing_else() {
    for len in [0, 1, 4, 8, 20, 39, 40, 41, 42, 100, 1_370] {
        let token = format!("5:token{len}:{}", "x".repeat(len));
        let reply = read_reply(&format!("{token}6:valuesl6:{PEER_V4}e"));
        assert_eq!(reply.token.is_some(), len <= TOKEN_LEN_MAX, "{len}");
        assert_eq!(reply.token.map_or(len, |token| token.as_bytes().len()), len);
        assert_eq!(reply.values.len(), 1);
        // Shown to us, it is none that we gave: told so, and not kept.
        let announce = format!("9:info_hash20:mnopqrstuvwxyz1234564:porti7e{token}");
        assert_eq!(read_query("announce_peer", &announce).is_ok(), len <= TOKEN_LEN_MAX, "{len}");
        assert_eq!(read_query("put", &format!("{token}1:vi1e")).is_ok(), len <= TOKEN_LEN_MAX, "{len}");
    }
}

#[test]
fn d10_what_is_no_message_is_refused_for_its_reason_and_never_answered() {
    let long = dict([("x", bytes(vec![b'x'; 2_040])), ("y", bytes("q"))]).into_bytes();
    let many = dict([("x", list((0..600).map(|_| int(0))))]).into_bytes();
    let deep = [b"d1:x".as_slice(), &b"l".repeat(11), &b"e".repeat(11), b"1:y1:qe"].concat();
    let bencode = |offset, fault| KrpcError::Bencode(crate::bencode::BencodeError { offset, fault });
    let rows: [(&[u8], Option<KrpcError>, &str); 22] = [
        (b"", Some(KrpcError::NotKrpc), "not a bencoded dictionary"),
        (b"d", Some(KrpcError::NotKrpc), "not a bencoded dictionary"),
        (b"d1:y1:q1:t1:xe", Some(KrpcError::NotKrpc), "not a bencoded dictionary"),
        (b"l1:y1:q1:t2:aa1:qe", Some(KrpcError::NotKrpc), "not a bencoded dictionary"),
        (b"\x13BitTorrent protocol", Some(KrpcError::NotKrpc), "not a bencoded dictionary"),
        (&[0x41; 20], Some(KrpcError::NotKrpc), "not a bencoded dictionary"),
        (b"d1:ad2:id20:abcdefghij", Some(bencode(9, BencodeFault::StringPastEnd)), "byte 9: a string longer"),
        (b"d1:y1:q1:t2:aai7ei8ee", Some(bencode(14, BencodeFault::KeyNotString)), "key is not a string"),
        (b"d4294967296:aaaaaaaaaaaa", Some(bencode(1, BencodeFault::StringPastEnd)), "longer than the data"),
        (b"diiiiiiiiiiiiiiiiiiiiii", Some(bencode(1, BencodeFault::BadInteger)), "not an integer"),
        (&long, Some(KrpcError::TooLong(long.len())), "more than the 2048"),
        (&many, None, "too many values"),
        (&deep, Some(bencode(13, BencodeFault::TooDeep)), "nested too deeply"),
        (b"d1:q4:ping1:y1:qe", None, "`t` must be a string of 1 to 20 bytes"),
        (b"d1:q4:ping1:t0:1:y1:qe", None, "`t` must be"),
        (b"d1:q4:ping1:ti7e1:y1:qe", None, "`t` must be"),
        (b"d1:q4:ping1:t2:aa1:y1:ze", None, "`y` must be `q`, `r` or `e`"),
        (b"d1:q4:ping1:t2:aae", None, "`y` must be"),
        (b"d1:q4:ping1:t2:aa1:y1:qe", None, "`a` must be a dictionary"),
        (b"d1:ade1:t2:aa1:y1:qe", None, "`q` must be the name of a method"),
        (b"d1:ad2:id3:abce1:q4:ping1:t2:aa1:y1:qe", None, "`a.id` must be 20 bytes"),
        (b"d1:r2:id1:t2:aa1:y1:re", None, "`r.id` must be 20 bytes"),
    ];
    for (datagram, expected, says) in rows {
        let what = datagram.escape_ascii();
        let error = Packet::decode(datagram).expect_err(&what.to_string());
        if let Some(expected) = expected {
            assert_eq!(error, expected, "{what}");
        }
        assert!(error.to_string().contains(says), "{what}: {error}");
        assert_eq!(error.answer(), None, "{what}");
    }
}

#[test]
fn a_query_that_lacks_something_is_answered_with_what_in_about_as_many_bytes() {
    let token = "5:token2:xx";
    let signed = format!("1:k32:{}3:seqi1e3:sig64:{}{token}1:vi1e", "k".repeat(32), "s".repeat(64));
    let huge = format!("{token}1:v1001:{}", "v".repeat(1_001));
    let rows = [
        ("find_node", "", 203, "`target`"),
        ("find_node", "6:target19:mnopqrstuvwxyz12345", 203, "`target`"),
        ("get", "", 203, "`target`"),
        ("sample_infohashes", "6:targeti1e", 203, "`target`"),
        ("get_peers", "6:target20:mnopqrstuvwxyz123456", 203, "`info_hash`"),
        ("announce_peer", "", 203, "`info_hash`"),
        ("announce_peer", "9:info_hash20:mnopqrstuvwxyz1234564:porti7e", 203, "`token`"),
        ("put", "1:vi1e", 203, "`token`"),
        ("put", token, 203, "`v`"),
        ("put", &huge, 205, "1000 bytes"),
        ("put", "5:token2:xx1:vi01e", 203, "canonical"),
        ("put", "5:token2:xx1:vd1:bi1e1:ai1ee", 203, "canonical"),
        ("put", &signed.replace("64:s", "63:"), 203, "`sig` 64"),
        ("put", &signed.replace("i1e3:sig", "i-1e3:sig"), 203, "negative"),
        ("put", &signed.replace("3:seqi1e", ""), 203, "`seq` an integer"),
        ("put", &signed.replace("32:k", "31:"), 203, "`k` must be 32"),
        ("put", &signed.replace("3:seq", &format!("4:salt65:{}3:seq", "x".repeat(65))), 207, "64 bytes"),
    ];
    assert!(read_query("put", &signed).is_ok());
    for (name, args, code, says) in rows {
        let error = read_query(name, args).expect_err(args);
        let (transaction, fault) = error.answer().expect(args);
        assert_eq!((transaction.as_bytes(), fault.code), (b"aa".as_slice(), code), "{name} {args}");
        assert!(fault.message.contains(says) && error.to_string().contains(says), "{name}: {error}");
        let answer = encode(&Packet::new(transaction, Body::Error(fault)));
        let asked = name.len() + args.len() + 54;
        assert!(answer.len() <= 3 * asked / 2, "{} bytes for {asked}: {answer}", answer.len());
    }
}

#[test]
fn stumps_port_0_and_addresses_of_the_wrong_family_are_left_out_of_lists() {
    let v4 = |port: &str| format!("mnopqrstuvwxyz123456axje{port}");
    let v6 = |ip: &str| format!("mnopqrstuvwxyz123456{ip}.u");
    let nodes = [v4(".u"), v4("\0\0"), v4("/u"), "stump".into()].concat();
    let mapped = format!("{}\u{7f}\u{7f}axje", "\0".repeat(10));
    let nodes6 = [v6("abcdefghijklmnop"), v6(&mapped), "stump".into()].concat();
    let text = format!("5:nodes{}:{nodes}6:nodes6{}:{nodes6}", nodes.len(), nodes6.len());
    let text = format!("d1:rd2:id20:abcdefghij0123456789{text}e1:t2:aa1:y1:re").into_bytes();
    // What stands for the two bytes of ones in a mapped address, which are no UTF-8.
    let text: Vec<u8> = text.into_iter().map(|byte| if byte == 0x7f { 0xff } else { byte }).collect();
    let Body::Reply(reply) = Packet::decode(&text).unwrap().body else { panic!() };
    let addresses = |nodes: &[NodeInfo]| nodes.iter().map(|node| node.address.port()).collect::<Vec<_>>();
    assert_eq!(addresses(&reply.nodes), [0x2e75, 0x2f75]);
    assert_eq!(addresses(&reply.nodes6), [0x2e75]);
    // And what is in the wrong list is not written.
    let packet = self::reply(|wrong| (wrong.nodes, wrong.nodes6) = (reply.nodes6, reply.nodes));
    assert_eq!(encode(&packet), "d1:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re");
}

#[test]
fn values_may_mix_families_and_come_packed_into_one() {
    for (values, ports) in [
        (format!("6:{PEER_V4}18:{PEER_V6}6:{PEER_V4}"), 3),
        (format!("12:{PEER_V4}{PEER_V4}"), 2),
        (format!("24:{}", PEER_V4.repeat(4)), 4),
        ("6:axje\0\0".into(), 0),
        (format!("5:short0:i7ele6:{PEER_V4}"), 1),
        ("6:axje.u".repeat(VALUES_MAX + 9), VALUES_MAX),
    ] {
        let reply = read_reply(&format!("6:valuesl{values}e"));
        assert_eq!(reply.values.len(), ports, "{values}");
    }
    assert!(read_reply("6:values6:axje.u").values.is_empty());
}

#[test]
fn no_list_is_longer_than_its_bound() {
    let node = "mnopqrstuvwxyz123456axje.u";
    assert_eq!(read_reply(&format!("5:nodes{}:{}", 26 * 60, node.repeat(60))).nodes.len(), NODES_MAX);
    let samples = read_reply(&format!("3:numi4e7:samples{}:{}", 20 * 90, &node[..20].repeat(90))).samples;
    let samples = samples.unwrap();
    assert_eq!((samples.samples.len(), samples.num, samples.interval), (90, 4, 0));
    // No datagram holds more than the bound of samples.
    assert_eq!(DATAGRAM_LEN_MAX / 20, SAMPLES_MAX);
    let samples = read_reply("8:intervali99999999e7:samples3:abc").samples;
    assert_eq!(samples, Some(Samples { interval: SAMPLE_INTERVAL_MAX, num: 0, samples: vec![] }));
    assert_eq!(read_reply("8:intervali9e3:numi4e").samples, None);
}

#[test]
fn our_own_address_is_read_with_and_without_a_port() {
    for (ip, expected) in [
        ("6:axje.u", Some("97.120.106.101:11893")),
        ("4:axje", Some("97.120.106.101:0")),
        ("16:abcdefghijklmnop", Some("[6162:6364:6566:6768:696a:6b6c:6d6e:6f70]:0")),
        ("18:abcdefghijklmnop.u", Some("[6162:6364:6566:6768:696a:6b6c:6d6e:6f70]:11893")),
        ("18:\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02\x03\x04.u", Some("[::102:304]:11893")),
        ("5:axje.", None),
        ("0:", None),
    ] {
        let packet = decode(format!("d2:ip{ip}1:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re")).unwrap();
        assert_eq!(packet.external, expected.map(|address| address.parse().unwrap()), "{ip}");
    }
}

#[test]
fn an_error_is_one_whatever_its_parts_are() {
    for (parts, code, message) in [
        ("li203e5:wronge", 203, "wrong"),
        ("li203ee", 203, ""),
        ("l5:wronge", 201, "wrong"),
        ("le", 201, ""),
        ("de", 201, ""),
        ("5:wrong", 201, ""),
        ("li9e3:abc3:defe", 9, "abc"),
    ] {
        let packet = decode(format!("d1:e{parts}1:t2:aa1:y1:ee")).unwrap();
        assert_eq!(packet.body, Body::Error(KrpcFault::new(code, message)), "{parts}");
    }
    assert_eq!(decode("d1:t2:aa1:y1:ee").unwrap().body, Body::Error(KrpcFault::new(201, "")));
    let long = format!("d1:eli1e900:{}e1:t2:aa1:y1:ee", "ü".repeat(450));
    let Body::Error(fault) = decode(long).unwrap().body else { panic!() };
    assert_eq!(&*fault.message, "ü".repeat(FAULT_TEXT_LEN_MAX / 2));
}
