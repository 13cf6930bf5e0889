//! A session with an honest driver and dishonest peers: whatever they say, in whatever order the disk answers, the session
//! keeps its manners. What those are is in `manners`; how the driver answers is in `driver`.

mod driver;
mod manners;
mod metadata;

use crate::script::Script;
use driver::Driver;

/// Steps of one story.
const STEPS_MAX: usize = 400;

/// One input: a script of what happens.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut driver = Driver::new(&mut script);
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        driver.step(&mut script);
    }
    driver.close();
}
