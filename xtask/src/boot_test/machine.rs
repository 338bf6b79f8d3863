//! The emulated machines: processor, memory, console, and where their kernel comes from.

pub struct Machine {
    pub name: &'static str,
    pub target: &'static str,
    pub kernel: Kernel,
    pub emulator: &'static [&'static str],
    pub console: &'static str,
    /// Programs of this machine, and the packages they are in.
    pub programs: &'static [(&'static str, &'static str)],
    /// Whether it takes seconds, and so runs without being asked for.
    pub is_quick: bool,
}

pub enum Kernel {
    /// The newest package whose name begins with `linux-image-` and a digit and ends so.
    OfDebian { architecture: &'static str, package: &'static str },
    /// From Debian's source: takes minutes, once.
    Built,
}

pub const MACHINES: &[Machine] = &[
    Machine {
        name: "mipsel",
        target: "mipsel-unknown-linux-musl",
        kernel: Kernel::OfDebian { architecture: "mipsel", package: "-4kc-malta" },
        emulator: &["qemu-system-mipsel", "-M", "malta", "-cpu", "24Kc", "-m", "256", "-vga", "none"],
        console: "console=ttyS0",
        programs: &[("qemu-system-mipsel", "qemu-system-mips"), ("depmod", "kmod")],
        is_quick: true,
    },
    Machine {
        name: "s390x",
        target: "s390x-unknown-linux-musl",
        kernel: Kernel::OfDebian { architecture: "s390x", package: "-s390x" },
        emulator: &["qemu-system-s390x", "-M", "s390-ccw-virtio", "-m", "512"],
        console: "",
        programs: &[("qemu-system-s390x", "qemu-system-misc"), ("depmod", "kmod")],
        is_quick: true,
    },
    Machine {
        name: "mips",
        target: "mips-unknown-linux-musl",
        kernel: Kernel::Built,
        emulator: &["qemu-system-mips", "-M", "malta", "-cpu", "24Kc", "-m", "64", "-vga", "none"],
        console: "console=ttyS0",
        programs: super::big_endian_mips::PROGRAMS,
        is_quick: false,
    },
    Machine {
        name: "arm",
        target: "armv7-unknown-linux-musleabihf",
        kernel: Kernel::OfDebian { architecture: "armhf", package: "-armmp" },
        emulator: &["qemu-system-arm", "-M", "virt", "-cpu", "cortex-a7", "-m", "256"],
        console: "console=ttyAMA0",
        programs: &[("qemu-system-arm", "qemu-system-arm"), ("depmod", "kmod")],
        is_quick: false,
    },
];
