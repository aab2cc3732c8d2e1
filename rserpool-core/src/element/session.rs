//! Sessions served: users' messages and cookies on the element's endpoint (RFC 5352 §3.8).

use bytes::Bytes;

use super::{Event, PoolElement};
use crate::ids::{AssocId, Ppid};
use crate::wire::asap::Message;

impl PoolElement {
    /// Sends a message of the application to a user. `ppid` must not be ASAP's (RFC 5352 §5), and an empty message is none:
    /// either is left unsent.
    pub fn send(&mut self, association: AssocId, ppid: Ppid, stream: u16, bytes: Bytes) {
        if ppid != Ppid::ASAP && !bytes.is_empty() && self.peers.contains_key(&association) {
            self.actions.send(association, ppid, stream, bytes);
        }
    }

    /// Gives a user state to hand to the next element if this one fails. Sign it: it comes back through the user. At most
    /// 65,000 bytes; a longer one is left unsent.
    pub fn send_cookie(&mut self, association: AssocId, cookie: &[u8]) {
        const MAX_COOKIE: usize = 65_000;
        if cookie.len() <= MAX_COOKIE && self.peers.contains_key(&association) {
            self.actions
                .send_asap(association, &Message::Cookie { cookie });
        }
    }

    /// Ends a user's session after what was sent has been delivered.
    pub fn close(&mut self, association: AssocId) {
        if self.peers.contains_key(&association) {
            self.actions.disconnect(association);
        }
    }

    pub(super) fn on_data(&mut self, association: AssocId, ppid: Ppid, stream: u16, bytes: &[u8]) {
        self.open_session(association);
        self.actions.notify(Event::Message {
            association,
            ppid,
            stream,
            bytes: Bytes::copy_from_slice(bytes),
        });
    }

    pub(super) fn on_cookie_echo(&mut self, association: AssocId, cookie: &[u8]) {
        self.open_session(association);
        self.actions.notify(Event::CookieEcho {
            association,
            cookie: Bytes::copy_from_slice(cookie),
        });
    }

    /// An association is a session from its first message on: until then it may be a registrar's.
    fn open_session(&mut self, association: AssocId) {
        if let Some(peer) = self.peers.get_mut(&association)
            && !peer.session
        {
            peer.session = true;
            self.actions.notify(Event::SessionOpened { association });
        }
    }
}
