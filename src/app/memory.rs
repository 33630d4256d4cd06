//! The memory of this process: the arenas of glibc, free memory, and a limit on address space.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use tracing::warn;

/// Makes glibc use one arena for all threads if the address space is limited (`ulimit -v`).
///
/// Otherwise it reserves 64 MB of address space for each thread, which it hardly uses. Must be called before the first
/// thread starts.
pub fn share_limited_arena() {
    if address_space().is_some() {
        share_arena();
    }
}

/// Logs a warning if the address space is limited.
pub fn warn_if_limited() {
    if let Some(bytes) = address_space() {
        warn!(
            bytes,
            "The address space is limited (ulimit -v), and an allocation beyond the limit ends portprobe; to limit its \
             memory, use a cgroup (MemoryMax)"
        );
    }
}

/// Returns the limit on address space in bytes; `None` without one.
fn address_space() -> Option<u64> {
    let (limit, _) = getrlimit(Resource::RLIMIT_AS).ok()?;
    (limit != RLIM_INFINITY).then_some(limit)
}

/// Returns freed memory to the operating system.
///
/// Loading a large configuration takes several times the memory of its targets, and glibc would keep the difference.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "malloc_trim has no safe wrapper")]
pub fn return_free_memory() {
    // SAFETY: malloc_trim takes no pointer and locks the arenas that it trims, so it may be called at any time
    // (malloc_trim(3)).
    unsafe { nix::libc::malloc_trim(0) };
}

/// Other allocators return memory by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn return_free_memory() {}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "mallopt has no safe wrapper")]
fn share_arena() {
    // SAFETY: mallopt takes no pointer and locks the main arena while it sets the parameter (mallopt(3)).
    unsafe { nix::libc::mallopt(nix::libc::M_ARENA_MAX, 1) };
}

/// Other allocators have no arenas.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn share_arena() {}
