//! `report.html`: its numbers, its charts, its safety, its size, and how it behaves in a real browser.

mod browser;
mod charts;
mod hostile;
mod numbers;
mod parsed;
mod size;
mod synthetic;
