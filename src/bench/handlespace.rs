//! One handlespace after another: filled, asked, changed and emptied.

use core::hint::black_box;

use rserpool_core::handlespace::{ElementKey, Handlespace, Limits};
use rserpool_core::timers::Timers;
use rserpool_core::{Instant, Rng};

use super::ledger::{Ledger, Row, resident_memory};
use super::workload::{Workload, mix};
use super::{HandlespaceArgs, Operation, table};

/// A small handlespace is built so often in one run that this many operations of each kind are measured.
const OPERATIONS: u32 = 20_000;
/// The memory of this many elements is measured.
const REMEMBERED: u32 = 100_000;
/// Selections from one handlespace at most.
const SELECTIONS: u32 = 100_000;

/// The time of each operation in nanoseconds, on average over one run.
pub(super) fn run(work: &Workload, args: &HandlespaceArgs) -> impl Iterator<Item = (Row, f64)> {
    let mut ledger = Ledger::new(args.operation);
    let rounds = match args.once {
        true => 1,
        false => (OPERATIONS / work.elements).max(1),
    };
    for _ in 0..rounds {
        round(work, &mut ledger, &args.items);
    }
    ledger.into_means()
}

/// The resident memory that handlespaces take, with a timer for each element: so many of them that the program itself, and what it
/// has used before, do not count.
pub(super) fn memory_per_element(work: &Workload) -> Option<f64> {
    let count = (REMEMBERED / work.elements).max(1);
    let before = resident_memory()?;
    let filled: Vec<_> = (0..count).map(|_| filled(work)).collect();
    let after = resident_memory()?;
    black_box(filled);
    Some(after.saturating_sub(before) as f64 / f64::from(count * work.elements))
}

fn filled(work: &Workload) -> (Handlespace, Timers<ElementKey>) {
    let mut handlespace = empty(work);
    let mut timers = Timers::new();
    for number in 0..work.elements {
        let key = register(&mut handlespace, work, (number, 0));
        timers.set(key, deadline(number));
    }
    (handlespace, timers)
}

fn empty(work: &Workload) -> Handlespace {
    let most = work.elements as usize;
    let mut limits = Limits::default();
    (limits.pools, limits.elements, limits.elements_per_pool) = (most, most, most);
    Handlespace::new(Rng::from_seed([1; 32]), limits)
}

fn register(
    handlespace: &mut Handlespace,
    work: &Workload,
    (number, version): (u32, u32),
) -> ElementKey {
    let address = Workload::address(number);
    let element = work.element(number, version, &address);
    let registered = handlespace.register(work.handle(number), &element);
    registered.expect("a consistent registration").key
}

fn round(work: &Workload, ledger: &mut Ledger, items: &[u16]) {
    let count = work.elements;
    let mut handlespace = empty(work);
    let mut keys: Vec<ElementKey> = Vec::with_capacity(count as usize);
    let order = work.shuffled(1);
    let mut fill = || {
        let registered = order
            .iter()
            .map(|number| register(&mut handlespace, work, (*number, 0)));
        keys.extend(registered);
    };
    match ledger.leaves_out(Operation::Register) {
        true => fill(),
        false => ledger.measure((Operation::Register, 0), count, fill),
    }
    for (operation, version, seed) in [
        (Operation::Reregister, 0, 2),
        (Operation::ReregisterChanged, 1, 3),
    ] {
        let order = work.shuffled(seed);
        ledger.measure((operation, 0), count, || {
            for number in order {
                black_box(register(&mut handlespace, work, (number, version)));
            }
        });
    }
    let order = work.shuffled(4);
    ledger.measure((Operation::Find, 0), count, || {
        for number in order {
            black_box(handlespace.find(work.handle(number), Workload::id(number)));
        }
    });
    for items in items.iter().copied().map(usize::from) {
        select(work, ledger, (&mut handlespace, items));
    }
    restart(ledger, &keys, &work.shuffled(5));
    table::measure(ledger, &handlespace, count);
    let order = work.shuffled(6);
    ledger.measure((Operation::Deregister, 0), count, || {
        for place in order {
            black_box(handlespace.deregister(keys[place as usize]));
        }
    });
}

fn select(work: &Workload, ledger: &mut Ledger, (handlespace, items): (&mut Handlespace, usize)) {
    let mut selected = Vec::with_capacity(items);
    let count = work.elements.min(SELECTIONS);
    ledger.measure((Operation::Select, items), count, || {
        for request in 0..count {
            selected.clear();
            let selection = handlespace.select(work.handle(mix(request)), items, &mut selected);
            let _ = black_box((selection, &selected));
        }
    });
}

fn restart(ledger: &mut Ledger, keys: &[ElementKey], order: &[u32]) {
    if ledger.leaves_out(Operation::TimerRestart) {
        return;
    }
    let mut timers = Timers::new();
    let mut number = 0;
    let mut start = |key| {
        timers.set(key, deadline(number));
        number += 1;
    };
    keys.iter().copied().for_each(&mut start);
    let count = u32::try_from(order.len()).unwrap_or(u32::MAX);
    ledger.measure((Operation::TimerRestart, 0), count, || {
        for place in order {
            start(keys[*place as usize]);
        }
    });
}

/// Deadlines in the order of their numbers, 10 µs apart.
fn deadline(number: u32) -> Instant {
    Instant::from_micros(300_000_000 + 10 * u64::from(number))
}
