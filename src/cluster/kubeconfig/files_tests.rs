//! The rules of kubectl's merge, as cases.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_yaml::{Mapping, Value};

use super::document::{Document, Entries, List};
use super::files::Files;
use crate::config::Environment;
use crate::error::ExitCode;

fn entries(name: &str) -> Entries {
    let content = |key: &str| Mapping::from_iter([(Value::from(key), Value::from("v"))]);
    Entries {
        name: name.to_owned(),
        cluster: content("server"),
        context: content("cluster"),
        user: content("token"),
    }
}

fn files(paths: &[&Path]) -> Files {
    let kubeconfig = Some(std::env::join_paths(paths).unwrap());
    Files::find(&Environment { kubeconfig, ..Environment::default() }, None).unwrap()
}

fn document(path: &Path) -> Document {
    Document::parse(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn where_the_files_are() {
    let check = |kubeconfig: Option<&str>, explicit: Option<&str>, expect: &[&str]| {
        let environment = Environment {
            home: Some("/home/me".into()),
            kubeconfig: kubeconfig.map(Into::into),
            ..Environment::default()
        };
        let files = Files::find(&environment, explicit.map(Path::new)).unwrap();
        let paths: Vec<&str> = files.paths().iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(paths, expect);
    };
    check(None, None, &["/home/me/.kube/config"]);
    check(Some(""), None, &["/home/me/.kube/config"]);
    check(Some("/a:/b::/a"), None, &["/a", "/b"]);
    check(Some("/a:/b"), Some("/c"), &["/c"]);
    let error = Files::find(&Environment::default(), None).unwrap_err();
    assert_eq!(error.code(), ExitCode::Kubeconfig);
}

#[test]
fn a_new_file_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/config");
    files(&[&path]).write(&entries("kd-x"), true).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(document(&path).current_context(), Some("kd-x"));
    assert!(!path.with_extension("lock").exists());
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn new_entries_go_to_the_first_file_that_is_there_else_to_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| directory.path().join(name));
    let all = files(&[&a, &b, &c]);
    all.write(&entries("kd-x"), false).unwrap();
    assert!(!a.exists() && !b.exists());
    assert!(document(&c).has(List::Users, "kd-x"));
    assert_eq!(document(&c).current_context(), None);

    fs::write(&b, "").unwrap();
    all.write(&entries("kd-y"), true).unwrap();
    assert!(document(&b).has(List::Clusters, "kd-y"));
    assert_eq!(document(&b).current_context(), Some("kd-y"));
}

#[test]
fn entries_stay_in_the_file_that_has_them() {
    let directory = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| directory.path().join(name));
    fs::write(&a, "apiVersion: v1\n").unwrap();
    fs::write(&b, "users:\n- name: kd-x\n  user: {token: old}\ncurrent-context: other\n").unwrap();
    files(&[&a, &b]).write(&entries("kd-x"), true).unwrap();
    let (a, b) = (document(&a), document(&b));
    assert!(a.has(List::Clusters, "kd-x") && a.has(List::Contexts, "kd-x"));
    assert!(!a.has(List::Users, "kd-x"));
    assert_eq!(b.get(List::Users, "kd-x").unwrap()["token"], "v");
    // The file that sets the current context goes on setting it.
    assert_eq!((a.current_context(), b.current_context()), (None, Some("kd-x")));
}

#[test]
fn removal_is_from_every_file_and_unsets_the_context() {
    let directory = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| directory.path().join(name));
    fs::write(&a, entries("kd-x").document().to_text().unwrap()).unwrap();
    fs::write(&b, entries("kd-x").document().to_text().unwrap()).unwrap();
    files(&[&a, &b]).remove("kd-x").unwrap();
    for path in [&a, &b] {
        let document = document(path);
        assert!(List::ALL.iter().all(|list| !document.has(*list, "kd-x")));
        assert_eq!(document.current_context(), None);
    }
}

#[test]
fn removal_leaves_other_files_alone() {
    let directory = tempfile::tempdir().unwrap();
    let [a, missing] = ["a", "missing/b"].map(|name| directory.path().join(name));
    let text = "# mine\nclusters: [ ]\ncurrent-context: other\n";
    fs::write(&a, text).unwrap();
    files(&[&a]).remove("kd-x").unwrap();
    assert_eq!(fs::read_to_string(&a).unwrap(), text);
    files(&[&missing]).remove("kd-x").unwrap();
    assert!(!missing.parent().unwrap().exists());
}

#[test]
fn a_broken_file_is_told_and_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    for content in [&b"a: [b"[..], b"text", b"\xff\xfe", b"clusters: 1\n"] {
        fs::write(&path, content).unwrap();
        let files = files(&[&path]);
        for result in [files.check(), files.write(&entries("kd-x"), true), files.remove("kd-x")] {
            assert_eq!(result.unwrap_err().code(), ExitCode::Kubeconfig);
        }
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(files(&[&path]).check().unwrap_err().code(), ExitCode::Kubeconfig);
}

#[test]
fn links_and_modes_stay() {
    let directory = tempfile::tempdir().unwrap();
    let [real, link, dangling] =
        ["real", "link", "dangling"].map(|name| directory.path().join(name));
    fs::write(&real, "").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real", &link).unwrap();
    files(&[&link]).write(&entries("kd-x"), true).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(document(&real).has(List::Users, "kd-x"));

    symlink("not-yet", &dangling).unwrap();
    files(&[&dangling]).write(&entries("kd-x"), true).unwrap();
    assert!(directory.path().join("not-yet").is_file());

    let [one, two] = ["one", "two"].map(|name| directory.path().join(name));
    symlink("two", &one).unwrap();
    symlink("one", &two).unwrap();
    assert!(files(&[&one]).write(&entries("kd-x"), true).is_err());
}

#[test]
fn writers_wait_for_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    std::thread::scope(|scope| {
        for index in 0..8 {
            let path = &path;
            let write = move || files(&[path]).write(&entries(&format!("kd-{index}")), true);
            scope.spawn(move || write().unwrap());
        }
    });
    let document = document(&path);
    assert!((0..8).all(|index| document.has(List::Contexts, &format!("kd-{index}"))));
}
