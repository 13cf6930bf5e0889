//! A body's bytes become blocks. Copies only what lies across two chunks.

use super::flow::Flow;
use bytes::{Bytes, BytesMut};
use wire::{Block, Layout};

/// The blocks from some place of the content on.
pub(super) struct Blocks<'f, T> {
    layout: &'f Layout,
    at: u64,
    /// The beginning of the block at `at`.
    begun: BytesMut,
    flow: &'f Flow,
    tell: T,
}

impl<'f, T: Fn(Block, Bytes)> Blocks<'f, T> {
    /// Blocks of this layout, from here on.
    pub(super) fn new(layout: &'f Layout, at: u64, flow: &'f Flow, tell: T) -> Blocks<'f, T> {
        Blocks { layout, at, begun: BytesMut::new(), flow, tell }
    }

    /// The next bytes of the content. Says whether a block became whole. What lies behind the content is ignored.
    pub(super) async fn push(&mut self, mut chunk: Bytes) -> bool {
        let mut whole = false;
        while !chunk.is_empty() {
            let Some(block) = self.layout.block_at(self.at) else { return whole };
            let missing = (block.len as usize).saturating_sub(self.begun.len());
            let bytes = if chunk.len() < missing {
                self.begun.extend_from_slice(&chunk);
                return whole;
            } else if self.begun.is_empty() {
                chunk.split_to(missing)
            } else {
                self.begun.extend_from_slice(&chunk.split_to(missing));
                self.begun.split().freeze()
            };
            self.flow.admit(bytes.len()).await;
            self.at += bytes.len() as u64;
            (self.tell)(block, bytes);
            whole = true;
        }
        whole
    }

    /// Padding, which lies on no server (BEP 47).
    pub(super) async fn zeros(&mut self, len: u64) {
        const ZEROS: &[u8] = &[0; 16 * 1024];
        let mut left = len;
        while left > 0 {
            let some = left.min(ZEROS.len() as u64);
            self.push(Bytes::from_static(&ZEROS[..some as usize])).await;
            left -= some;
        }
    }
}
