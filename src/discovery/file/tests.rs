use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::*;

/// A folder, and the state of a source that reads it.
struct Folder {
    folder: TempDir,
    files: Files,
}

impl Folder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), files: Files::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn refresh(&mut self, pattern: &str) -> Result<Snapshot, RefreshError> {
        let pattern = self.path(pattern);
        self.files.refresh(&pattern)
    }

    /// Expects the entries of these texts, one after the other, and problems that contain these words.
    #[track_caller]
    fn assert_holds(&mut self, pattern: &str, texts: &[&str], problems: &[&str]) {
        let snapshot = self.refresh(pattern).unwrap();
        let expected: Vec<_> = texts.iter().flat_map(|text| discovered(text).unwrap()).collect();
        assert_eq!(*snapshot.entries, expected);
        assert_eq!(snapshot.problems.len(), problems.len(), "{:?}", snapshot.problems);
        for (problem, words) in snapshot.problems.iter().zip(problems) {
            assert!(problem.contains(words), "{problem}");
        }
    }
}

const A: &str = r#"[{"targets": ["a:1"]}]"#;
const B: &str = r#"[{"targets": ["b:1", "b:2"]}]"#;
const C: &str = r#"[{"targets": ["c:1"]}]"#;
const HALF: &str = r#"[{"targets": ["a:1"#;

#[test]
fn names_match_as_in_a_shell() {
    for (pattern, matching, others) in [
        ("*.json", &["a.json", "a.b.json"][..], &[".json", ".a.json", "a.jsonx", "json"][..]),
        ("a?.yml", &["ab.yml", "aé.yml"], &["a.yml", "abc.yml"]),
        ("*", &["a", "a b"], &[".a", "..data"]),
        (".*", &[".a", ".."], &["a"]),
        ("a*b*c", &["abc", "aXbXc", "abbcc", "abcbc"], &["ab", "acb", "xabc", "abcx"]),
        ("a**b", &["ab", "aXb"], &["a"]),
        ("***", &["a"], &[".a"]),
        ("[a]", &["[a]"], &["a"]),
        ("[!a]*", &["[!a]", "[!a]b"], &["b"]),
    ] {
        let is_match = |name: &str| NamePattern::parse(pattern).unwrap().matches(name);
        for name in matching {
            assert!(is_match(name), "{pattern} {name}");
        }
        for name in others {
            assert!(!is_match(name), "{pattern} {name}");
        }
    }
}

#[test]
fn a_hostile_pattern_matches_quickly() {
    let pattern = NamePattern::parse(&format!("{}b", "*a".repeat(100))).unwrap();
    assert!(!pattern.matches(&"a".repeat(255)));
}

#[test]
fn files_are_read_in_order() {
    let mut folder = Folder::new();
    folder.assert_holds("*.json", &[], &[]);
    for (name, text) in [("b.json", B), ("a.json", A), ("c.yml", C), (".d.json", C)] {
        folder.write(name, text);
    }
    folder.assert_holds("*.json", &[A, B], &[]);
    folder.assert_holds("?.*", &[A, B, C], &[]);
    folder.assert_holds("c.yml", &[C], &[]);
    folder.assert_holds("d.yml", &[], &[]);
}

#[test]
fn unchanged_content_is_not_parsed_again() {
    let mut folder = Folder::new();
    folder.write("a.json", A);
    let first = folder.refresh("*.json").unwrap().entries;
    folder.write("a.json", A);
    assert!(Arc::ptr_eq(&first, &folder.refresh("*.json").unwrap().entries));
    folder.write("b.json", B);
    folder.assert_holds("*.json", &[A, B], &[]);
    folder.write("a.json", C);
    folder.assert_holds("*.json", &[C, B], &[]);
    fs::rename(folder.path("a.json"), folder.path("c.json")).unwrap();
    folder.assert_holds("*.json", &[B, C], &[]);
}

#[test]
fn a_half_written_file_keeps_its_entries() {
    let mut folder = Folder::new();
    folder.write("a.json", A);
    folder.write("b.json", A);
    folder.assert_holds("*.json", &[A, A], &[]);
    folder.write("a.json", HALF);
    folder.write("b.json", B);
    folder.assert_holds("*.json", &[A, B], &["a.json cannot be used: "]);
    folder.assert_holds("*.json", &[A, B], &["a.json cannot be used: "]);
    folder.write("a.json", C);
    folder.assert_holds("*.json", &[C, B], &[]);
    fs::write(folder.path("b.json"), b"\xff").unwrap();
    folder.assert_holds("*.json", &[C, B], &["b.json is not valid UTF-8"]);
}

#[test]
fn a_never_valid_file_has_no_entries() {
    let mut folder = Folder::new();
    folder.write("a.json", HALF);
    folder.write("b.json", B);
    folder.assert_holds("*.json", &[B], &["a.json cannot be used: "]);
}

#[test]
fn a_removed_file_removes_its_entries() {
    let mut folder = Folder::new();
    folder.write("a.json", A);
    folder.write("b.json", B);
    folder.assert_holds("*.json", &[A, B], &[]);
    fs::remove_file(folder.path("a.json")).unwrap();
    folder.assert_holds("*.json", &[B], &[]);
    fs::remove_file(folder.path("b.json")).unwrap();
    folder.assert_holds("*.json", &[], &[]);
}

#[test]
fn a_dangling_link_keeps_its_entries() {
    let mut folder = Folder::new();
    folder.write("real", A);
    symlink("real", folder.path("a.json")).unwrap();
    folder.assert_holds("*.json", &[A], &[]);
    fs::remove_file(folder.path("real")).unwrap();
    folder.assert_holds("*.json", &[A], &["a.json cannot be read: "]);
}

#[test]
fn folders_swapped_by_link_are_noticed() {
    let mut folder = Folder::new();
    for (version, text) in [("..1", A), ("..2", B)] {
        fs::create_dir(folder.path(version)).unwrap();
        fs::write(folder.path(version).join("a.json"), text).unwrap();
    }
    // As Kubernetes mounts a ConfigMap.
    symlink("..1", folder.path("..data")).unwrap();
    symlink("..data/a.json", folder.path("a.json")).unwrap();
    folder.assert_holds("*", &[A], &[]);
    symlink("..2", folder.path("..new")).unwrap();
    fs::rename(folder.path("..new"), folder.path("..data")).unwrap();
    folder.assert_holds("*", &[B], &[]);
}

#[test]
fn a_missing_folder_is_an_error() {
    let mut folder = Folder::new();
    fs::create_dir(folder.path("sd")).unwrap();
    folder.write("sd/a.json", A);
    for pattern in ["sd/*.json", "sd/a.json"] {
        folder.assert_holds(pattern, &[A], &[]);
        fs::rename(folder.path("sd"), folder.path("old")).unwrap();
        let why = folder.refresh(pattern).unwrap_err().to_string();
        assert!(why.starts_with("cannot list the directory ") && why.contains("sd: "), "{why}");
        fs::rename(folder.path("old"), folder.path("sd")).unwrap();
    }
    assert!(matches!(folder.files.refresh(Path::new("/")), Err(RefreshError::NoFileName(_))));
}

#[test]
fn special_files_are_never_opened() {
    let mut folder = Folder::new();
    folder.write("a.json", A);
    let _socket = UnixListener::bind(folder.path("b.json")).unwrap();
    mkfifo(&folder.path("c.json"), Mode::S_IRWXU).unwrap();
    fs::create_dir(folder.path("d.json")).unwrap();
    symlink("/dev/zero", folder.path("e.json")).unwrap();
    let problems = ["b.json is a socket", "c.json is a pipe", "d.json is a directory", "e.json is a device"];
    folder.assert_holds("*.json", &[A], &problems);
}

#[test]
fn a_too_large_file_is_not_read() {
    let mut folder = Folder::new();
    folder.write("a.json", A);
    folder.assert_holds("*.json", &[A], &[]);
    fs::File::create(folder.path("a.json")).unwrap().set_len(MAX_BYTES + 1).unwrap();
    folder.assert_holds("*.json", &[A], &["a.json is larger than 67108864 bytes"]);
}

#[test]
fn more_files_than_the_limit_are_a_problem() {
    let mut folder = Folder::new();
    for index in 0..=MAX_FILES {
        folder.write(&format!("{index:05}.json"), "[]");
    }
    folder.assert_holds("*.json", &[], &["more than 10000 files match "]);
    assert_eq!(folder.files.cached.len(), MAX_FILES);
    assert!(!folder.files.cached.contains_key(&folder.path("10000.json")));
}
