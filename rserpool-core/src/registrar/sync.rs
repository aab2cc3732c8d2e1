//! Handle tables from and to peers: the download at the start and the re-synchronisation after an audit
//! (RFC 5353 §3.2.3, §3.6.3).
//!
//! A table comes in pages. The one who fetches asks for each page and waits MAX-TIME-NO-RESPONSE for it; the one who serves
//! remembers the place after the last element that it sent, for as long.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{Registrar, Timer};
use crate::handlespace::{Element, ElementKey, Place};
use crate::ids::{AssocId, ServerId};
use crate::planted::{Bug, planted};
use crate::time::Instant;
use crate::wire::enrp::{MessageBody, Pool};
use crate::wire::{List, PoolElement};

/// A table that is being fetched from a peer.
#[derive(Debug)]
pub(super) struct Download {
    /// Only the peer's own elements (W), or all.
    own_only: bool,
    marks: Marks,
    received: usize,
    /// Whether the last page has come: those that are still marked go, one at a time.
    complete: bool,
    /// How far that has come.
    swept: Option<Place>,
}

/// The peer's elements that have not been seen in the table yet (RFC 5353 §3.6.3 step 1). To begin with these are all that it
/// owns, so that what is kept is the others: a bit for each place in the handlespace.
#[derive(Debug, Default)]
struct Marks {
    cleared: Vec<u64>,
    /// How many are marked.
    left: usize,
}

impl Marks {
    /// Clears the mark of an element that is the peer's, or is about to be. Whether it had one, if the peer owned it.
    fn clear(&mut self, key: ElementKey) -> bool {
        let (word, bit) = Self::place(key);
        if self.cleared.len() <= word {
            self.cleared.resize(word + 1, 0);
        }
        let marked = self.is_marked(key);
        self.cleared[word] |= bit;
        marked
    }

    /// Whether an element that the peer owns has a mark.
    fn is_marked(&self, key: ElementKey) -> bool {
        let (word, bit) = Self::place(key);
        self.cleared.get(word).is_none_or(|word| word & bit == 0)
    }

    fn place(key: ElementKey) -> (usize, u64) {
        (key.index() as usize / 64, 1 << (key.index() % 64))
    }
}

/// A table that a peer is fetching.
#[derive(Debug)]
pub(super) struct Upload {
    own_only: bool,
    after: Place,
}

impl Registrar {
    /// Asks a peer for its table: with `own_only` for the elements that it owns, to replace what is known of them.
    pub(super) fn start_download(&mut self, now: Instant, id: ServerId, own_only: bool) {
        let server = self.scope.servers.get_mut(&id);
        let Some(server) = server.filter(|server| server.download.is_none()) else {
            return;
        };
        let mut marks = Marks::default();
        if own_only {
            marks.left = self.handlespace.owned_count(id);
        }
        server.download = Some(Download {
            own_only,
            marks,
            received: 0,
            complete: false,
            swept: None,
        });
        self.counters.downloads += 1;
        self.request_page(now, id, own_only);
    }

    fn request_page(&mut self, now: Instant, id: ServerId, own_only: bool) {
        self.send_server(id, MessageBody::HandleTableRequest { own_only });
        self.timers
            .set(Timer::Download(id), now + self.config.max_time_no_response);
    }

    /// The download comes to nothing: what was received stays, what was not is left as it was.
    pub(super) fn stop_download(&mut self, now: Instant, id: ServerId) {
        self.timers.cancel(Timer::Download(id));
        let download = self
            .scope
            .servers
            .get_mut(&id)
            .and_then(|server| server.download.take());
        if download.is_some() {
            self.on_mentor_failed(now, id);
        }
    }

    /// An element of the peer was seen, or has gone, or has a new home: it is none of the marked ones any more.
    pub(super) fn unmark(&mut self, id: ServerId, key: ElementKey) {
        if let Some(marks) = self.marks_of(id)
            && marks.clear(key)
        {
            marks.left = marks.left.saturating_sub(1);
        }
    }

    /// An element has become the peer's, and was none of the marked ones.
    pub(super) fn leave_unmarked(&mut self, id: ServerId, key: ElementKey) {
        if let Some(marks) = self.marks_of(id) {
            marks.clear(key);
        }
    }

    fn marks_of(&mut self, id: ServerId) -> Option<&mut Marks> {
        let download = self.scope.servers.get_mut(&id)?.download.as_mut()?;
        download.own_only.then_some(&mut download.marks)
    }

    /// Gives an element another owner.
    pub(super) fn set_home(&mut self, key: ElementKey, home: ServerId) {
        if let Some(before) = self.handlespace.get(key).map(|element| element.home)
            && before != home
        {
            self.unmark(before, key);
            self.leave_unmarked(home, key);
            self.handlespace.set_home(key, home);
        }
    }

    /// A page has come (RFC 5353 §3.2.3 steps 3–5, §3.6.3 steps 4, 5). One that nobody asked for counts for nothing.
    pub(super) fn on_table(
        &mut self,
        now: Instant,
        id: ServerId,
        (rejected, more): (bool, bool),
        pools: List<'_, Pool<'_>>,
    ) {
        let Some(download) = self
            .scope
            .servers
            .get_mut(&id)
            .and_then(|server| server.download.as_mut())
            .filter(|download| !download.complete)
        else {
            self.counters.unexpected += 1;
            return;
        };
        let own_only = download.own_only;
        let count: usize = pools.iter().map(|pool| pool.pool_elements.len()).sum();
        download.received += count;
        // A table that has no end, or pages without anything in them, are no table. Some elements may come twice.
        let most = self.config.limits.elements.saturating_mul(2);
        let endless = more && (count == 0 || download.received > most);
        if rejected || endless {
            return self.stop_download(now, id);
        }
        for pool in pools {
            for element in pool.pool_elements {
                self.transfer(now, id, own_only, (pool.pool_handle, &element));
            }
        }
        if more {
            self.request_page(now, id, own_only);
        } else {
            self.finish_download(now, id);
        }
    }

    /// One entry of a table. In a table of own elements all must be the sender's.
    fn transfer(
        &mut self,
        now: Instant,
        id: ServerId,
        own_only: bool,
        (pool_handle, element): (&[u8], &PoolElement<'_>),
    ) {
        let home = element.home_id;
        if home == self.id || home == ServerId::default() || (own_only && home != id) {
            self.counters.unexpected += u64::from(home != self.id);
            return;
        }
        // An owner that nobody has heard of may be dead: its silence is watched, and its elements taken over.
        if self.ensure_server(now, home).is_some()
            && let Some(key) = self.accept(now, pool_handle, element)
        {
            self.unmark(id, key);
        }
    }

    fn finish_download(&mut self, now: Instant, id: ServerId) {
        self.timers.set(Timer::Download(id), now);
        if let Some(server) = self.scope.servers.get_mut(&id)
            && let Some(download) = &mut server.download
        {
            download.complete = true;
            server.outdated &= !download.own_only;
        }
        self.on_mentor_table_complete(now, id);
    }

    /// The next page has not come in time; or all have, and the next element goes that was not in them.
    pub(super) fn on_download_timer(&mut self, now: Instant, id: ServerId) {
        let Some(server) = self.scope.servers.get_mut(&id) else {
            return;
        };
        let Some(download) = server.download.as_mut().filter(|one| one.complete) else {
            return self.stop_download(now, id);
        };
        const LOOKED_AT: usize = 32;
        let after = download.swept.as_ref();
        let (mut last, mut marked) = (None, None);
        for key in self.handlespace.owned_after(id, after).take(LOOKED_AT) {
            last = Some(key);
            if download.marks.is_marked(key) {
                marked = last;
                break;
            }
        }
        let last = last.filter(|_| download.marks.left > 0);
        download.swept = last.and_then(|key| self.handlespace.place_after(key));
        if download.swept.is_none() {
            server.download = None;
            return;
        }
        self.timers.set(Timer::Download(id), now);
        if let Some(key) = marked {
            self.unmark(id, key);
            if !planted(Bug::GhostsStay) {
                self.tell_gone(key);
                self.touch(key);
                self.handlespace.deregister(key);
            }
        }
    }

    /// A peer asks for the next page of the table (RFC 5353 §3.2.3 step 2). An unknown one, such as a tool that only looks,
    /// gets the answer and is remembered for nothing but the page.
    pub(super) fn on_table_request(
        &mut self,
        now: Instant,
        association: AssocId,
        sender: ServerId,
        own_only: bool,
    ) {
        // What is on its way to another home would be missing in the table.
        if !self.scope.startup.is_running() || !self.scope.moves.is_empty() {
            self.reject_table(association, sender);
            return;
        }
        let session = match self.scope.servers.get_mut(&sender) {
            Some(server) => server.upload.take(),
            None => self
                .peers
                .get_mut(&association)
                .and_then(|peer| peer.upload.take()),
        };
        let after = session
            .filter(|session| session.own_only == own_only)
            .map(|session| session.after);
        let (bytes, rest) = self.table_page(sender, own_only, after.as_ref());
        if let Some(bytes) = bytes {
            self.actions
                .send(association, crate::ids::Ppid::ENRP, 0, bytes);
        }
        let upload = rest.map(|after| Upload { own_only, after });
        let known = self.scope.servers.get_mut(&sender);
        let open = upload.is_some();
        match known {
            Some(server) => server.upload = upload,
            None => {
                if let Some(peer) = self.peers.get_mut(&association) {
                    peer.upload = upload;
                }
                return;
            }
        }
        if open {
            self.timers.set(
                Timer::Upload(sender),
                now + self.config.max_time_no_response,
            );
        } else {
            self.timers.cancel(Timer::Upload(sender));
        }
    }

    /// The peer has not asked for the next page (RFC 5353 §3.2.3).
    pub(super) fn on_upload_timeout(&mut self, id: ServerId) {
        if let Some(server) = self.scope.servers.get_mut(&id) {
            server.upload = None;
        }
    }

    fn reject_table(&mut self, association: AssocId, sender: ServerId) {
        let body = MessageBody::HandleTableResponse {
            rejected: true,
            more: false,
            pools: List::EMPTY,
        };
        self.answer_enrp(association, sender, body);
    }

    /// The elements after `after` that fit into one message, and the place after the last of them where more are to come.
    fn table_page(
        &self,
        receiver: ServerId,
        own_only: bool,
        after: Option<&Place>,
    ) -> (Option<Bytes>, Option<Place>) {
        if own_only {
            self.fill_page(receiver, self.handlespace.owned_after(self.id, after))
        } else {
            self.fill_page(receiver, self.handlespace.elements_after(after))
        }
    }

    /// A page of the first of the elements. What does not fit is neither looked for nor written, but for the first one.
    fn fill_page(
        &self,
        receiver: ServerId,
        keys: impl Iterator<Item = ElementKey>,
    ) -> (Option<Bytes>, Option<Place>) {
        let dialect = self.config.dialect;
        let (bytes, count) = dialect.table_page();
        let mut page: Vec<(&Element, PoolElement<'_>)> = Vec::new();
        let (mut last, mut more) = (None, false);
        let mut length = Pool::TABLE_HEADER;
        let elements = keys.filter_map(|key| Some((key, self.handlespace.get(key)?)));
        for (key, element) in elements {
            let wire = element.to_wire(dialect.life_to_wire(element.life), true);
            let before = page.last().map(|(before, _)| *before);
            if before.is_none_or(|before| before.pool != element.pool) {
                length += Pool::header(element.pool.as_bytes());
            }
            length += wire.encoded_len();
            if before.is_some() && (length > bytes || page.len() >= count) {
                more = !planted(Bug::MoreForgotten);
                break;
            }
            page.push((element, wire));
            last = Some(key);
        }
        let sent = match planted(Bug::PageLosesLast) && more {
            true => &page[..page.len().saturating_sub(1).max(1)],
            false => &page,
        };
        let encoded = self.encode_page(receiver, more, sent);
        let last = last.filter(|_| more && encoded.is_some());
        let after = last.and_then(|key| self.handlespace.place_after(key));
        (encoded, after)
    }

    fn encode_page(
        &self,
        receiver: ServerId,
        more: bool,
        page: &[(&Element, PoolElement<'_>)],
    ) -> Option<Bytes> {
        let wire: Vec<_> = page.iter().map(|(_, wire)| *wire).collect();
        let mut pools: Vec<Pool<'_>> = Vec::new();
        let mut start = 0;
        for group in page.chunk_by(|(one, _), (other, _)| one.pool == other.pool) {
            let end = start + group.len();
            pools.push(Pool {
                pool_handle: group[0].0.pool.as_bytes(),
                pool_elements: List::Slice(&wire[start..end]),
            });
            start = end;
        }
        crate::wire::enrp::Message {
            sender: self.id,
            receiver,
            body: MessageBody::HandleTableResponse {
                rejected: false,
                more,
                pools: List::Slice(&pools),
            },
        }
        .to_bytes()
        .ok()
    }
}
