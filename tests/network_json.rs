//! The network of a dump: written, read back, and what is said of one that somebody damaged.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use mwan3::address::Family;
use mwan3::network::{IpRule, Network, RuleAction};

/// Everything there is, in the order and with the gaps that `mwan3 dump` has it.
const FULL: &str = r#"{"interfaces":{"lan":{"up":false,"uptime_s":0},"wan":{"up":true,"device":"a\"\\é","uptime_s":12345678901,"addresses":[{"address":"192.0.2.4","length":24}],"prefixes":["2001:db8::/48","2001:db8::1"],"assigned":["2001:db8::5"],"gateways":["192.0.2.1","::ffff:192.0.2.1"],"name_servers":["9.9.9.9"]}},"devices":[{"index":4294967295,"name":"eth0.2","kind":"vlan","up":true,"carrier":false,"addresses":[{"address":"fe80::1","length":64,"scope":253,"deprecated":true,"tentative":true}]},{"index":1,"name":"lo","up":true,"carrier":true}],"routes":[{"family":"ipv6","table":4294967295,"kind":"throw","destination":"::/0","source":"2001:db8::/33","tos":255,"protocol":77,"scope":200,"metric":1024,"hops":[{"device":"eth0","gateway":"10.0.0.1","onlink":true,"weight":65535,"other":{"4":[],"11":[1,2,255]}},{"onlink":false,"weight":0}],"nexthop_id":7,"preferred_source":"::1","metrics":{"1":4294967295,"2":1500,"16":"bbr"},"other":{"0":[],"65535":[255]}},{"family":"ipv4","table":254,"kind":"unicast","destination":"10.0.0.0/8","tos":0,"protocol":3,"scope":0,"metric":0}],"has_ipv6":false,"fw4_sets":{"a":[],"b":["192.0.2.4"]}}"#;

#[test]
fn all_of_a_network_is_written_and_read_back() {
    let network = Network::read(FULL).unwrap();
    assert_eq!(network.json().to_string(), FULL);
    assert_eq!(Network::read(&network.json().pretty()), Ok(network));
}

#[test]
fn what_may_be_left_out_or_null_has_its_default() {
    let network = Network::read(
        r#"{"interfaces": {"wan": {"up": true, "device": null, "gateways": null, "colour": "red"}}, "devices": [],
            "routes": [{"family": "ipv4", "table": 1, "kind": "unicast", "destination": "0.0.0.0/0", "protocol": 3,
                "hops": [{}]}], "fw4_sets": null}"#,
    )
    .unwrap();
    assert_eq!(
        network.json().to_string(),
        r#"{"interfaces":{"wan":{"up":true,"uptime_s":0}},"devices":[],"routes":[{"family":"ipv4","table":1,"kind":"unicast","destination":"0.0.0.0/0","tos":0,"protocol":3,"scope":0,"metric":0,"hops":[{"onlink":false,"weight":0}]}],"has_ipv6":true}"#
    );
}

#[test]
fn the_first_thing_that_is_wrong_is_said() {
    for (from, to, complaint) in [
        (r#""routes":["#, r#""paths":["#, "missing field `routes`"),
        (r#""up":true,"device""#, r#""device""#, "missing field `up`"),
        (r#""uptime_s":12345678901"#, r#""uptime_s":-1"#, "expected a number in range, found -1"),
        (r#""uptime_s":12345678901"#, r#""uptime_s":1.5"#, "expected a number in range, found 1.5"),
        (r#""length":24"#, r#""length":256"#, "expected a number in range, found 256"),
        (r#""index":4294967295"#, r#""index":4294967296"#, "expected a number in range, found 4294967296"),
        (r#""weight":65535"#, r#""weight":65536"#, "expected a number in range, found 65536"),
        (r#"[1,2,255]"#, r#"[1,2,256]"#, "expected a number in range, found 256"),
        (r#""carrier":false"#, r#""carrier":0"#, "expected true or false, found 0"),
        (r#""has_ipv6":false"#, r#""has_ipv6":"no""#, "expected true or false, found \"no\""),
        (r#""name":"lo""#, r#""name":7"#, "expected a text, found 7"),
        (r#"["9.9.9.9"]"#, r#"["9.9.9"]"#, "not an address or network: 9.9.9"),
        (r#""destination":"::/0""#, r#""destination":"::/129""#, "not an address or network: ::/129"),
        (r#"["9.9.9.9"]"#, r#"[9]"#, "expected an address, found 9"),
        (r#"["9.9.9.9"]"#, r#"{"9":9}"#, "expected a list, found {\"9\":9}"),
        (r#"{"onlink":false,"weight":0}"#, "[]", "expected an object, found []"),
        (r#"{"a":[],"b":["192.0.2.4"]}"#, "[]", "expected an object, found []"),
        (r#""family":"ipv6""#, r#""family":"ipx""#, "no family: ipx"),
        (r#""kind":"throw""#, r#""kind":"thrown""#, "no kind of route: thrown"),
        (r#""16":"bbr""#, r#""sixteen":"bbr""#, "not a number: sixteen"),
        (r#""16":"bbr""#, r#""65536":"bbr""#, "not a number: 65536"),
    ] {
        assert!(FULL.contains(from), "{from}");
        assert_eq!(Network::read(&FULL.replacen(from, to, 1)).unwrap_err(), complaint);
    }
    assert_eq!(Network::read("[]").unwrap_err(), "expected an object, found []");
    assert_eq!(Network::read("{").unwrap_err(), "JSON that ends too early, at line 1 column 2");
}

#[test]
fn rules_are_told_with_what_they_ask_for() {
    let bare = |action| IpRule::new(Family::Ipv4, 7, action, 77).json().to_string();
    for (action, told) in [
        (RuleAction::Lookup(5), r#"{"lookup":5}"#),
        (RuleAction::Blackhole, r#""blackhole""#),
        (RuleAction::Unreachable, r#""unreachable""#),
        (RuleAction::Prohibit, r#""prohibit""#),
        (RuleAction::Other(3), r#"{"other":3}"#),
    ] {
        let line = format!(
            r#"{{"family":"ipv4","priority":7,"inverted":false,"tos":0,"action":{told},"protocol":77}}"#
        );
        assert_eq!(bare(action), line);
    }
    let mut rule = IpRule::new(Family::Ipv6, 12, RuleAction::Blackhole, 77);
    rule.inverted = true;
    rule.from = Some("2001:db8::/32".parse().unwrap());
    rule.to = Some("2001:db8::1".parse().unwrap());
    rule.mark = Some((u32::MAX, 0x3f00));
    rule.input_device = Some("lan".to_owned());
    rule.output_device = Some("wan".to_owned());
    rule.other = [(3, vec![1, 255]), (19, vec![])].into_iter().collect();
    assert_eq!(
        rule.json().to_string(),
        r#"{"family":"ipv6","priority":12,"inverted":true,"from":"2001:db8::/32","to":"2001:db8::1","tos":0,"mark":[4294967295,16128],"input_device":"lan","output_device":"wan","action":"blackhole","protocol":77,"other":{"3":[1,255],"19":[]}}"#
    );
}
