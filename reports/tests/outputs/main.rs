//! What a report puts on the screen and into files.

mod comparison;
mod damage;
mod run_folder;
mod runs;
mod terminal;
