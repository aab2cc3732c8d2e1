//! Sessions served: users' messages, and the control channel beside them (RFC 5352 §3.8, §3.9).

use alloc::vec::Vec;
use bytes::Bytes;

use super::{CardError, CookieError, Event, PoolElement, SendError};
use crate::ids::{AssocId, PoolHandle, Ppid};
use crate::machine::Data;
use crate::user::Element;
use crate::wire::asap::Message;
use crate::wire::{List, PoolElement as WireElement, TransportUse};

impl PoolElement {
    /// Sends a message of the application to a user, in order. [`Event::Undelivered`] returns it where it could not be delivered
    /// and the transport knows.
    ///
    /// ```
    /// use rserpool_core::element::PoolElement;
    /// use rserpool_core::{AssocId, Ppid};
    ///
    /// /// To everybody; says who is not there any more.
    /// fn tell_all(element: &mut PoolElement, users: &[AssocId]) -> Vec<AssocId> {
    ///     let mut send = |user| element.send(user, Ppid::UNSPECIFIED, 0, "hello".into());
    ///     users.iter().copied().filter(|user| send(*user).is_err()).collect()
    /// }
    /// ```
    pub fn send(
        &mut self,
        association: AssocId,
        ppid: Ppid,
        stream: u16,
        bytes: Bytes,
    ) -> Result<(), SendError> {
        self.send_data(association, Data::ordered(ppid, stream, bytes))
    }

    /// The same for a message that may overtake others (RFC 5352 §6.5.5). A transport that cannot do so sends it in order.
    pub fn send_unordered(
        &mut self,
        association: AssocId,
        ppid: Ppid,
        stream: u16,
        bytes: Bytes,
    ) -> Result<(), SendError> {
        self.send_data(association, Data::unordered(ppid, stream, bytes))
    }

    fn send_data(&mut self, association: AssocId, data: Data) -> Result<(), SendError> {
        // RFC 5352 §5: the data channel MUST NOT use ASAP's PPID.
        if data.ppid == Ppid::ASAP || data.ppid == Ppid::ENRP {
            return Err(SendError::ReservedPpid);
        }
        if data.bytes.is_empty() {
            return Err(SendError::Empty);
        }
        if !self.peers.contains_key(&association) {
            return Err(SendError::UnknownAssociation);
        }
        self.actions.send_data(association, data);
        Ok(())
    }

    /// Gives a user state to hand to the next element if this one fails: at most [`MAX_COOKIE`](Self::MAX_COOKIE) bytes. It
    /// comes back through the user: sign it (RFC 5352 §3.8).
    ///
    /// ```
    /// use rserpool_core::AssocId;
    /// use rserpool_core::element::{CookieError, PoolElement};
    ///
    /// /// The next element goes on after that line.
    /// fn save(element: &mut PoolElement, user: AssocId, line: u64) -> Result<(), CookieError> {
    ///     element.send_cookie(user, &line.to_be_bytes())
    /// }
    /// ```
    pub fn send_cookie(&mut self, association: AssocId, cookie: &[u8]) -> Result<(), CookieError> {
        if !self.has_control_channel() {
            return Err(CookieError::NoControlChannel);
        }
        if cookie.len() > Self::MAX_COOKIE {
            return Err(CookieError::TooLong);
        }
        if !self.peers.contains_key(&association) {
            return Err(CookieError::UnknownAssociation);
        }
        self.actions
            .send_asap(association, &Message::Cookie { cookie });
        Ok(())
    }

    /// The longest cookie.
    pub const MAX_COOKIE: usize = 65_000;

    /// Recommends elements of its pool to users, the first one preferred, for the time when this one has failed: those that are
    /// there hear of it at once, others when their session begins (RFC 5352 §3.9). Without any there is no business card.
    ///
    /// ```
    /// use rserpool_core::element::{CardError, PoolElement};
    /// use rserpool_core::user::Element;
    ///
    /// /// Those that have a copy, as `user::Event::Resolved` tells of them.
    /// fn recommend(element: &mut PoolElement, copies: &[Element]) -> Result<(), CardError> {
    ///     let elements: Vec<_> = copies.iter().map(Element::to_wire).collect();
    ///     element.set_business_card(&elements)
    /// }
    /// ```
    pub fn set_business_card(&mut self, elements: &[WireElement<'_>]) -> Result<(), CardError> {
        if !self.has_control_channel() {
            return Err(CardError::NoControlChannel);
        }
        if elements.is_empty() {
            self.card = None;
            return Ok(());
        }
        let message = Message::BusinessCard {
            pool_handle: self.config.pool_handle.as_bytes(),
            pool_elements: List::Slice(elements),
        };
        let card = message.to_bytes().map_err(|_| CardError::TooLong)?;
        for (association, _) in self.peers.iter().filter(|(_, peer)| peer.session) {
            self.actions.send(*association, Ppid::ASAP, 0, card.clone());
        }
        self.card = Some(card);
        Ok(())
    }

    /// Ends a user's session after what was sent has been delivered.
    ///
    /// ```
    /// use rserpool_core::element::PoolElement;
    /// use rserpool_core::{AssocId, Ppid};
    ///
    /// fn dismiss(element: &mut PoolElement, user: AssocId) {
    ///     // It may have gone already.
    ///     let _ = element.send(user, Ppid::UNSPECIFIED, 0, "good-bye".into());
    ///     element.close(user);
    /// }
    /// ```
    pub fn close(&mut self, association: AssocId) {
        if self.peers.contains_key(&association) {
            self.actions.disconnect(association);
        }
    }

    /// RFC 5352 §3.8: without a control channel there are neither cookies nor business cards.
    fn has_control_channel(&self) -> bool {
        let transport = self.config.user_transport.as_transport();
        transport.transport_use() == TransportUse::DATA_PLUS_CONTROL
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
        if !self.has_control_channel() {
            self.counters.unexpected += 1;
            return;
        }
        self.open_session(association);
        self.actions.notify(Event::CookieEcho {
            association,
            cookie: Bytes::copy_from_slice(cookie),
        });
    }

    /// The user is an element, too (RFC 5352 §3.9).
    pub(super) fn on_business_card(
        &mut self,
        association: AssocId,
        pool_handle: &[u8],
        elements: List<'_, WireElement<'_>>,
    ) {
        const MAX_ELEMENTS: usize = 128;
        if !self.has_control_channel() {
            self.counters.unexpected += 1;
            return;
        }
        self.open_session(association);
        let elements: Vec<_> = elements
            .iter()
            .take(MAX_ELEMENTS)
            .map(|element| Element::from(&element))
            .collect();
        self.actions.notify(Event::BusinessCard {
            association,
            pool_handle: PoolHandle::from(pool_handle),
            elements,
        });
    }

    /// What could not be delivered to a user is not sent again: only the application knows whether it is still of use
    /// (RFC 5352 §6.7).
    pub(super) fn on_undelivered(&mut self, association: AssocId, data: Data) {
        if self.peers.contains_key(&association) {
            self.actions.notify(Event::Undelivered {
                association,
                ppid: data.ppid,
                stream: data.stream,
                bytes: data.bytes,
            });
        }
    }

    /// An association is a session from its first message on: until then it may be a registrar's.
    fn open_session(&mut self, association: AssocId) {
        let Some(peer) = self.peers.get_mut(&association) else {
            return;
        };
        if core::mem::replace(&mut peer.session, true) {
            return;
        }
        self.actions.notify(Event::SessionOpened { association });
        // RFC 5352 §3.9: when communication begins.
        if let Some(card) = &self.card {
            self.actions.send(association, Ppid::ASAP, 0, card.clone());
        }
    }
}
