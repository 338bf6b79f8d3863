//! Configurations of any size: uplinks that exist in the laboratory, policies over them, and rules as people
//! write them.

use std::fmt::Write as _;

const REST: &str = "config rule rest
  option family ipv4
  option dest_ip 0.0.0.0/0
  option use_policy balanced
";

/// How many uplinks and rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub uplinks: usize,
    pub rules: usize,
}

impl Size {
    pub const fn new(uplinks: usize, rules: usize) -> Size {
        Size { uplinks, rules }
    }

    /// The whole UCI file.
    pub fn config(self) -> String {
        let mut text = self.uplinks();
        text += &self.rules();
        text
    }

    /// The same rules, but those of one kind never side by side: the order that can be compiled least.
    pub fn mixed_config(self) -> String {
        let count = self.rules.saturating_sub(1).max(1);
        let order = (0..count).map(|position| position * (count / 4 + 1) % count);
        self.uplinks() + &order.map(|number| self.rule(number)).collect::<String>() + REST
    }

    /// With probes as the shell package ships them: every 10 seconds, four targets.
    pub fn tracked_config(self) -> String {
        let targets = ["1.0.0.1", "1.1.1.1", "208.67.222.222", "208.67.220.220"];
        let tracking = targets.map(|target| format!("  list track_ip {target}\n")).concat()
            + "  option reliability 2\n  option interval 10\n  option timeout 4\n";
        // The rules have a family, too.
        let interface = "  option enabled 1\n";
        self.config().replace(interface, &format!("{interface}{tracking}"))
    }

    fn uplinks(self) -> String {
        let mut text = String::from("config globals globals\n  option mmx_mask 0x3F00\n\n");
        let mut balanced = String::from("config policy balanced\n");
        for number in 1..=self.uplinks {
            let name = lab::address::default_device(number);
            let weight = number % 3 + 1;
            let _ = write!(
                text,
                "config interface {name}\n  option enabled 1\n  option family ipv4\n\n\
                 config member m_{name}\n  option interface {name}\n  option metric 1\n  option weight {weight}\n\n\
                 config policy {name}_only\n  list use_member m_{name}\n\n"
            );
            let _ = writeln!(balanced, "  list use_member m_{name}");
        }
        text + &balanced + "\n"
    }

    /// The last one is for everything.
    fn rules(self) -> String {
        (0..self.rules.saturating_sub(1)).map(|number| self.rule(number)).collect::<String>() + REST
    }

    fn rule(self, number: usize) -> String {
        let policy = match number % 4 {
            0 => "balanced".to_owned(),
            _ => format!("{}_only", lab::address::default_device(number % self.uplinks + 1)),
        };
        let tests = self.tests(number);
        format!("config rule r{number}\n{tests}  option family ipv4\n  option use_policy {policy}\n\n")
    }

    /// First what single hosts of the LAN need, then services of single servers, then whole networks, then
    /// ports: from the particular to the general, as first match wins.
    fn tests(self, number: usize) -> String {
        let (high, low) = (number / 250, number % 250 + 1);
        match number * 4 / self.rules.max(1) {
            0 => format!("  option src_ip 192.168.{}.{low}\n", high + 10),
            1 if number.is_multiple_of(2) => {
                format!(
                    "  option proto tcp\n  option dest_ip 198.51.{}.{low}\n  option dest_port 443\n",
                    high + 10
                )
            }
            1 => format!(
                "  option proto udp\n  option dest_ip 203.0.{}.{low}\n  option dest_port 5000:5100\n",
                high + 10
            ),
            2 => format!("  option dest_ip 100.{}.{low}.0/24\n", high + 64),
            _ => format!("  option proto tcp\n  option dest_port {}\n", 2000 + number * 3),
        }
    }
}
