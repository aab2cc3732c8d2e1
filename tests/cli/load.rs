//! The load of an element that a file or a command tells.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Program, Scope};

/// The load of the only element of pool `l`, whenever it changes.
fn watch(scope: &Scope) -> Program {
    scope.start(&["resolve", "l", "--watch", "--output", "json"])
}

fn load(line: &str) -> u64 {
    let pool: Value = serde_json::from_str(line).expect("a JSON object a line");
    let load = &pool["pool_elements"][0]["policy"]["load"];
    load.as_u64().expect("a number")
}

fn element(scope: &Scope, source: &str) -> Program {
    let policy = ["--policy", "least-used", "--load-interval", "0.1"];
    let service = ["--pool", "l", "--discard", "--load-from", source];
    scope.element(&[&service[..], &policy].concat()).0
}

/// No reader sees half of it.
fn write(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).expect("there is room");
    std::fs::rename(new, file).expect("it is the same directory");
}

#[test]
fn the_registrar_hears_of_each_new_load_and_of_nothing_else() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let name = format!("rserpool-load-{}", std::process::id());
    let file = std::env::temp_dir().join(name);
    write(&file, "25%\n");
    let element = element(&scope, file.to_str().expect("it is text"));
    let pool = watch(&scope);
    assert_eq!(load(&pool.hear()), 0x4000_0000);
    write(&file, "what?\n");
    element.log("\"what?\" is no number from 0 to 1 and no percentage; the last one stays");
    write(&file, "0.25");
    element.log("there is a load again: 0.25");
    write(&file, "0.5\n");
    // Nothing was told between the two.
    assert_eq!(load(&pool.hear()), 0x8000_0000);
    std::fs::remove_file(&file).expect("it is there");
    element.log("No such file or directory");
}

#[test]
fn a_command_tells_the_load() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let _element = element(&scope, "| echo 100% and more");
    let pool = watch(&scope);
    assert_eq!(load(&pool.hear()), 0xffff_ffff);
}

#[test]
fn a_command_that_fails_is_said_and_the_load_stays() {
    let scope = Scope::new();
    let _registrar = scope.registrar();
    let policy = ["--policy", "least-used", "--load", "0.5"];
    let service = ["--pool", "l", "--discard", "--load-from", "|echo 1; exit 7"];
    let element = scope.start(&[&["element"], &service[..], &policy].concat());
    element.log("no load in the output of 'echo 1; exit 7': exit status: 7; the last one stays");
    element.log("registered");
    let pool = watch(&scope);
    assert_eq!(load(&pool.hear()), 0x8000_0000);
}
