//! A kernel that takes changes only where the real one does.

use std::collections::BTreeMap;

use mwan3::address::Span;
use mwan3::nft::{
    BaseChain, Change, Observed, ObservedChain, ObservedRule, ObservedSet, Rule, Set, SetContent, Statement,
    Table, Verdict,
};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Held {
    exists: bool,
    sets: BTreeMap<String, (Set, Vec<Span>)>,
    chains: BTreeMap<String, (Option<BaseChain>, Vec<Rule>)>,
}

impl Held {
    /// As if the table had been loaded in one go.
    pub fn of(table: Option<&Table>) -> Held {
        let Some(table) = table else { return Held::default() };
        let spans = |set: &Set| match &set.content {
            SetContent::Computed(spans) => spans.clone(),
            SetContent::External | SetContent::Remembered => Vec::new(),
        };
        // Which elements a computed set was made for does not matter to the kernel.
        Held {
            exists: true,
            sets: table.sets.iter().map(|set| (set.name.clone(), (shape(set), spans(set)))).collect(),
            chains: table
                .chains
                .iter()
                .map(|chain| (chain.name.clone(), (chain.base.clone(), chain.rules.clone())))
                .collect(),
        }
    }

    pub fn observed(&self) -> Observed {
        let set = |(set, spans): &(Set, Vec<Span>)| ObservedSet {
            key_type: set.key.type_name().to_owned(),
            is_dynamic: set.content == SetContent::Remembered,
            elements: matches!(set.content, SetContent::Computed(_)).then(|| spans.clone()),
        };
        let rule = |rule: &Rule| ObservedRule { fingerprint: Some(rule.fingerprint()), counter: None };
        let chain = |(base, rules): &(Option<BaseChain>, Vec<Rule>)| ObservedChain {
            base: base.clone(),
            is_foreign: false,
            rules: rules.iter().map(rule).collect(),
        };
        Observed {
            exists: self.exists,
            is_dormant: false,
            sets: self.sets.iter().map(|(name, held)| (name.clone(), set(held))).collect(),
            chains: self.chains.iter().map(|(name, held)| (name.clone(), chain(held))).collect(),
        }
    }

    pub fn take(&mut self, changes: &[Change]) {
        for change in changes {
            self.take_one(change);
        }
        self.check_references();
    }

    fn take_one(&mut self, change: &Change) {
        assert!(self.exists || *change == Change::AddTable, "no table for {change:?}");
        match change {
            Change::AddTable => self.exists = true,
            Change::DeleteTable => *self = Held::default(),
            Change::AddSet(set) => {
                let before = self.sets.insert(set.name.clone(), (shape(set), Vec::new()));
                assert!(before.is_none(), "there is a set {}", set.name);
            }
            Change::DeleteSet(name) => {
                assert!(!self.rules().any(|rule| names_set(rule, name)), "set {name} is in use");
                assert!(self.sets.remove(*name).is_some(), "no set {name}");
            }
            Change::AddElements { set, spans, .. } => {
                let held = &mut self.sets.get_mut(*set).expect("the set").1;
                for span in spans.iter() {
                    assert!(!held.iter().any(|other| other.overlaps(*span)), "{span:?} overlaps");
                    held.push(*span);
                }
                held.sort();
            }
            Change::DeleteElements { set, spans, .. } => {
                let held = &mut self.sets.get_mut(*set).expect("the set").1;
                for span in spans {
                    let position = held.iter().position(|other| other == span).expect("the element");
                    held.remove(position);
                }
            }
            Change::AddChain(chain) => {
                let before = self.chains.insert(chain.name.clone(), (chain.base.clone(), Vec::new()));
                assert!(before.is_none(), "there is a chain {}", chain.name);
            }
            Change::FlushChain(name) => self.chains.get_mut(*name).expect("the chain").1.clear(),
            Change::DeleteChain(name) => {
                assert!(!self.rules().any(|rule| names_chain(rule, name)), "chain {name} is in use");
                assert!(self.chains.remove(*name).is_some(), "no chain {name}");
            }
            Change::AddRule { chain, rule } => {
                self.chains.get_mut(*chain).expect("the chain").1.push((*rule).clone());
                self.check_references();
            }
        }
    }

    fn check_references(&self) {
        for statement in self.rules().flat_map(|rule| &rule.statements) {
            match statement {
                Statement::InSet { field, set, .. } | Statement::Remember { field, set, .. } => {
                    let (held, _) = self.sets.get(set).expect("the set of a rule");
                    assert_eq!(held.key.type_name(), field.type_name(), "set {set}");
                }
                Statement::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) => {
                    let (base, _) = self.chains.get(chain).expect("the chain of a rule");
                    assert_eq!(*base, None, "jump into base chain {chain}");
                }
                _ => {}
            }
        }
    }

    fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.chains.values().flat_map(|(_, rules)| rules)
    }
}

fn shape(set: &Set) -> Set {
    let content = match set.content {
        SetContent::Computed(_) => SetContent::Computed(Vec::new()),
        SetContent::External => SetContent::External,
        SetContent::Remembered => SetContent::Remembered,
    };
    Set { content, ..set.clone() }
}

fn names_set(rule: &Rule, name: &str) -> bool {
    rule.statements.iter().any(|statement| {
        matches!(statement, Statement::InSet { set, .. } | Statement::Remember { set, .. } if set == name)
    })
}

fn names_chain(rule: &Rule, name: &str) -> bool {
    rule.statements.iter().any(|statement| {
        matches!(statement, Statement::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) if chain == name)
    })
}
