//! JSON values: read from other programs, and told to people, pages and scripts. Objects keep the order of
//! their members, as people and web pages read interfaces in the order of the configuration. Written by
//! hand for its size: record 047.

mod reader;
mod text;

pub use reader::{Mistake, read};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Json {
    #[default]
    Null,
    Bool(bool),
    Number(i64),
    /// A number that is not a whole one or too large, as it was read.
    Decimal(String),
    Text(String),
    Array(Vec<Json>),
    Object(Object),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    members: Vec<(String, Json)>,
}

impl Json {
    /// The member of that name, if this is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.as_object()?.get(name)
    }

    pub fn as_object(&self) -> Option<&Object> {
        if let Json::Object(object) = self { Some(object) } else { None }
    }

    pub fn as_array(&self) -> Option<&[Json]> {
        if let Json::Array(items) = self { Some(items) } else { None }
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Json::Text(text) = self { Some(text) } else { None }
    }

    pub fn as_bool(&self) -> Option<bool> {
        if let Json::Bool(value) = self { Some(*value) } else { None }
    }

    pub fn as_i64(&self) -> Option<i64> {
        if let Json::Number(number) = self { Some(*number) } else { None }
    }

    pub fn as_u64(&self) -> Option<u64> {
        self.as_i64().and_then(|number| u64::try_from(number).ok())
    }

    /// The text of that name, empty where there is none.
    #[inline(never)]
    pub fn text(&self, name: &str) -> &str {
        self.get(name).and_then(Json::as_str).unwrap_or_default()
    }

    #[inline(never)]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.as_u64()
    }

    /// What the array of that name holds, nothing where there is none.
    #[inline(never)]
    pub fn items(&self, name: &str) -> &[Json] {
        self.get(name).and_then(Json::as_array).unwrap_or_default()
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Json::Null)
    }

    /// An object with this one member.
    pub fn only(name: &str, value: Json) -> Json {
        let mut object = Object::new();
        object.put(name, value);
        Json::Object(object)
    }

    pub fn texts(texts: Vec<String>) -> Json {
        let mut items = Vec::new();
        for text in texts {
            items.push(Json::Text(text));
        }
        Json::Array(items)
    }

    /// Members by name, at every depth.
    pub fn sort_all(&mut self) {
        match self {
            Json::Object(object) => {
                object.sort();
                object.members.iter_mut().for_each(|(_, member)| member.sort_all());
            }
            Json::Array(items) => items.iter_mut().for_each(Json::sort_all),
            _ => {}
        }
    }

    /// One member or item per line.
    pub fn pretty(&self) -> String {
        text::pretty(self)
    }
}

// One call per member is what makes objects cheap: nothing of it is to be repeated where they are made.
impl Object {
    pub const fn new() -> Object {
        Object { members: Vec::new() }
    }

    /// Replaces a member of that name.
    #[inline(never)]
    pub fn put(&mut self, name: &str, value: Json) {
        match self.get_mut(name) {
            Some(member) => *member = value,
            None => self.members.push((name.to_owned(), value)),
        }
    }

    /// Of what is read: several may have one name.
    pub fn add(&mut self, name: String, value: Json) {
        self.members.push((name, value));
    }

    #[inline(never)]
    pub fn text(&mut self, name: &str, value: &str) {
        self.put(name, Json::Text(value.to_owned()));
    }

    #[inline(never)]
    pub fn number(&mut self, name: &str, value: u64) {
        self.put(name, Json::from(value));
    }

    #[inline(never)]
    pub fn flag(&mut self, name: &str, value: bool) {
        self.put(name, Json::Bool(value));
    }

    /// Of several of one name the last.
    #[inline(never)]
    pub fn get(&self, name: &str) -> Option<&Json> {
        for (one, value) in self.members.iter().rev() {
            if one == name {
                return Some(value);
            }
        }
        None
    }

    #[inline(never)]
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Json> {
        for (one, value) in self.members.iter_mut().rev() {
            if one == name {
                return Some(value);
            }
        }
        None
    }

    pub fn remove(&mut self, name: &str) -> Option<Json> {
        let place = self.members.iter().rposition(|(one, _)| one == name)?;
        Some(self.members.remove(place).1)
    }

    pub fn members(&self) -> &[(String, Json)] {
        &self.members
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn retain(&mut self, keeps: fn(&str, &Json) -> bool) {
        self.members.retain(|(name, value)| keeps(name, value));
    }

    /// For objects whose members have no order of their own.
    #[inline(never)]
    pub fn sort(&mut self) {
        for (name, value) in std::mem::take(&mut self.members) {
            let place = self.members.partition_point(|(known, _)| *known <= name);
            self.members.insert(place, (name, value));
        }
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Json {
        Json::Object(object)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::Text(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Json {
        Json::Text(text)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Json {
        Json::Bool(value)
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Json {
        Json::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Json {
    fn from(number: u32) -> Json {
        Json::Number(i64::from(number))
    }
}

impl From<Vec<Json>> for Json {
    fn from(items: Vec<Json>) -> Json {
        Json::Array(items)
    }
}
