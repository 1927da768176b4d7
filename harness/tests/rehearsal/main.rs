//! The parts of a rehearsal: its command line, its faults, its marks, its hunts, their shards, its reports, how runs are
//! compared and loads swept, how failures are shrunk and told, its servers for others.
//!
//! The promises of the scenarios are a program of their own: they demand that every mark of the program is reached by
//! some scenario, and the tests here have marks that none reaches.

mod cli;
mod compare;
mod faults;
mod hunt;
mod linearizable;
mod marks;
mod recovery;
mod report;
mod serve;
mod shards;
mod shrink;
mod sweep;
