//! The program around the targets. Built by `cargo xtask fuzz` it is libFuzzer, and `GANNET_FUZZ_TARGET` names the target;
//! built as usual it replays inputs: `cargo run -p gannet-fuzz -- TARGET FILE...`. With `GANNET_FUZZ_TELL` set, the session's
//! replays tell what happens.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod fuzzing {
    use std::sync::LazyLock;

    static RUN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
        let name = std::env::var("GANNET_FUZZ_TARGET").unwrap_or_default();
        let Some(target) = fuzz::target(&name) else {
            panic!("GANNET_FUZZ_TARGET names no target: {name:?}")
        };
        target.run
    });

    libfuzzer_sys::fuzz_target!(|data: &[u8]| {
        (*RUN)(data);
    });
}

#[cfg(not(fuzzing))]
fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<_> = fuzz::TARGETS.iter().map(|target| target.name).collect();
    let usage = || format!("usage: gannet-fuzz TARGET FILE...; targets: {}", names.join(", "));
    let (name, files) = args.split_first().ok_or_else(usage)?;
    let target = fuzz::target(name).ok_or_else(usage)?;
    for file in files {
        let input = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        (target.run)(&input);
        println!("{file}: passes ({} bytes)", input.len());
    }
    Ok(())
}
