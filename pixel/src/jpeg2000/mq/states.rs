//! What the arithmetic coder expects, and what it learns (ISO/IEC 15444-1 Table C.2).

/// A state of expectation: the probability of the less probable symbol, the state after the more and after the less
/// probable one, and whether the two change places then.
#[derive(Clone, Copy)]
pub(super) struct State {
    pub(super) probability: u32,
    pub(super) after_more: u8,
    pub(super) after_less: u8,
    pub(super) turns: bool,
}

const fn state(probability: u32, after_more: u8, after_less: u8, turns: bool) -> State {
    State { probability, after_more, after_less, turns }
}

pub(super) const STATES: [State; 47] = [
    state(0x5601, 1, 1, true),
    state(0x3401, 2, 6, false),
    state(0x1801, 3, 9, false),
    state(0x0AC1, 4, 12, false),
    state(0x0521, 5, 29, false),
    state(0x0221, 38, 33, false),
    state(0x5601, 7, 6, true),
    state(0x5401, 8, 14, false),
    state(0x4801, 9, 14, false),
    state(0x3801, 10, 14, false),
    state(0x3001, 11, 17, false),
    state(0x2401, 12, 18, false),
    state(0x1C01, 13, 20, false),
    state(0x1601, 29, 21, false),
    state(0x5601, 15, 14, true),
    state(0x5401, 16, 14, false),
    state(0x5101, 17, 15, false),
    state(0x4801, 18, 16, false),
    state(0x3801, 19, 17, false),
    state(0x3401, 20, 18, false),
    state(0x3001, 21, 19, false),
    state(0x2801, 22, 19, false),
    state(0x2401, 23, 20, false),
    state(0x2201, 24, 21, false),
    state(0x1C01, 25, 22, false),
    state(0x1801, 26, 23, false),
    state(0x1601, 27, 24, false),
    state(0x1401, 28, 25, false),
    state(0x1201, 29, 26, false),
    state(0x1101, 30, 27, false),
    state(0x0AC1, 31, 28, false),
    state(0x09C1, 32, 29, false),
    state(0x08A1, 33, 30, false),
    state(0x0521, 34, 31, false),
    state(0x0441, 35, 32, false),
    state(0x02A1, 36, 33, false),
    state(0x0221, 37, 34, false),
    state(0x0141, 38, 35, false),
    state(0x0111, 39, 36, false),
    state(0x0085, 40, 37, false),
    state(0x0049, 41, 38, false),
    state(0x0025, 42, 39, false),
    state(0x0015, 43, 40, false),
    state(0x0009, 44, 41, false),
    state(0x0005, 45, 42, false),
    state(0x0001, 45, 43, false),
    state(0x5601, 46, 46, false),
];

/// Where a context is: its state, and the symbol that is more probable.
#[derive(Clone, Copy, Default)]
pub(super) struct Context {
    state: u8,
    pub(super) more_probable: bool,
}

/// How many contexts there are, and which: magnitudes of samples that were zero come first (Table D.1).
pub(super) const CONTEXTS: usize = 19;
pub(super) const FIRST_SIGN: u8 = 9;
pub(super) const FIRST_REFINED: u8 = 14;
pub(super) const RUN: u8 = 17;
pub(super) const UNIFORM: u8 = 18;

/// All contexts as they begin (Table D.7).
pub(super) fn initial() -> [Context; CONTEXTS] {
    let mut contexts = [Context::default(); CONTEXTS];
    for (context, state) in [(0, 4), (RUN, 3), (UNIFORM, 46)] {
        if let Some(context) = contexts.get_mut(usize::from(context)) {
            context.state = state;
        }
    }
    contexts
}

impl Context {
    pub(super) fn state(self) -> State {
        STATES.get(usize::from(self.state)).copied().unwrap_or(state(0x5601, 46, 46, false))
    }

    pub(super) fn saw_more_probable(&mut self, state: State) {
        self.state = state.after_more;
    }

    pub(super) fn saw_less_probable(&mut self, state: State) {
        self.more_probable ^= state.turns;
        self.state = state.after_less;
    }
}
