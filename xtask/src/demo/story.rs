//! The order of events, and the clock: what happens to the ISP, and for how long it is watched.

use std::time::{Duration, Instant};

use lab::{Isp, Lab};

use super::streams::{Flow, Streams};
use super::view::View;

/// How often the picture is drawn.
const FRAME: Duration = Duration::from_millis(500);

pub struct Story<'l> {
    lab: &'l Lab,
    is_fast: bool,
}

/// A stretch of time that begins with something happening to the first ISP.
#[derive(Clone, Copy)]
pub struct Chapter {
    pub name: &'static str,
    pub kind: ChapterKind,
    happens: fn(&Isp),
    seconds: u64,
    seconds_if_fast: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChapterKind {
    Calm,
    Fault,
    Return,
}

const CHAPTERS: [Chapter; 5] = [
    Chapter {
        name: "both ISPs work",
        kind: ChapterKind::Calm,
        happens: |_| {},
        seconds: 10,
        seconds_if_fast: 3,
    },
    Chapter {
        name: "wan's ISP swallows everything",
        kind: ChapterKind::Fault,
        happens: Isp::blackhole,
        seconds: 12,
        seconds_if_fast: 6,
    },
    Chapter {
        name: "wan's ISP is back",
        kind: ChapterKind::Return,
        happens: Isp::restore,
        seconds: 12,
        seconds_if_fast: 5,
    },
    Chapter {
        name: "wan's cable is pulled",
        kind: ChapterKind::Fault,
        happens: |isp| isp.carrier(false),
        seconds: 8,
        seconds_if_fast: 3,
    },
    Chapter {
        name: "wan's cable is plugged in",
        kind: ChapterKind::Return,
        happens: |isp| isp.carrier(true),
        seconds: 12,
        seconds_if_fast: 5,
    },
];

/// A chapter, and when it was.
pub struct Passed {
    pub chapter: Chapter,
    pub begun: Instant,
    /// It takes a moment to pull a cable, in which the line still works.
    pub happened: Instant,
    pub ended: Instant,
}

/// What happened when, and every flow.
pub struct Told {
    pub chapters: Vec<Passed>,
    pub flows: Vec<Flow>,
}

impl<'l> Story<'l> {
    pub fn new(lab: &'l Lab, is_fast: bool) -> Story<'l> {
        Story { lab, is_fast }
    }

    pub fn tell(&self) -> Told {
        let mut streams = Streams::start(self.lab.client());
        let mut view = View::new(self.lab);
        let mut chapters = Vec::new();
        for chapter in CHAPTERS {
            let begun = Instant::now();
            (chapter.happens)(self.lab.isp(1));
            let happened = Instant::now();
            let seconds = if self.is_fast { chapter.seconds_if_fast } else { chapter.seconds };
            let end = begun + Duration::from_secs(seconds);
            while Instant::now() < end {
                std::thread::sleep(FRAME.min(end.saturating_duration_since(Instant::now())));
                streams.listen();
                view.show(chapter.name, begun, &streams.flows);
            }
            chapters.push(Passed { chapter, begun, happened, ended: Instant::now() });
        }
        view.close();
        Told { chapters, flows: streams.stop() }
    }
}
