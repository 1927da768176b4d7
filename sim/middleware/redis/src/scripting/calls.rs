//! What a running script works on, and how the functions that it calls reach it.

use std::{
    cell::{Cell, UnsafeCell},
    ptr,
};

use wire::redis::reply::{Protocol, Writer};

use crate::{
    commands::{self, Args, Context, Database, Flags, Run, perform},
    error::{OUT_OF_MEMORY, Outcome, ReplyError, UNKNOWN_FROM_SCRIPT, WRONG_ARITY_FROM_SCRIPT, fixed},
};

const NOT_FROM_SCRIPT: ReplyError = fixed("ERR This Redis command is not allowed from script");

/// What a running script works on.
#[derive(Debug)]
pub(super) struct Running<'a> {
    pub(super) db: &'a mut Database,
    /// Replies of the commands that the script calls, one at a time.
    pub(super) scratch: Writer,
    pub(super) read_only: bool,
    pub(super) has_written: bool,
}

impl Running<'_> {
    /// Runs a command for the script; its reply goes into the scratch.
    pub(super) fn execute(&mut self, args: &Args<'_>) -> Outcome {
        let name = args.first().copied().unwrap_or_default();
        let command = commands::find(name).ok_or(UNKNOWN_FROM_SCRIPT)?;
        if !command.accepts(args.len()) {
            return Err(WRONG_ARITY_FROM_SCRIPT);
        }
        commands::check_subcommand_of_script(command, args)?;
        let Run::Data(run) = command.run else { return Err(NOT_FROM_SCRIPT) };
        if command.flags.has(Flags::NO_SCRIPT) {
            return Err(NOT_FROM_SCRIPT);
        }
        if self.read_only && (command.writes || command.flags.has(Flags::MAY_REPLICATE)) {
            return Err(fixed("ERR Write commands are not allowed from read-only scripts."));
        }
        self.db.route_call(command, args)?;
        // A script that has begun to write goes on, as in Redis: half of its writes would be worse.
        if let Some(refusal) = self.db.refusal
            && !self.has_written
            && let Some(error) = refusal.of(command)
        {
            return Err(error);
        }
        if self.db.is_out_of_memory && !self.has_written && command.flags.has(Flags::DENY_OOM) {
            return Err(OUT_OF_MEMORY);
        }
        self.has_written |= command.writes;
        let outcome =
            perform(command, run, &mut Context { db: &mut *self.db, reply: &mut self.scratch }, args);
        self.db.stats.called(command, commands::subcommand_name(command, args), outcome.as_ref().err());
        outcome
    }
}

/// Something that functions called by Lua borrow, one at a time.
///
/// A `RefCell` whose borrow ends by a call instead of by dropping a guard: Lua may jump over the borrower (see
/// [`super::bridge`]), and what is jumped over must own nothing that is to be dropped. A borrow that was jumped over
/// never ends, so nobody borrows again; the owner still can take the value back.
#[derive(Debug)]
pub(super) struct Loan<T> {
    value: UnsafeCell<T>,
    is_borrowed: Cell<bool>,
}

#[allow(unsafe_code)]
impl<T> Loan<T> {
    fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(value), is_borrowed: Cell::new(false) }
    }

    /// The value, unless it is borrowed already. The borrow lasts until [`Loan::give_back`].
    #[expect(clippy::mut_from_ref, reason = "the flag makes it the only one")]
    pub(super) fn borrow(&self) -> Option<&mut T> {
        if self.is_borrowed.replace(true) {
            return None;
        }
        // SAFETY: the flag was not set, so there is no other reference: this is the only place that makes one, and
        // `give_back` (the only place that clears the flag) may be called only when it is no longer used.
        Some(unsafe { &mut *self.value.get() })
    }

    /// Ends the borrow.
    ///
    /// # Safety
    /// The reference that [`Loan::borrow`] returned is not used any more.
    pub(super) unsafe fn give_back(&self) {
        self.is_borrowed.set(false);
    }
}

thread_local! {
    /// What the script that runs on this thread works on; null when none runs.
    static RUNNING: Cell<*const Loan<Running<'static>>> = const { Cell::new(ptr::null()) };
}

/// What is left when a script has ended.
pub(super) struct Returned<'a, R> {
    pub(super) running: Running<'a>,
    /// What running it gave.
    pub(super) result: R,
    /// Lua jumped over a function that had borrowed from the loan: it ran out of memory there.
    pub(super) was_jumped_over: bool,
}

/// Lends `running` to the functions that the script calls which `run` runs.
pub(super) fn lend<'a, R>(running: Running<'a>, run: impl FnOnce() -> R) -> Returned<'a, R> {
    /// Ends the loan, also when `run` panics.
    struct End(*const Loan<Running<'static>>);
    impl Drop for End {
        fn drop(&mut self) {
            RUNNING.set(self.0);
        }
    }
    let loan = Loan::new(running);
    let end = End(RUNNING.replace((&raw const loan).cast()));
    let result = run();
    drop(end);
    Returned { running: loan.value.into_inner(), result, was_jumped_over: loan.is_borrowed.get() }
}

/// Gives `borrow` what the script on this thread works on, if one runs.
pub(super) fn with_running<R>(borrow: impl FnOnce(Option<&Loan<Running<'_>>>) -> R) -> R {
    let running = RUNNING.get();
    // SAFETY: `lend` set the pointer to a value on its stack, and sets it back before that value is moved. Neither the
    // reference nor what it refers to can outlive `borrow`, which must work for any lifetimes of theirs, and which
    // ends before `lend` does, since it runs within it on this thread.
    #[allow(unsafe_code)]
    borrow(unsafe { running.as_ref() })
}

/// The protocol in which the script gets replies, and replies itself.
pub(super) fn protocol() -> Protocol {
    with_borrowed(|running| running.scratch.protocol()).unwrap_or_default()
}

/// Sets the protocol that [`protocol`] gives.
pub(super) fn set_protocol(version: i64) -> Result<(), ReplyError> {
    let protocol = match version {
        2 => Protocol::Resp2,
        3 => Protocol::Resp3,
        _ => return Err(fixed("ERR RESP version must be 2 or 3.")),
    };
    with_borrowed(|running| running.scratch.set_protocol(protocol));
    Ok(())
}

/// Borrows what the running script works on. `use_it` must not call Lua.
fn with_borrowed<R>(use_it: impl FnOnce(&mut Running<'_>) -> R) -> Option<R> {
    with_running(|loan| {
        let loan = loan?;
        let result = use_it(loan.borrow()?);
        // SAFETY: the reference was moved into `use_it`, whose result has no part of it.
        #[allow(unsafe_code)]
        unsafe {
            loan.give_back();
        }
        Some(result)
    })
}
