//! The binary `filmless`: read the command line, do it, say how it went.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command_line = filmless::cli::CommandLine::parse();
    match filmless::run(command_line) {
        Ok(code) => code,
        Err(error) => {
            // The log may not be up yet, and whoever typed the command reads this.
            eprintln!("filmless: {error:#}");
            ExitCode::FAILURE
        }
    }
}
