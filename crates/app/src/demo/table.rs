//! How it ended, in plain lines: the table, one sentence of what was seen, and what to try next. Pure.

use super::board::{Board, ClientEnd, Finish, Role};
use super::view::{clock, copies};
use crate::quantity::Size;
use crate::words::count;
use std::fmt::Write as _;
use std::time::Duration;

/// One line of how both sides stand, for those who have no terminal.
pub(super) fn progress(board: &Board, at: Duration) -> String {
    let percent = |part: u64, whole: u64| part * 100 / whole.max(1);
    let left: u64 = board.clients.iter().map(|client| client.bytes).sum();
    let right: u64 = board.peers().map(|member| u64::from(member.pieces)).sum();
    format!(
        "{}  server {:>3} %, {};  swarm {:>3} %, {};  sent {} and {}",
        clock(at),
        percent(left, board.file_len * board.clients.len() as u64),
        super::view::finish(board.left_finish(at)),
        percent(right, u64::from(board.pieces) * board.peers().count() as u64),
        super::view::finish(board.right_finish(at)),
        Size(board.server_sent),
        Size(board.seed_sent()),
    )
}

/// Who was done when, and who sent how much to whom.
pub(super) fn table(board: &Board, at: Duration) -> String {
    let mut text = format!("{:<8}{:>10}{:>10}\n", "who", "server", "swarm");
    let peers: Vec<_> = board.peers().collect();
    for (number, client) in board.clients.iter().enumerate() {
        let left = match client.end {
            Some(ClientEnd::Done(at)) => clock(at),
            Some(ClientEnd::Failed) => "lost".into(),
            None => "-".into(),
        };
        let right = peers.get(number).and_then(|peer| peer.finished).map_or("-".into(), clock);
        let _ = writeln!(text, "{:<8}{left:>10}{right:>10}", client.name);
    }
    for other in board.members.iter().filter(|member| matches!(member.role, Role::FreeRider | Role::Guest)) {
        let right = match other.finished {
            Some(at) => clock(at),
            None => format!("{} %", other.pieces * 100 / board.pieces.max(1)),
        };
        let _ = writeln!(text, "{:<8}{:>10}{right:>10}", other.name, "");
    }
    let [left, right] = [board.server_sent, board.seed_sent()].map(|sent| Size(sent).to_string());
    let _ = writeln!(text, "{:<8}{left:>10}{right:>10}\n", "origin");
    text + &flows(board, at)
}

/// The matrix in MiB: a row for each giver, a column for each taker.
fn flows(board: &Board, at: Duration) -> String {
    let everybody = 0..board.members.len();
    let takers: Vec<usize> =
        everybody.clone().filter(|&member| board.members[member].role != Role::Seed).collect();
    let mut text = format!("{:<8}", "MiB to");
    takers.iter().for_each(|&taker| text += &format!("{:>7}", board.members[taker].name));
    text += "\n";
    for giver in everybody {
        let _ = write!(text, "{:<8}", board.members[giver].name);
        for &taker in &takers {
            let cell = match board.flow(at, giver, taker).0 {
                _ if giver == taker => "-".into(),
                bytes => format!("{:.1}", bytes as f64 / f64::from(1 << 20)),
            };
            let _ = write!(text, "{cell:>7}");
        }
        text += "\n";
    }
    text
}

/// What was seen, in a sentence.
pub(super) fn sentence(board: &Board, at: Duration) -> String {
    let people = count(board.clients.len() as u64, "person").replace("persons", "people");
    let done = board.clients.iter().filter(|client| matches!(client.end, Some(ClientEnd::Done(_)))).count();
    let server = copies(board.server_sent, board.file_len);
    let seed = copies(board.seed_sent(), board.file_len);
    match (board.left_finish(at), board.right_finish(at), board.origins_killed) {
        (Finish::Done(left), Finish::Done(right), _) => format!(
            "What was seen: the server sent {server} and took {}; the swarm's seed, no faster, sent {seed}, and \
             {people} were done after {}, for they sent each other the rest.",
            clock(left),
            clock(right)
        ),
        (_, Finish::Done(right), Some(killed)) => format!(
            "What was seen: both origins died at {}. The server's side stopped for ever with {done} of {people} \
             done; in the swarm a whole copy was out, and everybody was done at {}.",
            clock(killed),
            clock(right)
        ),
        (_, Finish::Never, Some(killed)) => format!(
            "What was seen: both origins died at {}, before a whole copy was out. {} of {} were with nobody any \
             more, so the swarm stopped too; press s a little later next time.",
            clock(killed),
            board.pieces - board.pieces_out(),
            count(board.pieces, "piece"),
        ),
        _ => format!(
            "It was ended at {}: by then the server had sent {server}, and the swarm's seed {seed}.",
            clock(at)
        ),
    }
}
