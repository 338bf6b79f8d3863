//! JSON objects that keep the order of their members: people and web pages read interfaces in the order
//! of the configuration.

use std::fmt;

use serde::ser::{Serialize, Serializer};
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

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Object(members) => {
                serializer.collect_map(members.iter().map(|(name, value)| (name, value)))
            }
            Json::Array(items) => serializer.collect_seq(items),
            Json::Plain(value) => value.serialize(serializer),
        }
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
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}
