//! `option hold` and `option on_recover` as values: which tier a policy uses, and whose flows go, with time as data.

use std::time::Duration;

use mwan3::address::Family;
use mwan3::config::{self, Config};
use mwan3::network::Network;
use mwan3::nft;
use mwan3::plan::{
    Choice, Flow, Health, PolicyStand, Spared, TierInUse, Verdict, choose, forgotten, plan, session_label,
    stands, tiers, uplinks,
};
use mwan3::uci;
use proptest::prelude::*;

const UPLINKS: [&str; 3] = ["a", "b", "c"];

fn config(policy_lines: &str) -> Config {
    let mut text = String::new();
    for (name, metric) in UPLINKS.iter().zip(1..) {
        text += &format!("config interface {name}\n\toption enabled 1\n");
        text += &format!("config member m{name}\n\toption interface {name}\n\toption metric {metric}\n");
    }
    text += "config policy voice\n\tlist use_member 'ma mb mc'\n";
    text += policy_lines;
    text += "config policy web\n\tlist use_member 'ma mb mc'\n\
             config rule sip\n\toption proto udp\n\toption dest_port 5060\n\toption use_policy voice\n\
             config rule rest\n\toption use_policy web\n";
    let (config, problems) = config::read(&uci::parse("mwan3", text.as_bytes()), "mwan3");
    assert_eq!(problems, []);
    config
}

fn network() -> Network {
    let interface =
        |number: usize| format!(r#""{}": {{ "up": true, "device": "eth{number}" }}"#, UPLINKS[number]);
    let text = format!(
        r#"{{ "interfaces": {{ {}, {}, {} }}, "devices": [], "routes": [], "has_ipv6": false }}"#,
        interface(0),
        interface(1),
        interface(2)
    );
    Network::read(&text).expect("a network")
}

/// `+` works, `?` works and is on probation, `-` does not.
fn health(signs: &str, tiers: &[TierInUse]) -> Health {
    let verdict = |sign| match sign {
        '+' => Verdict::Online,
        '?' => Verdict::OnProbation,
        _ => Verdict::Offline,
    };
    let mut health: Health =
        UPLINKS.iter().zip(signs.chars()).map(|(name, sign)| ((*name).to_owned(), verdict(sign))).collect();
    health.tiers = tiers.to_vec();
    health
}

/// One reconcile at this second; what the policy's new flows then use, `-` for the last resort.
fn used(config: &Config, policy: &str, signs: &str, state: &mut Vec<TierInUse>, second: u64) -> String {
    let network = network();
    let before = health(signs, state);
    *state = tiers(config, &uplinks(config, &network, &before), state, Duration::from_secs(second));
    let health = health(signs, state);
    let policy = config.policy(policy).expect("it is there");
    match choose(policy, Family::Ipv4, &uplinks(config, &network, &health)) {
        Choice::Shares(shares) => shares.iter().map(|share| share.interface.clone()).collect(),
        Choice::LastResort(_) => "-".to_owned(),
    }
}

/// Each step is a second, the state of the uplinks, and what voice uses then.
fn story(lines: &str, steps: &[(u64, &str, &str)]) {
    let config = config(lines);
    let mut state = Vec::new();
    for (second, signs, wanted) in steps {
        let found = used(&config, "voice", signs, &mut state, *second);
        assert_eq!(found, *wanted, "at {second} s with {signs}: {state:?}");
    }
}

const HOLD: &str = "\toption hold 180\n";

#[test]
fn without_a_hold_the_next_tier_is_used_at_once() {
    story("", &[(0, "+++", "a"), (10, "-++", "b"), (11, "--+", "c"), (12, "---", "-"), (13, "+++", "a")]);
}

#[test]
fn the_next_tier_opens_when_the_hold_is_over() {
    story(
        HOLD,
        &[(0, "+++", "a"), (10, "-++", "-"), (189, "-++", "-"), (190, "-++", "b"), (191, "-++", "b")],
    );
}

#[test]
fn the_tier_that_was_left_may_come_back_first() {
    story(
        HOLD,
        &[
            (0, "+++", "a"),
            (10, "-++", "-"),
            (20, "+++", "a"),
            (30, "-++", "-"),
            (209, "-++", "-"),
            (210, "-++", "b"),
        ],
    );
}

#[test]
fn the_way_back_is_held_too_and_can_be_given_up() {
    story(HOLD, &[(0, "-++", "b"), (10, "+++", "-"), (20, "-++", "b"), (30, "+++", "-"), (210, "+++", "a")]);
}

#[test]
fn nothing_to_use_is_no_reason_to_forget_what_was_used_last() {
    story(HOLD, &[(0, "+++", "a"), (10, "---", "-"), (20, "-+-", "-"), (30, "---", "-"), (40, "+--", "a")]);
    story(
        HOLD,
        &[(0, "+++", "a"), (10, "---", "-"), (500, "--+", "c"), (501, "-++", "-"), (681, "-++", "b")],
    );
}

#[test]
fn the_first_tier_of_all_opens_at_once() {
    story(HOLD, &[(0, "---", "-"), (1, "--+", "c")]);
}

#[test]
fn a_tier_that_fails_during_the_hold_is_passed_over() {
    story(HOLD, &[(0, "+++", "a"), (10, "-++", "-"), (100, "--+", "-"), (190, "--+", "c")]);
}

#[test]
fn a_shorter_hold_holds_at_once() {
    let mut state = Vec::new();
    let (long, short) = (config(HOLD), config("\toption hold 5\n"));
    used(&long, "voice", "+++", &mut state, 0);
    assert_eq!(used(&long, "voice", "-++", &mut state, 10), "-");
    assert_eq!(used(&short, "voice", "-++", &mut state, 20), "-");
    assert_eq!(used(&short, "voice", "-++", &mut state, 25), "b");
    assert_eq!(used(&config(""), "voice", "-++", &mut state, 26), "b");
    assert_eq!(state, []);
}

#[test]
fn a_hold_holds_no_other_policy() {
    let config = config(HOLD);
    let mut state = Vec::new();
    used(&config, "voice", "+++", &mut state, 0);
    assert_eq!(used(&config, "web", "-++", &mut state, 10), "b");
    assert_eq!(used(&config, "voice", "-++", &mut state, 10), "-");
}

#[test]
fn the_plan_tells_who_is_held() {
    let config = config(HOLD);
    let mut state = Vec::new();
    used(&config, "voice", "+++", &mut state, 0);
    assert_eq!(plan(&config, &network(), &health("+++", &state)).held, []);
    used(&config, "voice", "-++", &mut state, 10);
    let held = plan(&config, &network(), &health("-++", &state)).held;
    assert_eq!(
        (held.len(), &*held[0].policy, held[0].held_until()),
        (1, "voice", Some(Duration::from_secs(190)))
    );
}

#[test]
fn probation_keeps_policies_away_only_while_they_have_another_way() {
    story(
        "",
        &[
            (0, "?++", "b"),
            (1, "?-+", "c"),
            (2, "?--", "a"),
            (3, "?-?", "a"),
            (4, "?+?", "b"),
            (5, "+++", "a"),
        ],
    );
}

#[test]
fn a_tier_that_was_left_is_taken_back_on_probation_rather_than_held_from() {
    story(HOLD, &[(0, "+++", "a"), (10, "-++", "-"), (20, "?++", "a"), (21, "+++", "a")]);
    story(HOLD, &[(0, "-++", "b"), (10, "?++", "b"), (20, "+++", "-"), (200, "+++", "a")]);
}

#[test]
fn what_is_remembered_survives_as_text() {
    let config = config(HOLD);
    let mut state = Vec::new();
    for (second, signs) in [(0, "+++"), (10, "-++"), (200, "---"), (300, "+++")] {
        used(&config, "voice", signs, &mut state, second);
        let health = health(signs, &state);
        assert_eq!(Health::parse(&health.to_string()), Ok(health));
    }
    assert!(Health::parse("voice ipv4 tier=x").is_err());
}

proptest! {
    /// The promise to the operator: whoever used one tier uses no other within the hold.
    #[test]
    fn no_two_tiers_are_ever_seen_within_a_hold(steps in prop::collection::vec((1u64..200, 0usize..27), 1..40)) {
        let config = config(HOLD);
        let (mut state, mut now, mut last) = (Vec::new(), 0, None::<(String, u64)>);
        for (pause, signs) in steps {
            // The tier that was in use was so until this very moment.
            now += pause;
            if let Some((_, seen)) = last.as_mut().filter(|(tier, _)| state.iter().any(|one: &TierInUse| {
                one.tier.map(|metric| UPLINKS[metric as usize - 1]) == Some(&**tier)
            })) {
                *seen = now;
            }
            let signs: String = (0..3).map(|place| ['+', '-', '?'][signs / 3usize.pow(place) % 3]).collect();
            let found = used(&config, "voice", &signs, &mut state, now);
            if found == "-" { continue; }
            if let Some((tier, seen)) = &last {
                prop_assert!(*tier == found || now - seen >= 180, "{tier} at {seen}, {found} at {now}");
            }
            last = Some((found, now));
        }
    }
}

fn stands_at(config: &Config, signs: &str, state: &mut Vec<TierInUse>, second: u64) -> Vec<PolicyStand> {
    used(config, "voice", signs, state, second);
    let health = health(signs, state);
    stands(config, &uplinks(config, &network(), &health), &health)
}

const MARKS: [u32; 3] = [0x100, 0x200, 0x300];

fn flow(label: u128, mark: u32, is_udp: bool) -> Flow {
    Flow { family: Family::Ipv4, mark, label, is_udp }
}

#[test]
fn policies_that_ask_for_nothing_have_no_label_and_nothing_is_forgotten() {
    let config = config("");
    assert_eq!(session_label(&config, "voice"), None);
    let (before, after) =
        (stands_at(&config, "-++", &mut vec![], 0), stands_at(&config, "+++", &mut vec![], 1));
    assert_eq!((before.len(), forgotten(&before, &after)), (0, vec![]));
}

#[test]
fn only_flows_of_the_policy_that_asked_leave_what_stood_in() {
    let config = config("\toption on_recover drop_udp\n");
    let label = 1u128 << session_label(&config, "voice").expect("it has one");
    let (before, after) =
        (stands_at(&config, "-++", &mut vec![], 0), stands_at(&config, "+++", &mut vec![], 1));
    let [forgetting] = &forgotten(&before, &after)[..] else { panic!("one is meant") };
    assert_eq!(forgetting.spared, Spared::Only(vec![MARKS[0]]));
    assert!(forgetting.concerns(&flow(label, MARKS[1], true)));
    assert!(!forgetting.concerns(&flow(label, MARKS[1], false)), "no datagram");
    assert!(!forgetting.concerns(&flow(label, MARKS[0], true)), "already where it belongs");
    assert!(!forgetting.concerns(&flow(0, MARKS[1], true)), "of another policy");
    assert!(!forgetting.concerns(&Flow { family: Family::Ipv6, ..flow(label, MARKS[1], true) }));
    assert_eq!(forgotten(&after, &before), [], "leaving is not coming back");
    assert_eq!(forgotten(&after, &after), []);
}

#[test]
fn a_hold_forgets_all_of_its_policy_at_once_and_drain_later() {
    let config = config(HOLD);
    let mut state = Vec::new();
    let (before, after) =
        (stands_at(&config, "+++", &mut state, 0), stands_at(&config, "-++", &mut state, 1));
    let [forgetting] = &forgotten(&before, &after)[..] else { panic!("one is meant") };
    assert_eq!((&forgetting.spared, forgetting.after), (&Spared::Only(vec![]), Duration::ZERO));
    let config = self::config("\toption on_recover 'drain 60'\n");
    let (before, after) =
        (stands_at(&config, "-++", &mut vec![], 0), stands_at(&config, "+++", &mut vec![], 1));
    assert_eq!(forgotten(&before, &after)[0].after, Duration::from_secs(60));
}

#[test]
fn labels_are_distinct_and_stay_when_others_come_and_go() {
    let text = |names: &[String]| {
        names.iter().map(|name| format!("config policy {name}\n\toption on_fail keep\n")).collect::<String>()
    };
    let labels = |names: &[String]| -> Vec<Option<u8>> {
        let (config, _) = config::read(&uci::parse("mwan3", text(names).as_bytes()), "mwan3");
        names.iter().map(|name| session_label(&config, name)).collect()
    };
    let names: Vec<String> = (0..130).map(|number| format!("policy_{number}")).collect();
    let mut found: Vec<u8> = labels(&names).into_iter().flatten().collect();
    found.sort_unstable();
    assert_eq!(found, (0..128).collect::<Vec<u8>>(), "128 have one each, the rest none");
    let few = &names[..4];
    assert_eq!(labels(few)[2..], labels(&[few[2].clone(), few[3].clone()])[..]);
}

#[test]
fn the_rule_labels_what_it_sends_to_a_policy_that_asked() {
    let text = plan(&config("\toption on_recover drop\n"), &network(), &health("+++", &[])).to_string();
    assert_eq!(text.matches("ct label set").count(), 1, "{text}");
    let chain = text.split("chain rule_sip_ipv4").nth(2).expect("the chain of the rule");
    assert!(chain.split('}').next().expect("its rules").contains("ct label set"), "{text}");
}

#[test]
fn a_kernel_without_labels_gets_the_same_rules_but_for_those() {
    let table = |lines: &str| plan(&config(lines), &network(), &health("+++", &[])).ruleset.expect("a table");
    let is_label =
        |statement: &nft::Statement| matches!(statement, nft::Statement::SetConnectionLabel { .. });
    assert_ne!(table("\toption on_recover drop\n"), table(""));
    assert_eq!(nft::without(&table("\toption on_recover drop\n"), is_label), Some(table("")));
}
