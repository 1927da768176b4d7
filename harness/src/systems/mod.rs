//! The systems that come along. Each is its topology (which servers and services on which hosts), its settings, and
//! its invariants; the services themselves are in `sim/systems`.

pub mod ticketing;
