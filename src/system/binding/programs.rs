//! The BPF programs that hold sockets to one uplink: what they get at birth, which destinations they may
//! connect to, and which devices their packets may leave by.

use super::super::failure::{self, failure};
use super::{Binding, Steering};
use crate::address::Family;
use crate::system::bpf::{Assembly, Hook, Instruction, Label, LoadError, Program, Register};

/// Fields of the kernel's `struct bpf_sock`.
const SOCKET_BOUND_DEVICE: i16 = 0;
const SOCKET_MARK: i16 = 16;
/// Fields of `struct bpf_sock_addr`.
const DESTINATION_IPV4: i16 = 4;
const DESTINATION_IPV6: [i16; 4] = [8, 12, 16, 20];
/// Fields of `struct __sk_buff`.
const PACKET_PROTOCOL: i16 = 16;
const PACKET_DEVICE: i16 = 40;

const CALL_SET_RETVAL: i32 = 187;
const REFUSE: u32 = 0;
const ALLOW: u32 = 1;

/// What a program hears when it connects to the family that the uplink does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// As without a route; every program with fallback knows it. Linux 5.18 and later can say this.
    NetworkUnreachable,
    NotPermitted,
}

pub(super) fn load(binding: &Binding) -> failure::Result<Vec<Program>> {
    let other_uplinks = match &binding.steering {
        Steering::Device => &[],
        Steering::Mark { other_uplinks } => other_uplinks.as_slice(),
    };
    Ok(vec![
        Program::load(Hook::SocketCreate, &finish(socket_create(binding))?)?,
        Program::load(Hook::Egress, &finish(egress(binding, other_uplinks))?)?,
        load_with_best_refusal(Hook::Connect4, |refusal| connect_ipv4(binding.family, refusal))?,
        load_with_best_refusal(Hook::Connect6, |refusal| connect_ipv6(binding.family, refusal))?,
    ])
}

fn load_with_best_refusal(hook: Hook, program: impl Fn(Refusal) -> Assembly) -> failure::Result<Program> {
    let best = finish(program(Refusal::NetworkUnreachable))?;
    match Program::load(hook, &best) {
        // The function is unknown to this kernel.
        Err(LoadError { source, .. }) if source.raw_os_error() == Some(libc::EINVAL) => {
            Ok(Program::load(hook, &finish(program(Refusal::NotPermitted))?)?)
        }
        other => Ok(other?),
    }
}

fn finish(assembly: Assembly) -> failure::Result<Vec<Instruction>> {
    assembly.finish().ok_or_else(|| failure!("too many uplinks for one BPF program"))
}

fn socket_create(binding: &Binding) -> Assembly {
    let mut program = Assembly::default();
    if binding.steering == Steering::Device {
        program.set(Register::R2, binding.device_index);
        program.store_field(SOCKET_BOUND_DEVICE, Register::R2);
    }
    program.set(Register::R2, binding.mark);
    program.store_field(SOCKET_MARK, Register::R2);
    program.exit_with(ALLOW);
    program
}

/// No packet leaves by another uplink, whatever becomes of our rules and tables meanwhile, and none of the
/// other family by this one.
fn egress(binding: &Binding, other_uplinks: &[u32]) -> Assembly {
    let mut program = Assembly::default();
    program.load_field(Register::R2, PACKET_DEVICE);
    // Two interfaces of one device, one for each family, are one uplink here.
    for device in other_uplinks.iter().filter(|device| **device != binding.device_index) {
        program.jump_if_equal(Register::R2, *device, Label::Refuse);
    }
    let own_protocol = match binding.family {
        Family::Ipv4 => libc::ETH_P_IP,
        Family::Ipv6 => libc::ETH_P_IPV6,
    };
    program.jump_unless_equal(Register::R2, binding.device_index, Label::Allow);
    program.load_field(Register::R3, PACKET_PROTOCOL);
    // The field holds the 16 bits as they stand in the packet.
    program.jump_if_equal(Register::R3, u32::from((own_protocol as u16).to_be()), Label::Allow);
    program.jump(Label::Refuse);
    end(program, Refusal::NotPermitted)
}

fn connect_ipv4(served: Family, refusal: Refusal) -> Assembly {
    let mut program = Assembly::default();
    match served {
        Family::Ipv4 => program.jump(Label::Allow),
        Family::Ipv6 => {
            program.load_field(Register::R2, DESTINATION_IPV4);
            allow_only_this_host(&mut program, Register::R2);
        }
    }
    end(program, refusal)
}

fn connect_ipv6(served: Family, refusal: Refusal) -> Assembly {
    let (native, mapped) = match served {
        Family::Ipv4 => (Label::Refuse, Label::Allow),
        Family::Ipv6 => (Label::Allow, Label::MappedIpv4),
    };
    let [first, second, third, fourth] = DESTINATION_IPV6;
    let mut program = Assembly::default();
    program.load_field(Register::R2, first);
    program.load_field(Register::R3, second);
    program.or(Register::R2, Register::R3);
    program.jump_unless_equal(Register::R2, 0, native);
    program.load_field(Register::R3, third);
    program.load_field(Register::R4, fourth);
    program.from_network_order(Register::R3);
    program.jump_if_equal(Register::R3, 0xffff, mapped);
    program.jump_unless_equal(Register::R3, 0, native);
    program.from_network_order(Register::R4);
    // `::` means this host, too.
    program.jump_if_equal(Register::R4, 0, Label::Allow);
    program.jump_if_equal(Register::R4, 1, Label::Allow);
    program.jump(native);
    if program.is_target(Label::MappedIpv4) {
        program.label(Label::MappedIpv4);
        allow_only_this_host(&mut program, Register::R4);
    }
    end(program, refusal)
}

/// `register`: an IPv4 destination in network order.
fn allow_only_this_host(program: &mut Assembly, register: Register) {
    program.from_network_order(register);
    program.jump_if_equal(register, 0, Label::Allow);
    program.shift_right(register, 24);
    program.jump_if_equal(register, 127, Label::Allow);
    program.jump(Label::Refuse);
}

fn end(mut program: Assembly, refusal: Refusal) -> Assembly {
    if program.is_target(Label::Refuse) {
        program.label(Label::Refuse);
        if refusal == Refusal::NetworkUnreachable {
            program.set_signed(Register::R1, -libc::ENETUNREACH);
            program.call(CALL_SET_RETVAL);
        }
        program.exit_with(REFUSE);
    }
    if program.is_target(Label::Allow) {
        program.label(Label::Allow);
        program.exit_with(ALLOW);
    }
    program
}
