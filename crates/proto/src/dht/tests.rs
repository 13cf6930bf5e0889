//! Nodes that talk to one another over a wire without loss, and single nodes that are told what others might say.

mod alone;
mod amplification;
mod net;
mod single;
mod six;

use net::Net;
