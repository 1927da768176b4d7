//! What a report puts on the screen and into files.

mod capacity;
mod comparison;
mod damage;
mod run_folder;
mod runs;
mod terminal;
