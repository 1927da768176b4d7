//! The vocabulary of a run, as those who write it and those who read it use it.

mod history;
mod result;
