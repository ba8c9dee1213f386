//! Where a PostgreSQL server's binaries are.

use std::path::{Path, PathBuf};

use super::LabError;

/// The folders that package managers use: what stands before the major, and after it.
const PLACES: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
];

/// Finds the folder of `initdb` and `postgres`: the one given, else the first on
/// `PATH`, else the newest installed one.
///
/// Links are followed, since the libraries lie beside the real file.
pub(super) fn server_folder(given: Option<&Path>) -> Result<PathBuf, LabError> {
    if let Some(folder) = given {
        return real_folder(folder).ok_or_else(|| LabError::NoServer {
            searched: folder.display().to_string(),
        });
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find_map(|folder| real_folder(&folder))
        .or_else(|| installed().into_iter().next())
        .ok_or_else(|| LabError::NoServer {
            searched: format!(
                "PATH, {}",
                PLACES
                    .map(|(root, name, bin)| format!("{root}/{name}*/{bin}"))
                    .join(", ")
            ),
        })
}

/// Lists the server folders of package managers, newest major first.
fn installed() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = PLACES
        .iter()
        .flat_map(|&(root, name, bin)| {
            let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
            entries.filter_map(move |entry| {
                let file_name = entry.file_name();
                let major = file_name.to_str()?.strip_prefix(name)?.parse().ok()?;
                Some((major, real_folder(&entry.path().join(bin))?))
            })
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}

fn real_folder(folder: &Path) -> Option<PathBuf> {
    let real = folder.join("postgres").canonicalize().ok()?;
    let folder = real.parent()?.to_path_buf();
    folder.join("initdb").is_file().then_some(folder)
}

/// Tells whether a server in `folder` can load `library`.
pub(super) fn has_library(folder: &Path, library: &str) -> bool {
    let told = std::process::Command::new(folder.join("pg_config"))
        .arg("--pkglibdir")
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let beside = ["../lib", "../lib/postgresql"].map(|lib| folder.join(lib));
    told.into_iter().chain(beside).any(|lib| {
        ["so", "dylib"]
            .iter()
            .any(|suffix| lib.join(format!("{library}.{suffix}")).is_file())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_binaries_is_named_in_the_refusal() {
        let empty = std::env::temp_dir();
        let refusal = server_folder(Some(&empty)).map_err(|error| error.to_string());
        assert!(refusal.is_err_and(|words| words.contains(&empty.display().to_string())));
    }

    #[test]
    fn installed_servers_come_newest_first() {
        let majors: Vec<u32> = installed()
            .iter()
            .filter_map(|folder| folder.parent()?.file_name()?.to_str()?.parse().ok())
            .collect();
        assert!(
            majors.is_sorted_by(|newer, older| newer >= older),
            "{majors:?}"
        );
    }
}
