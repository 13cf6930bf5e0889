//! The edge against servers of ours on loopback: honest ones, and ones that misbehave.
