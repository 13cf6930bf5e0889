//! The `gannet` program: reads the command line, runs one command, ends with its exit code. No protocol here.

mod chance;
mod cli;
mod create;
mod demo;
mod dht;
mod failure;
mod fault;
mod follow;
mod get;
mod inspect;
mod lab;
mod live;
mod new_file;
mod notices;
mod peers;
mod quantity;
mod question;
mod receive;
mod redact;
mod room;
mod selection;
mod share;
mod show;
mod source;
mod stop;
mod tracker;
mod verify;
mod words;

use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match Cli::typed().command {
        Command::Demo(args) => demo::run(&args),
        Command::Share(args) => share::run(&args),
        Command::Receive(args) => receive::run(&args),
        Command::Get(args) => get::get(&args),
        Command::Seed(args) => get::seed(&args),
        Command::Create(args) => create::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Dht(args) => dht::run(&args),
        Command::Tracker(args) => tracker::run(&args),
        Command::Lab(args) => lab::run(&args),
    };
    let exit = outcome.unwrap_or_else(|failure| {
        show::message(&format!("error: {failure}"));
        failure.exit
    });
    ExitCode::from(exit as u8)
}
