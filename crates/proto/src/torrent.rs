//! One content as we take part in it. BEP: 3

pub mod peer_list;
