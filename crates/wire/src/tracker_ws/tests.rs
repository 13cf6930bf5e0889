//! Messages as browsers write them, both ways, and what is refused.

use super::*;

const SDP: &str = "v=0\r\no=- 4611 2 IN IP4 127.0.0.1\r\ns=-\r\n";

fn announce() -> Announce {
    let offer = |n| Offer { id: OfferId([n; 20]), sdp: SDP.into() };
    Announce {
        // Zero, a quotation mark, a backslash and bytes that are not ASCII: all of them travel.
        info_hash: InfoHash(*b"\0\"\\\x7f\x80\xff0123456789abcd"),
        peer_id: PeerId(*b"-WW0100-0123456789ab"),
        left: Some(1 << 40),
        event: AnnounceEvent::Started,
        offers: vec![offer(1), offer(0xfe)],
    }
}

#[test]
fn what_a_browser_writes_is_read() {
    let message = r#"{"numwant":1,"uploaded":0,"downloaded":0,"left":null,"event":"started","action":"announce",
        "info_hash":"\u0000\u00ff\"\\0123456789abcdef","peer_id":"-WW0100-0123456789ab","offers":[{"offer":{"type":"offer",
        "sdp":"v=0\r\n"},"offer_id":"ÿþ0123456789abcdefgh"}],"trackerid":"x"}"#;
    let Ok(Request::Announce(announce)) = Request::decode(message) else { panic!() };
    assert_eq!(announce.info_hash, InfoHash(*b"\0\xff\"\\0123456789abcdef"));
    assert_eq!((announce.left, announce.event), (None, AnnounceEvent::Started));
    assert_eq!(
        announce.offers,
        [Offer { id: OfferId(*b"\xff\xfe0123456789abcdefgh"), sdp: "v=0\r\n".into() }]
    );

    let message = r#"{"action":"announce","info_hash":"01234567890123456789","peer_id":"-WW0100-0123456789ab",
        "to_peer_id":"-WW0100-aaaaaaaaaaaa","answer":{"type":"answer","sdp":"v=0"},"offer_id":"abcdefghijabcdefghij"}"#;
    let Ok(Request::Answer(answer)) = Request::decode(message) else { panic!() };
    assert_eq!((answer.to, &*answer.sdp), (PeerId(*b"-WW0100-aaaaaaaaaaaa"), "v=0"));

    for torrents in [r#""01234567890123456789""#, r#"["01234567890123456789"]"#] {
        let message = format!(r#"{{"action":"scrape","info_hash":{torrents}}}"#);
        assert_eq!(Request::decode(&message), Ok(Request::Scrape(vec![InfoHash(*b"01234567890123456789")])));
    }
}

#[test]
fn what_is_said_is_read_as_it_was_meant() {
    let answer = Answer {
        info_hash: InfoHash([0xff; 20]),
        peer_id: PeerId([1; 20]),
        to: PeerId([2; 20]),
        offer: OfferId([3; 20]),
        sdp: SDP.into(),
    };
    let events =
        [AnnounceEvent::None, AnnounceEvent::Completed, AnnounceEvent::Stopped, AnnounceEvent::Paused];
    let mut requests: Vec<_> =
        events.map(|event| Request::Announce(Announce { event, offers: Vec::new(), ..announce() })).into();
    requests.push(Request::Announce(Announce { left: None, ..announce() }));
    requests.push(Request::Answer(answer));
    requests.push(Request::Scrape(vec![InfoHash([9; 20]), InfoHash([0; 20])]));
    for request in requests {
        assert_eq!(Request::decode(&request.encode()), Ok(request));
    }
}

#[test]
fn replies_say_what_clients_look_for() {
    let counts = ScrapeCounts { seeders: 1, completed: 2, leechers: 3 };
    let info_hash = InfoHash(*b"\xff\x000123456789abcdefgh");
    let read = |reply: Reply| serde_json::from_str::<Value>(&reply.encode()).unwrap();
    let announced = read(Reply::Announced { info_hash, interval: 120, counts });
    let expected = json!({"action": "announce", "info_hash": "ÿ\u{0}0123456789abcdefgh", "interval": 120, "complete": 1,
        "incomplete": 3});
    assert_eq!(announced, expected);
    let offer = Offer { id: OfferId([0x80; 20]), sdp: SDP.into() };
    let offered = read(Reply::Offered { info_hash, from: PeerId([b'a'; 20]), offer });
    assert_eq!(offered["offer"], json!({"type": "offer", "sdp": SDP}));
    assert_eq!(offered["offer_id"].as_str().unwrap(), "\u{80}".repeat(20));
    assert_eq!(offered["peer_id"], "a".repeat(20));
    let answer = Answer {
        info_hash,
        peer_id: PeerId([b'b'; 20]),
        to: PeerId([b'c'; 20]),
        offer: OfferId([b'd'; 20]),
        sdp: SDP.into(),
    };
    let answered = read(Reply::Answered(answer));
    assert_eq!(answered["answer"], json!({"type": "answer", "sdp": SDP}));
    assert_eq!(answered["offer_id"], "d".repeat(20));
    let scraped = read(Reply::Scraped(vec![(info_hash, counts)]));
    let row = json!({"complete": 1, "incomplete": 3, "downloaded": 2});
    assert_eq!(scraped["files"]["ÿ\u{0}0123456789abcdefgh"], row);
    let refused = read(Reply::Refused { reason: "no".into(), info_hash: None });
    assert_eq!(refused["failure reason"], "no");
}

#[test]
fn what_breaks_the_bounds_or_lacks_something_is_refused_and_named() {
    let message = |change: &dyn Fn(&mut Value)| {
        let mut message = serde_json::from_str(&Request::Announce(announce()).encode()).unwrap();
        change(&mut message);
        Request::decode(&message.to_string())
    };
    assert!(message(&|_| ()).is_ok());
    let field = |name| Err(MessageError::Field(name));
    for name in ["info_hash", "peer_id"] {
        for bad in
            [json!(null), json!("0123456789012345678"), json!("012345678901234567890"), json!("Ā".repeat(20))]
        {
            assert_eq!(message(&|message| message[name] = bad.clone()), field(name), "{name} {bad}");
        }
    }
    assert_eq!(message(&|message| message["event"] = "stop".into()), field("event"));
    assert_eq!(message(&|message| message["offers"] = "x".into()), field("offers"));
    assert_eq!(message(&|message| message["offers"][1]["offer_id"] = 7.into()), field("offer_id"));
    assert_eq!(message(&|message| message["offers"][1]["offer"]["type"] = "answer".into()), field("offer"));
    let long = "x".repeat(SDP_LEN_MAX + 1);
    assert_eq!(
        message(&|message| message["offers"][0]["offer"]["sdp"] = long.clone().into()),
        field("offer")
    );
    let offers = |count| {
        move |message: &mut Value| {
            let offer = message["offers"][0].clone();
            message["offers"] = vec![offer; count].into();
        }
    };
    assert!(message(&offers(OFFERS_MAX)).is_ok());
    assert_eq!(message(&offers(OFFERS_MAX + 1)), Err(MessageError::TooMany));
    assert_eq!(message(&|message| message["action"] = "answer".into()), Err(MessageError::UnknownAction));
    assert_eq!(
        message(&|message| message["answer"] = json!({"type": "answer", "sdp": ""})),
        field("to_peer_id")
    );
    let torrents = |count| Request::Scrape(vec![InfoHash([1; 20]); count]).encode();
    assert!(Request::decode(&torrents(SCRAPE_MAX)).is_ok());
    assert_eq!(Request::decode(&torrents(SCRAPE_MAX + 1)), Err(MessageError::TooMany));
    for text in ["", "[]", "{", "\"announce\"", &"[".repeat(MESSAGE_LEN_MAX)] {
        assert_eq!(Request::decode(text), Err(MessageError::NotJson));
    }
    assert_eq!(Request::decode(&" ".repeat(MESSAGE_LEN_MAX + 1)), Err(MessageError::TooLong));
}
