//! Announcements, dialects, and what a registrar is not meant to get (RFC 5352 §3.6).

use super::*;

#[test]
fn announcements_are_scaled_by_the_number_of_registrars() {
    // RFC 5352 §3.6: (N+1) × T6
    let mut script = Script::new(|config| {
        config.announce = true;
        config.asap_addresses = vec![endpoint(1)];
    });
    let (waited, actions) = script.wait();
    assert_eq!(waited, Duration::ZERO);
    let [
        Action::Announce {
            ppid: Ppid::ASAP,
            bytes,
        },
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    let Message::ServerAnnounce {
        server_id,
        transports,
    } = asap::decode(bytes).expect("our own").message
    else {
        panic!("no announcement");
    };
    assert_eq!((server_id, transports.len()), (ID, 1));
    for other in [2, 3] {
        let message = Message::ServerAnnounce {
            server_id: ServerId(other),
            transports: List::EMPTY,
        };
        script.input(Input::Announcement {
            source: endpoint(2),
            ppid: Ppid::ASAP,
            bytes: &message.to_bytes().expect("short"),
        });
    }
    assert_eq!(script.wait().0, Duration::from_secs(1));
    assert_eq!(script.wait().0, Duration::from_secs(3));
    // Both are outdated in the meantime.
    script.wait();
    script.wait();
    assert_eq!(script.wait().0, Duration::from_secs(1));
}

#[test]
fn what_is_not_meant_for_a_registrar_is_counted_and_ignored() {
    let mut script = Script::with_element();
    let cookie = Message::Cookie { cookie: b"x" };
    assert_eq!(script.asap(1, &cookie), []);
    assert_eq!(script.acknowledge(9, 1), []);
    let association = AssocId(1);
    for ppid in [Ppid::ENRP, Ppid(0)] {
        script.input(Input::Message {
            association,
            ppid,
            stream: 0,
            bytes: b"1234",
        });
    }
    script.message(99, b"nobody");
    script.input(Input::Announcement {
        source: endpoint(2),
        ppid: Ppid::ENRP,
        bytes: b"1234",
    });
    assert_eq!(script.actions(), []);
    assert_eq!(script.registrar.counters.unexpected, 6);
}

#[test]
fn announcements_need_no_address_and_no_period() {
    // RFC 5352 §2.2.10: transport parameters are optional
    let mut script = Script::new(|config| {
        config.announce = true;
        config.t6_serverannounce = Duration::ZERO;
    });
    let (_, actions) = script.wait();
    let [Action::Announce { bytes, .. }] = &actions[..] else {
        panic!("{actions:?}");
    };
    let Message::ServerAnnounce { transports, .. } = asap::decode(bytes).expect("ours").message
    else {
        panic!("no announcement");
    };
    assert!(transports.is_empty());
    assert_eq!(script.wait().0, Duration::from_millis(1));
}

#[test]
fn the_tcp_port_for_users_is_announced() {
    // RFC 5352 §2.2.10: SCTP and TCP transports
    let mut script = Script::new(|config| {
        config.announce = true;
        config.asap_addresses = vec![endpoint(1), endpoint(2)];
        config.asap_tcp_port = Some(80);
    });
    let (_, actions) = script.wait();
    let [Action::Announce { bytes, .. }] = &actions[..] else {
        panic!("{actions:?}");
    };
    let Message::ServerAnnounce { transports, .. } = asap::decode(bytes).expect("ours").message
    else {
        panic!("no announcement");
    };
    let transports: Vec<_> = transports.iter().collect();
    assert_eq!(transports.len(), 3);
    let over_tcp = [1, 2].map(|host| Transport::Tcp {
        port: 80,
        transport_use: TransportUse::DATA_ONLY,
        address: endpoint(host).ip(),
    });
    assert_eq!(transports[1..], over_tcp);
}

#[test]
fn announcements_of_others_are_capped_and_checked() {
    let mut script = Script::new(|config| config.rates.announcements = Rate::per_second(0));
    let announce = |script: &mut Script, bytes: &[u8]| {
        script.input(Input::Announcement {
            source: endpoint(2),
            ppid: Ppid::ASAP,
            bytes,
        });
    };
    for other in 1..=300 {
        let message = Message::ServerAnnounce {
            server_id: ServerId(other),
            transports: List::EMPTY,
        };
        announce(&mut script, &message.to_bytes().expect("short"));
    }
    let own = Message::ServerAnnounce {
        server_id: ID,
        transports: List::EMPTY,
    };
    announce(&mut script, &own.to_bytes().expect("short"));
    announce(&mut script, b"x");
    let cookie = Message::Cookie { cookie: b"x" };
    announce(&mut script, &cookie.to_bytes().expect("short"));
    let counters = script.registrar.counters();
    assert_eq!((counters.malformed, counters.unexpected), (1, 1));
    assert_eq!(script.registrar.announcer.len(), 256);
    while script.registrar.poll_timeout().is_some() {
        script.wait();
    }
    assert_eq!(script.registrar.announcer.len(), 0);
}

#[test]
fn a_registrar_has_the_identifier_that_it_was_given_or_a_random_one() {
    assert_eq!(Script::new(|_| {}).registrar.id(), ID);
    for id in [None, Some(ServerId(0))] {
        let drawn = Script::new(|config| config.server_id = id).registrar.id();
        assert!(drawn != ServerId(0) && drawn != ID);
    }
}

#[test]
fn announcements_are_remembered_longer_where_there_are_many() {
    // RFC 5352 §3.6: N is the number of registrars found
    for (others, outdated) in [(1, 5), (2, 6), (3, 8), (4, 10)] {
        let mut script = Script::new(|_| {});
        for other in 1..=others {
            let message = Message::ServerAnnounce {
                server_id: ServerId(other),
                transports: List::EMPTY,
            };
            script.input(Input::Announcement {
                source: endpoint(2),
                ppid: Ppid::ASAP,
                bytes: &message.to_bytes().expect("short"),
            });
        }
        while script.registrar.poll_timeout().is_some() {
            script.wait();
        }
        assert_eq!(script.now, Instant::EPOCH + Duration::from_secs(outdated));
    }
}

#[test]
fn the_reference_implementation_has_timers_of_its_own() {
    let seconds = Duration::from_secs;
    let dialects = [Dialect::Rfc, Dialect::Rsplib];
    let [rfc, rsplib] = dialects.map(Config::for_dialect);
    assert_eq!([rfc.dialect, rsplib.dialect], dialects);
    // RFC 5353 §4.2: PEER-HEARTBEAT-CYCLE, MAX-TIME-LAST-HEARD, MAX-TIME-NO-RESPONSE. Then the keep-alives.
    let of = |config: &Config| {
        (
            config.peer_heartbeat_cycle,
            config.max_time_last_heard,
            config.max_time_no_response,
            config.keep_alive_interval,
            config.keep_alive_timeout,
            config.default_items,
        )
    };
    assert_eq!(
        of(&rfc),
        (
            seconds(30),
            seconds(61),
            seconds(5),
            seconds(30),
            seconds(5),
            128
        )
    );
    let heartbeat = Duration::from_millis(2400);
    assert_eq!(
        of(&rsplib),
        (heartbeat, seconds(5), seconds(5), seconds(5), seconds(5), 3)
    );
}
