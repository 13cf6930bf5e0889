//! Faults that tests ask for by the environment, to see what is left behind. A release has none of them.

/// Whether a test wants this fault.
pub(crate) fn is_wanted(fault: &str) -> bool {
    cfg!(debug_assertions) && std::env::var("GANNET_TEST_FAULT").is_ok_and(|wanted| wanted == fault)
}
