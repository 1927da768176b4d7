//! The scenario language: what right files mean, and what wrong ones are told.

mod mistakes;
mod reading;
mod support;
