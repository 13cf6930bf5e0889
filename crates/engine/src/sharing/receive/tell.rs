//! Telling the sharer who we are, and what is here.

use crate::sharing::PairedLine;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use wire::DisplaySafe;
use wire::offer::ReceiverSays;

/// The sharer is told what is here so often at most.
const SAY_INTERVAL: Duration = Duration::from_millis(500);

/// Tells the sharer what is here, not too often, and at last that it is everything.
pub(super) async fn tell(line: Arc<PairedLine>, mut progress: watch::Receiver<(u64, bool)>) {
    let (mut told, mut told_all) = (0, false);
    loop {
        let (has, all) = *progress.borrow_and_update();
        if has != told && line.send_async(ReceiverSays::Has(has).encode()).await.is_err() {
            return;
        }
        told = has;
        if all && !told_all && line.send_async(ReceiverSays::Complete.encode()).await.is_err() {
            return;
        }
        told_all |= all;
        if progress.changed().await.is_err() {
            return;
        }
        // That it is everything must not wait.
        let complete = async { while !progress.borrow().1 && progress.changed().await.is_ok() {} };
        let _ = timeout(SAY_INTERVAL, complete).await;
    }
}

/// What this machine is called.
pub(super) fn machine_name() -> DisplaySafe {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "a machine without a name".into(),
        name => name.into(),
    }
}
