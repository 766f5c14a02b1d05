//! The command line's door: everything is in `cli`.

fn main() -> std::process::ExitCode {
    poolproof::main()
}
