//! A question to the person at the terminal, answered by y or n, while everything else goes on.

use crate::show::Screen;
use std::io::{BufRead, IsTerminal, stderr, stdin};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

/// A question that was asked.
pub(crate) struct Question(Receiver<bool>);

impl Question {
    /// Asks, if a person is there; a program that reads JSON lines may answer in the same way, on standard input.
    pub(crate) fn ask(question: &str, screen: &Screen) -> Option<Question> {
        let person = stdin().is_terminal() && stderr().is_terminal() && screen.is_for_people();
        if !person && !screen.is_json() {
            return None;
        }
        screen.say(question);
        let (answer, answered) = sync_channel(1);
        // It may wait for ever, and then ends with the process.
        let reader = move || {
            let mut typed = String::new();
            let read = stdin().lock().read_line(&mut typed);
            let _ = answer.send(read.is_ok() && is_yes(&typed));
        };
        std::thread::Builder::new().name("question".into()).spawn(reader).ok()?;
        Some(Question(answered))
    }

    /// The answer, if there is one yet. No answer at all is a no.
    pub(crate) fn answered(&self) -> Option<bool> {
        match self.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(false),
        }
    }
}

/// A line that the person at the terminal types; none if nobody is there.
pub(crate) fn line(question: &str) -> Option<String> {
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return None;
    }
    crate::show::prompt(question);
    let mut typed = String::new();
    stdin().lock().read_line(&mut typed).ok()?;
    Some(typed.trim().to_owned()).filter(|typed| !typed.is_empty())
}

fn is_yes(typed: &str) -> bool {
    matches!(typed.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        assert!(["y", " Y\n", "yes", "YES\r\n"].into_iter().all(is_yes));
        assert!(!["", "\n", "n", "no", "yessir", "j"].into_iter().any(is_yes));
    }
}
