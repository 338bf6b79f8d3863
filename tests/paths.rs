//! Files and directories while others make and remove them, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use mwan3::system::paths::{make_directory, remove_all};

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("mwan3-paths-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir(&path).expect("made");
    path
}

/// In its own thread each, at the same time.
fn at_once(acts: &[&(dyn Fn() + Sync)]) {
    let start = Barrier::new(acts.len());
    thread::scope(|scope| {
        for act in acts {
            scope.spawn(|| {
                start.wait();
                act();
            });
        }
    });
}

#[test]
fn what_goes_away_meanwhile_does_not_end_a_removal() {
    let folder = folder("removal");
    for round in 0..8 {
        let path = folder.join(format!("{round}"));
        let file = |number: i32| path.join(format!("{number:04}"));
        fs::create_dir(&path).expect("made");
        (0..1000).for_each(|number| fs::write(file(number), "").expect("written"));
        // From the other end, so that they meet.
        let others = || (0..1000).rev().for_each(|number| _ = fs::remove_file(file(number)));
        at_once(&[&others, &|| remove_all(&path).expect("removed")]);
        assert!(!path.exists());
    }
    fs::remove_dir(folder).expect("empty");
}

#[test]
fn of_a_link_the_link_goes_and_what_is_not_there_is_told() {
    let folder = folder("link");
    fs::create_dir_all(folder.join("kept/deep")).expect("made");
    fs::create_dir_all(folder.join("state/deep")).expect("made");
    std::os::unix::fs::symlink(folder.join("kept"), folder.join("state/deep/link")).expect("linked");
    assert!(remove_all(&folder.join("state")).is_ok());
    assert!(!folder.join("state").exists() && folder.join("kept/deep").exists());
    let error = remove_all(&folder.join("state")).expect_err("gone");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(remove_all(&folder).is_ok() && !folder.exists());
}

#[test]
fn a_directory_that_several_make_at_once_is_there_for_each() {
    let folder = folder("making");
    for round in 0..50 {
        let path = folder.join(format!("{round}/a/b/c/d"));
        let make: &(dyn Fn() + Sync) = &|| make_directory(&path).expect("made");
        at_once(&[make; 4]);
        assert!(path.is_dir());
    }
    let file = folder.join("file");
    fs::write(&file, "").expect("written");
    for path in [&*file, &file.join("below"), Path::new("")] {
        assert!(make_directory(path).is_err(), "{path:?}");
    }
    fs::remove_dir_all(folder).expect("removed");
}
