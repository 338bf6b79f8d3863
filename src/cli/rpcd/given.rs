//! The arguments of a call to the ubus object: an object by stdin, checked by the examples that rpcd is told.

use std::io::Read;

use crate::json::{self, Json, Object};

use super::{Answer, impossible, invalid};

/// What rpcd asks for once: arguments by an example of their type.
pub const LIST: &str = r#"{
"status": {"section": "", "interface": ""},
"service": {},
"uplinks": {"interface": "", "brief": false},
"history": {"interface": "", "since_seq": 32, "limit": 32},
"events": {"since_seq": 32, "limit": 32},
"rules": {"offset": 32, "limit": 32, "brief": false},
"policies": {"policy": "", "connections": false},
"check": {},
"explain": {"src": "", "dest": "", "proto": "", "port": 32},
"test": {"interface": ""},
"test_result": {"id": 32}
}"#;

const LONGEST: usize = 64 * 1024;

pub struct Given {
    members: Object,
}

impl Given {
    pub fn by_stdin(method: &str) -> Answer<Given> {
        let members = match json::read(&text_by_stdin()) {
            Ok(Json::Object(members)) => members,
            Ok(_) => return invalid("the arguments are not an object".to_owned()),
            Err(error) => return invalid(format!("the arguments are {error}")),
        };
        let list = json::read(LIST).unwrap_or_default();
        let Some(examples) = list.get(method).and_then(Json::as_object) else {
            return invalid(format!("unknown method '{method}'"));
        };
        for (name, example) in examples.members() {
            let given = members.get(name).unwrap_or(&Json::Null);
            if let Some(fault) = fault(example, given).filter(|_| name != "port") {
                return invalid(format!("{name} is {fault}"));
            }
        }
        Ok(Given { members })
    }

    /// What is empty counts as absent.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Json::as_str).filter(|text| !text.is_empty())
    }

    pub fn number(&self, name: &str, usual: u64) -> u64 {
        self.members.get(name).and_then(Json::as_u64).unwrap_or(usual)
    }

    pub fn count(&self, name: &str, usual: u64) -> usize {
        usize::try_from(self.number(name, usual)).unwrap_or(usize::MAX)
    }

    pub fn flag(&self, name: &str) -> bool {
        match self.members.get(name) {
            Some(Json::Bool(flag)) => *flag,
            _ => self.number(name, 0) != 0,
        }
    }

    /// It becomes a word of a request: it must not bring words of its own.
    pub fn interface_name(&self) -> Answer<Option<&str>> {
        let Some(name) = self.text("interface") else { return Ok(None) };
        match name.chars().any(|character| character.is_whitespace() || character.is_control()) {
            true => impossible(&format!("{} is not an enabled interface", Json::from(name))),
            false => Ok(Some(name)),
        }
    }

    pub fn id(&self) -> Option<u64> {
        self.members.get("id").and_then(Json::as_u64)
    }

    /// As a page hands it over: what was typed, or a number.
    pub fn port(&self) -> Answer<Option<String>> {
        match self.members.get("port") {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(number @ (Json::Number(_) | Json::Decimal(_))) => Ok(Some(number.to_string())),
            Some(_) => invalid("port is not a string".to_owned()),
        }
    }
}

/// What is wrong with an argument, by the example of its type. Null is as good as none; uci and ubus say 0
/// and 1 for a flag, too.
fn fault(example: &Json, given: &Json) -> Option<&'static str> {
    match (example, given) {
        (_, Json::Null) | (Json::Text(_), Json::Text(_)) | (Json::Bool(_), Json::Bool(_)) => None,
        (Json::Text(_), _) => Some("not a string"),
        _ if given.as_u64().is_some() => None,
        (Json::Bool(_), _) => Some("neither true nor false"),
        _ => Some("not a number from 0 on"),
    }
}

/// Whoever asks may leave stdin open: the object is over when its last brace is there.
fn text_by_stdin() -> String {
    let mut arguments = Vec::new();
    let mut piece = [0; 1024];
    while arguments.len() < LONGEST
        && let Ok(length @ 1..) = std::io::stdin().read(&mut piece)
    {
        arguments.extend_from_slice(piece.get(..length).unwrap_or_default());
        let text = String::from_utf8_lossy(&arguments);
        let is_unfinished = json::read(&text).is_err_and(|mistake| mistake.is_unfinished);
        if !is_unfinished {
            break;
        }
    }
    match String::from_utf8_lossy(&arguments).trim() {
        "" => "{}".to_owned(),
        text => text.to_owned(),
    }
}
