//! How long a dead element may remain (a part of I10), where nothing but deaths and lies disturbs the registrars.

use core::time::Duration;

use rserpool_core::Instant;
use rserpool_core::registrar::Config;

use crate::run::{POOL, Run, pe_id};
use crate::{Mix, NodeId};

impl Run {
    /// Its home notices its silence at the next keep-alive, asks once more where the association ends meanwhile, or has to be
    /// taken over first (RFC 5352 §3.5, RFC 5353 §3.5.2).
    pub(crate) fn check_remains(&mut self) {
        const SLACK: Duration = Duration::from_secs(1);
        let undisturbed = matches!(self.options.mix, Mix::None | Mix::Crash | Mix::Churn);
        if !undisturbed || self.gone.is_empty() {
            return;
        }
        let config = Config::for_dialect(self.options.dialect);
        let noticed = config.keep_alive_interval * 3 / 2 + config.keep_alive_timeout * 2 + SLACK;
        let taken_over = match self.last_death {
            None => Instant::EPOCH,
            Some(death) => death + self.takeover_limit(),
        };
        let now = self.world.now();
        let gone: Vec<_> = self
            .gone
            .iter()
            .filter(|(_, died)| now.duration_since((**died).max(taken_over)) > noticed)
            .map(|(element, died)| (*element, *died))
            .collect();
        for registrar in self.world.live_registrars() {
            let started = self.started.get(&registrar).copied();
            if started.is_some_and(|started| now.duration_since(started) <= noticed) {
                continue;
            }
            for &(element, died) in &gone {
                if self.remains(registrar, element) {
                    let text = format!(
                        "{now:?} I10: {element:?} died at {died:?} and remains at its home {registrar:?}"
                    );
                    self.report.violations.push(text);
                    self.gone.remove(&element);
                }
            }
        }
    }

    /// Whether the registrar says that the element is its own, and at its address.
    fn remains(&mut self, registrar: NodeId, element: NodeId) -> bool {
        let Some(id) = self
            .elements
            .iter()
            .position(|one| *one == element)
            .map(pe_id)
        else {
            return false;
        };
        self.world.registrar(registrar, |registrar, _| {
            let handlespace = registrar.handlespace();
            let found = handlespace.find(POOL.as_bytes(), id);
            found
                .and_then(|key| handlespace.get(key))
                .is_some_and(|found| {
                    let transport = found.user_transport.as_transport();
                    found.home == registrar.id()
                        && transport.addresses().any(|one| one == element.address())
                })
        })
    }
}
