//! Codes as people type them. Promises: what is understood is written in one way, which is understood as the same; what is
//! not is explained in words of a bounded length that hold no controls.

use wire::code::{Code, NAMEPLATE_MAX, TYPED_BYTES_MAX};

/// One input: what was typed.
pub fn run(data: &[u8]) {
    let Ok(typed) = std::str::from_utf8(data) else { return };
    match typed.parse::<Code>() {
        Ok(code) => {
            assert!((1..=NAMEPLATE_MAX).contains(&code.nameplate()) && typed.len() <= TYPED_BYTES_MAX);
            assert_eq!(code.to_string().parse::<Code>().as_ref(), Ok(&code));
        }
        Err(error) => {
            let said = error.to_string();
            // A control becomes a visible escape of several letters.
            assert!(said.len() <= 200 + 10 * TYPED_BYTES_MAX && !said.contains(char::is_control), "{said:?}");
        }
    }
}
