//! The network against sums done by hand.

use super::*;
use proto::LinkId;
use wire::message::BlockRequest;

const BLOCK: u32 = 16_384 - BLOCK_HEADER;

/// A network of such access links, with a connection from node 0 to each other one.
fn star(links: &[Access]) -> (Network, EventQueue<Happening>, Vec<ConnId>) {
    let mut network = Network::new(Duration::from_millis(5), Sharing::MaxMin, 1);
    links.iter().for_each(|&access| network.attach(access));
    let conns: Vec<ConnId> = (1..links.len() as u32).map(|far| network.connect(0, far)).collect();
    for (slot, &conn) in (0u32..).zip(&conns) {
        network.name(conn, Side::DIALER, LinkId { slot, generation: 0 });
        network.name(conn, Side::ACCEPTOR, LinkId { slot: 0, generation: 0 });
    }
    (network, EventQueue::new(), conns)
}

fn put(network: &mut Network, queue: &mut EventQueue<Happening>, now: Instant, pipe: PipeId, sequence: u32) {
    let token = SendToken { link: LinkId { slot: 0, generation: 0 }, sequence };
    let block = Block { piece: PieceIndex(sequence), offset: 0, len: BLOCK };
    network.enqueue(pipe, token, block);
    network.ready(now, pipe, token, Tag::GARBAGE, queue);
}

/// Runs to the end: what arrived when, in milliseconds, at which node.
fn run(network: &mut Network, queue: &mut EventQueue<Happening>) -> Vec<(u64, u32, Parcel)> {
    let mut arrived = Vec::new();
    while let Some((at, node, what)) = queue.pop() {
        match what {
            Happening::BlockLeft { pipe, stamp } => drop(network.block_left(at, pipe, stamp, queue)),
            Happening::Quantum => network.deal(at, queue),
            Happening::Arrive { pipe, parcel } => {
                let parcel = network.arrive(pipe, parcel);
                arrived.extend(parcel.map(|(_, parcel)| (at.as_micros() / 1000, node, parcel)));
            }
            _ => {}
        }
    }
    arrived
}

fn pipe(conn: ConnId) -> PipeId {
    PipeId { conn, from: Side::DIALER }
}

fn around(millis: u64, expected: u64) -> bool {
    millis.abs_diff(expected) <= 10
}

#[test]
fn a_block_takes_its_length_over_the_rate_and_the_latency() {
    // 16,384 bytes at 163,840 bytes/s are 100 ms; 40 ms of latency.
    let (mut network, mut queue, conns) = star(&[Access::new(163_840, 1 << 30); 2]);
    put(&mut network, &mut queue, Instant::ZERO, pipe(conns[0]), 0);
    let arrived = run(&mut network, &mut queue);
    assert_eq!(arrived.len(), 1);
    assert!(around(arrived[0].0, 140), "{arrived:?}");
    assert_eq!(network.totals, Totals { left: BLOCK.into(), arrived: BLOCK.into(), lost: 0 });
}

#[test]
fn flows_share_an_uplink_and_what_a_slow_receiver_leaves_speeds_up_the_others() {
    let fast = Access::new(327_680, 1 << 30);
    let slow = Access::new(327_680, 81_920);
    let (mut network, mut queue, conns) = star(&[fast, fast, slow]);
    conns.iter().for_each(|&conn| put(&mut network, &mut queue, Instant::ZERO, pipe(conn), 0));
    let arrived = run(&mut network, &mut queue);
    // The slow one takes a quarter of the uplink, and the other has three: 245,760 bytes/s.
    let at = |node| arrived.iter().find(|row| row.1 == node).map(|row| row.0).unwrap();
    assert!(around(at(1), 40 + 67), "{arrived:?}");
    assert!(around(at(2), 240), "{arrived:?}");
}

#[test]
fn a_link_in_use_is_used_whole_whatever_the_quantum() {
    let (mut network, mut queue, conns) = star(&[Access::new(10_000_000, 1 << 30); 2]);
    for sequence in 0..1000 {
        put(&mut network, &mut queue, Instant::ZERO, pipe(conns[0]), sequence);
    }
    let arrived = run(&mut network, &mut queue);
    let last = arrived.last().unwrap().0;
    // 16.384 MB at 10 MB/s, plus latency and the wait for the first quantum.
    assert!((1678..1700).contains(&last), "{last}");
    assert!(arrived.is_sorted_by_key(|row| row.0));
}

#[test]
fn a_control_message_waits_for_the_block_in_service_and_for_no_other() {
    let (mut network, mut queue, conns) = star(&[Access::new(163_840, 1 << 30); 3]);
    put(&mut network, &mut queue, Instant::ZERO, pipe(conns[0]), 0);
    put(&mut network, &mut queue, Instant::ZERO, pipe(conns[0]), 1);
    for &conn in &conns {
        let request = BlockRequest { piece: 0, offset: 0, len: 1 };
        let request = Parcel::Message(Message::Request(request));
        network.send_control(Instant::ZERO, pipe(conn), request, 17, &mut queue);
    }
    let arrived = run(&mut network, &mut queue);
    let kinds: Vec<(u64, u32, bool)> =
        arrived.iter().map(|(at, node, parcel)| (*at, *node, parcel.payload() > 0)).collect();
    assert!(matches!(kinds[..], [(40, 2, false), (_, 1, true), (_, 1, false), (_, 1, true)]), "{kinds:?}");
    assert!(around(kinds[1].0, 140) && kinds[2].0 == kinds[1].0 && around(kinds[3].0, 240), "{kinds:?}");
}

#[test]
fn control_messages_are_paid_for_by_the_flows() {
    let (mut network, mut queue, conns) = star(&[Access::new(163_840, 1 << 30); 3]);
    put(&mut network, &mut queue, Instant::ZERO, pipe(conns[0]), 0);
    let bulky = Message::Bitfield(vec![0; 16_384].into());
    network.send_control(Instant::ZERO, pipe(conns[1]), Parcel::Message(bulky), 16_384, &mut queue);
    let arrived = run(&mut network, &mut queue);
    assert!(arrived.iter().any(|row| row.1 == 2 && around(row.0, 140)), "{arrived:?}");
    assert!(arrived.iter().any(|row| row.1 == 1 && around(row.0, 240)), "{arrived:?}");
}

#[test]
fn what_a_closed_end_had_to_send_is_lost_and_its_tokens_are_returned() {
    let (mut network, mut queue, conns) = star(&[Access::new(163_840, 1 << 30); 2]);
    put(&mut network, &mut queue, Instant::ZERO, pipe(conns[0]), 0);
    put(&mut network, &mut queue, Instant::ZERO, pipe(conns[0]), 1);
    assert!(
        network.recall(pipe(conns[0]), SendToken { link: LinkId { slot: 0, generation: 0 }, sequence: 1 })
    );
    assert_eq!(network.forget_unsent(conns[0], Side::DIALER).len(), 1);
    network.close_end(conns[0], Side::DIALER);
    assert!(run(&mut network, &mut queue).is_empty());
    network.close_end(conns[0], Side::ACCEPTOR);
    assert_eq!(network.end(conns[0], Side::ACCEPTOR), None);
}

#[test]
fn who_does_not_read_is_sent_nothing_and_reads_in_order_later() {
    let (mut network, mut queue, conns) = star(&[Access::new(163_840, 1 << 30); 2]);
    network.set_paused(conns[0], Side::ACCEPTOR, true);
    let sequence = [Message::Choke, Message::Unchoke];
    for message in sequence.clone() {
        network.send_control(Instant::ZERO, pipe(conns[0]), Parcel::Message(message), 5, &mut queue);
    }
    assert!(run(&mut network, &mut queue).is_empty());
    let held = network.set_paused(conns[0], Side::ACCEPTOR, false);
    let held: Vec<Message> = held
        .into_iter()
        .filter_map(|parcel| match parcel {
            Parcel::Message(message) => Some(message),
            Parcel::Haves(_) | Parcel::Block { .. } | Parcel::Metadata { .. } => None,
        })
        .collect();
    assert_eq!(held, sequence);
}
