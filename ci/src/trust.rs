//! Which notebooks JupyterLab may trust.
//!
//! In a notebook that is not trusted JupyterLab runs no scripts before the reader has run the cells, so the committed
//! animations stand still. Those of this repository are therefore trusted; but only as they are committed: a
//! notebook that has changed may hold anybody's scripts.
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{paths, toolchain};

/// Has Jupyter sign the notebooks that are as committed, unless it has signed the same before.
pub fn trust_notebooks(jupyter: Command) -> Result<()> {
    let committed = match committed_notebooks(paths::repository()) {
        Ok(committed) => committed,
        Err(error) => {
            println!("No notebook is marked as trusted: {error:#}");
            return Ok(());
        }
    };
    let record = paths::lab().join("trusted");
    let signed = list(&committed);
    if committed.is_empty() || fs::read_to_string(&record).is_ok_and(|text| text == signed) {
        return Ok(());
    }
    sign(jupyter, &committed)?;
    fs::write(record, signed)?;
    Ok(())
}

fn sign(mut jupyter: Command, notebooks: &[Notebook]) -> Result<()> {
    let paths = notebooks.iter().map(|notebook| &notebook.path);
    toolchain::stdout(jupyter.args(["-m", "nbformat.sign"]).args(paths))?; // `jupyter trust`
    Ok(())
}

/// A file, and git's hash of its content.
#[derive(Debug, PartialEq)]
struct Notebook {
    hash: String,
    path: PathBuf,
}

fn list(notebooks: &[Notebook]) -> String {
    let lines = notebooks.iter();
    lines
        .map(|Notebook { hash, path }| format!("{hash} {}\n", path.display()))
        .collect()
}

/// The notebooks whose content is that of the last commit.
fn committed_notebooks(repository: &Path) -> Result<Vec<Notebook>> {
    let mut notebooks = last_commit(repository)?;
    notebooks.retain(|notebook| notebook.path.is_file());
    let hashes = hashes_of_files(repository, &notebooks)?;
    let mut hashes = hashes.into_iter();
    notebooks.retain(|notebook| hashes.next().as_ref() == Some(&notebook.hash));
    Ok(notebooks)
}

/// The notebooks of the last commit.
fn last_commit(repository: &Path) -> Result<Vec<Notebook>> {
    let arguments = ["ls-tree", "-r", "-z", "--full-tree", "HEAD", "notebooks/"];
    let tree = toolchain::stdout(git(repository).args(arguments))?;
    let mut notebooks = Vec::new();
    for entry in tree.split_terminator('\0') {
        let (about, path) = entry
            .split_once('\t')
            .with_context(|| format!("`git ls-tree` gives {entry:?}, which has no tab"))?;
        let hash = about
            .split(' ')
            .nth(2)
            .with_context(|| format!("`git ls-tree` gives {entry:?}, which has no hash"))?;
        if path.ends_with(".ipynb") {
            notebooks.push(Notebook {
                hash: hash.to_owned(),
                path: repository.join(path),
            });
        }
    }
    Ok(notebooks)
}

/// The hashes of the files as they are now. Not `git diff`: it takes a file's size and time for its content.
fn hashes_of_files(repository: &Path, notebooks: &[Notebook]) -> Result<Vec<String>> {
    if notebooks.is_empty() {
        return Ok(Vec::new());
    }
    let paths = notebooks.iter().map(|notebook| &notebook.path);
    let answer = toolchain::stdout(git(repository).args(["hash-object", "--"]).args(paths))?;
    let hashes: Vec<String> = answer.lines().map(str::to_owned).collect();
    ensure!(
        hashes.len() == notebooks.len(),
        "`git hash-object` gives {} hashes for {} notebooks",
        hashes.len(),
        notebooks.len()
    );
    Ok(hashes)
}

fn git(repository: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(repository);
    // Git sets these for its hooks; they would name another repository than this one.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(variable);
    }
    git
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with these notebooks in its only commit.
    fn repository(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("notebooks/exercises")).unwrap();
        for name in names {
            fs::write(folder.path().join("notebooks").join(name), *name).unwrap();
        }
        let settings = [
            "user.name=A",
            "user.email=a@example.org",
            "commit.gpgsign=false",
        ];
        let settings = settings.iter().flat_map(|setting| ["-c", setting]);
        for arguments in [
            vec!["init", "--quiet"],
            vec!["add", "--all"],
            vec!["commit", "--quiet", "--no-verify", "--message", "All"],
        ] {
            toolchain::stdout(git(folder.path()).args(settings.clone()).args(arguments)).unwrap();
        }
        folder
    }

    fn trusted(repository: &Path) -> Vec<String> {
        let notebooks = repository.join("notebooks");
        let committed = committed_notebooks(repository).unwrap();
        let names = committed
            .iter()
            .map(|notebook| notebook.path.strip_prefix(&notebooks).unwrap());
        names.map(|name| name.display().to_string()).collect()
    }

    #[test]
    fn only_notebooks_as_committed_are_trusted() {
        let folder = repository(&["a.ipynb", "b.ipynb", "c.ipynb", "exercises/d.ipynb", "e.md"]);
        let repository = folder.path();
        let notebooks = repository.join("notebooks");
        assert_eq!(
            trusted(repository),
            ["a.ipynb", "b.ipynb", "c.ipynb", "exercises/d.ipynb"]
        );

        fs::write(notebooks.join("a.ipynb"), "changed").unwrap();
        fs::write(notebooks.join("new.ipynb"), "new").unwrap();
        fs::remove_file(notebooks.join("c.ipynb")).unwrap();
        assert_eq!(trusted(repository), ["b.ipynb", "exercises/d.ipynb"]);

        // In the index is not in the commit.
        toolchain::stdout(git(repository).args(["add", "--all"])).unwrap();
        assert_eq!(trusted(repository), ["b.ipynb", "exercises/d.ipynb"]);

        // A change that git has been told to overlook.
        let overlook = ["update-index", "--assume-unchanged", "notebooks/b.ipynb"];
        toolchain::stdout(git(repository).args(overlook)).unwrap();
        fs::write(notebooks.join("b.ipynb"), "B.ipynb").unwrap();
        assert_eq!(trusted(repository), ["exercises/d.ipynb"]);
    }

    #[test]
    fn without_git_there_is_nothing_to_trust() {
        let folder = tempfile::tempdir().unwrap();
        assert!(committed_notebooks(folder.path()).is_err());
    }
}
