//! How a share stands, as text: who has how much, and whether it is safe to close. Pure. Only ASCII of our own.

use crate::quantity::{Rate, Size};
use crate::show::panel::{cut, gauge, join, percent_of};
use crate::words::count;
use gannet::sharing::{Code, ReceiverState, ReceiverStatus, ShareStatus};

/// Marks of a receiver's gauge.
const GAUGE: usize = 20;

/// The lines for a terminal of this size.
pub(super) fn panel(code: &Code, status: &ShareStatus, web: u64, width: usize, height: usize) -> Vec<String> {
    // Room stays for the ^C that a terminal writes at the cursor.
    let (width, height) = (width.saturating_sub(3).max(20), height.saturating_sub(1).max(4));
    let mut lines =
        vec![String::new(), cut(&format!("gannet receive {code}"), width), join(figures(status, web), width)];
    let room = height.saturating_sub(5);
    let shown = if status.receivers.len() <= room { room } else { room.saturating_sub(1) };
    // Who still needs something matters more than who has everything.
    let mut receivers: Vec<&ReceiverStatus> = status.receivers.iter().collect();
    receivers.sort_by_key(|receiver| (order(receiver.state), receiver.number));
    for receiver in receivers.iter().take(shown) {
        lines.push(cut(&line(receiver, status.size), width));
    }
    if receivers.len() > shown {
        lines.push(format!("  ... and {} more", receivers.len() - shown));
    }
    lines.push(cut(&verdict(status), width));
    lines
}

fn order(state: ReceiverState) -> u8 {
    match state {
        ReceiverState::Wants => 0,
        ReceiverState::Asked => 1,
        ReceiverState::Complete => 2,
        ReceiverState::Left => 3,
        ReceiverState::Declined => 4,
    }
}

fn figures(status: &ShareStatus, web: u64) -> Vec<String> {
    let mut figures = Vec::new();
    if !status.all_hashed {
        figures.push(format!("{} hashed", percent_of(status.hashed, status.size)));
    }
    figures.push(format!("{} sent", Size(status.sent)));
    figures.push(Rate(status.rate_up).to_string());
    if web > 0 {
        figures.push(format!("{} to browsers", Size(web)));
    }
    figures
}

fn line(receiver: &ReceiverStatus, size: u64) -> String {
    let who = format!("{:.24} ({})", receiver.name, receiver.from.ip());
    let state = match receiver.state {
        ReceiverState::Asked => "is being asked".into(),
        ReceiverState::Wants => {
            format!("[{}] {}", gauge(receiver.has, size, GAUGE), percent_of(receiver.has, size))
        }
        ReceiverState::Declined => "declined".into(),
        ReceiverState::Complete => "has everything".into(),
        ReceiverState::Left => format!("left with {}", percent_of(receiver.has, size)),
    };
    format!("  {who:<32}  {state}")
}

/// Whether it is safe to close.
fn verdict(status: &ShareStatus) -> String {
    let need = status.receivers.iter().filter(|receiver| receiver.state == ReceiverState::Wants).count();
    match (status.copies, need) {
        (0, 0) => "Waiting for receivers. Ctrl-C ends it.".into(),
        (0, _) => "Not yet safe to close: nobody else has all of it.".into(),
        (copies, 0) => format!("Safe to close: {}.", copies_elsewhere(copies)),
        (copies, need) if status.copies_here == 0 => {
            let others = count(need as u64, "receiver");
            format!(
                "Not yet safe to close: {}, but gone; {others} cannot go on without you.",
                copies_elsewhere(copies)
            )
        }
        (copies, need) => {
            let others = count(need as u64, "receiver");
            format!("Safe to close: {}; {others} can go on without you.", copies_elsewhere(copies))
        }
    }
}

fn copies_elsewhere(copies: u32) -> String {
    match copies {
        1 => "1 full copy elsewhere".into(),
        copies => format!("{copies} full copies elsewhere"),
    }
}

/// Plain sentences.
pub(super) fn sentences(status: &ShareStatus, web: u64) -> Vec<String> {
    let mut sentences = vec![format!("{}. {}", figures(status, web).join(", "), verdict(status))];
    sentences.extend(status.receivers.iter().map(|receiver| line(receiver, status.size)));
    sentences
}

/// What is said when it is over.
pub(super) fn parting(status: &ShareStatus) -> String {
    let unfinished =
        status.receivers.iter().filter(|receiver| receiver.state == ReceiverState::Wants).count();
    let sent = format!("the share has ended; {} sent", Size(status.sent));
    match (status.copies, unfinished) {
        (0, 0) => sent,
        (0, some) => format!(
            "{sent}. {} did not get everything, and nobody else has all of it",
            count(some as u64, "receiver")
        ),
        (copies, _) => format!("{sent}, {}", copies_elsewhere(copies)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn status(states: &[(ReceiverState, u64)]) -> ShareStatus {
        let receiver = |(number, (state, has)): (usize, &(ReceiverState, u64))| ReceiverStatus {
            number: number as u64,
            name: wire::DisplaySafe::new(format!("machine {number}")),
            from: SocketAddr::from(([192, 168, 0, number as u8], 7000)),
            state: *state,
            has: *has,
            here: *state != ReceiverState::Left,
        };
        ShareStatus {
            name: "holiday".into(),
            size: 1000 << 20,
            files: 12,
            hashed: 450 << 20,
            all_hashed: false,
            sent: 1 << 30,
            rate_up: 110 << 20,
            receivers: states.iter().enumerate().map(receiver).collect(),
            copies: states.iter().filter(|(state, _)| *state == ReceiverState::Complete).count() as u32,
            copies_here: states.iter().filter(|(state, _)| *state == ReceiverState::Complete).count() as u32,
        }
    }

    fn code() -> Code {
        "42-apple-river".parse().unwrap()
    }

    #[test]
    fn the_panel_says_who_has_what_and_whether_it_is_safe_to_close() {
        use ReceiverState::{Complete, Declined, Wants};
        let status =
            status(&[(Complete, 1000 << 20), (Wants, 500 << 20), (Declined, 0), (Complete, 1000 << 20)]);
        let expected = [
            "",
            "gannet receive 42-apple-river",
            "45.0 % hashed  1.0 GiB sent  110.0 MiB/s",
            "  machine 1 (192.168.0.1)           [##########..........] 50.0 %",
            "  machine 0 (192.168.0.0)           has everything",
            "  machine 3 (192.168.0.3)           has everything",
            "  machine 2 (192.168.0.2)           declined",
            "Safe to close: 2 full copies elsewhere; 1 receiver can go on without you.",
        ];
        assert_eq!(panel(&code(), &status, 0, 80, 24), expected);
    }

    #[test]
    fn the_verdict_tells_what_closing_would_do() {
        use ReceiverState::{Asked, Complete, Left, Wants};
        for (states, expected) in [
            (&[][..], "Waiting for receivers. Ctrl-C ends it."),
            (&[(Asked, 0)], "Waiting for receivers. Ctrl-C ends it."),
            (&[(Wants, 5)], "Not yet safe to close: nobody else has all of it."),
            (&[(Complete, 9)], "Safe to close: 1 full copy elsewhere."),
            (&[(Complete, 9), (Left, 3)], "Safe to close: 1 full copy elsewhere."),
        ] {
            assert_eq!(verdict(&status(states)), expected);
        }
    }

    #[test]
    fn who_has_everything_and_is_gone_helps_nobody() {
        use ReceiverState::{Complete, Wants};
        let mut status = status(&[(Complete, 9), (Wants, 5)]);
        status.copies_here = 0;
        let expected =
            "Not yet safe to close: 1 full copy elsewhere, but gone; 1 receiver cannot go on without you.";
        assert_eq!(verdict(&status), expected);
    }

    #[test]
    fn the_panel_fits_whatever_the_terminal_and_however_many_come() {
        for receivers in [0, 1, 30, 500] {
            let status = status(&vec![(ReceiverState::Wants, 1); receivers]);
            for (width, height) in [(1, 1), (20, 5), (80, 24), (200, 60)] {
                let lines = panel(&code(), &status, 7, width, height);
                assert!(lines.len() <= height.max(6), "{} lines of {height}", lines.len());
                assert!(
                    lines
                        .iter()
                        .all(|line| console::measure_text_width(line) <= width.saturating_sub(3).max(20))
                );
            }
        }
    }
}
