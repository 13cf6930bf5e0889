//! A zoo of addresses and URLs, each asked about for every errand.

use super::*;

/// Where an address is, or why it is nobody's.
type Verdict = Result<Reach, Forbidden>;

const LOOPBACK: Verdict = Ok(Reach::Loopback);
const INSIDE: Verdict = Ok(Reach::Inside);
const OUTSIDE: Verdict = Ok(Reach::Outside);
const NOBODY: Verdict = Err(Forbidden::NoAddress);
const METADATA: Verdict = Err(Forbidden::Metadata);

/// First and last address of each range, with the neighbours outside it where they differ.
const V4: &[(&str, Verdict)] = &[
    ("0.0.0.0", NOBODY),
    ("0.0.0.1", NOBODY),
    ("0.255.255.255", NOBODY),
    ("1.0.0.0", OUTSIDE),
    ("1.1.1.1", OUTSIDE),
    ("8.8.8.8", OUTSIDE),
    ("9.255.255.255", OUTSIDE),
    ("10.0.0.0", INSIDE),
    ("10.1.2.3", INSIDE),
    ("10.255.255.255", INSIDE),
    ("11.0.0.0", OUTSIDE),
    ("93.184.216.34", OUTSIDE),
    ("100.63.255.255", OUTSIDE),
    ("100.64.0.0", INSIDE),
    ("100.100.100.199", INSIDE),
    ("100.100.100.200", METADATA),
    ("100.100.100.201", INSIDE),
    ("100.127.255.255", INSIDE),
    ("100.128.0.0", OUTSIDE),
    ("126.255.255.255", OUTSIDE),
    ("127.0.0.0", LOOPBACK),
    ("127.0.0.1", LOOPBACK),
    ("127.0.0.53", LOOPBACK),
    ("127.1.2.3", LOOPBACK),
    ("127.255.255.255", LOOPBACK),
    ("128.0.0.0", OUTSIDE),
    ("168.63.129.15", OUTSIDE),
    ("168.63.129.16", METADATA),
    ("168.63.129.17", OUTSIDE),
    ("169.253.255.255", OUTSIDE),
    ("169.254.0.0", INSIDE),
    ("169.254.169.252", INSIDE),
    ("169.254.169.253", METADATA),
    ("169.254.169.254", METADATA),
    ("169.254.169.255", INSIDE),
    ("169.254.170.1", INSIDE),
    ("169.254.170.2", METADATA),
    ("169.254.170.23", METADATA),
    ("169.254.255.255", INSIDE),
    ("169.255.0.0", OUTSIDE),
    ("172.15.255.255", OUTSIDE),
    ("172.16.0.0", INSIDE),
    ("172.17.0.1", INSIDE),
    ("172.31.255.255", INSIDE),
    ("172.32.0.0", OUTSIDE),
    ("191.255.255.255", OUTSIDE),
    ("192.0.0.0", INSIDE),
    ("192.0.0.191", INSIDE),
    ("192.0.0.192", METADATA),
    ("192.0.0.193", INSIDE),
    ("192.0.0.255", INSIDE),
    ("192.0.1.0", OUTSIDE),
    ("192.167.255.255", OUTSIDE),
    ("192.168.0.0", INSIDE),
    ("192.168.1.1", INSIDE),
    ("192.168.255.255", INSIDE),
    ("192.169.0.0", OUTSIDE),
    ("198.17.255.255", OUTSIDE),
    ("198.18.0.0", INSIDE),
    ("198.19.255.255", INSIDE),
    ("198.20.0.0", OUTSIDE),
    ("223.255.255.255", OUTSIDE),
    ("224.0.0.0", NOBODY),
    ("224.0.0.251", NOBODY),
    ("239.192.152.143", NOBODY),
    ("239.255.255.250", NOBODY),
    ("240.0.0.0", NOBODY),
    ("255.255.255.254", NOBODY),
    ("255.255.255.255", NOBODY),
];

const V6: &[(&str, Verdict)] = &[
    ("::", NOBODY),
    ("::1", LOOPBACK),
    ("100::1", NOBODY),
    ("1fff:ffff::1", NOBODY),
    ("2000::1", OUTSIDE),
    ("2001:4860:4860::8888", OUTSIDE),
    ("2606:4700:4700::1111", OUTSIDE),
    ("2a00:1450::1", OUTSIDE),
    ("3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", OUTSIDE),
    ("4000::1", NOBODY),
    ("5f00::1", NOBODY),
    ("fbff::1", NOBODY),
    ("fc00::", INSIDE),
    ("fc00::1", INSIDE),
    ("fd00::1", INSIDE),
    ("fd00:ec2::253", INSIDE),
    ("fd00:ec2::254", METADATA),
    ("fd20:ce::254", METADATA),
    ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", INSIDE),
    ("fe00::1", NOBODY),
    ("fe7f::1", NOBODY),
    ("fe80::", INSIDE),
    ("fe80::1", INSIDE),
    ("febf::1", INSIDE),
    ("fec0::1", INSIDE),
    ("feff::1", INSIDE),
    ("ff00::", NOBODY),
    ("ff02::1", NOBODY),
    ("ff15::efc0:988f", NOBODY),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NOBODY),
];

/// An IPv4 address in every dress that IPv6 has for it.
fn dresses(ip: Ipv4Addr) -> Vec<Ipv6Addr> {
    let [a, b, c, d] = ip.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let mut dresses = vec![
        ip.to_ipv6_mapped(),
        Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
        Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        Ipv6Addr::new(0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf, !high, !low),
    ];
    if high != 0 {
        dresses.push(Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low));
    }
    dresses
}

fn zoo() -> Vec<(IpAddr, Verdict)> {
    let v4 = V4.iter().map(|(ip, verdict)| (ip.parse::<Ipv4Addr>().unwrap(), *verdict));
    let dressed =
        v4.clone().flat_map(|(ip, verdict)| dresses(ip).into_iter().map(move |ip| (IpAddr::V6(ip), verdict)));
    let v6 = V6.iter().map(|(ip, verdict)| (ip.parse::<IpAddr>().unwrap(), *verdict));
    v4.clone().map(|(ip, verdict)| (IpAddr::V4(ip), verdict)).chain(dressed).chain(v6).collect()
}

/// The kinds of request there are by now: what for, by which URL, and after whose redirect.
fn kinds() -> Vec<(&'static str, Url, Errand, Option<IpAddr>)> {
    let url = |text: &str| Url::parse(text).unwrap();
    let outside = Some("93.184.216.34".parse().unwrap());
    let inside = Some("192.168.1.1".parse().unwrap());
    vec![
        ("HTTP tracker", url("http://t.example/announce"), Errand::Tracker, None),
        ("HTTP tracker with another path", url("http://t.example/admin?do=reboot"), Errand::Tracker, None),
        ("UDP tracker", url("udp://t.example:80"), Errand::Tracker, None),
        ("HTTP scrape", url("http://t.example/scrape?info_hash=x"), Errand::Scrape, None),
        ("HTTP scrape with another path", url("http://t.example/x/scrape"), Errand::Scrape, None),
        ("UDP scrape", url("udp://t.example:80"), Errand::Scrape, None),
        ("redirect of a scrape outside", url("http://t.example/scrape"), Errand::Scrape, outside),
        ("torrent file", url("http://t.example/a.torrent"), Errand::TorrentFile, None),
        ("web seed", url("http://t.example/files/"), Errand::WebSeed, None),
        ("web seed with a query", url("http://t.example/x?do=reboot"), Errand::WebSeed, None),
        ("web seed with a name", url("http://admin@t.example/files/"), Errand::WebSeed, None),
        ("web seed with a password", url("http://:admin@t.example/files/"), Errand::WebSeed, None),
        ("redirect of a web seed outside", url("http://t.example/files/"), Errand::WebSeed, outside),
        ("redirect of a web seed inside", url("http://a:b@t.example/files/"), Errand::WebSeed, inside),
        ("redirect of a tracker outside", url("http://t.example/announce"), Errand::Tracker, outside),
        ("redirect of a tracker inside", url("http://t.example/x"), Errand::Tracker, inside),
        ("redirect of a file server outside", url("https://t.example/a"), Errand::TorrentFile, outside),
    ]
}

#[test]
fn every_address_is_judged_for_every_kind_of_request() {
    let mut cases = 0;
    for (ip, verdict) in zoo() {
        assert_eq!(reach(ip), verdict, "{ip}");
        for (name, url, errand, from) in kinds() {
            let from_outside = from.is_some_and(|from| reach(from) == OUTSIDE);
            let place = if errand == Errand::Scrape { "/scrape" } else { "/announce" };
            let like_a_tracker = url.scheme() == "udp" || url.path().starts_with(place);
            let expected = match verdict {
                Err(forbidden) => Err(forbidden),
                Ok(Reach::Loopback | Reach::Inside) if from_outside => Err(Forbidden::Inward),
                Ok(Reach::Loopback)
                    if matches!(errand, Errand::Tracker | Errand::Scrape) && !like_a_tracker =>
                {
                    Err(Forbidden::Loopback)
                }
                Ok(Reach::Loopback | Reach::Inside) if name == "web seed with a query" => {
                    Err(Forbidden::LocalQuery)
                }
                Ok(Reach::Loopback | Reach::Inside)
                    if errand == Errand::WebSeed && url.as_str().contains('@') =>
                {
                    Err(Forbidden::LocalCredentials)
                }
                Ok(reach) => Ok(reach),
            };
            assert_eq!(check_address(&url, errand, ip, from), expected, "{ip} as {name}");
            cases += 1;
        }
    }
    println!("addresses times kinds of request: {cases} cases");
    assert!(cases >= 900, "{cases}");
}

#[test]
fn an_address_in_disguise_is_the_address() {
    for disguise in
        ["127.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "017700000001", "127.0.0.1."]
    {
        let url = Url::parse(&format!("http://{disguise}/admin")).unwrap();
        let ip = literal_address(&url).unwrap_or_else(|| panic!("{disguise} is a name?"));
        assert_eq!(reach(ip), LOOPBACK, "{disguise}");
    }
    for disguise in ["169.254.43518", "0xa9.0xfe.0xa9.0xfe", "2852039166", "[::ffff:169.254.169.254]"] {
        let url = Url::parse(&format!("http://{disguise}/latest/meta-data/")).unwrap();
        assert_eq!(reach(literal_address(&url).unwrap()), METADATA, "{disguise}");
    }
}

#[test]
fn only_the_schemes_of_the_errand_are_used() {
    let table = [
        ("http://t.example/announce", Errand::Tracker, Ok(())),
        ("https://t.example/announce", Errand::Tracker, Ok(())),
        ("udp://t.example:6969/announce", Errand::Tracker, Ok(())),
        ("udp://t.example/announce", Errand::Tracker, Err(Forbidden::NoPort)),
        ("http://t.example:0/announce", Errand::Tracker, Err(Forbidden::NoPort)),
        ("udp://t.example:6969/x.torrent", Errand::TorrentFile, Err(Forbidden::Scheme)),
        ("file:///etc/passwd", Errand::Tracker, Err(Forbidden::Scheme)),
        ("ftp://t.example/announce", Errand::Tracker, Err(Forbidden::Scheme)),
        ("gopher://t.example/announce", Errand::Tracker, Err(Forbidden::Scheme)),
        ("ws://t.example/announce", Errand::Tracker, Err(Forbidden::Scheme)),
        ("data:text/plain,hello", Errand::TorrentFile, Err(Forbidden::Scheme)),
        ("udp://:80/announce", Errand::Tracker, Err(Forbidden::NoHost)),
    ];
    for (text, errand, expected) in table {
        match Url::parse(text) {
            Ok(url) => assert_eq!(check_url(&url, errand), expected, "{text}"),
            Err(_) => assert_eq!(expected, Err(Forbidden::NoHost), "{text}"),
        }
    }
}
