//! Links as they are found, and what is made of them. The masses are in `tests/a10_magnets.rs`.

use super::*;
use crate::FileIndex;

const HEX: &str = "c9e15763f722f23e98a29decdfae341b98d53056";
const BASE32: &str = "ZHQVOY7XELZD5GFCTXWN7LRUDOMNKMCW";

fn parse(query: &str) -> Result<Magnet, MagnetError> {
    Magnet::parse(&format!("magnet:?{query}"))
}

fn read(more: &str) -> Magnet {
    parse(&format!("xt=urn:btih:{HEX}{more}")).unwrap()
}

#[test]
fn a_hash_is_read_in_hexadecimal_and_base32_in_either_case() {
    let expected = read("").info_hash;
    assert_eq!(expected.to_string(), HEX);
    for text in [HEX.to_owned(), HEX.to_uppercase(), BASE32.to_owned(), BASE32.to_lowercase()] {
        assert_eq!(parse(&format!("xt=urn:btih:{text}")).unwrap().info_hash, expected, "{text}");
        assert_eq!(text.parse(), Ok(expected));
    }
    assert_eq!(parse(&format!("XT=URN:BTIH:{HEX}")).unwrap().info_hash, expected);
    assert_eq!(parse(&format!("xt=urn%3Abtih%3a{HEX}")).unwrap().info_hash, expected);
    assert_eq!(parse(&format!("dn=a&xt.1=urn:btih:{HEX}")).unwrap().info_hash, expected);
    assert_eq!(Magnet::parse(&format!("MAGNET:?xt=urn:btih:{HEX}")).unwrap().info_hash, expected);
}

#[test]
fn a_hybrid_is_used_by_its_v1_half_and_v2_alone_is_refused() {
    let v2 = format!("xt=urn:btmh:1220{}", "ab".repeat(32));
    assert!(read(&format!("&{v2}")).hybrid && !read("").hybrid);
    assert_eq!(parse(&v2), Err(MagnetError::V2Only));
    assert_eq!(parse("xt=urn:btmh:1220abcd"), Err(MagnetError::BadHash));
}

#[test]
fn what_does_not_say_which_torrent_is_refused_by_name() {
    let table = [
        ("dn=name", MagnetError::NoTopic),
        ("", MagnetError::NoTopic),
        ("xt=urn:sha1:ABCDEF", MagnetError::NotBitTorrent),
        ("xt=urn:btih:", MagnetError::BadHash),
        ("xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d5305", MagnetError::BadHash),
        ("xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d5305g", MagnetError::BadHash),
        ("xt=urn:btih:ZHQVOY7XELZD5GFCTXWN7LRUDOMNKMC1", MagnetError::BadHash),
        ("xt=urn:btih:%zz", MagnetError::BadHash),
    ];
    for (query, expected) in table {
        assert_eq!(parse(query), Err(expected), "{query}");
    }
    let two = format!("xt=urn:btih:{HEX}&xt=urn:btih:{}", "0".repeat(40));
    assert_eq!(parse(&two), Err(MagnetError::TwoTorrents));
    assert_eq!(Magnet::parse("http://example.org/?xt=urn:btih:"), Err(MagnetError::NotAMagnet));
    assert_eq!(Magnet::parse(&format!("magnet:xt=urn:btih:{HEX}")), Err(MagnetError::NotAMagnet));
}

#[test]
fn hints_are_gathered_once_each_and_in_order() {
    let magnet = read(
        "&dn=a+b%2Bc&tr=http%3A%2F%2Fa%2Fannounce&tr.1=udp://b:80&amp;tr=udp://b:80&ws=https://w/f&ws=ftp://w/f\
         &x.pe=1.2.3.4:5&x.pe=%5B::1%5D:6881&x.pe=host.example:7&x.pe=bad&as=http://x&xl=12",
    );
    assert_eq!(magnet.name.as_ref().map(|name| name.to_string()).as_deref(), Some("a b+c"));
    assert_eq!(magnet.trackers, ["http://a/announce", "udp://b:80"]);
    assert_eq!(magnet.web_seeds, ["https://w/f"]);
    let peers: Vec<String> = magnet.peers.iter().map(PeerHint::to_string).collect();
    assert_eq!(peers, ["1.2.3.4:5", "[::1]:6881", "host.example:7"]);
    assert_eq!(magnet.left_out, 2);
}

#[test]
fn a_selection_is_a_bounded_list_of_numbers_and_ranges() {
    let selection = read("&so=4-6,0,2,5,7").selection.unwrap();
    assert_eq!((selection.to_string().as_str(), selection.ranges().len()), ("0,2,4-7", 3));
    let has: Vec<u32> = (0..10).filter(|&file| selection.has(FileIndex(file))).collect();
    assert_eq!(has, [0, 2, 4, 5, 6, 7]);
    for bad in ["", "a", "1-", "-1", "3-2", "1,,2", "1000000", "4294967296", "0-999999999999", "1 2", "+1"] {
        let link = format!("xt=urn:btih:{HEX}&so={bad}");
        assert_eq!(parse(&link), Err(MagnetError::Selection), "{bad}");
    }
    let many: Vec<String> = (0..=SELECTED_RANGES_MAX).map(|n| (2 * n).to_string()).collect();
    assert_eq!(FileSelection::parse(&many.join(",")), None);
    assert!(FileSelection::parse(&many[1..].join(",")).is_some());
}

#[test]
fn what_is_written_is_read_as_the_same_link() {
    let magnet =
        read("&dn=%C3%A4+%26%20b&tr=http://t/a%3Fx=1%26y=2&ws=http://w/&x.pe=[2001:db8::1]:9&so=1-3");
    assert_eq!(Magnet::parse(&magnet.to_string()), Ok(magnet.clone()));
    assert_eq!(Magnet::new(magnet.info_hash).to_string(), format!("magnet:?xt=urn:btih:{HEX}"));
}

#[test]
fn a_torrents_link_names_it_with_its_trackers_and_web_seeds() {
    let made = crate::metainfo::MetainfoBuilder::single("a & b", 5, 16_384)
        .trackers(vec![vec!["http://a/announce".into(), "udp://b:1".into()], vec!["http://c/".into()]])
        .web_seeds(vec!["http://w/".into()]);
    let metainfo = made.build(&[[1; 20]]).unwrap().1;
    let magnet = Magnet::of(&metainfo);
    assert_eq!((magnet.info_hash, magnet.trackers.len(), magnet.web_seeds.len()), (metainfo.info_hash, 3, 1));
    assert!(magnet.to_string().contains("&dn=a%20%26%20b&tr=http://a/announce&"), "{magnet}");
}

const KEY: &str = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e";

fn mutable(query: &str) -> MutableLink {
    match Link::parse(&format!("magnet:?{query}")) {
        Ok(Link::Mutable(link)) => link,
        other => panic!("{query}: {other:?}"),
    }
}

#[test]
fn the_links_of_bep_46_lead_to_its_targets() {
    for (more, target) in [
        ("", "cc3f9d90b572172053626f9980ce261a850d050b"),
        ("&s=6e", "59ee7c2cb9b4f7eb1986ee2d18fd2fdb8a56554f"),
    ] {
        let link = mutable(&format!("xs=urn:btpk:{KEY}{more}"));
        assert_eq!(link.publisher.target().to_string(), target);
        assert_eq!(link.to_string(), format!("magnet:?xs=urn:btpk:{KEY}{more}"));
        assert_eq!(MutableLink::new(link.publisher.clone()), link);
    }
    let salt = mutable(&format!("S=6E&XS.1=urn%3ABTPK%3A{}", KEY.to_uppercase())).publisher;
    assert_eq!(salt, mutable(&format!("xs=urn:btpk:{KEY}&s=6e")).publisher);
}

#[test]
fn a_publishers_link_gives_its_hints_to_the_torrent_that_is_the_newest() {
    let link = mutable(&format!("dn=a&xs=urn:btpk:{KEY}&s=6e&tr=udp://b:80&x.pe=1.2.3.4:5&x.pe=bad&so=1-3"));
    let newest = link.at(HEX.parse().unwrap());
    let expected =
        read(&format!("&dn=a&xs=urn:btpk:{KEY}&s=6e&tr=udp://b:80&x.pe=1.2.3.4:5&so=1-3&x.pe=bad"));
    assert_eq!((newest.clone(), newest.left_out), (expected, 1));
    let (again, written) = (Link::parse(&link.to_string()).unwrap(), link.to_string());
    assert_eq!(again.to_string(), written);
    assert_eq!(Magnet::parse(&newest.to_string()).unwrap().publisher, Some(link.publisher));
}

#[test]
fn where_a_torrent_is_needed_a_publisher_is_refused_with_what_to_do() {
    let error = parse(&format!("xs=urn:btpk:{KEY}")).unwrap_err();
    assert_eq!(error, MagnetError::Mutable);
    assert!(
        error.to_string().ends_with("what needs a torrent needs a link with \"xt=urn:btih:\""),
        "{error}"
    );
}

#[test]
fn a_damaged_publisher_is_refused_alone_and_left_out_beside_a_torrent() {
    let other = KEY.replace('8', "9");
    let long = "ab".repeat(65);
    for (query, expected) in [
        (format!("xs=urn:btpk:{}", &KEY[1..]), MagnetError::BadKey),
        (format!("xs=urn:btpk:{}g", &KEY[1..]), MagnetError::BadKey),
        ("xs=urn:btpk:".into(), MagnetError::BadKey),
        (format!("xs=urn:btpk:{KEY}&s=6"), MagnetError::BadSalt),
        (format!("s=6x&xs=urn:btpk:{KEY}"), MagnetError::BadSalt),
        (format!("xs=urn:btpk:{KEY}&s={long}"), MagnetError::BadSalt),
        (format!("xs=urn:btpk:{KEY}&xs=urn:btpk:{other}"), MagnetError::TwoTorrents),
        (format!("xs=urn:btpk:{KEY}&s=6e&s=6f"), MagnetError::TwoTorrents),
    ] {
        assert_eq!(parse(&query), Err(expected), "{query}");
        let beside = read(&format!("&{query}"));
        assert_eq!((beside.publisher, beside.left_out), (None, 1), "{query}");
    }
    let salt = mutable(&format!("xs=urn:btpk:{KEY}&s={}", &long[..128])).publisher.salt;
    assert_eq!(*salt, [0xab; 64]);
}

#[test]
fn other_sources_and_salts_of_nobody_mean_nothing() {
    for hint in ["xs=http://a/b.torrent", "xs=urn:btih:x", "xs=%zz", "s=6e", "s=nonsense", "s=6e&s=6f"] {
        let link = read(&format!("&{hint}"));
        assert_eq!((link.publisher, link.left_out), (None, 0), "{hint}");
        assert_eq!(parse(hint), Err(MagnetError::NoTopic), "{hint}");
    }
    let twice = format!("xs=urn:btpk:{KEY}&xs=http://a/b&xs=urn:btpk:{KEY}&s=&s=");
    assert_eq!(mutable(&twice).to_string(), format!("magnet:?xs=urn:btpk:{KEY}"));
}
