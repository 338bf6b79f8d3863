//! Runs a command bound to an uplink, without any configuration:
//!
//! ```text
//! use INTERFACE ipv4|ipv6 DEVICE-INDEX MARK device|mark[:OTHER-INDEX,…] COMMAND [ARGUMENTS…]
//! use --remove-leftovers
//! ```

use std::ffi::OsString;
use std::process::ExitCode;

use mwan3::address::Family;
use mwan3::system::binding::{Binding, Steering, bind_self, exec, exit_code, remove_leftovers};
use mwan3::system::failure::{Failure, Result};

const FAILED: u8 = 125;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("use: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(arguments: &[OsString]) -> Result<ExitCode> {
    if arguments.first().is_some_and(|first| first == "--remove-leftovers") {
        println!("{}", remove_leftovers());
        return Ok(ExitCode::SUCCESS);
    }
    let [interface, family, device_index, mark, steering, program, rest @ ..] = arguments else {
        return Err(failure("INTERFACE FAMILY DEVICE-INDEX MARK STEERING COMMAND [ARGUMENTS…]"));
    };
    let binding = Binding {
        interface: interface.to_string_lossy().into_owned(),
        family: if family == "ipv6" { Family::Ipv6 } else { Family::Ipv4 },
        device_index: number(device_index)?,
        mark: number(mark)?,
        steering: steering_of(&steering.to_string_lossy())?,
    };
    bind_self(&binding)?;
    let error = exec(program, rest, &[("MWAN3_USE", interface.to_string_lossy().into_owned())]);
    eprintln!("use: {}: {error}", program.to_string_lossy());
    Ok(ExitCode::from(exit_code(&error)))
}

fn steering_of(text: &str) -> Result<Steering> {
    if text == "device" {
        return Ok(Steering::Device);
    }
    let list = text.strip_prefix("mark").ok_or_else(|| failure("device or mark"))?.trim_start_matches(':');
    let indexes = list.split(',').filter(|index| !index.is_empty());
    let other_uplinks: Result<Vec<u32>, _> = indexes.map(str::parse).collect();
    let other_uplinks = other_uplinks.map_err(|error| failure(&error.to_string()))?;
    Ok(Steering::Mark { other_uplinks })
}

fn number(text: &OsString) -> Result<u32> {
    let text = text.to_str().ok_or_else(|| failure("not a number"))?;
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| failure(&format!("{text} is not a number: {error}")))
}

fn failure(text: &str) -> Failure {
    Failure::new(format_args!("{text}"))
}
