//! Chains written down rule by rule and statement by statement, in the fewest words.

use super::{Chain, Elements, Field, Relation, Rule, Statement, Value, ValueRange, Verdict};

/// Of a map with one field.
pub fn element(value: Value, verdict: Verdict) -> (Vec<ValueRange>, Verdict) {
    (vec![ValueRange::one(value)], verdict)
}

impl Chain {
    pub fn new(name: String) -> Chain {
        Chain { name, base: None, rules: Vec::new() }
    }

    /// An empty one behind the others.
    pub fn add(chains: &mut Vec<Chain>, name: String) -> &mut Chain {
        let place = chains.len();
        chains.push(Chain::new(name));
        &mut chains[place]
    }

    /// A new rule, empty as yet, behind the others.
    pub fn rule(&mut self) -> &mut Rule {
        let place = self.rules.len();
        self.rules.push(Rule::default());
        &mut self.rules[place]
    }
}

impl Rule {
    pub fn and(&mut self, statement: Statement) -> &mut Rule {
        self.statements.push(statement);
        self
    }

    pub fn compare(&mut self, field: Field, relation: Relation, value: Value) -> &mut Rule {
        self.and(Statement::Compare { field, relation, range: ValueRange::one(value) })
    }

    /// At least one; a single one needs no list.
    pub fn one_of(&mut self, field: Field, mut list: Vec<ValueRange>) -> &mut Rule {
        let relation = Relation::Is;
        match list.pop() {
            Some(range) if list.is_empty() => self.and(Statement::Compare { field, relation, range }),
            last => {
                list.extend(last);
                self.and(Statement::InList { field, relation, list })
            }
        }
    }

    pub fn in_set(&mut self, field: Field, relation: Relation, set: String) -> &mut Rule {
        self.and(Statement::InSet { field, relation, set })
    }

    pub fn dispatch(&mut self, field: Field, elements: Elements) -> &mut Rule {
        self.and(Statement::Dispatch { fields: vec![field], elements })
    }

    pub fn set_mark(&mut self, mask: u32, value: u32) -> &mut Rule {
        self.and(Statement::SetMark { mask, value })
    }

    pub fn verdict(&mut self, verdict: Verdict) -> &mut Rule {
        self.and(Statement::Verdict(verdict))
    }

    pub fn goto(&mut self, chain: &str) -> &mut Rule {
        self.verdict(Verdict::Goto(chain.to_owned()))
    }
}
