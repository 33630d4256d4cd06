//! A test in a separate process, for limits of a whole process.

use std::env;
use std::ffi::OsStr;
use std::os::fd::AsRawFd as _;
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Runs `body` in a separate process, which runs only the test named `test` (its full path).
pub(crate) fn isolated(test: &str, body: impl FnOnce()) {
    isolated_by(test, &[], body);
}

/// As [`isolated`], with the process started by `wrapper`, a program with its arguments.
pub(crate) fn isolated_by(test: &str, wrapper: &[&str], body: impl FnOnce()) {
    if env::var_os(CHILD).is_some_and(|child| child == test) {
        return body();
    }
    let this = env::current_exe().unwrap();
    let line: Vec<&OsStr> = wrapper.iter().map(OsStr::new).chain([this.as_os_str()]).collect();
    let (program, arguments) = line.split_first().unwrap();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, test);
    let output = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{}\n{stdout}\n{stderr}", output.status);
}

/// Prevents this process from opening further descriptors.
pub(crate) fn use_up_descriptors() {
    let next = std::fs::File::open("/dev/null").unwrap().as_raw_fd();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, u64::try_from(next).unwrap(), hard).unwrap();
}

/// The environment variable with the test of this process.
const CHILD: &str = "PORTPROBE_TEST_ISOLATED";
