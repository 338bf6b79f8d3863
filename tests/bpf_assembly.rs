//! BPF instructions as the kernel's `struct bpf_insn` has them, on either kind of machine.

use mwan3::system::bpf::{Assembly, Label, Register};

fn bytes(assembly: Assembly) -> Vec<[u8; 8]> {
    let instructions = assembly.finish().expect("every jump has a target");
    instructions.iter().map(|instruction| instruction.to_ne_bytes()).collect()
}

/// The example as bytes of either order: opcode, registers, 16-bit offset, 32-bit immediate.
fn native(little: [u8; 8], big: [u8; 8]) -> [u8; 8] {
    if cfg!(target_endian = "little") { little } else { big }
}

#[test]
fn register_fields_follow_the_bit_order_of_the_machine() {
    let mut assembly = Assembly::default();
    assembly.load_field(Register::R2, 40);
    assembly.store_field(16, Register::R3);
    assert_eq!(
        bytes(assembly),
        [
            native([0x61, 0x12, 40, 0, 0, 0, 0, 0], [0x61, 0x21, 0, 40, 0, 0, 0, 0]),
            native([0x63, 0x31, 16, 0, 0, 0, 0, 0], [0x63, 0x13, 0, 16, 0, 0, 0, 0]),
        ]
    );
}

#[test]
fn values_are_in_the_byte_order_of_the_machine() {
    let mut assembly = Assembly::default();
    assembly.set(Register::R2, 0x8000_3f01);
    assembly.set_signed(Register::R1, -2);
    assert_eq!(
        bytes(assembly),
        [
            native([0xb4, 0x02, 0, 0, 0x01, 0x3f, 0, 0x80], [0xb4, 0x20, 0, 0, 0x80, 0, 0x3f, 0x01]),
            native([0xb7, 0x01, 0, 0, 0xfe, 0xff, 0xff, 0xff], [0xb7, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xfe]),
        ]
    );
}

#[test]
fn a_jump_counts_the_instructions_between() {
    let mut assembly = Assembly::default();
    assembly.jump_if_equal(Register::R2, 7, Label::Refuse);
    assembly.jump(Label::Allow);
    assembly.label(Label::Refuse);
    assembly.exit_with(0);
    assembly.label(Label::Allow);
    assembly.exit_with(1);
    let code = bytes(assembly);
    assert_eq!(code[0], native([0x15, 0x02, 1, 0, 7, 0, 0, 0], [0x15, 0x20, 0, 1, 0, 0, 0, 7]));
    assert_eq!(code[1], native([0x05, 0, 2, 0, 0, 0, 0, 0], [0x05, 0, 0, 2, 0, 0, 0, 0]));
}

#[test]
fn a_jump_to_nowhere_or_too_far_makes_no_program() {
    let mut nowhere = Assembly::default();
    nowhere.jump(Label::Allow);
    assert_eq!(nowhere.finish(), None);

    let mut too_far = Assembly::default();
    too_far.jump(Label::Allow);
    for _ in 0..=i16::MAX {
        too_far.set(Register::R2, 0);
    }
    too_far.label(Label::Allow);
    assert_eq!(too_far.finish(), None);
}
