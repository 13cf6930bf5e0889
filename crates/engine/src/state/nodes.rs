//! What the DHT's node remembers from one run to the next: a file beside the store, replaced whole.
//!
//! Its loss costs a few seconds, so it is no row of the store, has no seal, and a damaged one is none. Always: of several
//! processes with one state directory only the first has the ids, for two nodes with one id are each other's downfall; others
//! begin with the same nodes under ids of their own and keep nothing.

use super::{State, lock_file};
use os::fs::File;
use proto::dht::Saved;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The file.
const FILE_NAME: &str = "dht.nodes";

/// What is read of it: more than is ever written.
const FILE_LEN_MAX: u64 = 128 * 1024;

/// The memory of one process's node.
pub(crate) struct NodesFile {
    dir: PathBuf,
    /// Ours alone, if we have it.
    lock: Option<File>,
    /// One writes at a time: at the end an earlier writing may still be under way.
    turn: Mutex<()>,
}

impl State {
    /// Where the DHT's node remembers.
    pub(crate) fn nodes_file(&self) -> NodesFile {
        let lock = lock_file(&self.dir, "dht.lock").ok();
        let lock = lock.filter(|lock| lock.try_lock().unwrap_or(false));
        NodesFile { dir: self.dir.clone(), lock, turn: Mutex::new(()) }
    }
}

impl NodesFile {
    /// What an earlier run kept.
    pub(crate) fn read(&self) -> Saved {
        let Saved { ids, nodes } = self.read_all();
        Saved { ids: if self.lock.is_some() { ids } else { Default::default() }, nodes }
    }

    fn read_all(&self) -> Saved {
        let mut bytes = Vec::new();
        let read = std::fs::File::open(self.dir.join(FILE_NAME))
            .and_then(|file| file.take(FILE_LEN_MAX).read_to_end(&mut bytes));
        if read.is_ok() { Saved::decode(&bytes) } else { Saved::default() }
    }

    /// Keeps this for the next run, unless another process does; of a family that has no part in it, what was kept before.
    pub(crate) fn write(&self, saved: &Saved) -> io::Result<()> {
        if self.lock.is_none() {
            return Ok(());
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut saved, before) = (saved.clone(), self.read_all());
        for (is_ipv6, family) in [(false, 0), (true, 1)] {
            if saved.ids[family].is_none() {
                saved.ids[family] = before.ids[family];
                let nodes = before.nodes.iter().filter(|node| node.address.is_ipv6() == is_ipv6);
                saved.nodes.extend(nodes);
            }
        }
        let (whole, new) = (self.dir.join(FILE_NAME), self.dir.join("dht.nodes.new"));
        let mut file = std::fs::File::create(&new)?;
        file.write_all(&saved.encode())?;
        file.sync_all()?;
        std::fs::rename(new, whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::krpc::NodeInfo;
    use wire::node_id::NodeId;

    fn saved() -> Saved {
        let node = NodeInfo { id: NodeId([2; 20]), address: "9.8.7.6:6881".parse().unwrap() };
        Saved { ids: [Some(NodeId([1; 20])), None], nodes: vec![node] }
    }

    #[test]
    fn a_node_remembers_and_a_second_one_beside_it_has_no_part_in_its_ids() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _) = State::open(dir.path()).unwrap();
        let first = state.nodes_file();
        assert_eq!(first.read(), Saved::default());
        first.write(&saved()).unwrap();
        let second = state.nodes_file();
        assert_eq!(second.read(), Saved { ids: [None, None], ..saved() });
        second.write(&Saved::default()).unwrap();
        assert_eq!(first.read(), saved());
        drop((first, second));
        assert_eq!(state.nodes_file().read(), saved());
    }

    #[test]
    fn a_run_over_one_family_leaves_what_was_known_of_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _) = State::open(dir.path()).unwrap();
        let file = state.nodes_file();
        file.write(&saved()).unwrap();
        let node = NodeInfo { id: NodeId([4; 20]), address: "[2001:db8::1]:6881".parse().unwrap() };
        let six = Saved { ids: [None, Some(NodeId([3; 20]))], nodes: vec![node] };
        file.write(&six).unwrap();
        let all = Saved { ids: [saved().ids[0], six.ids[1]], nodes: [&saved().nodes[..], &[node]].concat() };
        assert_eq!(file.read(), all);
        let none = Saved { ids: [saved().ids[0], six.ids[1]], nodes: Vec::new() };
        file.write(&none).unwrap();
        assert_eq!(file.read(), none, "who took part and knows nobody any more knows nobody");
    }

    #[test]
    fn a_damaged_memory_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _) = State::open(dir.path()).unwrap();
        std::fs::write(dir.path().join(FILE_NAME), b"d2:idle").unwrap();
        assert_eq!(state.nodes_file().read(), Saved::default());
    }
}
