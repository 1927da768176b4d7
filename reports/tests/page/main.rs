//! `report.html`: its numbers, its charts, its safety, its size, and how it behaves in a real browser; and the same of
//! `capacity.html`.

mod browser;
mod capacity;
mod charts;
mod hostile;
mod numbers;
mod parsed;
mod size;
mod synthetic;
