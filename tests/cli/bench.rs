//! `bench`: rows that programs can rely on.

use serde_json::Value;

use crate::harness::{Scope, run};

#[test]
fn every_row_has_the_same_fields_and_every_operation_its_row() {
    let arguments = "bench handlespace --elements 20 --pools 2 --policy weighted-random --runs 1";
    let mut arguments: Vec<_> = arguments.split(' ').collect();
    arguments.extend(["--output", "json"]);
    let run = run(&arguments, b"");
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let text = String::from_utf8(run.stdout).expect("JSON is text");
    let rows = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("one JSON object a line"));
    let mut operations = Vec::new();
    for row in rows {
        let keys: Vec<_> = row.as_object().expect("an object").keys().collect();
        assert_eq!(
            keys,
            [
                "operation",
                "policy",
                "elements",
                "pools",
                "items",
                "ns_per_op",
                "bytes_per_element"
            ]
        );
        assert_eq!(
            (&row["policy"], &row["elements"], &row["pools"]),
            (&"weighted-random".into(), &20.into(), &2.into())
        );
        assert!(row["ns_per_op"].as_f64().is_some_and(|time| time > 0.0));
        let operation = row["operation"].as_str().expect("a name").to_owned();
        operations.push((operation, row["items"].as_u64().expect("a number")));
    }
    let expected = [
        ("register", 0),
        ("reregister", 0),
        ("reregister-changed", 0),
        ("find", 0),
        ("select", 1),
        ("select", 5),
        ("timer-restart", 0),
        ("table-create", 0),
        ("table-parse", 0),
        ("deregister", 0),
    ];
    assert_eq!(
        operations,
        expected.map(|(name, items)| (name.into(), items))
    );
}

/// Measures for a moment.
fn measure(scope: &Scope, subject: &str, options: &[&str]) -> Value {
    let arguments = ["bench", subject, "--seconds", "0.1", "--output", "json"];
    let run = run(&[&arguments, &scope.options()[..], options].concat(), b"");
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert_eq!(run.stderr, "");
    let text = String::from_utf8(run.stdout).expect("JSON is text");
    assert_eq!(text.lines().count(), 1);
    serde_json::from_str(&text).expect("a JSON object")
}

#[test]
fn what_goes_over_the_network_is_measured_in_one_command() {
    let scope = Scope::new();
    for (subject, options) in [
        ("resolve", &["--elements", "5"][..]),
        ("register", &[]),
        ("session", &["--messages", "3"]),
    ] {
        let row = measure(
            &scope,
            subject,
            &[options, &["--outstanding", "8"]].concat(),
        );
        let keys: Vec<_> = row.as_object().expect("an object").keys().collect();
        assert_eq!(
            keys,
            [
                "operation",
                "transport",
                "outstanding",
                "seconds",
                "operations",
                "per_second",
                "median_us",
                "p99_us",
                "refused",
                "unanswered"
            ]
        );
        assert_eq!(row["operation"], subject);
        assert_eq!(row["outstanding"], 8);
        assert_eq!(
            (&row["refused"], &row["unanswered"]),
            (&0.into(), &0.into())
        );
        let number = |name: &str| row[name].as_f64().expect("a number");
        assert!(number("operations") >= 8.0, "{row}");
        assert!(number("seconds") >= 0.1, "{row}");
        assert!(
            (number("operations") / number("seconds") / number("per_second") - 1.0).abs() < 1e-6
        );
        assert!(number("median_us") <= number("p99_us"), "{row}");
    }
}

#[test]
fn a_registrar_that_is_there_is_measured_and_left_as_it_was() {
    let scope = Scope::new();
    let unlimited = ["--registration-limit", "0", "--resolution-limit", "0"];
    let registrar = scope.start(&[&["registrar"], &unlimited[..]].concat());
    registrar.log("registrar at 127.0.0.1");
    for subject in ["resolve", "register", "session"] {
        let row = measure(&scope, subject, &["--registrar", "127.0.0.1"]);
        assert_eq!(
            (&row["refused"], &row["unanswered"]),
            (&0.into(), &0.into())
        );
        let run = scope.run(&["resolve", "rserpool-bench"], b"");
        assert!(run.stderr.contains("there is no pool"), "{}", run.stderr);
    }
}

#[test]
fn a_registrar_that_is_not_there_is_said() {
    let scope = Scope::new();
    for subject in ["resolve", "register", "session"] {
        let arguments = ["bench", subject, "--registrar", "127.0.0.1"];
        let run = run(&[&arguments, &scope.options()[..]].concat(), b"");
        assert_eq!(run.status, Some(1));
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        let part = "no registrar answers at 127.0.0.1:3863";
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
}
