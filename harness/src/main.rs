//! The `rehearse` binary: the harness with the systems that come along.

mod allocator;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> std::process::ExitCode {
    allocator::set_up();
    harness::cli::main(&[&harness::systems::ticketing::Ticketing::default()])
}
