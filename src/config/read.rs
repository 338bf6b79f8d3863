//! From UCI sections to the typed configuration. A mistake costs its option or its section, never the rest,
//! and is told. Defaults and ranges come from the table in `options`.

mod alert;
mod interface;
mod policy;
mod rule;

use crate::sorted::{SortedSet, sort_by};
use crate::uci::{Package, Section};

use super::fields::{Fields, LEFT_OUT};
use super::options::{self, SectionKind};
use super::problem::{Problem, Severity};
use super::{Config, Globals, value};

/// `file` is the name that problems show.
pub fn read(package: &Package, file: &str) -> (Config, Vec<Problem>) {
    let mut problems: Vec<Problem> =
        package.errors.iter().map(|error| Problem::of_syntax(file, error)).collect();
    let sections = Sections::sort(package, file, &mut problems);
    let globals = match sections.of(SectionKind::Globals).find(|section| section.name == "globals") {
        Some(section) => read_globals(Fields::new(section, SectionKind::Globals, file, &mut problems)),
        None => Globals::default(),
    };
    let interfaces = interface::read_all(&sections, &globals, file, &mut problems);
    let members = policy::read_members(&sections, &interfaces, file, &mut problems);
    let policies = policy::read_policies(&sections, &members, file, &mut problems);
    let rules = rule::read_all(&sections, &policies, file, &mut problems);
    let alerts = alert::read_all(&sections, file, &mut problems);
    sort_by(&mut problems, &|one, other| one.line.cmp(&other.line));
    (Config { globals, interfaces, policies, rules, alerts }, problems)
}

/// The sections that mwan3 knows, in file order.
struct Sections<'a>(Vec<(SectionKind, &'a Section)>);

impl<'a> Sections<'a> {
    fn sort(package: &'a Package, file: &str, problems: &mut Vec<Problem>) -> Sections<'a> {
        let mut names = SortedSet::new();
        let mut known = Vec::new();
        for section in &package.sections {
            let text = match SectionKind::from_name(&section.kind) {
                // Only a pending rename can do this.
                Some(_) if !names.insert(section.name.as_str()) => {
                    "a second section of this name; skipped".to_owned()
                }
                Some(SectionKind::Globals) if section.name != "globals" => {
                    "skipped: the globals section must be named 'globals'".to_owned()
                }
                Some(kind) => {
                    known.push((kind, section));
                    continue;
                }
                None => unknown_kind(&section.kind),
            };
            problems.push(Problem::of_section(Severity::Error, file, section, text));
        }
        Sections(known)
    }

    fn of(&self, kind: SectionKind) -> impl Iterator<Item = &'a Section> {
        self.0.iter().filter(move |(other, _)| *other == kind).map(|(_, section)| *section)
    }
}

fn unknown_kind(kind: &str) -> String {
    match options::closest_of(kind, &mut SectionKind::ALL.into_iter().map(SectionKind::name)) {
        Some(known) => format!("unknown type of section, skipped; did you mean {known}?"),
        None => "unknown type of section, skipped".to_owned(),
    }
}

fn read_globals(mut fields: Fields<'_>) -> Globals {
    let name_of_level = |level: &u32| {
        let name = usize::try_from(*level).ok().and_then(|level| options::LOG_LEVELS.get(level));
        name.copied().unwrap_or_default().to_owned()
    };
    Globals {
        mask: fields.value("mmx_mask", &value::mask, &ToString::to_string),
        logging: fields.boolean("logging"),
        log_level: fields.value("loglevel", &value::log_level, &name_of_level),
        lookup_tables: fields.list("rt_table_lookup", &value::routing_table),
        source_routing: fields.boolean("source_routing"),
        manage_default: fields.boolean("manage_default"),
        metrics_listen: fields.optional("metrics_listen", LEFT_OUT, &value::address_and_port),
    }
}

/// "…; did you mean wan?"
fn suggestion(name: &str, known: &mut dyn Iterator<Item = &str>) -> String {
    match options::closest_of(name, known) {
        Some(closest) => format!("; did you mean {closest}?"),
        None => String::new(),
    }
}
