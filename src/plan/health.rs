//! What trackers and people last said about each uplink, and which tier each policy with a `hold` stands on. As text
//! it is the `health` file of a dump, one line each.

use std::fmt;

use crate::sorted::SortedMap;

use super::{TierInUse, Verdict};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    verdicts: SortedMap<String, Verdict>,
    pub tiers: Vec<TierInUse>,
}

impl Health {
    pub fn new() -> Health {
        Health::default()
    }

    pub fn get(&self, interface: &str) -> Option<&Verdict> {
        self.verdicts.get(interface)
    }

    pub fn contains_key(&self, interface: &str) -> bool {
        self.verdicts.contains_key(interface)
    }

    pub fn insert(&mut self, interface: String, verdict: Verdict) {
        self.verdicts.insert(interface, verdict);
    }

    /// The line that cannot be read, where there is one.
    pub fn parse(text: &str) -> Result<Health, String> {
        let mut health = Health::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let verdict = match line.split_whitespace().collect::<Vec<_>>()[..] {
                [name, word] => Verdict::from_word(word).map(|verdict| (name, verdict)),
                _ => None,
            };
            match (verdict, TierInUse::parse(line)) {
                (Some((name, verdict)), _) => health.insert(name.to_owned(), verdict),
                (None, Some(tier)) => health.tiers.push(tier),
                (None, None) => return Err(line.to_owned()),
            }
        }
        Ok(health)
    }
}

impl FromIterator<(String, Verdict)> for Health {
    fn from_iter<T: IntoIterator<Item = (String, Verdict)>>(verdicts: T) -> Health {
        Health { verdicts: verdicts.into_iter().collect(), tiers: Vec::new() }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, verdict) in &self.verdicts {
            writeln!(f, "{name} {}", verdict.word())?;
        }
        self.tiers.iter().try_for_each(|tier| writeln!(f, "{tier}"))
    }
}

impl Verdict {
    const ALL: [Verdict; 4] = [Verdict::Online, Verdict::OnProbation, Verdict::Offline, Verdict::TakenDown];

    fn word(self) -> &'static str {
        match self {
            Verdict::Online => "online",
            Verdict::OnProbation => "probation",
            Verdict::Offline => "offline",
            Verdict::TakenDown => "down",
        }
    }

    fn from_word(word: &str) -> Option<Verdict> {
        Verdict::ALL.into_iter().find(|verdict| verdict.word() == word)
    }
}
