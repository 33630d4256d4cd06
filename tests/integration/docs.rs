//! The documentation, compared with the code: generated tables, links, examples and commands.

use std::fs;
use std::path::{Path, PathBuf};

mod examples;
mod links;
mod tables;

/// A Markdown file of the project.
#[derive(Debug)]
pub(crate) struct Page {
    /// Relative to the project's folder, such as `docs/cli.md`.
    path: PathBuf,
    text: String,
}

impl Page {
    /// Every Markdown file that people read.
    fn all() -> Vec<Self> {
        let mut paths: Vec<_> = ["", "docs", "docs/deploy", "alerts", "benches"]
            .into_iter()
            .flat_map(|folder| fs::read_dir(root().join(folder)).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
            .collect();
        paths.sort();
        paths
            .iter()
            .map(|path| Self::read(path.strip_prefix(root()).unwrap()))
            .collect()
    }

    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(root().join(path)).unwrap();
        Self { path: path.to_owned(), text }
    }

    /// The fenced blocks of a language, without their indentation.
    pub(crate) fn blocks(&self, language: &str) -> Vec<String> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            let fence = line.trim_start();
            let Some(found) = fence.strip_prefix("```") else { continue };
            let indent = line.len() - fence.len();
            let content = lines.by_ref().take_while(|line| line.trim_start() != "```");
            let block: String = content
                .flat_map(|line| [line.get(indent..).unwrap_or_default(), "\n"])
                .collect();
            if found == language {
                blocks.push(block);
            }
        }
        blocks
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README is for a decision in five minutes; the reference is in `docs`.
#[test]
fn the_readme_stays_short() {
    let lines = Page::read(Path::new("README.md")).text.lines().count();
    assert!(lines <= 220, "{lines} lines");
}
