//! What concerns all elements of a registrar is done in small portions: whoever asks meanwhile is answered.

use super::owners::{OWNER, TAKER};
use super::*;
use crate::wire::enrp::{self, MessageBody};

const COUNT: usize = 2000;
const PORTION: usize = 256;

impl Script {
    /// Asks for the table: whether it is refused.
    fn refuses_table(&mut self) -> bool {
        let own_only = true;
        self.enrp(
            70,
            ServerId(0),
            MessageBody::HandleTableRequest { own_only },
        );
        let answers = sent(&self.actions());
        let [(70, bytes)] = &answers[..] else {
            panic!("one answer: {answers:?}");
        };
        let body = enrp::decode(bytes).expect("our own").message.body;
        matches!(
            body,
            MessageBody::HandleTableResponse { rejected: true, .. }
        )
    }

    /// The owner goes, and does not answer.
    fn owner_dies(&mut self) {
        self.disconnected(50);
        self.now = self.now + Duration::from_secs(5);
    }
}

#[test]
fn a_takeover_asks_its_elements_in_portions() {
    // RFC 5353 §3.5.2
    let mut script = Script::with_peers(COUNT);
    script.disconnected(60);
    script.owner_dies();
    script.actions();
    let mut before = 0;
    let calls = script.drain(|script, actions| {
        let mine = script.owned(ID);
        assert!(mine - before <= PORTION && actions <= 2 * PORTION);
        before = mine;
        // A table would not have all of them. Somebody who asks for the pool is answered.
        let moving = (1..COUNT).contains(&mine);
        assert!(!moving || script.refuses_table());
        script.connected(9, 9);
        assert!(!answer(&script.resolve(Some(1))).1);
    });
    assert!(calls > COUNT / PORTION, "{calls}");
    assert_eq!((script.owned(ID), script.owned(OWNER)), (COUNT, 0));
    assert!(!script.refuses_table());
    assert_eq!(script.registrar.watches.len(), COUNT);
}

#[test]
fn elements_are_handed_over_in_portions() {
    // RFC 5353 §3.5.2
    let mut script = Script::with_peers(COUNT);
    script.disconnected(50);
    script.enrp(60, TAKER, MessageBody::InitTakeover { target: OWNER });
    script.enrp(60, TAKER, MessageBody::TakeoverServer { target: OWNER });
    script.now = script.now + Duration::from_secs(5);
    script.actions();
    let mut before = 0;
    let mut beats = 0;
    let calls = script.drain(|script, _| {
        let moved = script.owned(TAKER);
        assert!(moved - before <= PORTION);
        before = moved;
        // The owner is no peer any more, and does not become one as long as something is still called its own.
        if (1..COUNT).contains(&moved) {
            script.registrar.on_heartbeat(script.now);
            let peers: Vec<_> = script.registrar.peers().collect();
            assert_eq!(peers, [TAKER]);
            beats += 1;
        }
    });
    assert!(calls > COUNT / PORTION && beats > 0, "{calls}");
    assert_eq!((script.owned(TAKER), script.owned(OWNER)), (COUNT, 0));
}

#[test]
fn nobody_takes_itself_over() {
    // Its elements would move from it to it for ever.
    let mut script = Script::with_peers(COUNT);
    for body in [
        MessageBody::InitTakeover { target: OWNER },
        MessageBody::TakeoverServer { target: OWNER },
    ] {
        script.enrp(50, OWNER, body);
    }
    script.now = script.now + Duration::from_secs(15);
    assert_eq!(script.drain(|_, _| {}), 0);
    assert_eq!(script.registrar.peers().count(), 2);
    assert_eq!(script.owned(OWNER), COUNT);
}

#[test]
fn what_is_missing_in_a_table_goes_in_portions() {
    // RFC 5353 §3.6.3
    let mut script = Script::with_peers(COUNT);
    script.presence(50, OWNER, 0x1234);
    script.table(50, OWNER, &[1, 2]);
    script.actions();
    let mut before = COUNT;
    let mut last = None;
    let calls = script.drain(|script, _| {
        let owned = script.owned(OWNER);
        assert!(before - owned <= PORTION);
        before = owned;
        // What comes meanwhile stays.
        if last.is_none() {
            let handlespace = &script.registrar.handlespace;
            let elements = handlespace.elements(POOL);
            let ids = elements.filter_map(|key| handlespace.get(key).map(|element| element.id.0));
            let id = ids.filter(|id| *id > 2).last().expect("many are left");
            script.add(50, OWNER, id);
            last = Some(id);
            // A page more, of a table without an end.
            let unexpected = script.registrar.counters().unexpected;
            script.table(50, OWNER, &[id - 1]);
            assert_eq!(script.registrar.counters().unexpected, unexpected + 1);
        }
    });
    assert!(calls >= COUNT / PORTION, "{calls}");
    let left: Vec<_> = script.registrar.handlespace.elements(POOL).collect();
    let ids = left
        .iter()
        .map(|key| script.registrar.handlespace.get(*key));
    let mut ids: Vec<_> = ids.flatten().map(|element| element.id.0).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, last.expect("added")]);
    // The next audit begins anew.
    let downloads = script.registrar.counters().downloads;
    script.presence(50, OWNER, 0x1234);
    assert_eq!(script.registrar.counters().downloads, downloads + 1);
}

#[test]
fn a_table_goes_in_full_pages() {
    // RFC 5353 §3.2.3
    for dialect in [Dialect::Rfc, Dialect::Rsplib] {
        let mut script = Script::with_peers(COUNT);
        script.registrar.config.dialect = dialect;
        let (most, count) = dialect.table_page();
        let mut ids: Vec<u32> = Vec::new();
        loop {
            let own_only = false;
            let request = MessageBody::HandleTableRequest { own_only };
            script.enrp(70, ServerId(0), request);
            let answers = sent(&script.actions());
            let [(70, bytes)] = &answers[..] else {
                panic!("one answer: {answers:?}");
            };
            let body = enrp::decode(bytes).expect("our own").message.body;
            let MessageBody::HandleTableResponse { more, pools, .. } = body else {
                panic!("{body:?}");
            };
            let elements = pools.iter().flat_map(|pool| pool.pool_elements);
            let page: Vec<_> = elements.map(|element| element.id.0).collect();
            ids.extend(&page);
            assert!(bytes.len() <= most);
            if !more {
                break;
            }
            // One more would be too many, or too long.
            let each = (bytes.len() - 12 - 4 - POOL.len()) / page.len();
            assert!(page.len() == count || bytes.len() + each > most);
        }
        ids.sort_unstable();
        assert!(ids.into_iter().eq(1..=u32::try_from(COUNT).expect("small")));
    }
}
