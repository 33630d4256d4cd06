//! The dashboards as pictures, with data of the demo.

use std::path::Path;
use std::process::Command;

use crate::support::drawing_packages;

#[test]
fn every_panel_is_drawn() {
    if !drawing_packages() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/draw/draw"))
        .args(["--minutes", "1", "--folder"])
        .arg(folder.path())
        .arg(env!("CARGO_BIN_EXE_portprobe"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    for name in ["overview", "target", "certificates", "exporter"] {
        for theme in ["dark", "light"] {
            assert!(folder.path().join(format!("{name}-{theme}.png")).exists(), "{name}, {theme}");
        }
    }
}
