//! The files of a package as they will stand on the target. No owner and no time: the archive's writer gives all
//! of them the same ones. Always in the order of their names.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Folder,
    File { is_executable: bool, content: Vec<u8> },
    Link { target: String },
}

impl Entry {
    pub fn file(content: impl Into<Vec<u8>>) -> Entry {
        Entry::File { is_executable: false, content: content.into() }
    }

    pub fn program(content: impl Into<Vec<u8>>) -> Entry {
        Entry::File { is_executable: true, content: content.into() }
    }

    /// Whoever's umask wrote the source: there are but two kinds of files.
    pub fn mode(&self) -> u32 {
        match self {
            Entry::Folder | Entry::File { is_executable: true, .. } => 0o755,
            Entry::File { .. } => 0o644,
            Entry::Link { .. } => 0o777,
        }
    }
}

/// By path, without a slash at the beginning. A folder comes before what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// Replaces what was at that path; folders above it come along.
    pub fn add(&mut self, path: &str, entry: Entry) {
        let path = path.trim_matches('/');
        for (end, _) in path.match_indices('/') {
            let folder = path.get(..end).unwrap_or_default();
            self.entries.entry(folder.to_owned()).or_insert(Entry::Folder);
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// All that is in a folder of this machine, below `prefix`; not what is named in `without` (paths in the folder).
    pub fn add_folder(&mut self, source: &Path, prefix: &str, without: &[&str]) -> Result<(), String> {
        self.add_below(source, source, prefix, without)
    }

    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path.trim_matches('/'))
    }

    /// Bytes of all files together.
    pub fn size(&self) -> u64 {
        let sizes = self.entries.values().map(|entry| match entry {
            Entry::File { content, .. } => content.len() as u64,
            Entry::Folder | Entry::Link { .. } => 0,
        });
        sizes.sum()
    }

    fn add_below(&mut self, top: &Path, folder: &Path, prefix: &str, without: &[&str]) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        for found in fs::read_dir(folder).map_err(failed)? {
            let path = found.map_err(failed)?.path();
            let inside = path.strip_prefix(top).map_err(|error| error.to_string())?;
            if without.iter().any(|left_out| inside == Path::new(left_out)) {
                continue;
            }
            let name =
                inside.to_str().ok_or_else(|| format!("{}: a name that is no text", path.display()))?;
            let target = format!("{prefix}/{name}");
            let metadata = fs::symlink_metadata(&path).map_err(failed)?;
            if metadata.is_dir() {
                self.add(&target, Entry::Folder);
                self.add_below(top, &path, prefix, without)?;
            } else {
                self.add(&target, read_entry(&path, &metadata).map_err(failed)?);
            }
        }
        Ok(())
    }
}

fn read_entry(path: &Path, metadata: &fs::Metadata) -> std::io::Result<Entry> {
    if metadata.is_symlink() {
        let target = fs::read_link(path)?;
        return Ok(Entry::Link { target: target.to_string_lossy().into_owned() });
    }
    let is_executable = metadata.permissions().mode() & 0o111 != 0;
    Ok(Entry::File { is_executable, content: fs::read(path)? })
}
