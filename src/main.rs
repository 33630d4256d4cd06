//! The `portprobe` binary: arguments and exit status.

use std::process::ExitCode;

use clap::Parser;
use portprobe::cli::{self, Cli};

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(status) => status,
        Err(error) => {
            cli::print_error(&cli::explain(&error));
            cli::status(&error)
        }
    }
}
