//! The registrar and its peers: whose word counts, and what is set right.

use super::*;
use crate::wire::enrp::{self, MessageBody, Pool, UpdateAction};

/// The peer whose elements these are, on association 50, and another one, on association 60.
pub(super) const OWNER: ServerId = ServerId(0x5000);
pub(super) const TAKER: ServerId = ServerId(0x6000);

fn addresses(id: u32) -> [IpAddr; 1] {
    let [_, _, high, low] = id.to_be_bytes();
    [[10, 1, high, low].into()]
}

fn of_peer(home_id: ServerId, id: u32, addresses: &[IpAddr]) -> PoolElement<'_> {
    let transport = SctpTransport {
        port: 7,
        transport_use: TransportUse::DATA_ONLY,
        addresses: List::Slice(addresses),
    };
    PoolElement {
        id: PeId(id),
        home_id,
        life: 600,
        user_transport: Transport::Sctp(transport),
        policy: Policy::RoundRobin,
        asap_transport: Some(transport),
    }
}

impl Script {
    pub(super) fn enrp(&mut self, association: u64, sender: ServerId, body: MessageBody<'_>) {
        let message = enrp::Message {
            sender,
            receiver: ServerId(0),
            body,
        };
        self.input(Input::Message {
            association: AssocId(association),
            ppid: Ppid::ENRP,
            stream: 0,
            bytes: &message.to_bytes().expect("it fits"),
        });
    }

    pub(super) fn presence(&mut self, association: u64, sender: ServerId, checksum: u16) {
        let body = MessageBody::Presence {
            reply_required: false,
            checksum: Some(checksum),
            server: None,
        };
        self.enrp(association, sender, body);
    }

    pub(super) fn add(&mut self, association: u64, sender: ServerId, id: u32) {
        let addresses = addresses(id);
        let body = MessageBody::HandleUpdate {
            action: UpdateAction::Add,
            takeover_suggested: false,
            pool_handle: POOL,
            pool_element: of_peer(sender, id, &addresses),
        };
        self.enrp(association, sender, body);
    }

    pub(super) fn table(&mut self, association: u64, sender: ServerId, ids: &[u32]) {
        let addresses: Vec<_> = ids.iter().map(|id| addresses(*id)).collect();
        let elements: Vec<_> = ids
            .iter()
            .zip(&addresses)
            .map(|(id, addresses)| of_peer(sender, *id, addresses))
            .collect();
        self.table_of(association, sender, &elements);
    }

    fn table_of(&mut self, association: u64, sender: ServerId, pool_elements: &[PoolElement<'_>]) {
        let pools = [Pool {
            pool_handle: POOL,
            pool_elements: List::Slice(pool_elements),
        }];
        let count = usize::from(!pool_elements.is_empty());
        let body = MessageBody::HandleTableResponse {
            rejected: false,
            more: false,
            pools: List::Slice(&pools[..count]),
        };
        self.enrp(association, sender, body);
    }

    pub(super) fn owned(&self, home: ServerId) -> usize {
        self.registrar.handlespace.owned_count(home)
    }

    /// The two peers and somebody who looks, and the elements of the one; all is quiet.
    pub(super) fn with_peers(count: usize) -> Self {
        let mut script = Self::new(|config| {
            config.enrp_addresses = vec![endpoint(0)];
            config.peer_heartbeat_cycle = Duration::from_secs(3600);
        });
        script.connected(70, 70);
        for (association, sender) in [(50, OWNER), (60, TAKER)] {
            script.connected(association, u8::try_from(association).expect("small"));
            script.presence(association, sender, 0xffff);
            script.table(association, sender, &[]);
        }
        for id in 1..=u32::try_from(count).expect("small") {
            script.add(50, OWNER, id);
        }
        script.drain(|_, _| {});
        assert_eq!(script.owned(OWNER), count);
        script
    }

    /// Runs what is due, call by call, and `check`s after each one how much it did.
    pub(super) fn drain(&mut self, mut check: impl FnMut(&mut Self, usize)) -> usize {
        let mut calls = 0;
        while self
            .registrar
            .poll_timeout()
            .is_some_and(|at| at <= self.now)
        {
            self.registrar.handle_timeout(self.now);
            let count = self.actions().len();
            check(self, count);
            calls += 1;
        }
        calls
    }
}

#[test]
fn updates_count_only_from_the_owner() {
    // RFC 5353 §3.3.1, §3.3.2; S4
    let mut script = Script::with_peers(3);
    let own = addresses(4);
    let update = |action, home, id| MessageBody::HandleUpdate {
        action,
        takeover_suggested: false,
        pool_handle: POOL,
        pool_element: of_peer(home, id, &own),
    };
    let before = script.registrar.counters().unexpected;
    // Not the sender's, whoever is said to own it: an element of a peer, one of this registrar, a new one.
    script.connected(1, 1);
    let own_host = [host(1)];
    let mine = Element {
        policy: Policy::RoundRobin,
        ..element(9, &own_host)
    };
    script.register(1, &mine);
    let forged = [
        update(UpdateAction::Add, OWNER, 4),
        update(UpdateAction::Add, ID, 4),
        update(UpdateAction::Delete, OWNER, 1),
        update(UpdateAction::Delete, TAKER, 1),
        update(UpdateAction::Delete, ID, 9),
        update(UpdateAction::Delete, TAKER, 9),
    ];
    for body in forged {
        script.enrp(60, TAKER, body);
    }
    // Nor is the owner's name enough: it has an association of its own.
    script.enrp(60, OWNER, update(UpdateAction::Delete, OWNER, 1));
    assert_eq!((script.owned(OWNER), script.owned(ID)), (3, 1));
    assert_eq!((script.owned(TAKER), script.count()), (0, 4));
    assert_eq!(script.registrar.counters().unexpected, before + 7);
    script.enrp(50, OWNER, update(UpdateAction::Delete, OWNER, 1));
    script.enrp(50, OWNER, update(UpdateAction::Add, OWNER, 4));
    assert_eq!((script.owned(OWNER), script.count()), (3, 4));
}

#[test]
fn what_the_checksum_cannot_see_is_set_right() {
    // S17: the element has a new address, and the update was lost.
    let mut script = Script::with_peers(2);
    let [[old], [new]] = [2, 77].map(addresses);
    let address_of = |script: &Script| {
        let handlespace = &script.registrar.handlespace;
        let key = handlespace.find(POOL, PeId(2)).expect("it is there");
        let element = handlespace.get(key).expect("it is there");
        element.user_transport.as_transport().addresses().next()
    };
    let checksum = script.registrar.handlespace.checksum(OWNER);
    script.presence(50, OWNER, checksum);
    assert_eq!(sent(&script.actions()), [], "all is well, it seems");
    assert_eq!(address_of(&script), Some(old));
    // At the latest one and a half times the interval later the table is fetched all the same.
    let limit = script.now + script.registrar.config.resync_interval * 3 / 2;
    let downloads = script.registrar.counters().downloads;
    while script.registrar.counters().downloads == downloads {
        assert!(script.now <= limit);
        // Both are heard all the time.
        script.presence(50, OWNER, checksum);
        script.presence(60, TAKER, 0xffff);
        script.now = script.now + Duration::from_secs(30);
        script.registrar.handle_timeout(script.now);
    }
    let (first, second) = (addresses(1), addresses(77));
    let elements = [of_peer(OWNER, 1, &first), of_peer(OWNER, 2, &second)];
    script.table_of(50, OWNER, &elements);
    assert_eq!(address_of(&script), Some(new));
    assert_eq!(script.registrar.handlespace.checksum(OWNER), checksum);
}
