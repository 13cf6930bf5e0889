//! Two machines on one cable, with nothing but what the case gives them: a receiver finds a sharer by number, and can reach it
//! at the address where it was found; or says within seconds that it hears nobody.
//!
//! Each case is a private network with a namespace for each machine, made by `unshare` (root, or a system that lets users make
//! namespaces; it fails where neither holds). This program runs itself again in there: first to lay the network, then as each
//! of the machines. Threats: D9

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, also in its helpers")]

use gannet::{BeaconNews, EVERYWHERE, LocalBeacon, Silence};
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What this process is: the one that lays the network, or a machine.
const ROLE: &str = "GANNET_TEST_NETWORK";

/// Far above what anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a sharer says to whoever reaches it.
const GREETING: &[u8] = b"it is me";

/// No IPv6, as the first lines of a case.
const NO_IPV6: [&str; 2] = [
    "netns exec sharer sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
    "netns exec receiver sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
];

/// Runs the machines on a network that these words to `ip` lay, and compares what the receiver says in the end.
fn meet(lay: &[&str], expected: &str) {
    match std::env::var(ROLE).as_deref() {
        Ok("sharer") => return share(),
        Ok("receiver") => return receive(),
        Ok(_) => return network(lay),
        Err(_) => {}
    }
    let spaces = ["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"];
    let mut unshare = Command::new("unshare");
    let ended = again(unshare.args(spaces).arg("--mount-proc"), "network").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    let complaint = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success() && said.contains(expected),
        "no {expected:?} (this needs root, or users who may make namespaces):\n{said}{complaint}"
    );
}

/// This test once more, in another role.
fn again<'a>(command: &'a mut Command, role: &str) -> &'a mut Command {
    let test = std::thread::current().name().unwrap().to_owned();
    let this = std::env::current_exe().unwrap();
    command.arg(this).args(["--exact", &test, "--nocapture"]).env(ROLE, role)
}

fn run(program: &str, words: &str) {
    let ended = Command::new(program).args(words.split(' ')).output().unwrap();
    assert!(ended.status.success(), "{program} {words}: {}", String::from_utf8_lossy(&ended.stderr));
}

fn network(lay: &[&str]) {
    // `ip netns` keeps its names below /run.
    run("mount", "-t tmpfs tmpfs /run");
    for line in [
        "netns add sharer",
        "netns add receiver",
        "link add eth0 netns sharer type veth peer name eth0 netns receiver",
        // An address may be used at once, as after some seconds on any cable.
        "netns exec sharer sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.eth0.accept_dad=0",
        "netns exec receiver sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.eth0.accept_dad=0",
    ] {
        run("ip", line);
    }
    lay.iter().for_each(|line| run("ip", line));
    let mut sharer = machine("sharer");
    let receiver = machine("receiver").wait_with_output().unwrap();
    sharer.kill().unwrap();
    sharer.wait().unwrap();
    println!("{}", String::from_utf8_lossy(&receiver.stdout));
    assert!(receiver.status.success());
}

fn machine(name: &str) -> Child {
    let mut command = Command::new("ip");
    again(command.args(["netns", "exec", name]), name).stdout(Stdio::piped()).spawn().unwrap()
}

/// Says its number and greets whoever comes, until it is killed.
fn share() {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))
        .or_else(|_| TcpListener::bind("0.0.0.0:0"))
        .expect("a listener");
    let _beacon = LocalBeacon::share(42, listener.local_addr().unwrap().port(), EVERYWHERE).unwrap();
    for stream in listener.incoming() {
        let _ = stream.unwrap().write_all(GREETING);
    }
}

/// Looks for the number, and says whom it found and reached, or what it heard in place of him.
fn receive() {
    let search = LocalBeacon::look(42, EVERYWHERE).unwrap();
    match search.recv_timeout(PATIENCE).expect("news") {
        BeaconNews::Found(sharer) => {
            let mut stream = TcpStream::connect_timeout(&sharer.address, PATIENCE).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut greeting = [0; GREETING.len()];
            stream.read_exact(&mut greeting).unwrap();
            assert_eq!(greeting, GREETING);
            println!("reached at {}", kind(sharer.address));
        }
        BeaconNews::Silence(Silence::Deaf) => println!("deaf"),
        BeaconNews::Silence(Silence::Alone) => println!("alone"),
        BeaconNews::Silence(Silence::Others) => println!("others"),
    }
}

fn kind(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) if v6.scope_id() != 0 => "fe80 with its interface".into(),
        SocketAddr::V6(v6) => v6.ip().to_string(),
    }
}

#[test]
fn on_a_usual_network_without_a_way_out() {
    let lay = [
        "-n sharer link set eth0 up",
        "-n receiver link set eth0 up",
        "-n sharer addr add 192.168.7.1/24 dev eth0",
        "-n receiver addr add 192.168.7.2/24 dev eth0",
    ];
    meet(&[&NO_IPV6[..], &lay].concat(), "reached at 192.168.7.1");
}

#[test]
fn with_nothing_but_fe80() {
    meet(
        &["-n sharer link set eth0 up", "-n receiver link set eth0 up"],
        "reached at fe80 with its interface",
    );
}

#[test]
fn with_nothing_but_169_254() {
    let lay = [
        "-n sharer link set eth0 up",
        "-n receiver link set eth0 up",
        "-n sharer addr add 169.254.7.1/16 dev eth0",
        "-n receiver addr add 169.254.7.2/16 dev eth0",
    ];
    meet(&[&NO_IPV6[..], &lay].concat(), "reached at 169.254.7.1");
}

#[test]
fn beside_a_vpn_that_takes_everything_to_elsewhere() {
    let lay = [
        "-n sharer link set eth0 up",
        "-n receiver link set eth0 up",
        "-n sharer addr add 192.168.7.1/24 dev eth0",
        "-n receiver addr add 192.168.7.2/24 dev eth0",
        "-n receiver link add vpn type veth peer name elsewhere",
        "-n receiver link set vpn up",
        "-n receiver link set elsewhere up",
        "-n receiver addr add 10.8.0.2/24 dev vpn",
        "-n receiver route add default via 10.8.0.1 dev vpn",
        "-n receiver route add multicast 224.0.0.0/4 dev vpn",
    ];
    meet(&[&NO_IPV6[..], &lay].concat(), "reached at 192.168.7.1");
}

#[test]
fn without_any_network_it_is_told_that_nothing_is_heard() {
    meet(&NO_IPV6, "deaf");
}

#[test]
fn where_multicast_does_not_pass_between_machines_it_is_told_that_nobody_else_is_heard() {
    let lay = [
        "-n sharer link set eth0 up",
        "-n receiver link set eth0 up",
        "-n sharer addr add 192.168.7.1/24 dev eth0",
        "-n receiver addr add 192.168.7.2/24 dev eth0",
        // The other side takes nothing in that is not for its own address, as behind an access point that isolates.
        "-n receiver link set eth0 address 02:00:00:00:00:02",
        "-n sharer link set eth0 arp off multicast off",
    ];
    meet(&[&NO_IPV6[..], &lay].concat(), "alone");
}
