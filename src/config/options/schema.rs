//! The table as JSON: `mwan3 schema`.

use crate::json::{Json, Object};

use super::{DefaultValue, OptionSpec, TABLE, ValueType};

pub fn schema() -> Json {
    let mut lines = Vec::new();
    for spec in TABLE {
        lines.push(spec.json());
    }
    Json::Array(lines)
}

impl OptionSpec {
    pub fn json(&self) -> Json {
        let mut object = Object::new();
        object.text("section", self.section.name());
        object.text("name", self.name);
        object.text("type", type_name(self.value));
        put_limits(&mut object, self.value);
        object.flag("list", self.list);
        object.put("default", default(self.default));
        object.flag("luci", self.luci);
        object.text("help", self.help);
        object.into()
    }
}

fn type_name(value: ValueType) -> &'static str {
    match value {
        ValueType::Bool => "bool",
        ValueType::Number { .. } => "number",
        ValueType::Duration { .. } => "duration",
        ValueType::Choice { .. } => "choice",
        ValueType::Mask => "mask",
        ValueType::RoutingTable => "routing_table",
        ValueType::Host => "host",
        ValueType::IpAddress => "ip_address",
        ValueType::AddressAndPort => "address_and_port",
        ValueType::Addresses => "addresses",
        ValueType::Ports => "ports",
        ValueType::Protocol => "protocol",
        ValueType::Device => "device",
        ValueType::Network => "network",
        ValueType::Ipset => "ipset",
        ValueType::SessionFate => "session_fate",
        ValueType::DailyWindow => "daily_window",
        ValueType::Reference { .. } => "reference",
        ValueType::Text => "text",
        ValueType::PolicyOr { .. } => "policy_or",
    }
}

fn put_limits(object: &mut Object, value: ValueType) {
    match value {
        ValueType::Number { min, max, unit } => {
            object.number("min", min.into());
            object.number("max", max.into());
            object.text("unit", unit);
        }
        ValueType::Duration { min_ms, max_ms } => {
            object.number("min_ms", min_ms.into());
            object.number("max_ms", max_ms.into());
        }
        ValueType::Choice { choices } | ValueType::PolicyOr { choices } => {
            let choices = choices.iter().map(|choice| Json::from(*choice));
            object.put("choices", Json::Array(choices.collect()));
        }
        ValueType::Reference { to } => object.text("to", to.name()),
        _ => {}
    }
}

fn default(default: DefaultValue) -> Json {
    let (name, text) = match default {
        DefaultValue::None => return Json::from("none"),
        DefaultValue::Required => return Json::from("required"),
        DefaultValue::Value(text) => ("value", text),
        DefaultValue::SameAs(option) => ("same_as", option),
    };
    let mut object = Object::new();
    object.text(name, text);
    object.into()
}
