//! The Debian package's life, by the real dpkg in a copy of this machine that vanishes: installed, started on
//! the laboratory's router, upgraded under traffic, removed, purged.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use lab::{Lab, Output, wait_until};

const SOON: std::time::Duration = std::time::Duration::from_secs(20);
const CONFIG: &str = "config interface 'fibre'
	option enabled '1'
	option device 'wan'
	option interval '0.3'
	option timeout '0.3'
	list track_ip '1.1.1.1'
config interface 'cable'
	option enabled '1'
	option device 'wanb'
	option interval '0.3'
	option timeout '0.3'
	list track_ip '8.8.8.8'
config member 'first'
	option interface 'fibre'
config member 'second'
	option interface 'cable'
	option metric '2'
config policy 'failover'
	list use_member 'first'
	list use_member 'second'
config rule 'everything'
	option family 'ipv4'
	option use_policy 'failover'
";

/// The machine's own files with a layer above them that takes what is written, on the laboratory's router.
struct Machine {
    lab: Lab,
    holder: Child,
    folder: Folder,
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Machine {
    /// `None` where that cannot be: no dpkg, or not root of the whole machine.
    fn new() -> Option<Machine> {
        if !lab::is_available() {
            return None;
        }
        let map = fs::read_to_string("/proc/self/uid_map").unwrap();
        let is_root = map.split_whitespace().eq(["0", "0", "4294967295"]);
        if !is_root || !Path::new("/usr/bin/dpkg-deb").exists() {
            eprintln!("skipped: dpkg installs as root of a Debian machine only");
            return None;
        }
        let lab = Lab::builder().uplinks(2).ipv6(false).build().unwrap();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mwan3-debian-{}-{number}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        let script = "set -e; cd \"$1\"; mount -t tmpfs tmpfs .; cd \"$1\"
            mkdir upper work root
            mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
            for place in run tmp; do mount -t tmpfs tmpfs root/$place; done
            for place in proc dev sys; do mount --rbind /$place root/$place; done
            mkdir root/run/packages; touch root/run/ready; exec sleep infinity";
        let mut holder = Command::new("unshare");
        holder.args(["-m", "sh", "-c", script, "sh"]).arg(&folder.0).stdin(Stdio::null());
        let machine = Machine { lab, holder: holder.spawn().unwrap(), folder };
        assert!(wait_until(SOON, || machine.run("test -e /run/ready").success()), "no copy of the machine");
        Some(machine)
    }

    fn run(&self, line: &str) -> Output {
        let mut command = self.lab.router().command("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()));
        command.arg("chroot").arg(self.folder.0.join("root"));
        // In files: what goes on in the background would hold a pipe open.
        command.args(["sh", "-c", "exec >/tmp/out 2>/tmp/err </dev/null; eval \"$1\"", "sh", line]);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        let code = Output::of(&mut command, "").code;
        let mut read = self.lab.router().command("nsenter");
        read.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()));
        read.args(["sh", "-c", "cd \"$1\"; cat tmp/out; cat tmp/err >&2", "sh"]);
        read.arg(self.folder.0.join("root"));
        Output { code, ..Output::of(&mut read, "") }
    }

    #[track_caller]
    fn must(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.success(), "{line}: {output}");
        output.stdout
    }

    /// Inside, below /run/packages.
    #[track_caller]
    fn bring(&self, package: &Path) -> String {
        let inside = format!("/run/packages/{}", package.file_name().unwrap().to_string_lossy());
        let mut command = self.lab.router().command("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()));
        command.arg("cp").arg(package).arg(self.folder.0.join("root").join(&inside[1..]));
        assert!(command.status().unwrap().success());
        inside
    }

    fn tracker(&self) -> String {
        self.run("cat /run/mwan3track.lock").stdout.trim().to_owned()
    }

    #[track_caller]
    fn nothing_is_left_in_the_kernel(&self) {
        let router = self.lab.router();
        for line in ["nft list tables", "ip rule", "ip route show table all proto 77"] {
            let text = router.sh(line);
            assert!(
                !text.contains("mwan3") && !text.contains("fwmark") && !text.contains("proto 77"),
                "{text}"
            );
        }
        assert_eq!(router.sh("ip route show table all proto 77"), "");
    }
}

/// Two versions of one program.
struct Packages {
    old: PathBuf,
    new: PathBuf,
}

/// Packing takes seconds: once for all tests.
fn packages() -> &'static Packages {
    static PACKAGES: OnceLock<Packages> = OnceLock::new();
    PACKAGES.get_or_init(|| Packages { old: package("old", "3.0.0~old"), new: package("new", "3.0.0") })
}

/// The program as it is shipped but for the time it takes to build: without its symbols.
fn package(folder: &str, version: &str) -> PathBuf {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian").join(folder);
    fs::create_dir_all(&out).unwrap();
    let program = out.join("program");
    let strip = Command::new("strip").arg("-o").arg(&program).arg(env!("CARGO_BIN_EXE_mwan3")).status();
    if !strip.is_ok_and(|status| status.success()) {
        fs::copy(env!("CARGO_BIN_EXE_mwan3"), &program).unwrap();
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut build = Command::new(cargo);
    // The size of these is of no interest, the time is.
    build.current_dir(env!("CARGO_MANIFEST_DIR")).env("DPKG_DEB_COMPRESSOR_LEVEL", "0");
    build.args(["run", "--quiet", "--offline", "--package", "xtask", "--", "deb", "--version", version]);
    build.arg("--program").arg(&program).arg("--out").arg(out);
    let output = Output::of(&mut build, "");
    assert!(output.success(), "{output}");
    PathBuf::from(output.stdout.trim())
}

#[test]
fn the_package_is_installed_started_upgraded_removed_and_purged() {
    let Some(machine) = Machine::new() else { return };
    let [old, new] = [&packages().old, &packages().new].map(|file| machine.bring(file));

    machine.must(&format!("dpkg --no-triggers --force-unsafe-io -i {old}"));
    let files = machine.must("dpkg -L mwan3");
    for file in [
        "/usr/sbin/mwan3",
        "/lib/systemd/system/mwan3.service",
        "/usr/share/man/man8/mwan3.8.gz",
        "/usr/share/man/man5/mwan3.5.gz",
        "/usr/share/bash-completion/completions/mwan3",
        "/etc/config/mwan3",
        "/etc/dhcp/dhclient-exit-hooks.d/mwan3",
        "/usr/lib/NetworkManager/dispatcher.d/50-mwan3",
        "/etc/ppp/ip-up.d/mwan3",
    ] {
        assert!(files.lines().any(|line| line == file), "{file} is missing: {files}");
    }
    assert_eq!(machine.must("dpkg -V mwan3"), "", "what was installed is what was packed");
    assert_eq!(machine.tracker(), "", "nothing runs until somebody says what");
    assert!(machine.must("mwan3 --version").starts_with("mwan3 "));
    machine.must(
        "man -w mwan3 >/dev/null || true; zcat /usr/share/man/man8/mwan3.8.gz | grep -q '^.TH MWAN3 8'",
    );

    machine.must(&format!("cat > /etc/config/mwan3 <<'END'\n{CONFIG}END"));
    machine.must("mwan3 check && mwan3 start");
    let first_tracker = machine.tracker();
    assert_ne!(first_tracker, "");
    let client = machine.lab.client();
    assert!(client.udp_flows("1.0.0.1", 4000, 10).all_by("wan"));

    let stream = client.udp("1.0.0.1", 4000).per_second(100).start();
    let upgrade = machine.run(&format!("dpkg --no-triggers --force-unsafe-io -i {new}"));
    assert!(upgrade.success(), "{upgrade}");
    assert!(wait_until(SOON, || !matches!(machine.tracker(), pid if pid == first_tracker || pid.is_empty())));
    let report = stream.stop();
    assert!(report.all_by("wan"), "an upgrade must not be noticed: {report}");
    let exe = machine.must(&format!("readlink /proc/{}/exe", machine.tracker()));
    assert_eq!(exe.trim(), "/usr/sbin/mwan3", "the new program watches");
    assert_eq!(machine.must("cat /etc/config/mwan3"), CONFIG, "the configuration is a person's");
    machine.lab.isp(1).blackhole();
    assert!(wait_until(SOON, || client.udp_flows("1.0.0.1", 4000, 10).all_by("wanb")));

    machine.must("dpkg --no-triggers -r mwan3");
    machine.nothing_is_left_in_the_kernel();
    assert!(!machine.run(&format!("kill -0 {}", machine.tracker())).success(), "a tracker without a program");
    assert_eq!(machine.must("cat /etc/config/mwan3"), CONFIG, "a removal is no purge");
    machine.must("mkdir -p /etc/sysctl.d && echo '# ours' > /etc/sysctl.d/60-mwan3.conf");
    machine.must("dpkg --no-triggers -P mwan3");
    for file in files.lines().filter(|file| file.contains("mwan3")) {
        assert!(!machine.run(&format!("test -e {file}")).success(), "{file} is left");
    }
    let left = machine.must("ls -d /run/mwan3* /etc/sysctl.d/60-mwan3.conf 2>/dev/null || true");
    assert_eq!(left, "");
}

/// systemd itself does not run in a copy: what it is told is written down.
#[test]
fn the_service_manager_is_told_what_to_do() {
    let Some(machine) = Machine::new() else { return };
    let package = machine.bring(&packages().new);
    machine.must(
        "mkdir -p /run/systemd/system /usr/local/bin
         printf '#!/bin/sh\\necho \"$@\" >> /run/told\\n[ \"$2\" != is-active ] || [ -e /run/active ]\\n' \
             > /usr/local/bin/systemctl
         chmod 755 /usr/local/bin/systemctl; touch /run/told",
    );
    let told = || machine.must("cat /run/told; : > /run/told");
    machine.must(&format!("dpkg --no-triggers --force-unsafe-io -i {package}"));
    assert_eq!(told(), "daemon-reload\n--quiet is-active mwan3.service\n");
    machine.must("touch /run/active");
    machine.must(&format!("dpkg --no-triggers --force-unsafe-io -i {package}"));
    let kill = "kill --kill-who=main --signal=KILL mwan3.service\n";
    assert!(told().ends_with(&format!("daemon-reload\n--quiet is-active mwan3.service\n{kill}")));
    machine.must("dpkg --no-triggers -P mwan3");
    assert_eq!(told(), "stop mwan3.service\ndaemon-reload\ndaemon-reload\n");
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The provider's DHCP server.
fn dhcp_server(machine: &Machine, number: usize) -> Server {
    let mut command = machine.lab.isp(number).namespace().command("dnsmasq");
    command.args(["--no-daemon", "--conf-file=/dev/null", "--port=0", "--leasefile-ro", "--bind-dynamic"]);
    command.args(["--interface=subscriber", "--dhcp-authoritative", "--no-ping"]);
    let network = format!("10.{}.0", 100 + number);
    command.arg(format!("--dhcp-range={network}.2,{network}.2,255.255.255.0,1h"));
    command.arg(format!("--dhcp-option=option:router,{network}.1"));
    Server(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// The second client finds the place for a default route taken, and leaves it at that.
#[test]
fn two_dhclients_with_one_default_route_between_them_give_two_uplinks() {
    let Some(machine) = Machine::new() else { return };
    if !Path::new("/usr/sbin/dhclient").exists() || !Path::new("/usr/sbin/dnsmasq").exists() {
        let is_required = std::env::var("MWAN3_KERNEL_TESTS").is_ok_and(|value| value == "required");
        assert!(!is_required, "dhclient or dnsmasq is not installed");
        return;
    }
    let _servers = [1, 2].map(|number| dhcp_server(&machine, number));
    machine.must(&format!("dpkg --no-triggers --force-unsafe-io -i {}", machine.bring(&packages().new)));
    let router = machine.lab.router();
    router.sh("ip addr flush dev wan; ip addr flush dev wanb");
    for device in ["wan", "wanb"] {
        machine.must(&format!("dhclient -1 -v -lf /run/{device}.leases -pf /run/{device}.pid {device}"));
    }
    let defaults = router.sh("ip route show table main default");
    assert_eq!(defaults.lines().count(), 1, "{defaults}");
    machine.must(&format!("cat > /etc/config/mwan3 <<'END'\n{CONFIG}END"));
    machine.must("mwan3 check && mwan3 start");
    let client = machine.lab.client();
    assert!(wait_until(SOON, || client.udp_flows("1.0.0.1", 4000, 10).all_by("wan")));
    machine.lab.isp(1).blackhole();
    assert!(wait_until(SOON, || client.udp_flows("1.0.0.1", 4000, 10).all_by("wanb")));
    machine.must("mwan3 stop");
}

#[test]
fn two_builds_of_the_package_are_the_same_bytes() {
    if !Path::new("/usr/bin/dpkg-deb").exists() {
        return;
    }
    let [once, twice] = [&packages().new, &package("again", "3.0.0")].map(|file| fs::read(file).unwrap());
    assert!(once == twice, "{} and {} bytes", once.len(), twice.len());
}
