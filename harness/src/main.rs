//! The `rehearse` binary: the harness with the systems that come along.

/// A simulation allocates and frees small buffers all the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    harness::cli::main(&[&harness::systems::ticketing::Ticketing::default()])
}
