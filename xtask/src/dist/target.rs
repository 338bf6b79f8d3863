//! The machines we build for: what compiler and linker call them, and which of OpenWrt's architectures the
//! binary serves.

/// One binary.
#[derive(Debug)]
pub struct Target {
    /// The compiler's name.
    pub triple: &'static str,
    /// What the linker calls the same, and the least processor it may assume: its own default for `arm` would not
    /// run on ARMv6.
    pub linker_target: &'static str,
    pub linker_cpu: &'static str,
    /// Runs a program of that machine on this one.
    pub emulator: &'static [&'static str],
    /// As OpenWrt names its package architectures. A machine without a floating point unit never gets a binary
    /// that wants one: Cortex-A9 and A7 without a suffix are such.
    pub openwrt: &'static [&'static str],
}

impl Target {
    /// What Debian calls machines that this program serves; it has no big-endian MIPS.
    pub fn debian(&self) -> Option<&'static str> {
        match self.triple.split('-').next()? {
            "x86_64" => Some("amd64"),
            "aarch64" => Some("arm64"),
            "armv7" => Some("armhf"),
            _ => None,
        }
    }
}

/// In the order in which they are built; `dist` makes those that serve an architecture of OpenWrt.
pub const TARGETS: &[Target] = &[
    Target {
        triple: "mips-unknown-linux-musl",
        linker_target: "mips-linux-musleabi",
        linker_cpu: "mips32r2+soft_float",
        emulator: &["qemu-mips-static", "-cpu", "24Kc"],
        openwrt: &["mips_24kc", "mips_4kec"],
    },
    Target {
        triple: "mipsel-unknown-linux-musl",
        linker_target: "mipsel-linux-musleabi",
        linker_cpu: "mips32r2+soft_float",
        emulator: &["qemu-mipsel-static", "-cpu", "24Kc"],
        openwrt: &["mipsel_24kc", "mipsel_24kc_24kf", "mipsel_74kc"],
    },
    Target {
        triple: "arm-unknown-linux-musleabi",
        linker_target: "arm-linux-musleabi",
        linker_cpu: "arm1136j_s",
        emulator: &["qemu-arm-static", "-cpu", "arm1176"],
        openwrt: &["arm_arm1176jzf-s_vfp", "arm_cortex-a7", "arm_cortex-a9"],
    },
    Target {
        triple: "armv7-unknown-linux-musleabihf",
        linker_target: "arm-linux-musleabihf",
        linker_cpu: "generic+v7a+vfp3d16-neon-d32",
        emulator: &["qemu-arm-static", "-cpu", "cortex-a7"],
        openwrt: &[
            "arm_cortex-a15_neon-vfpv4",
            "arm_cortex-a5_vfpv4",
            "arm_cortex-a7_neon-vfpv4",
            "arm_cortex-a7_vfpv4",
            "arm_cortex-a8_vfpv3",
            "arm_cortex-a9_neon",
            "arm_cortex-a9_vfpv3-d16",
        ],
    },
    Target {
        triple: "aarch64-unknown-linux-musl",
        linker_target: "aarch64-linux-musl",
        linker_cpu: "generic",
        emulator: &["qemu-aarch64-static", "-cpu", "cortex-a53"],
        openwrt: &["aarch64_cortex-a53", "aarch64_cortex-a72", "aarch64_cortex-a76", "aarch64_generic"],
    },
    Target {
        triple: "x86_64-unknown-linux-musl",
        linker_target: "x86_64-linux-musl",
        linker_cpu: "x86_64",
        emulator: &[],
        openwrt: &["x86_64"],
    },
    // On demand: routers of 2008, and a second big-endian machine that has a ready kernel to boot.
    Target {
        triple: "armv5te-unknown-linux-musleabi",
        linker_target: "arm-linux-musleabi",
        linker_cpu: "arm926ej_s",
        emulator: &["qemu-arm-static", "-cpu", "arm926"],
        openwrt: &["arm_arm926ej-s", "arm_xscale"],
    },
    Target {
        triple: "s390x-unknown-linux-musl",
        linker_target: "s390x-linux-musl",
        linker_cpu: "z10",
        emulator: &["qemu-s390x-static"],
        openwrt: &[],
    },
];

/// How many of them are built without being asked for.
const USUAL: usize = 6;

pub fn usual() -> Vec<&'static Target> {
    TARGETS.iter().take(USUAL).collect()
}

/// By its triple, or by the first word of it, such as `mips`.
pub fn find(name: &str) -> Result<&'static Target, String> {
    let is_named = |target: &&Target| target.triple == name || target.triple.split('-').next() == Some(name);
    TARGETS.iter().find(is_named).ok_or_else(|| {
        let known: Vec<&str> = TARGETS.iter().map(|target| target.triple).collect();
        format!("unknown target '{name}'; there are: {}", known.join(" "))
    })
}
