//! What `gannet share --json` prints (docs/json.md).

use gannet::sharing::{Listing, ReceiverState, ReceiverStatus, ShareStatus};
use serde::Serialize;
use wire::DisplaySafe;

/// What a line says.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Said {
    Sharing {
        code: String,
        addresses: Vec<String>,
    },
    Page {
        urls: Vec<String>,
    },
    Listed {
        name: String,
        size: u64,
        files: u64,
        executables: u64,
        folders: u64,
        lost: u64,
    },
    Lost {
        path: String,
        why: &'static str,
    },
    AllHashed {
        torrents: u64,
        bytes: u64,
    },
    Progress {
        size: u64,
        hashed: u64,
        all_hashed: bool,
        sent: u64,
        rate_up: u64,
        sent_by_page: u64,
        copies: u32,
        receivers: Vec<ReceiverLine>,
    },
    ReceiverCame {
        number: u64,
        name: Option<String>,
        address: Option<String>,
    },
    ReceiverWants {
        number: u64,
    },
    ReceiverDeclined {
        number: u64,
    },
    ReceiverComplete {
        number: u64,
    },
    ReceiverLeft {
        number: u64,
    },
    WrongCode {
        address: String,
    },
    MustConfirm {
        wrong: Vec<Wrong>,
    },
    Magnet {
        info_hash: String,
        magnet: String,
        addresses: Vec<String>,
    },
    Ended,
}

/// Wrong codes of one address.
#[derive(Serialize)]
pub(super) struct Wrong {
    pub(super) address: String,
    pub(super) count: u32,
}

/// One receiver.
#[derive(Serialize)]
pub(super) struct ReceiverLine {
    number: u64,
    name: String,
    address: String,
    state: &'static str,
    has: u64,
}

impl ReceiverLine {
    fn of(receiver: &ReceiverStatus) -> ReceiverLine {
        ReceiverLine {
            number: receiver.number,
            name: receiver.name.to_string(),
            address: receiver.from.to_string(),
            state: match receiver.state {
                ReceiverState::Asked => "asked",
                ReceiverState::Wants => "wants",
                ReceiverState::Declined => "declined",
                ReceiverState::Complete => "complete",
                ReceiverState::Left => "left",
            },
            has: receiver.has,
        }
    }
}

/// What is shared.
pub(super) fn listed(listing: &Listing) -> Said {
    Said::Listed {
        name: DisplaySafe::new(&listing.name).to_string(),
        size: listing.size(),
        files: listing.files.len() as u64,
        executables: listing.files.iter().filter(|file| file.executable).count() as u64,
        folders: listing.empty_folders.len() as u64,
        lost: listing.lost.len() as u64,
    }
}

/// How a share stands.
pub(super) fn progress(status: &ShareStatus, sent_by_page: u64) -> Said {
    Said::Progress {
        size: status.size,
        hashed: status.hashed,
        all_hashed: status.all_hashed,
        sent: status.sent,
        rate_up: status.rate_up,
        sent_by_page,
        copies: status.copies,
        receivers: status.receivers.iter().map(ReceiverLine::of).collect(),
    }
}
