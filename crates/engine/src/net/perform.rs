//! What the machines want, done. One arm for each output; a new output does not compile until it is here.

use super::event_loop::{Ending, EventLoop};
use super::links::link_of;
use super::outbound::Recall;
use crate::disk::job::{DiskDone, DiskJob, Payload};
use crate::edge::{Question, Visit};
use proto::input::{AnnounceFailure, DiskOperation, LinkEnd, Unsent};
use proto::output::{Announce, Scrape};
use proto::{Event, Input, LinkId, Output, SendToken, TorrentId, door};
use wire::{Block, message::BlockRequest};

impl EventLoop {
    /// Does one thing that the session wants.
    pub(super) fn perform(&mut self, output: Output) {
        match output {
            Output::Dial { dial, remote, hints } => {
                self.tell_door(door::Input::Dial { dial, remote, hints });
            }
            Output::Close { link, why } => self.close(link, LinkEnd::Closed(why)),
            Output::Send { link, message } => self.enqueue(link, |link| link.outbound.message(&message)),
            Output::Haves { link, pieces } => self.enqueue(link, |link| link.outbound.haves(&pieces)),
            Output::SendBlock { token, torrent, block } => self.send_block(token, torrent, block),
            Output::Unsend { token } => self.unsend(token),
            Output::PauseReading { link } => self.pause(link, true),
            Output::ResumeReading { link } => self.pause(link, false),
            Output::Keep { payload, torrent, block } => {
                let bytes = self.payloads.parked.take(payload);
                if let (Some(bytes), Some(layout)) = (bytes, self.torrents.layout(torrent)) {
                    self.payloads.pieces.keep(torrent, layout, block, bytes);
                }
            }
            Output::Drop { payload } => drop(self.payloads.parked.take(payload)),
            Output::KeepMetadata { payload, torrent, size, piece } => {
                self.keep_metadata(payload, torrent, size, piece);
            }
            Output::AssembleMetadata { torrent, size } => self.assemble_metadata(torrent, size),
            Output::DiscardMetadata { torrent, size } => self.discard_metadata(torrent, size),
            Output::SendMetadata { token, torrent, id, piece } => {
                self.send_metadata(token, torrent, id, piece);
            }
            Output::Open { torrent, wanted: _ } => self.open(torrent),
            Output::Check { torrent, pieces } => self.outside.disk.submit(DiskJob::Check { torrent, pieces }),
            Output::Verify { torrent, piece, attempt, key, digests } => {
                let Some(layout) = self.torrents.layout(torrent) else { return };
                let blocks = self.payloads.pieces.sources(torrent, layout, piece);
                let job = DiskJob::Verify { torrent, piece, attempt, key, digests, blocks };
                self.outside.disk.submit(job);
            }
            Output::Write { torrent, piece, attempt } => {
                let Some(layout) = self.torrents.layout(torrent) else { return };
                let blocks = self.payloads.pieces.sources(torrent, layout, piece);
                self.outside.disk.submit(DiskJob::Write { torrent, piece, attempt, blocks });
            }
            Output::Spill { torrent, piece, attempt, blocks, key } => {
                let blocks = self.payloads.pieces.spill(torrent, piece, attempt, blocks);
                self.outside.disk.submit(DiskJob::Spill { torrent, piece, attempt, blocks, key });
            }
            Output::Discard { torrent, piece, attempt: _ } => {
                self.payloads.pieces.forget(torrent, piece);
                self.outside.disk.submit(DiskJob::Discard { torrent, piece });
            }
            Output::Sync { torrent, epoch } => self.outside.disk.submit(DiskJob::Sync { torrent, epoch }),
            Output::Commit { torrent, epoch, record } => {
                self.outside.disk.submit(DiskJob::Commit { torrent, epoch, record });
            }
            Output::Want { torrent, wanted: _ } => {
                let Some(entry) = self.torrents.get(torrent) else { return };
                let wanted = entry.wanted.clone();
                self.outside.disk.submit(DiskJob::Want { torrent, wanted });
            }
            Output::CloseStorage { torrent } => self.outside.disk.submit(DiskJob::Close { torrent }),
            Output::Announce(announce) => self.announce(*announce),
            Output::Scrape(scrape) => self.scrape(scrape),
            Output::FindPeers { torrent, info_hash, need } => {
                if let Some(local) = &mut self.listening.local {
                    local.find(self.now, torrent, info_hash);
                }
                self.find_in_the_dht(torrent, info_hash, need);
            }
            Output::StopFinding { torrent, info_hash } => {
                if let Some(local) = &mut self.listening.local {
                    local.stop(self.now, torrent, info_hash);
                }
                if let Some(dht) = &mut self.listening.dht {
                    dht.stop(self.now, info_hash);
                }
            }
            Output::MeetNode(node) => {
                if let Some(dht) = &mut self.listening.dht {
                    dht.meet(self.now, node);
                }
            }
            Output::Fetch(fetch) => self.fetch(*fetch),
            Output::CancelFetch { fetch } => self.cancel_fetch(fetch),
            Output::PauseFetch { fetch } => self.pause_fetch(fetch, true),
            Output::ResumeFetch { fetch } => self.pause_fetch(fetch, false),
            Output::Event(event) => self.tell_user(event),
        }
    }

    /// Does one thing that the door wants.
    pub(super) fn perform_at_the_door(&mut self, output: door::Output) {
        match output {
            // Its bytes are read as they come: it was put into the kernel's list when it was accepted.
            door::Output::Admit(_) => {}
            door::Output::Refuse(pending) | door::Output::DropPending(pending) => {
                self.links.remove(self.poll.registry(), link_of(pending));
            }
            door::Output::Answer { pending, crypto } => self.answer_greeting(pending, crypto),
            door::Output::TurnAway { pending, why } => self.turn_away(pending, why),
            door::Output::Connect { dial, remote, way } => self.connect(dial, remote, way),
            door::Output::Abandon(dial) => {
                if let Some(link) = self.links.by_dial(dial) {
                    self.links.remove(self.poll.registry(), link);
                }
            }
            door::Output::DialFailed { dial, why } => {
                self.mail.to_session.push_back(Input::DialFailed { dial, why });
            }
        }
    }

    /// Hands on what the disk has done.
    pub(super) fn disk_done(&mut self, done: DiskDone) {
        match done {
            DiskDone::Opened { torrent, found } => self.feed(Input::Opened { torrent, found }),
            DiskDone::CheckProgress { torrent, pieces } => {
                self.feed(Input::CheckProgress { torrent, pieces })
            }
            DiskDone::Checked { torrent, good } => self.feed(Input::Checked { torrent, good }),
            DiskDone::Verified { torrent, piece, attempt, good, digests } => {
                self.feed(Input::Verified { torrent, piece, attempt, good, digests });
            }
            DiskDone::Written { torrent, piece, attempt } => {
                self.payloads.pieces.forget(torrent, piece);
                self.feed(Input::Written { torrent, piece, attempt });
            }
            DiskDone::Spilled { torrent, piece, attempt, digests } => {
                self.payloads.pieces.spilled(torrent, piece, attempt);
                self.feed(Input::Spilled { torrent, piece, attempt, digests });
            }
            DiskDone::Synced { torrent, epoch } => self.feed(Input::Synced { torrent, epoch }),
            DiskDone::SyncFailed { torrent, epoch, error } => {
                self.feed(Input::SyncFailed { torrent, epoch, error });
            }
            DiskDone::Committed { torrent, epoch } => self.feed(Input::Committed { torrent, epoch }),
            DiskDone::Failed { torrent, operation, error } => {
                if let DiskOperation::Spill(piece, attempt) = operation {
                    self.payloads.pieces.spill_failed(torrent, piece, attempt);
                }
                self.feed(Input::StorageFailed { torrent, operation, error });
            }
            DiskDone::Read { token, data } => match data {
                Ok(bytes) => self.block_read(token, Payload::one(bytes)),
                Err(error) => self.block_unread(token, Unsent::Disk(error)),
            },
            DiskDone::Warning { torrent, text } => tracing::warn!(?torrent, "{text}"),
            DiskDone::Closed { torrent } => {
                self.payloads.pieces.forget_torrent(torrent);
                self.feed(Input::Closed { torrent });
            }
        }
    }

    fn open(&mut self, torrent: TorrentId) {
        let Some(entry) = self.torrents.get(torrent) else { return };
        let Some(spec) = entry.spec.clone() else { return };
        let wanted = entry.wanted.clone();
        self.outside.disk.submit(DiskJob::Open { torrent, spec, wanted });
    }

    /// Ends a link at the session's wish; what was said before is sent as far as the socket takes it.
    fn close(&mut self, id: LinkId, why: LinkEnd) {
        if let Some(link) = self.links.get_mut(id) {
            // The last word is a courtesy; if it cannot be said, the link ends without.
            let _ = link.outbound.flush(&mut link.socket, &mut self.mail.sent);
            for token in self.mail.sent.drain(..) {
                self.mail.to_session.push_back(Input::Sent { token });
            }
        }
        self.lose(id, why);
    }

    fn enqueue(&mut self, id: LinkId, put: impl FnOnce(&mut super::links::Link)) {
        let Some(link) = self.links.get_mut(id) else { return };
        put(link);
        if link.outbound.is_stuck() {
            return self.lose(id, LinkEnd::Broken);
        }
        self.links.want_write(id);
    }

    fn send_block(&mut self, token: SendToken, torrent: TorrentId, block: Block) {
        let (Some(link), Some(layout)) = (self.links.get_mut(token.link), self.torrents.layout(torrent))
        else {
            return self.mail.to_session.push_back(Input::Unsent { token, why: Unsent::LinkDown });
        };
        let request = BlockRequest::from(block);
        match self.payloads.pieces.read(torrent, layout, block) {
            Some(payload) => {
                link.outbound.block(token, request, payload);
                link.match_credit();
                self.links.want_write(token.link);
            }
            None => {
                link.outbound.expect(token, request);
                self.outside.disk.submit(DiskJob::Read { torrent, token, block });
            }
        }
    }

    fn block_read(&mut self, token: SendToken, payload: Payload) {
        let Some(link) = self.links.get_mut(token.link) else { return };
        let Some(request) = link.outbound.read_ended(token) else { return };
        link.outbound.block(token, request, payload);
        link.match_credit();
        self.links.want_write(token.link);
    }

    fn block_unread(&mut self, token: SendToken, why: Unsent) {
        let Some(link) = self.links.get_mut(token.link) else { return };
        if link.outbound.read_ended(token).is_some() {
            self.feed(Input::Unsent { token, why });
        }
    }

    fn unsend(&mut self, token: SendToken) {
        let Some(link) = self.links.get_mut(token.link) else { return };
        match link.outbound.recall(token) {
            Recall::Recalled => {
                self.mail.to_session.push_back(Input::Unsent { token, why: Unsent::Recalled })
            }
            Recall::TooLate => {}
        }
    }

    fn pause(&mut self, id: LinkId, paused: bool) {
        if let Some(link) = self.links.get_mut(id) {
            link.paused = paused;
            self.links.want_read(id);
        }
    }

    fn announce(&mut self, announce: Announce) {
        let name = announce.announce;
        let Some(entry) = self.torrents.get(name.torrent) else { return };
        let listeners = &self.listening.listeners;
        let visit = Visit {
            announce,
            info_hash: entry.info_hash,
            peer_id: self.outside.peer_id,
            port: listeners.port.max(1),
            ipv6: listeners.has_ipv6(),
        };
        if let Err(announce) = self.outside.edge.announce(visit) {
            let why = AnnounceFailure::Unreachable("too many visits wait already".into());
            self.mail.to_session.push_back(Input::Announced { announce, outcome: Err(why) });
        }
    }

    fn scrape(&mut self, scrape: Scrape) {
        let Some(entry) = self.torrents.get(scrape.scrape.torrent) else { return };
        let question = Question { scrape, info_hash: entry.info_hash };
        if let Err(scrape) = self.outside.edge.scrape(question) {
            let why = AnnounceFailure::Unreachable("too many visits wait already".into());
            self.mail.to_session.push_back(Input::Scraped { scrape, outcome: Err(why) });
        }
    }

    fn tell_user(&mut self, event: Event) {
        match event {
            // Told when it is true for the user too: its name is free once the state store has forgotten it.
            Event::Removed(torrent) => {
                if let Some(entry) = self.torrents.remove(torrent) {
                    self.payloads.pieces.forget_torrent(torrent);
                    self.payloads.metadata.forget_torrent(torrent);
                    self.outside.removed(torrent, entry);
                }
                return;
            }
            Event::Stopped => {
                if let Ending::Asked(answers) = &mut self.ending {
                    self.ending = Ending::Done(std::mem::take(answers));
                }
            }
            // The torrent refuses it itself; the door does so before a handshake, and for all torrents.
            Event::PeerBanned(_, remote) => self.tell_door(door::Input::Ban(remote.ip())),
            Event::Stage(..)
            | Event::MetadataReceived(_)
            | Event::MetadataUnusable { .. }
            | Event::ContentRefused { .. }
            | Event::PieceDone(..)
            | Event::PieceFailed(..)
            | Event::Finished(..)
            | Event::Durable(..)
            | Event::SeedGoalReached(..)
            | Event::PeerJoined(..)
            | Event::PeerLeft(..)
            | Event::TrackerAnswered { .. }
            | Event::PeersFound { .. }
            | Event::TrackerFailed { .. }
            | Event::WebSeedFailed { .. }
            | Event::StorageFailed(..) => {}
        }
        self.outside.shared.events.announce(&event);
    }
}
