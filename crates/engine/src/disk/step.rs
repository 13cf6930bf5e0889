//! Where tests stop the disk: calls that change files or names take a step first. Outside tests a step is nothing.
//!
//! Without steps: making the root, and giving room in the part store back, on which nothing else hangs.

/// Takes a step. An error only if a test planned one here.
#[cfg(not(test))]
#[inline]
pub(crate) fn step(_what: Step) -> std::io::Result<()> {
    Ok(())
}

/// Kinds of steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Makes a directory or a file.
    Create,
    /// Writes bytes.
    Write,
    /// Makes something durable.
    Sync,
    /// Renames or removes a file.
    Rename,
}

#[cfg(test)]
pub(crate) use planned::{Plan, before_step, plan, step, taken};

#[cfg(test)]
mod planned {
    use super::Step;
    use std::cell::{Cell, RefCell};
    use std::io;

    /// What shall happen at which step of this thread.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Plan {
        /// Nothing.
        Never,
        /// This step, counted from 0, fails with this error number.
        FailOnce(usize, i32),
        /// This step and all that follow fail: as if the process had been killed before it.
        StopAt(usize),
    }

    /// What somebody else does, just before which step.
    type Interruption = (usize, Box<dyn FnOnce()>);

    thread_local! {
        static PLAN: Cell<Plan> = const { Cell::new(Plan::Never) };
        static TAKEN: RefCell<Vec<Step>> = const { RefCell::new(Vec::new()) };
        static OTHERS: RefCell<Option<Interruption>> = const { RefCell::new(None) };
    }

    /// Counts from 0 again; just before this step somebody else does something, once.
    pub(crate) fn before_step(number: usize, action: impl FnOnce() + 'static) {
        plan(Plan::Never);
        OTHERS.set(Some((number, Box::new(action))));
    }

    /// Sets the plan of this thread and counts from 0 again.
    pub(crate) fn plan(plan: Plan) {
        PLAN.set(plan);
        TAKEN.take();
    }

    /// The steps of this thread since the plan was set.
    pub(crate) fn taken() -> Vec<Step> {
        TAKEN.with_borrow(Clone::clone)
    }

    pub(crate) fn step(what: Step) -> io::Result<()> {
        let number = TAKEN.with_borrow_mut(|taken| {
            taken.push(what);
            taken.len() - 1
        });
        let now = OTHERS.with_borrow_mut(|others| others.take_if(|(at, _)| *at == number));
        if let Some((_, action)) = now {
            action();
        }
        match PLAN.get() {
            Plan::FailOnce(at, errno) if at == number => Err(io::Error::from_raw_os_error(errno)),
            Plan::StopAt(at) if number >= at => Err(io::Error::other("stopped by the test")),
            Plan::Never | Plan::FailOnce(..) | Plan::StopAt(_) => Ok(()),
        }
    }
}
