//! What a report puts on the screen and into files.

mod run_folder;
mod runs;
mod terminal;
