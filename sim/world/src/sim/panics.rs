//! Panics inside a simulation are findings: caught, and collected with their place instead of printed.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

/// Tells the thread that waits for the simulation what happened.
pub(super) type Abandon = Box<dyn Fn(String)>;

thread_local! {
    /// The panics of this thread that were raised and not caught yet, the first one first.
    static RAISED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// Is a task being polled or dropped, so that a panic is that task's and will be caught?
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
    /// What to do instead of aborting the process; see [`before_abort`].
    static ABANDON: RefCell<Option<Abandon>> = const { RefCell::new(None) };
}

/// From now on an abort of this thread is told by `abandon`, and the thread stops there.
pub(super) fn on_abort(abandon: Abandon) {
    ABANDON.with(|slot| *slot.borrow_mut() = Some(abandon));
}

/// Runs `f` as a task's code: a panic in it is caught, its text and place are the error.
pub(crate) fn catch_task_panic<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    let before = IN_TASK.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    IN_TASK.set(before);
    result.map_err(|payload| {
        // Not the payload's own text alone: the hook also knows the place. A panic that is raised again, by
        // `resume_unwind`, does not pass the hook.
        let raised = RAISED.with(|slot| slot.take().pop());
        // A payload may itself panic when it is dropped.
        let text = text(&*payload).to_owned();
        std::mem::forget(payload);
        raised.filter(|raised| raised.starts_with(&text)).unwrap_or(text)
    })
}

fn text(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}

/// Makes the process's panic hook leave the panics of tasks to [`catch_task_panic`].
pub(super) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let default = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IN_TASK.get() {
                note(info);
            } else {
                default(info);
            }
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map(|place| format!(" ({place})")).unwrap_or_default();
    let raised = format!("{}{place}", text(info.payload()));
    RAISED.with(|slot| {
        let mut slot = slot.borrow_mut();
        // Tasks may catch panics of their own: only the last ones matter.
        if slot.len() >= 8 {
            slot.remove(0);
        }
        slot.push(raised);
    });
}

/// Called when this thread is about to abort the process. On a simulation's thread it does not return: whoever waits
/// for the simulation is told, and the thread stays where it is.
pub(crate) fn before_abort() {
    let abandon = ABANDON.try_with(RefCell::take).ok().flatten();
    let Some(abandon) = abandon else { return };
    let raised = RAISED.try_with(RefCell::take).unwrap_or_default();
    abandon(if raised.is_empty() { "abort was called".to_owned() } else { raised.join("; then ") });
    loop {
        std::thread::park();
    }
}
