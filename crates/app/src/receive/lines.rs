//! What `gannet receive --json` prints (docs/json.md).

use gannet::sharing::{Offered, ReceiveStatus};
use serde::Serialize;

/// What a line says.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Said {
    Looking {
        number: u16,
    },
    Found {
        address: String,
    },
    NotPaired {
        address: String,
        why: String,
    },
    Silence {
        heard_ourselves: bool,
        advice: String,
    },
    Offer {
        name: String,
        size: u64,
        files: u64,
        executables: u64,
        folders: u64,
        lost: u64,
        here: u64,
    },
    Accepted,
    Began,
    Progress {
        size: u64,
        hashed: u64,
        offered: u64,
        has: u64,
        rate_down: u64,
        rate_up: u64,
        received: u64,
        sent: u64,
        peers: u32,
        others_incomplete: u32,
        complete: bool,
    },
    Lost {
        path: String,
        why: &'static str,
    },
    Trouble {
        why: String,
    },
    SharerLeft,
    SharerBack,
    Alone,
    Finished {
        path: String,
    },
    Served,
    Ended,
}

/// What is offered.
pub(super) fn offer(offered: &Offered) -> Said {
    Said::Offer {
        name: offered.name.to_string(),
        size: offered.size,
        files: offered.files,
        executables: offered.executables,
        folders: offered.folders,
        lost: offered.lost,
        here: offered.resumed,
    }
}

/// How it stands.
pub(super) fn progress(status: &ReceiveStatus) -> Said {
    Said::Progress {
        size: status.size,
        hashed: status.sharer_hashed,
        offered: status.offered,
        has: status.has,
        rate_down: status.rate_down,
        rate_up: status.rate_up,
        received: status.received,
        sent: status.sent,
        peers: status.peers,
        others_incomplete: status.others_incomplete,
        complete: status.complete,
    }
}
