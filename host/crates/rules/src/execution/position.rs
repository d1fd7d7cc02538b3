//! Where an execution stands in its flow.

use crate::flow::{Flow, Step};
use ringback_records::name::Name;

/// A path of frames: the first is in the flow itself, each further one in a block of the step at which the one before stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position(Vec<Frame>);

/// A block of steps that is gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    /// Which of the blocks of its step.
    block: usize,
    step: usize,
    /// Of a block that is gone through several times.
    round: Option<Round>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Round {
    number: u32,
    of: u32,
}

impl Round {
    fn next(self) -> Option<Self> {
        let number = self.number + 1;
        (number < self.of).then_some(Self { number, ..self })
    }
}

impl Position {
    /// The first step of a flow.
    pub(super) fn start() -> Self {
        Self(vec![Frame { block: 0, step: 0, round: None }])
    }

    /// A trigger of a flow, by its id.
    pub(super) fn of_trigger(flow: &Flow, id: &Name) -> Option<Self> {
        let mut found = Self(Vec::new());
        found.search(flow, &flow.steps, 0, id).then_some(found)
    }

    fn search(&mut self, flow: &Flow, steps: &[Step], block: usize, id: &Name) -> bool {
        for (index, step) in steps.iter().enumerate() {
            self.0.push(Frame { block, step: index, round: None });
            let trigger = step.kind.trigger().and_then(|trigger| flow.triggers.get(trigger));
            let is_it = trigger.is_some_and(|trigger| trigger.id == *id);
            if is_it || step.kind.blocks().iter().enumerate().any(|(block, steps)| self.search(flow, steps, block, id))
            {
                return true;
            }
            self.0.pop();
        }
        false
    }

    /// The step; `None` at the end of the flow.
    pub(super) fn step<'f>(&self, flow: &'f Flow) -> Option<&'f Step> {
        let mut steps = flow.steps.as_slice();
        let mut step = None;
        for (depth, frame) in self.0.iter().enumerate() {
            if depth > 0 {
                let around: &'f Step = step?;
                steps = around.kind.blocks().get(frame.block)?;
            }
            step = steps.get(frame.step);
        }
        step
    }

    /// The rounds of the blocks around the step that are gone through several times, from the outermost on.
    pub(super) fn rounds(&self) -> Vec<u32> {
        self.0.iter().filter_map(|frame| frame.round).map(|round| round.number).collect()
    }

    /// Goes on behind the step.
    pub(super) fn go_on(&mut self, flow: &Flow) {
        self.pass();
        self.leave(flow);
    }

    /// Goes into a block of the step, once or so many times.
    pub(super) fn enter(&mut self, flow: &Flow, block: usize, times: Option<u32>) {
        match times {
            Some(0) => self.pass(),
            _ => self.0.push(Frame { block, step: 0, round: times.map(|of| Round { number: 0, of }) }),
        }
        self.leave(flow);
    }

    /// Goes to the end of the flow.
    pub(super) fn end(&mut self, flow: &Flow) {
        self.0.truncate(1);
        if let Some(frame) = self.0.first_mut() {
            frame.step = flow.steps.len();
        }
    }

    fn pass(&mut self) {
        if let Some(frame) = self.0.last_mut() {
            frame.step += 1;
        }
    }

    /// Leaves every block that is done, or begins its next round.
    fn leave(&mut self, flow: &Flow) {
        while self.0.len() > 1 && self.step(flow).is_none() {
            let done = self.0.pop();
            // A block without steps has nothing to do in any round.
            let again = done.filter(|frame| frame.step > 0).and_then(|frame| {
                let round = frame.round?.next()?;
                Some(Frame { step: 0, round: Some(round), ..frame })
            });
            match again {
                Some(frame) => self.0.push(frame),
                None => self.pass(),
            }
        }
    }

    /// Whether an execution that is here may get to a place, or is there.
    pub(super) fn may_get_to(&self, place: &Self) -> bool {
        for (here, there) in self.0.iter().zip(&place.0) {
            if here.block != there.block {
                return false;
            }
            if here.round.and_then(Round::next).is_some() {
                return true;
            }
            if here.step != there.step {
                return here.step < there.step;
            }
        }
        self.0.len() <= place.0.len()
    }
}
