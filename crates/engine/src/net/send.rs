//! From what waits on links to sockets, and from users' wishes to commands.

use super::LinkedPeer;
use super::event_loop::{Ending, EventLoop};
use super::inbox::Ask;
use super::outbound::Flush;
use proto::input::LinkEnd;
use proto::{Command, Input, LinkId, TorrentId};

impl EventLoop {
    /// Writes what waits, each link once.
    pub(super) fn send(&mut self) {
        for _ in 0..self.links.waiting().1 {
            if let Some(id) = self.links.next_to_write() {
                self.write_link(id);
            }
        }
    }

    fn write_link(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(id) else { return };
        let flushed = link.outbound.flush(&mut link.socket, &mut self.mail.sent);
        if let Ok(Flush::Full) = flushed {
            link.writable = false;
        }
        let mut sent = std::mem::take(&mut self.mail.sent);
        sent.drain(..).for_each(|token| self.feed(Input::Sent { token }));
        self.mail.sent = sent;
        match flushed {
            Ok(Flush::Empty | Flush::Full | Flush::More) => self.links.want_write(id),
            Err(error) => {
                tracing::debug!(%error, "link broke");
                return self.lose(id, LinkEnd::Broken);
            }
        }
        self.report_overhead(id);
    }

    fn linked_peers(&mut self, torrent: TorrentId) -> Vec<LinkedPeer> {
        let peers = self.machine.session.peers(torrent).into_iter();
        let linked = peers.filter_map(|stats| {
            let encryption = self.links.get_mut(stats.link)?.shake.encryption();
            Some(LinkedPeer { stats, encryption })
        });
        linked.collect()
    }

    /// Grants a user's wish, or answers a question.
    pub(super) fn grant(&mut self, ask: Ask) {
        match ask {
            Ask::Add(add, torrent, entry) => {
                self.torrents.add(torrent, *entry);
                self.feed(Input::Command(*add));
            }
            Ask::Command(command) => self.feed(Input::Command(command)),
            Ask::SetWanted(torrent, wanted, command) => {
                if let Some(entry) = self.torrents.get_mut(torrent) {
                    entry.wanted = wanted;
                }
                self.feed(Input::Command(command));
            }
            Ask::SetLimits(limits) => self.leases.set(limits),
            Ask::Stats(torrent, answer) => {
                if let Some(stats) = self.machine.session.torrent(torrent) {
                    answer.give(stats);
                }
            }
            Ask::Peers(torrent, answer) => answer.give(self.linked_peers(torrent)),
            Ask::EncryptionTally(answer) => answer.give(self.door.tally()),
            Ask::Trackers(torrent, answer) => answer.give(self.machine.session.trackers(torrent)),
            Ask::WebSeeds(torrent, answer) => answer.give(self.machine.session.web_seeds(torrent)),
            Ask::SearchDht(search, goal, searcher) => {
                // Without a node the searcher is dropped, and the user hears that nothing will come.
                if let Some(dht) = &mut self.listening.dht {
                    dht.search(self.now, search, *goal, searcher);
                }
            }
            Ask::EndDhtSearch(search) => {
                if let Some(dht) = &mut self.listening.dht {
                    dht.end_search(self.now, search);
                }
            }
            Ask::DhtStats(answer) => {
                if let Some(dht) = &self.listening.dht {
                    answer.give(dht.stats());
                }
            }
            Ask::Have(torrent, answer) => {
                if let Some(have) = self.machine.session.have(torrent) {
                    answer.give(have.clone());
                }
            }
            Ask::Shutdown(answer) => match &mut self.ending {
                Ending::Asked(answers) | Ending::Done(answers) => answers.push(answer),
                Ending::No => {
                    self.ending = Ending::Asked(vec![answer]);
                    self.feed(Input::Command(Command::Shutdown));
                }
            },
            Ask::Quit => self.ending = Ending::Done(Vec::new()),
        }
    }
}
