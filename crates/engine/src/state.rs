//! What survives a restart: torrents, the user's settings for them, and resume records, in one SQLite file.

pub(crate) mod record;

pub(crate) use record::{FileMark, StoredResume, StoredTorrent, TorrentOptions, VolumeMark};
