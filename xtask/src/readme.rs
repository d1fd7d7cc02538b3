//! The README's commands, run as a reader would run them: every `sh` block, in order, in one shell, from the top of the
//! checkout.
//!
//! A block that is tagged `sh ci-skip` is not run: CI is inside one of these commands, or the block is for another
//! machine. The tag shows in the source alone, so the README says why in words.

use crate::process::root;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

/// Runs the blocks with `bin` first in the search path.
pub fn run(readme: &Path, bin: &Path) -> Result<()> {
    let text = std::fs::read_to_string(readme).with_context(|| format!("{} cannot be read", readme.display()))?;
    let blocks = blocks(&text);
    ensure!(!blocks.is_empty(), "{} has no commands", readme.display());
    let scratch = tempfile()?;
    let mut script = String::from(
        "set -euo pipefail\n\
         # What was started here is ended here.\n\
         trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true' EXIT\n",
    );
    for (line, block) in &blocks {
        script.push_str(&format!("echo '--- README line {line}'\n{block}\n"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(bin.to_owned()).chain(std::env::split_paths(&path));
    let status = Command::new("bash")
        .arg("-c")
        .arg(script)
        .current_dir(root())
        .env("PATH", std::env::join_paths(paths)?)
        .env("TMPDIR", &scratch)
        .status()?;
    std::fs::remove_dir_all(&scratch)?;
    ensure!(status.success(), "the README's commands failed");
    println!("{} blocks of commands passed", blocks.len());
    Ok(())
}

fn tempfile() -> Result<std::path::PathBuf> {
    let directory = std::env::temp_dir().join(format!("ringback-readme-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// The blocks to run, with the line that each begins on.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, bool, String)> = None;
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(tag)) => open = Some((index + 2, tag == "sh", String::new())),
            (Some(_), Some(_)) => {
                if let Some((line, true, block)) = open.take() {
                    blocks.push((line, block));
                }
                open = None;
            }
            (Some((_, _, block)), None) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::blocks;

    #[test]
    fn only_blocks_of_commands_are_run() {
        let text = "a\n```sh\none\n```\n```yaml\nb: c\n```\n```sh ci-skip\ntwo\n```\n```sh\nthree\n```\n";
        assert_eq!(blocks(text), [(3, "one\n".to_owned()), (12, "three\n".to_owned())]);
    }
}
