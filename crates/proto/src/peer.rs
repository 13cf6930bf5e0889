//! What belongs to one linked peer: what we asked it for, what it asked us for, what it may have while choked. Never names
//! `torrent` or `session`. BEP: 3, 6

pub mod fast;
pub mod pipeline;
pub mod upload_queue;

pub use crate::pieces::RemotePieces;
pub use fast::AllowedFast;
pub use pipeline::Pipeline;
pub use upload_queue::UploadQueue;
