//! One message of each type as hexadecimal digits, with everything that a message can have in one of them or another.
//!
//! The same bytes decode to the same values in Wireshark.

use crate::{digits, lines};

/// A message and its JSON object; the object is broken into lines where it is long.
type Golden = (&'static str, &'static [&'static str]);

const ASAP: &[Golden] = &[
    (
        "01000050 0009000c 4563686f 506f6f6c 000a0040 aabbcc01 00000000 000493e0 00040024 00070001 00010008 0a000004 \
         00020014 20010db8 00000000 00000000 00000004 0008000c 00000002 00000007",
        &[
            r#"{"frame":1,"protocol":"ASAP","type":1,"name":"ASAP_REGISTRATION","flags":0,"length":80,"ppid":null,"#,
            r#""pool_handle":"EchoPool","pool_elements":[{"id":2864434177,"home_id":0,"life":300000,"#,
            r#""user_transport":{"protocol":"SCTP","port":7,"use":1,"addresses":["10.0.0.4","2001:db8::4"]},"#,
            r#""policy":{"type":2,"name":"Weighted Round Robin","weight":7}}]}"#,
        ],
    ),
    (
        "02000018 0009000c 4563686f 506f6f6c 000e0008 aabbcc01",
        &[
            r#"{"frame":1,"protocol":"ASAP","type":2,"name":"ASAP_DEREGISTRATION","flags":0,"length":24,"ppid":null,"#,
            r#""pool_handle":"EchoPool","pe_id":2864434177}"#,
        ],
    ),
    (
        "0301002c 0009000c 4563686f 506f6f6c 000e0008 aabbcc01 000c0014 0005000c 00080008 00000001 00080004",
        &[
            r#"{"frame":1,"protocol":"ASAP","type":3,"name":"ASAP_REGISTRATION_RESPONSE","flags":1,"length":44,"ppid":null,"#,
            r#""pool_handle":"EchoPool","pe_id":2864434177,"#,
            r#""causes":[{"code":5,"name":"Inconsistent Pooling Policy","info":"0008000800000001"},"#,
            r#"{"code":8,"name":"Inconsistent Data/Control Configuration","info":""}]}"#,
        ],
    ),
    (
        "04000018 0009000c 4563686f 506f6f6c 000e0008 aabbcc01",
        &[
            r#"{"frame":1,"protocol":"ASAP","type":4,"name":"ASAP_DEREGISTRATION_RESPONSE","flags":0,"length":24,"ppid":null,"#,
            r#""pool_handle":"EchoPool","pe_id":2864434177}"#,
        ],
    ),
    (
        "05010014 00090007 ff000100 803f0008 00000003",
        &[
            r#"{"frame":1,"protocol":"ASAP","type":5,"name":"ASAP_HANDLE_RESOLUTION","flags":1,"length":20,"ppid":null,"#,
            r#""pool_handle":"0xff0001","items":3}"#,
        ],
    ),
    (
        "0601009c 0009000b 6772c3b6 c39f6500 00080010 40000002 10000000 01000000 000a0040 00000001 11111111 ffffffff \
         00050010 00500000 00010008 0a000005 00080010 40000002 10000000 01000000 00040010 0f170000 00010008 0a000005 \
         000a003c 00000002 11111111 0000003c 0006001c 00350000 00020014 20010db8 00000000 00000000 00000006 00080010 \
         40000002 00000000 00000000",
        &[
            r#"{"frame":1,"protocol":"ASAP","type":6,"name":"ASAP_HANDLE_RESOLUTION_RESPONSE","flags":1,"length":156,"ppid":null,"#,
            r#""pool_handle":"größe","#,
            r#""policy":{"type":1073741826,"name":"Least Used with Degradation","load":268435456,"load_degradation":16777216},"#,
            r#""pool_elements":[{"id":1,"home_id":286331153,"life":-1,"#,
            r#""user_transport":{"protocol":"TCP","port":80,"use":0,"addresses":["10.0.0.5"]},"#,
            r#""policy":{"type":1073741826,"name":"Least Used with Degradation","load":268435456,"load_degradation":16777216},"#,
            r#""asap_transport":{"protocol":"SCTP","port":3863,"use":0,"addresses":["10.0.0.5"]}},"#,
            r#"{"id":2,"home_id":286331153,"life":60,"#,
            r#""user_transport":{"protocol":"UDP","port":53,"addresses":["2001:db8::6"]},"#,
            r#""policy":{"type":1073741826,"name":"Least Used with Degradation","load":0,"load_degradation":0}}]}"#,
        ],
    ),
    (
        "0701001c 11111111 0009000c 4563686f 506f6f6c 000e0008 aabbcc01",
        &[
            r#"{"frame":1,"protocol":"ASAP","type":7,"name":"ASAP_ENDPOINT_KEEP_ALIVE","flags":1,"length":28,"ppid":null,"server_id":286331153,"#,
            r#""pool_handle":"EchoPool","pe_id":2864434177}"#,
        ],
    ),
    (
        "08000018 0009000c 4563686f 506f6f6c 000e0008 aabbcc01",
        &[
            r#"{"frame":1,"protocol":"ASAP","type":8,"name":"ASAP_ENDPOINT_KEEP_ALIVE_ACK","flags":0,"length":24,"ppid":null,"#,
            r#""pool_handle":"EchoPool","pe_id":2864434177}"#,
        ],
    ),
    (
        "09000018 0009000c 4563686f 506f6f6c 000e0008 aabbcc01",
        &[
            r#"{"frame":1,"protocol":"ASAP","type":9,"name":"ASAP_ENDPOINT_UNREACHABLE","flags":0,"length":24,"ppid":null,"#,
            r#""pool_handle":"EchoPool","pe_id":2864434177}"#,
        ],
    ),
    (
        "0a000034 11111111 00040010 0f170000 00010008 0a000001 0005001c 0f170000 00020014 20010db8 00000000 00000000 \
         00000001",
        &[
            r#"{"frame":1,"protocol":"ASAP","type":10,"name":"ASAP_SERVER_ANNOUNCE","flags":0,"length":52,"ppid":null,"server_id":286331153,"transports":[{"protocol":"SCTP","port":3863,"use":0,"addresses":["10.0.0.1"]},"#,
            r#"{"protocol":"TCP","port":3863,"use":0,"addresses":["2001:db8::1"]}]}"#,
        ],
    ),
    (
        "0b000010 000d0009 00010203 04000000",
        &[
            r#"{"frame":1,"protocol":"ASAP","type":11,"name":"ASAP_COOKIE","flags":0,"length":16,"ppid":null,"cookie":"0001020304"}"#,
        ],
    ),
    (
        "0c000008 000d0004",
        &[
            r#"{"frame":1,"protocol":"ASAP","type":12,"name":"ASAP_COOKIE_ECHO","flags":0,"length":8,"ppid":null,"cookie":""}"#,
        ],
    ),
    (
        "0d000098 0009000c 4563686f 506f6f6c 000a0030 00000001 00000002 00000003 00030014 00050000 12345678 00010008 \
         0a000005 0008000c 00000005 00000009 000a0034 00000002 00000002 00000003 00070010 00060000 00010008 0a000006 \
         00080014 b0002001 00000009 00000100 00000007 000a0024 00000003 00000002 00000003 00100007 616e7900 0008000c \
         80000001 00000001",
        &[
            r#"{"frame":1,"protocol":"ASAP","type":13,"name":"ASAP_BUSINESS_CARD","flags":0,"length":152,"ppid":null,"#,
            r#""pool_handle":"EchoPool","pool_elements":[{"id":1,"home_id":2,"life":3,"#,
            r#""user_transport":{"protocol":"DCCP","port":5,"service_code":305419896,"addresses":["10.0.0.5"]},"#,
            r#""policy":{"type":5,"name":"Priority","priority":9}},{"id":2,"home_id":2,"life":3,"#,
            r#""user_transport":{"protocol":"UDP-Lite","port":6,"addresses":["10.0.0.6"]},"#,
            r#""policy":{"type":2952798209,"name":"Weighted Random with Delay Penalty Factor","weight":9,"weight_dpf":256,"distance":7,"data":"000000090000010000000007"}},"#,
            r#"{"id":3,"home_id":2,"life":3,"user_transport":{"protocol":"opaque","data":"616e79"},"#,
            r#""policy":{"type":2147483649,"name":"Unknown","data":"00000001"}}]}"#,
        ],
    ),
    (
        "0e000020 000c0014 0001000c 43210005 01000000 00090004 c1230005 2a000000",
        &[
            r#"{"frame":1,"protocol":"ASAP","type":14,"name":"ASAP_ERROR","flags":0,"length":32,"ppid":null,"#,
            r#""causes":[{"code":1,"name":"Unrecognized Parameter","info":"4321000501000000"},"#,
            r#"{"code":9,"name":"Unknown Pool Handle","info":""}],"unrecognized":["c12300052a"]}"#,
        ],
    ),
];

const ENRP: &[Golden] = &[
    (
        "0101002c 11111111 00000000 000f0006 1b940000 000b0018 11111111 00040010 26ad0000 00010008 0a000001",
        &[
            r#"{"frame":1,"protocol":"ENRP","type":1,"name":"ENRP_PRESENCE","flags":1,"length":44,"ppid":null,"#,
            r#""sender_id":286331153,"receiver_id":0,"checksum":7060,"#,
            r#""servers":[{"id":286331153,"transport":{"protocol":"SCTP","port":9901,"use":0,"addresses":["10.0.0.1"]}}]}"#,
        ],
    ),
    (
        "0201000c 00000001 00000002",
        &[
            r#"{"frame":1,"protocol":"ENRP","type":2,"name":"ENRP_HANDLE_TABLE_REQUEST","flags":1,"length":12,"ppid":null,"#,
            r#""sender_id":1,"receiver_id":2}"#,
        ],
    ),
    (
        "030200c8 00000002 00000001 00090005 41000000 000a0038 00000001 00000002 0000003c 00040010 00070000 00010008 \
         0a000004 00080008 00000001 00040010 00080000 00010008 0a000004 000a0038 00000002 00000002 0000003c 00040010 \
         00070000 00010008 0a000005 00080008 00000001 00040010 00080000 00010008 0a000005 00090005 42000000 000a003c \
         00000003 00000002 0000003c 00040010 00090000 00010008 0a000006 0008000c 40000004 ffffffff 00040010 00080000 \
         00010008 0a000006",
        &[
            r#"{"frame":1,"protocol":"ENRP","type":3,"name":"ENRP_HANDLE_TABLE_RESPONSE","flags":2,"length":200,"ppid":null,"#,
            r#""sender_id":2,"receiver_id":1,"pools":[{"pool_handle":"A","pool_elements":[{"id":1,"home_id":2,"life":60,"#,
            r#""user_transport":{"protocol":"SCTP","port":7,"use":0,"addresses":["10.0.0.4"]},"#,
            r#""policy":{"type":1,"name":"Round Robin"},"#,
            r#""asap_transport":{"protocol":"SCTP","port":8,"use":0,"addresses":["10.0.0.4"]}},"#,
            r#"{"id":2,"home_id":2,"life":60,"#,
            r#""user_transport":{"protocol":"SCTP","port":7,"use":0,"addresses":["10.0.0.5"]},"#,
            r#""policy":{"type":1,"name":"Round Robin"},"#,
            r#""asap_transport":{"protocol":"SCTP","port":8,"use":0,"addresses":["10.0.0.5"]}}]},{"pool_handle":"B","#,
            r#""pool_elements":[{"id":3,"home_id":2,"life":60,"#,
            r#""user_transport":{"protocol":"SCTP","port":9,"use":0,"addresses":["10.0.0.6"]},"#,
            r#""policy":{"type":1073741828,"name":"Randomized Least Used","load":4294967295},"#,
            r#""asap_transport":{"protocol":"SCTP","port":8,"use":0,"addresses":["10.0.0.6"]}}]}]}"#,
        ],
    ),
    (
        "0401005c 00000002 00000000 00010000 0009000c 4563686f 506f6f6c 000a0040 00000001 00000002 0000003c 00040010 \
         00070000 00010008 0a000004 00080010 40000003 00000001 00000002 00040010 00080000 00010008 0a000004",
        &[
            r#"{"frame":1,"protocol":"ENRP","type":4,"name":"ENRP_HANDLE_UPDATE","flags":1,"length":92,"ppid":null,"#,
            r#""sender_id":2,"receiver_id":0,"update_action":1,"pool_handle":"EchoPool","#,
            r#""pool_elements":[{"id":1,"home_id":2,"life":60,"#,
            r#""user_transport":{"protocol":"SCTP","port":7,"use":0,"addresses":["10.0.0.4"]},"#,
            r#""policy":{"type":1073741827,"name":"Priority Least Used","load":1,"load_degradation":2},"#,
            r#""asap_transport":{"protocol":"SCTP","port":8,"use":0,"addresses":["10.0.0.4"]}}]}"#,
        ],
    ),
    (
        "0500000c 00000001 00000002",
        &[
            r#"{"frame":1,"protocol":"ENRP","type":5,"name":"ENRP_LIST_REQUEST","flags":0,"length":12,"ppid":null,"#,
            r#""sender_id":1,"receiver_id":2}"#,
        ],
    ),
    (
        "06000050 00000002 00000001 000b0018 00000003 00040010 26ad0000 00010008 0a000003 000b002c 00000004 00040024 \
         26ad0000 00010008 0a000004 00020014 20010db8 00000000 00000000 00000004",
        &[
            r#"{"frame":1,"protocol":"ENRP","type":6,"name":"ENRP_LIST_RESPONSE","flags":0,"length":80,"ppid":null,"#,
            r#""sender_id":2,"receiver_id":1,"#,
            r#""servers":[{"id":3,"transport":{"protocol":"SCTP","port":9901,"use":0,"addresses":["10.0.0.3"]}},"#,
            r#"{"id":4,"transport":{"protocol":"SCTP","port":9901,"use":0,"addresses":["10.0.0.4","2001:db8::4"]}}]}"#,
        ],
    ),
    (
        "07000010 00000001 00000002 00000003",
        &[
            r#"{"frame":1,"protocol":"ENRP","type":7,"name":"ENRP_INIT_TAKEOVER","flags":0,"length":16,"ppid":null,"#,
            r#""sender_id":1,"receiver_id":2,"target_id":3}"#,
        ],
    ),
    (
        "08000010 00000002 00000001 00000003",
        &[
            r#"{"frame":1,"protocol":"ENRP","type":8,"name":"ENRP_INIT_TAKEOVER_ACK","flags":0,"length":16,"ppid":null,"#,
            r#""sender_id":2,"receiver_id":1,"target_id":3}"#,
        ],
    ),
    (
        "09000010 00000001 00000000 00000003",
        &[
            r#"{"frame":1,"protocol":"ENRP","type":9,"name":"ENRP_TAKEOVER_SERVER","flags":0,"length":16,"ppid":null,"#,
            r#""sender_id":1,"receiver_id":0,"target_id":3}"#,
        ],
    ),
    (
        "0a00001c 00000002 00000001 000c0010 00000004 f0050005 ab000000",
        &[
            r#"{"frame":1,"protocol":"ENRP","type":10,"name":"ENRP_ERROR","flags":0,"length":28,"ppid":null,"#,
            r#""sender_id":2,"receiver_id":1,"causes":[{"code":0,"name":"Unspecified Error","info":""},"#,
            r#"{"code":61445,"name":"Unassigned","info":"ab"}]}"#,
        ],
    ),
];

fn check(protocol: &str, messages: &[Golden]) {
    for (text, expected) in messages {
        let output = digits(&[protocol, "--output", "json"], text);
        assert_eq!(output.stderr, "");
        assert_eq!(lines(&output), [expected.concat()], "{text}");
    }
}

#[test]
fn every_asap_message_has_all_its_values() {
    assert_eq!(ASAP.len(), 14);
    check("--asap", ASAP);
}

#[test]
fn every_enrp_message_has_all_its_values() {
    assert_eq!(ENRP.len(), 10);
    check("--enrp", ENRP);
}

#[test]
fn messages_that_follow_each_other_are_counted() {
    let text: String = ENRP.iter().map(|(text, _)| *text).collect();
    let output = digits(&["--enrp", "--output", "json"], &text);
    for (index, (line, (_, expected))) in lines(&output).iter().zip(ENRP).enumerate() {
        let frame = format!("{{\"frame\":{},", index + 1);
        assert_eq!(
            *line,
            expected.concat().replacen("{\"frame\":1,", &frame, 1)
        );
    }
    assert_eq!(lines(&output).len(), ENRP.len());
}

#[test]
fn the_table_has_a_row_for_each_message_and_for_each_item_of_its_lists() {
    let (text, _) = ENRP[2];
    let output = digits(&["--enrp"], text);
    let words = |line: &&str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let rows: Vec<_> = lines(&output).iter().map(words).collect();
    assert_eq!(rows[0], ["FRAME", "TIME", "PROTOCOL", "MESSAGE"]);
    assert_eq!(
        rows[1][..5],
        ["1", "-", "ENRP", "HANDLE_TABLE_RESPONSE", "flags=M"]
    );
    assert_eq!(
        rows[1][5..],
        ["sender_id=0x00000002", "receiver_id=0x00000001"]
    );
    assert_eq!(rows[2], ["pool", "pool_handle=A"]);
    assert_eq!(rows[3][..2], ["pool_element", "id=0x00000001"]);
    assert_eq!(rows.len(), 7);
}
