//! `bench`: rows that programs can rely on.

use serde_json::Value;

use crate::harness::run;

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
