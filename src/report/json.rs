//! JSON objects that keep the order of their members: people and web pages read interfaces in the order
//! of the configuration.

use std::fmt;

use serde_json::Value;

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Object(Vec<(String, Json)>),
    Array(Vec<Json>),
    Plain(Value),
}

impl From<Value> for Json {
    fn from(value: Value) -> Json {
        Json::Plain(value)
    }
}

impl Json {
    pub fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
        Json::Object(members.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// A member that is a plain value.
    pub fn get(&self, member: &str) -> Option<&Value> {
        let Json::Object(members) = self else { return None };
        members.iter().find(|(name, _)| name == member).and_then(|(_, value)| match value {
            Json::Plain(value) => Some(value),
            Json::Object(_) | Json::Array(_) => None,
        })
    }
}

/// On one line.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Plain(value) => value.fmt(f),
            Json::Object(members) => {
                f.write_str("{")?;
                for (position, (name, value)) in members.iter().enumerate() {
                    let comma = if position == 0 { "" } else { "," };
                    write!(f, "{comma}{}:{value}", Value::from(name.as_str()))?;
                }
                f.write_str("}")
            }
            Json::Array(items) => {
                f.write_str("[")?;
                for (position, item) in items.iter().enumerate() {
                    let comma = if position == 0 { "" } else { "," };
                    write!(f, "{comma}{item}")?;
                }
                f.write_str("]")
            }
        }
    }
}
