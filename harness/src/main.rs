//! The `rehearse` binary: the harness with the systems that come along.

fn main() -> std::process::ExitCode {
    harness::cli::main(&[&harness::systems::ticketing::Ticketing::default()])
}
