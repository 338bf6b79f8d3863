//! `option hold`: a policy that left a tier uses no other one for a while, so that nobody out there sees its traffic
//! from two addresses at once. The tier that was left may come back at any time. Pure: the time is handed in.

use std::fmt;
use std::time::Duration;

use crate::address::Family;
use crate::config::Config;

use super::Uplink;
use super::policy::best_tier;

/// Where a policy with a `hold` stands in one family. Remembered from one reconcile to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierInUse {
    pub policy: String,
    pub family: Family,
    /// Its metric; None while the last resort applies.
    pub tier: Option<u32>,
    pub left: Option<LeftTier>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftTier {
    pub tier: u32,
    /// Since boot. Only the tier that was left may be used before.
    pub until: Duration,
}

/// The tiers after everything that is known now.
pub fn tiers(config: &Config, uplinks: &[Uplink<'_>], before: &[TierInUse], now: Duration) -> Vec<TierInUse> {
    let mut tiers = Vec::new();
    for policy in config.policies.iter().filter(|policy| policy.sessions.hold_ms > 0) {
        let hold = Duration::from_millis(u64::from(policy.sessions.hold_ms));
        for family in Family::BOTH {
            let known = before.iter().find(|one| one.policy == policy.name && one.family == family);
            let present = known.and_then(|one| one.tier.or(one.left.map(|left| left.tier)));
            let best = best_tier(policy, family, uplinks, present);
            if known.is_none() && best.is_none() {
                continue;
            }
            let mut tier = known.cloned().unwrap_or_else(|| TierInUse {
                policy: policy.name.clone(),
                family,
                tier: best,
                left: None,
            });
            tier.step(best, hold, now);
            tiers.push(tier);
        }
    }
    tiers
}

impl TierInUse {
    pub fn is_held(&self) -> bool {
        self.tier.is_none() && self.left.is_some()
    }

    /// When another tier may be used.
    pub fn held_until(&self) -> Option<Duration> {
        self.left.filter(|_| self.is_held()).map(|left| left.until)
    }

    fn step(&mut self, best: Option<u32>, hold: Duration, now: Duration) {
        match (self.tier, self.left) {
            (Some(tier), _) if best == Some(tier) => {}
            (Some(tier), _) => {
                self.tier = None;
                self.left = Some(LeftTier { tier, until: now.saturating_add(hold) });
            }
            (None, Some(left)) if best.is_some_and(|best| best != left.tier) && now < left.until => {
                // A hold that was shortened in the configuration holds for this one already.
                let until = left.until.min(now.saturating_add(hold));
                self.left = Some(LeftTier { until, ..left });
            }
            // Nothing to use: what was left stays in mind, for whatever comes first.
            (None, _) if best.is_none() => {}
            (None, _) => (self.tier, self.left) = (best, None),
        }
    }

    pub fn parse(line: &str) -> Option<TierInUse> {
        let [policy, family, tier, left, until_ms] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return None;
        };
        let left = left.strip_prefix("left=").and_then(|metric| metric.parse().ok());
        let until = until_ms.strip_prefix("until_ms=").and_then(|number| number.parse().ok());
        Some(TierInUse {
            policy: policy.to_owned(),
            family: match family {
                "ipv4" => Family::Ipv4,
                "ipv6" => Family::Ipv6,
                _ => return None,
            },
            tier: tier.strip_prefix("tier=")?.parse().ok(),
            left: left.zip(until).map(|(tier, ms)| LeftTier { tier, until: Duration::from_millis(ms) }),
        })
    }
}

impl fmt::Display for TierInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} tier=", self.policy, self.family)?;
        match self.tier {
            Some(tier) => write!(f, "{tier}")?,
            None => f.write_str("none")?,
        }
        match self.left {
            Some(left) => {
                // Not `as_millis`: the 128 bits of that are 2 KB of code.
                let until_ms = left.until.as_secs() * 1000 + u64::from(left.until.subsec_millis());
                write!(f, " left={} until_ms={until_ms}", left.tier)
            }
            None => f.write_str(" left=none until_ms=none"),
        }
    }
}
