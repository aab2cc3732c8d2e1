//! Known protocol bugs that a test can switch on, one at a time, to see that the simulator finds them.
//!
//! Without the feature `planted-bugs` there are none: `planted` is constant, and what it guards is not compiled in. With it,
//! none is there until [`plant`] is called.

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A known bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Bug {
            /// All of them.
            #[cfg(feature = "planted-bugs")]
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

bugs! {
    /// A de-registration counts from anybody.
    DeregistrationByAnybody,
    /// An unreachable report removes the element, and it is never asked.
    ReportsAreBelieved,
    /// A keep-alive is acknowledged by anybody.
    AcknowledgementByAnybody,
    /// DEL_PE counts from any registrar.
    DeleteByAnybody,
    /// TAKEOVER_SERVER counts without a reason of one's own, about oneself, too.
    TakeoverByAnybody,
    /// A takeover that not all have acknowledged in time is given up, and its target forgotten.
    TakeoverGivenUp,
    /// A takeover waits for its acknowledgements for ever.
    TakeoverWaitsForAll,
    /// A dead peer is forgotten, with its elements in the handlespace.
    DeadPeerForgotten,
    /// A target that another registrar wants to take over is left to that one, whatever becomes of it.
    SuspicionNotArmed,
    /// Both initiators of a takeover give way.
    BothYield,
    /// Silence of a peer is watched only once.
    LastHeardNotRearmed,
    /// A heartbeat is sent once.
    HeartbeatNotRearmed,
    /// What a new association to a peer may have missed is not fetched.
    OutdatedForgotten,
    /// Checksums are not compared.
    AuditForgotten,
    /// Elements that a table no longer has stay.
    GhostsStay,
    /// The last element of a page is not sent.
    PageLosesLast,
    /// A table is said to be complete with each page.
    MoreForgotten,
    /// A claimed element is not asked.
    ClaimsNotAsked,
    /// A claimed element is not told that it has a new home.
    ClaimWithoutHomeFlag,
    /// Updates go without the ASAP transport.
    UpdateWithoutTransport,
    /// A re-registration is not announced.
    ChangeNotAnnounced,
    /// De-registrations and removals are not announced.
    RemovalNotAnnounced,
    /// The registration's life is not renewed.
    LifeNotRearmed,
    /// An element that has acknowledged is never asked again.
    KeepAliveNotRearmed,
    /// The registrar does not wait for the acknowledgement of a keep-alive.
    AcknowledgementNotAwaited,
    /// An element whose association has ended is not asked.
    LostElementUnnoticed,
    /// Re-registrations are not answered.
    ReregistrationNotAnswered,
    /// The checksum keeps what has gone.
    ChecksumKeepsRemoved,
    /// An element that changes its home stays in the checksum of the old one.
    ChecksumOfHomeChange,
    /// An element does not acknowledge keep-alives.
    KeepAliveNotAcknowledged,
    /// An element does not adopt a new home.
    HomeFlagIgnored,
    /// An element adopts a new home, and does not register there.
    AdoptedWithoutRegistration,
    /// An element does not notice that its home has gone.
    HomeLossUnnoticed,
    /// An element that was told that it is a member no longer believes it.
    ExpiryIsFinal,
    /// T4 is not set.
    T4NotArmed,
    /// The hunt has one round only.
    T5NotRearmed,
    /// T1 is not set.
    T1NotArmed,
    /// Updates have the life in the unit of the other dialect.
    UpdateInOtherUnit,
}

#[cfg(feature = "planted-bugs")]
static PLANTED: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(usize::MAX);

/// Switches `bug` on, and all others off, in the whole process.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    let index = bug.map_or(usize::MAX, |bug| bug as usize);
    PLANTED.store(index, core::sync::atomic::Ordering::SeqCst);
}

/// Whether the bug is there.
#[cfg(feature = "planted-bugs")]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.load(core::sync::atomic::Ordering::Relaxed) == bug as usize
}

/// Whether the bug is there: never.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}
