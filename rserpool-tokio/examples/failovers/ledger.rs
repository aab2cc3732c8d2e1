//! What was sent, got, answered and handed over.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use rserpool_core::PeId;
use rserpool_core::user::{Event, SessionId};

use crate::Failure;

/// A message, or a cookie: a session's number.
#[derive(Clone, Copy)]
pub(crate) struct Number {
    pub(crate) session: SessionId,
    pub(crate) value: u64,
}

impl Number {
    pub(crate) fn encode(self) -> Bytes {
        let bytes = [self.session.0.to_be_bytes(), self.value.to_be_bytes()];
        Bytes::copy_from_slice(bytes.as_flattened())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (session, value) = bytes.split_at_checked(8)?;
        Some(Self {
            session: SessionId(u64::from_be_bytes(session.try_into().ok()?)),
            value: u64::from_be_bytes(value.try_into().ok()?),
        })
    }
}

/// What happened to a message.
#[derive(Clone, Copy, Default)]
struct Fate {
    got: bool,
    answered: bool,
    returned: bool,
}

/// One session.
#[derive(Default)]
struct Conversation {
    /// By number.
    messages: Vec<Fate>,
    /// How many from the first one on have been got or have come back.
    complete: usize,
    /// The highest number that was answered: the session has its cookie, which came before.
    answered: Option<u64>,
    /// The last one that was sent before the present element was found: its answer may never come.
    abandoned: Option<u64>,
    /// The element whose loss is not made good, and whether another one has taken its place.
    lost: Option<PeId>,
    replaced: bool,
    /// How many messages count; those after them are only to see that these have had their time.
    counted: usize,
}

impl Conversation {
    fn fate(&mut self, value: u64) -> Option<&mut Fate> {
        self.messages.get_mut(usize::try_from(value).ok()?)
    }

    /// Whether nothing before this message is missing.
    fn is_next(&mut self, value: u64) -> bool {
        while self
            .messages
            .get(self.complete)
            .is_some_and(|fate| fate.got || fate.returned)
        {
            self.complete += 1;
        }
        usize::try_from(value).is_ok_and(|value| value < self.complete)
    }
}

/// Everything that is counted.
#[derive(Default)]
pub(crate) struct Ledger {
    sessions: BTreeMap<SessionId, Conversation>,
    killed: BTreeMap<PeId, Instant>,
    /// From the kill to when it was noticed, and to the next element's first answer.
    noticed: Vec<Duration>,
    gaps: Vec<Duration>,
    cookies: usize,
    lost_cookies: usize,
    /// Messages that came before others that were sent before them.
    disordered: usize,
    /// Elements that a session lost, and that lived.
    false_alarms: usize,
}

impl Ledger {
    /// The next message of a session; none where too many wait for their answer at the element.
    pub(crate) fn next(&mut self, session: SessionId) -> Option<Bytes> {
        const MAX_UNANSWERED: u64 = 32;
        let conversation = self.sessions.entry(session).or_default();
        let value = conversation.messages.len() as u64;
        let heard = conversation.answered.max(conversation.abandoned);
        if value > heard.unwrap_or_default() + MAX_UNANSWERED {
            return None;
        }
        conversation.messages.push(Fate::default());
        Some(Number { session, value }.encode())
    }

    /// An element was killed.
    pub(crate) fn killed(&mut self, element: PeId, now: Instant) {
        self.killed.insert(element, now);
    }

    /// An element was handed a cookie.
    pub(crate) fn echoed(&mut self, cookie: Number) {
        self.cookies += 1;
        let conversation = self.sessions.entry(cookie.session).or_default();
        if conversation.answered > Some(cookie.value) {
            self.lost_cookies += 1;
        }
    }

    /// An element got a message; `known` is what it knew of the session before, from a cookie or from the session itself.
    pub(crate) fn got(&mut self, message: Number, known: Option<u64>) {
        let conversation = self.sessions.entry(message.session).or_default();
        if let Some(fate) = conversation.fate(message.value) {
            fate.got = true;
        }
        if !conversation.is_next(message.value) {
            self.disordered += 1;
        }
        if known.is_none() && conversation.answered.is_some() {
            self.lost_cookies += 1;
        }
    }

    /// The user was told something.
    pub(crate) fn hear(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Message { bytes, .. } => {
                let number = Number::decode(&bytes).ok_or("not a number")?;
                self.on_answer(number);
            }
            Event::Undelivered { bytes, .. } => {
                let number = Number::decode(&bytes).ok_or("not a number")?;
                let conversation = self.sessions.entry(number.session).or_default();
                if let Some(fate) = conversation.fate(number.value) {
                    fate.returned = true;
                }
            }
            Event::Interrupted {
                session, element, ..
            } => {
                let conversation = self.sessions.entry(session).or_default();
                conversation.replaced = false;
                match self.killed.get(&element) {
                    Some(killed) => {
                        conversation.lost.get_or_insert(element);
                        self.noticed.push(killed.elapsed());
                    }
                    None => self.false_alarms += 1,
                }
            }
            Event::FailedOver {
                session,
                cookie_echoed,
                ..
            } => {
                let conversation = self.sessions.entry(session).or_default();
                conversation.replaced = true;
                conversation.abandoned = conversation
                    .messages
                    .len()
                    .checked_sub(1)
                    .map(|last| last as u64);
                if conversation.answered.is_some() && !cookie_echoed {
                    self.lost_cookies += 1;
                }
            }
            Event::SessionFailed { error, .. } => return Err(error.into()),
            _ => {}
        }
        Ok(())
    }

    fn on_answer(&mut self, number: Number) {
        let conversation = self.sessions.entry(number.session).or_default();
        if let Some(fate) = conversation.fate(number.value) {
            fate.answered = true;
        }
        conversation.answered = conversation.answered.max(Some(number.value));
        if !conversation.replaced {
            return;
        }
        if let Some(killed) = conversation.lost.take().and_then(|id| self.killed.get(&id)) {
            self.gaps.push(killed.elapsed());
        }
    }

    /// How many times a session has gone on with another element.
    pub(crate) fn fail_overs(&self) -> usize {
        self.gaps.len()
    }

    /// What has been sent until now counts.
    pub(crate) fn close(&mut self) {
        for conversation in self.sessions.values_mut() {
            conversation.counted = conversation.messages.len();
        }
    }

    /// Whether something was answered in each session that was sent after what counts.
    pub(crate) fn is_settled(&self) -> bool {
        self.sessions.values().all(|conversation| {
            let counted = conversation.counted as u64;
            conversation.answered >= Some(counted) && conversation.lost.is_none()
        })
    }

    fn count(&self, what: impl Fn(&Fate) -> bool) -> usize {
        let counted = |conversation: &Conversation| {
            let messages = conversation.messages.iter().take(conversation.counted);
            messages.filter(|fate| what(fate)).count()
        };
        self.sessions.values().map(counted).sum()
    }

    /// Cookies that were missing, or older than an answer.
    pub(crate) fn lost_cookies(&self) -> usize {
        self.lost_cookies
    }

    /// How much was lost that should not be.
    pub(crate) fn lost(&self) -> usize {
        let messages = self.count(|fate| !fate.got && !fate.returned);
        messages + self.lost_cookies + self.disordered
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "fail_overs={} kills={} sessions={} messages={} lost_messages={} disordered={} returned={} unanswered={} \
             cookies={} lost_cookies={} false_alarms={}",
            self.fail_overs(),
            self.killed.len(),
            self.sessions.len(),
            self.count(|_| true),
            self.count(|fate| !fate.got && !fate.returned),
            self.disordered,
            self.count(|fate| fate.returned),
            self.count(|fate| fate.got && !fate.answered),
            self.cookies,
            self.lost_cookies,
            self.false_alarms,
        )?;
        for (name, times) in [("noticed", &self.noticed), ("gap", &self.gaps)] {
            let mut times = times.clone();
            times.sort();
            for (rank, percent) in [("median", 50), ("p99", 99), ("max", 100)] {
                let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
                let millis = times.get(index).map_or(0, Duration::as_millis);
                write!(f, " {name}_{rank}_ms={millis}")?;
            }
        }
        Ok(())
    }
}
