//! `mwan3 use`: run a command whose every socket, children's included, is bound to one uplink.

use std::net::IpAddr;

use crate::address::Family;
use crate::config::Config;
use crate::network::OUR_PROTOCOL;
use crate::system::binding::{self, Binding, Steering};
use crate::system::failure::Result;
use crate::system::files::Directories;
use crate::system::host::{self, Host};
use crate::system::settings;

use super::ExitCode;
use super::options::Arguments;

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (Some(name), [program, rest @ ..]) = (arguments.words.first(), &arguments.command[..]) else {
        complain!("no command specified for mwan3 use");
        return Ok(arguments.usage_code());
    };
    let directories = Directories::from_environment();
    let config = settings::load_config(&directories)?;
    let host = host::observe(&directories, &config)?;
    let network = &host.network;
    let family = match config.interface(name) {
        Some(interface) => interface.family,
        None => Family::Ipv4,
    };
    let found = network.interfaces.get(name).and_then(|found| found.device.as_deref());
    let Some(device) = found.and_then(|device| network.device(device)) else {
        complain!("could not find device for {name}");
        return Ok(arguments.usage_code());
    };
    if config.interface(name).is_none() {
        complain!("could not find family for {name}. Using ipv4.");
    }
    let source = network.source_address(name, family);
    let (steering, mark) = steering(&config, &host, name, &device.name);
    let source = source.unwrap_or(match family {
        Family::Ipv4 => IpAddr::from([0, 0, 0, 0]),
        Family::Ipv6 => IpAddr::from([0; 16]),
    });
    let shown: Vec<_> = arguments.command.iter().map(|word| word.to_string_lossy()).collect();
    let device_name = &device.name;
    complain!(
        "Running '{}' with DEVICE={device_name} SRCIP={source} FWMARK={mark:#x} FAMILY={family}",
        shown.join(" ")
    );
    binding::bind_self(&Binding {
        interface: name.clone(),
        family,
        device_index: device.index,
        mark,
        steering,
    })?;
    let environment = [
        ("DEVICE", device_name.clone()),
        ("SRCIP", source.to_string()),
        ("FWMARK", format!("{mark:#x}")),
        ("FAMILY", family.to_string()),
    ];
    let error = binding::exec(program, rest, &environment);
    complain!("mwan3: cannot run {}: {error}", program.to_string_lossy());
    Ok(binding::exit_code(&error))
}

/// By the uplink's own mark while its rule is in the kernel; else by the device alone.
fn steering(config: &Config, host: &Host, name: &str, device: &str) -> (Steering, u32) {
    let mask = config.globals.mask;
    let by_rule = config.interface(name).filter(|interface| {
        let mark = Some((mask.interface(interface.id), mask.bits()));
        host.rules
            .iter()
            .any(|rule| rule.protocol == OUR_PROTOCOL && rule.family == interface.family && rule.mark == mark)
    });
    let Some(interface) = by_rule else { return (Steering::Device, mask.default_mark()) };
    let others = config.interfaces.iter().filter(|other| other.name != name);
    let device_of = |other: &str| host.network.interfaces.get(other)?.device.clone();
    let other_uplinks = others
        .filter_map(|other| device_of(&other.name))
        .filter(|other| other != device)
        .filter_map(|other| host.network.device(&other).map(|found| found.index))
        .collect();
    (Steering::Mark { other_uplinks }, mask.interface(interface.id))
}
