//! Every committed input passes its target in an ordinary build, so what was found once is checked for ever.

use std::path::Path;

/// Inputs a target may commit: enough to start from, small enough to read.
const INPUTS_MAX: usize = 200;

#[test]
fn every_committed_input_passes_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in fuzz::TARGETS {
        let folder = corpus.join(target.name);
        let inputs: Vec<_> = std::fs::read_dir(&folder).expect("a folder per target").collect();
        assert!((1..=INPUTS_MAX).contains(&inputs.len()), "{}: {} inputs", target.name, inputs.len());
        for input in inputs {
            let path = input.expect("readable").path();
            let data = std::fs::read(&path).expect("readable");
            let passes = std::panic::catch_unwind(|| (target.run)(&data)).is_ok();
            assert!(passes, "{} fails on {}", target.name, path.display());
        }
    }
    let folders = std::fs::read_dir(&corpus).expect("a corpus").count();
    assert_eq!(folders, fuzz::TARGETS.len(), "a folder without a target");
}
