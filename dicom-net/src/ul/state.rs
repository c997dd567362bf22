//! The state machine of the upper layer (PS3.8 §9.2): what happens in which state is read from its table, here as
//! there, and from nowhere else.
//!
//! Whoever reads PDUs, writes them, asks for something or waits tells the [`Machine`] of the event; what it answers is
//! done. One machine goes with each connection, and both halves of the connection hold it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::pdu::AbortReason;
use crate::error::{Error, Result};

/// The states of PS3.8 Tables 9-1 to 9-5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Idle.
    Sta1,
    /// Transport connection open, awaiting A-ASSOCIATE-RQ PDU.
    Sta2,
    /// Awaiting local A-ASSOCIATE response primitive.
    Sta3,
    /// Awaiting transport connection opening to complete.
    Sta4,
    /// Awaiting A-ASSOCIATE-AC or A-ASSOCIATE-RJ PDU.
    Sta5,
    /// Association established and ready for data transfer.
    Sta6,
    /// Awaiting A-RELEASE-RP PDU.
    Sta7,
    /// Awaiting local A-RELEASE response primitive.
    Sta8,
    /// Release collision, requestor side: awaiting A-RELEASE response primitive.
    Sta9,
    /// Release collision, acceptor side: awaiting A-RELEASE-RP PDU.
    Sta10,
    /// Release collision, requestor side: awaiting A-RELEASE-RP PDU.
    Sta11,
    /// Release collision, acceptor side: awaiting A-RELEASE response primitive.
    Sta12,
    /// Awaiting transport connection close indication.
    Sta13,
}

/// The events of PS3.8 Table 9-10, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    AssociateRequest,
    TransportConfirmation,
    AssociateAcPdu,
    AssociateRjPdu,
    TransportIndication,
    AssociateRqPdu,
    AssociateAccept,
    AssociateReject,
    PDataRequest,
    PDataTfPdu,
    ReleaseRequest,
    ReleaseRqPdu,
    ReleaseRpPdu,
    ReleaseResponse,
    AbortRequest,
    AbortPdu,
    TransportClosed,
    ArtimExpired,
    /// A PDU that is not recognized, or whose parameters are wrong.
    InvalidPdu,
}

/// The actions of PS3.8 Tables 9-6 to 9-9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Request the transport connection.
    Ae1,
    /// Send A-ASSOCIATE-RQ.
    Ae2,
    /// Confirm: accepted.
    Ae3,
    /// Confirm: rejected, and close.
    Ae4,
    /// Accept the transport connection, start ARTIM.
    Ae5,
    /// Stop ARTIM, indicate the request.
    Ae6,
    /// Send A-ASSOCIATE-AC.
    Ae7,
    /// Send A-ASSOCIATE-RJ, start ARTIM.
    Ae8,
    /// Send P-DATA-TF.
    Dt1,
    /// Indicate data.
    Dt2,
    /// Send A-RELEASE-RQ.
    Ar1,
    /// Indicate the release.
    Ar2,
    /// Confirm the release, and close.
    Ar3,
    /// Send A-RELEASE-RP, start ARTIM.
    Ar4,
    /// Stop ARTIM.
    Ar5,
    /// Indicate data.
    Ar6,
    /// Send P-DATA-TF.
    Ar7,
    /// Indicate the release: both sides ask for it.
    Ar8,
    /// Send A-RELEASE-RP.
    Ar9,
    /// Confirm the release.
    Ar10,
    /// Send A-ABORT of the service-user, start ARTIM.
    Aa1,
    /// Stop ARTIM, close.
    Aa2,
    /// Indicate the abort, close.
    Aa3,
    /// Indicate that the provider has aborted.
    Aa4,
    /// Stop ARTIM.
    Aa5,
    /// Ignore the PDU.
    Aa6,
    /// Send A-ABORT.
    Aa7,
    /// Send A-ABORT of the service-provider, indicate it, start ARTIM.
    Aa8,
}

/// What an action does to ARTIM (PS3.8 §9.1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Artim {
    Start,
    Stop,
    Keep,
}

use Action::{
    Aa1, Aa2, Aa3, Aa4, Aa5, Aa6, Aa7, Aa8, Ae1, Ae2, Ae3, Ae4, Ae5, Ae6, Ae7, Ae8, Ar1, Ar2, Ar3, Ar4, Ar5,
    Ar6, Ar7, Ar8, Ar9, Ar10, Dt1, Dt2,
};

/// A cell of the table; `None` where the standard has an empty one.
type Cell = Option<Action>;
const NONE: Cell = None;

/// PS3.8 Table 9-10: events from top to bottom, states from left to right.
#[rustfmt::skip]
const TABLE: [[Cell; 13]; 19] = {
    const fn s(action: Action) -> Cell { Some(action) }
    const __: Cell = NONE;
    // Sta1     Sta2     Sta3     Sta4     Sta5     Sta6     Sta7     Sta8     Sta9     Sta10    Sta11    Sta12    Sta13
    [
        [s(Ae1), __,      __,      __,      __,      __,      __,      __,      __,      __,       __,      __,      __],
        [__,     __,      __,      s(Ae2),  __,      __,      __,      __,      __,      __,       __,      __,      __],
        [__,     s(Aa1),  s(Aa8),  __,      s(Ae3),  s(Aa8),  s(Aa8),  s(Aa8),  s(Aa8),  s(Aa8),   s(Aa8),  s(Aa8),  s(Aa6)],
        [__,     s(Aa1),  s(Aa8),  __,      s(Ae4),  s(Aa8),  s(Aa8),  s(Aa8),  s(Aa8),  s(Aa8),   s(Aa8),  s(Aa8),  s(Aa6)],
        [s(Ae5), __,      __,      __,      __,      __,      __,      __,      __,      __,       __,      __,      __],
        [__,     s(Ae6),  s(Aa8),  __,      s(Aa8),  s(Aa8),  s(Aa8),  s(Aa8),  s(Aa8),  s(Aa8),   s(Aa8),  s(Aa8),  s(Aa7)],
        [__,     __,      s(Ae7),  __,      __,      __,      __,      __,      __,      __,       __,      __,      __],
        [__,     __,      s(Ae8),  __,      __,      __,      __,      __,      __,      __,       __,      __,      __],
        [__,     __,      __,      __,      __,      s(Dt1),  __,      s(Ar7),  __,      __,       __,      __,      __],
        [__,     s(Aa1),  s(Aa8),  __,      s(Aa8),  s(Dt2),  s(Ar6),  s(Aa8),  s(Aa8),  s(Aa8),   s(Aa8),  s(Aa8),  s(Aa6)],
        [__,     __,      __,      __,      __,      s(Ar1),  __,      __,      __,      __,       __,      __,      __],
        [__,     s(Aa1),  s(Aa8),  __,      s(Aa8),  s(Ar2),  s(Ar8),  s(Aa8),  s(Aa8),  s(Aa8),   s(Aa8),  s(Aa8),  s(Aa6)],
        [__,     s(Aa1),  s(Aa8),  __,      s(Aa8),  s(Aa8),  s(Ar3),  s(Aa8),  s(Aa8),  s(Ar10),  s(Ar3),  s(Aa8),  s(Aa6)],
        [__,     __,      __,      __,      __,      __,      __,      s(Ar4),  s(Ar9),  __,       __,      s(Ar4),  __],
        [__,     __,      s(Aa1),  s(Aa2),  s(Aa1),  s(Aa1),  s(Aa1),  s(Aa1),  s(Aa1),  s(Aa1),   s(Aa1),  s(Aa1),  __],
        [__,     s(Aa2),  s(Aa3),  __,      s(Aa3),  s(Aa3),  s(Aa3),  s(Aa3),  s(Aa3),  s(Aa3),   s(Aa3),  s(Aa3),  s(Aa2)],
        [__,     s(Aa5),  s(Aa4),  s(Aa4),  s(Aa4),  s(Aa4),  s(Aa4),  s(Aa4),  s(Aa4),  s(Aa4),   s(Aa4),  s(Aa4),  s(Ar5)],
        [__,     s(Aa2),  __,      __,      __,      __,      __,      __,      __,      __,       __,      __,      s(Aa2)],
        [__,     s(Aa1),  s(Aa8),  __,      s(Aa8),  s(Aa8),  s(Aa8),  s(Aa8),  s(Aa8),  s(Aa8),   s(Aa8),  s(Aa8),  s(Aa7)],
    ]
};

/// The action for an event in a state.
fn action(state: State, event: Event) -> Cell {
    TABLE.get(event as usize).and_then(|row| row.get(state as usize)).copied().flatten()
}

impl Action {
    /// The next state. After AE-6 the request is judged, and a rejection is an event of its own.
    fn next(self, is_requestor: bool) -> State {
        match self {
            Ae1 => State::Sta4,
            Ae2 => State::Sta5,
            Ae3 | Ae7 | Dt1 | Dt2 => State::Sta6,
            Ae4 | Ar3 | Ar5 | Aa2 | Aa3 | Aa4 | Aa5 => State::Sta1,
            Ae5 => State::Sta2,
            Ae6 => State::Sta3,
            Ae8 | Ar4 | Aa1 | Aa6 | Aa7 | Aa8 => State::Sta13,
            Ar1 | Ar6 => State::Sta7,
            Ar2 | Ar7 => State::Sta8,
            Ar8 if is_requestor => State::Sta9,
            Ar8 => State::Sta10,
            Ar9 => State::Sta11,
            Ar10 => State::Sta12,
        }
    }

    fn artim(self) -> Artim {
        match self {
            Ae5 | Ae8 | Ar4 | Aa1 | Aa8 => Artim::Start,
            Ae4 | Ae6 | Ar3 | Ar5 | Aa2 | Aa3 | Aa4 | Aa5 => Artim::Stop,
            Ae1 | Ae2 | Ae3 | Ae7 | Dt1 | Dt2 | Ar1 | Ar2 | Ar6 | Ar7 | Ar8 | Ar9 | Ar10 | Aa6 | Aa7 => {
                Artim::Keep
            }
        }
    }
}

/// The state of one connection; both of its halves hold it.
#[derive(Debug, Clone)]
pub(super) struct Machine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    is_requestor: bool,
    /// How long ARTIM runs.
    artim: Duration,
    now: Mutex<Now>,
}

#[derive(Debug, Clone, Copy)]
struct Now {
    state: State,
    /// When ARTIM expires, while it runs.
    expires: Option<Instant>,
}

impl Machine {
    /// Of the association's requestor or its acceptor, idle.
    pub(super) fn new(is_requestor: bool, artim: Duration) -> Self {
        let now = Mutex::new(Now { state: State::Sta1, expires: None });
        Self(Arc::new(Shared { is_requestor, artim, now }))
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        // It is written in one go; a panic elsewhere cannot have broken it.
        self.0.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> State {
        self.now().state
    }

    /// Takes the action of an event, which the caller carries out; `None`, and no step, where the table has none.
    pub(super) fn on(&self, event: Event) -> Option<Action> {
        let mut now = self.now();
        let action = action(now.state, event)?;
        now.state = action.next(self.0.is_requestor);
        match action.artim() {
            Artim::Start => now.expires = Some(Instant::now() + self.0.artim),
            Artim::Stop => now.expires = None,
            Artim::Keep => {}
        }
        Some(action)
    }

    /// The same for something that we ask for ourselves.
    ///
    /// # Errors
    /// `GivenUp` when it cannot be asked for in this state.
    pub(super) fn ask(&self, event: Event) -> Result<Action> {
        let state = self.state();
        self.on(event).ok_or_else(|| Error::GivenUp(format!("{event:?} is not possible in {state:?}")))
    }

    /// The same for a PDU that has come.
    ///
    /// # Errors
    /// `Protocol` when it ends the association (AA-1, AA-8).
    pub(super) fn receive(&self, event: Event) -> Result<Action> {
        match self.ask(event)? {
            Aa1 => Err(Error::protocol(AbortReason::ServiceUser, "a PDU came before the association")),
            Aa8 => Err(Error::protocol(AbortReason::UnexpectedPdu, "a PDU came that cannot come now")),
            action => Ok(action),
        }
    }

    /// That of an association that was accepted.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn established() -> Self {
        let machine = Self::new(false, Duration::from_secs(30));
        machine.now().state = State::Sta6;
        machine
    }

    /// Waits until ARTIM expires; for ever while it does not run. To be called anew after each event.
    pub(super) async fn artim(&self) {
        let expires = self.now().expires;
        match expires {
            Some(expires) => sleep_until(expires).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const STATES: [State; 13] = [
        State::Sta1,
        State::Sta2,
        State::Sta3,
        State::Sta4,
        State::Sta5,
        State::Sta6,
        State::Sta7,
        State::Sta8,
        State::Sta9,
        State::Sta10,
        State::Sta11,
        State::Sta12,
        State::Sta13,
    ];

    const EVENTS: [Event; 19] = [
        Event::AssociateRequest,
        Event::TransportConfirmation,
        Event::AssociateAcPdu,
        Event::AssociateRjPdu,
        Event::TransportIndication,
        Event::AssociateRqPdu,
        Event::AssociateAccept,
        Event::AssociateReject,
        Event::PDataRequest,
        Event::PDataTfPdu,
        Event::ReleaseRequest,
        Event::ReleaseRqPdu,
        Event::ReleaseRpPdu,
        Event::ReleaseResponse,
        Event::AbortRequest,
        Event::AbortPdu,
        Event::TransportClosed,
        Event::ArtimExpired,
        Event::InvalidPdu,
    ];

    /// Table 9-10 as pynetdicom 3.0.4 has it, which has read the standard by itself.
    const OTHERS: &str = "\
        AE-1     -     -     -     -     -     -     -     -     -     -     -     -
           -     -     -  AE-2     -     -     -     -     -     -     -     -     -
           -  AA-1  AA-8     -  AE-3  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
           -  AA-1  AA-8     -  AE-4  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
        AE-5     -     -     -     -     -     -     -     -     -     -     -     -
           -  AE-6  AA-8     -  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
           -     -  AE-7     -     -     -     -     -     -     -     -     -     -
           -     -  AE-8     -     -     -     -     -     -     -     -     -     -
           -     -     -     -     -  DT-1     -  AR-7     -     -     -     -     -
           -  AA-1  AA-8     -  AA-8  DT-2  AR-6  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
           -     -     -     -     -  AR-1     -     -     -     -     -     -     -
           -  AA-1  AA-8     -  AA-8  AR-2  AR-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
           -  AA-1  AA-8     -  AA-8  AA-8  AR-3  AA-8  AA-8 AR-10  AR-3  AA-8  AA-6
           -     -     -     -     -     -     -  AR-4  AR-9     -     -  AR-4     -
           -     -  AA-1  AA-2  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1     -
           -  AA-2  AA-3     -  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-2
           -  AA-5  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AR-5
           -  AA-2     -     -     -     -     -     -     -     -     -     -  AA-2
           -  AA-1  AA-8     -  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7";

    fn name(action: Cell) -> String {
        action.map_or("-".to_owned(), |action| {
            let name = format!("{action:?}").to_uppercase();
            let (kind, number) = name.split_at(2);
            format!("{kind}-{number}")
        })
    }

    fn machine(is_requestor: bool, state: State) -> Machine {
        let machine = Machine::new(is_requestor, Duration::from_secs(30));
        machine.now().state = state;
        machine
    }

    #[test]
    fn every_cell_is_that_of_table_9_10() {
        let rows: Vec<Vec<&str>> = OTHERS.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!((rows.len(), rows[0].len()), (EVENTS.len(), STATES.len()));
        for (event, row) in EVENTS.into_iter().zip(&rows) {
            for (state, expected) in STATES.into_iter().zip(row) {
                assert_eq!(name(action(state, event)), *expected, "{event:?} in {state:?}");
                let machine = machine(true, state);
                let taken = machine.on(event);
                assert_eq!(machine.state(), taken.map_or(state, |action| action.next(true)));
            }
        }
    }

    /// The ways through the table that PS3.8 §9.2.1 draws, to where they end.
    #[rstest]
    #[case::requested_and_released(true, &[Event::AssociateRequest, Event::TransportConfirmation, Event::AssociateAcPdu,
        Event::PDataRequest, Event::PDataTfPdu, Event::ReleaseRequest, Event::PDataTfPdu, Event::ReleaseRpPdu], State::Sta1)]
    #[case::rejected(true, &[Event::AssociateRequest, Event::TransportConfirmation, Event::AssociateRjPdu], State::Sta1)]
    #[case::accepted_and_released(false, &[Event::TransportIndication, Event::AssociateRqPdu, Event::AssociateAccept,
        Event::ReleaseRqPdu, Event::PDataRequest, Event::ReleaseResponse, Event::TransportClosed], State::Sta1)]
    #[case::refused(false, &[Event::TransportIndication, Event::AssociateRqPdu, Event::AssociateReject,
        Event::AssociateRqPdu, Event::ArtimExpired], State::Sta1)]
    #[case::collision_as_requestor(true, &[Event::AssociateRequest, Event::TransportConfirmation, Event::AssociateAcPdu,
        Event::ReleaseRequest, Event::ReleaseRqPdu, Event::ReleaseResponse, Event::ReleaseRpPdu], State::Sta1)]
    #[case::collision_as_acceptor(false, &[Event::TransportIndication, Event::AssociateRqPdu, Event::AssociateAccept,
        Event::ReleaseRequest, Event::ReleaseRqPdu, Event::ReleaseRpPdu, Event::ReleaseResponse], State::Sta13)]
    fn an_association_goes_its_way(
        #[case] is_requestor: bool,
        #[case] events: &[Event],
        #[case] ends: State,
    ) {
        let machine = Machine::new(is_requestor, Duration::from_secs(30));
        for event in events {
            assert!(machine.on(*event).is_some(), "{event:?} in {:?}", machine.state());
        }
        assert_eq!(machine.state(), ends);
    }

    #[tokio::test]
    async fn artim_runs_while_a_peer_owes_us_a_request_or_a_close() {
        let machine = Machine::new(false, Duration::from_millis(20));
        let begun = Instant::now();
        let runs = |machine: &Machine| machine.now().expires.is_some();
        assert!(!runs(&machine));
        machine.on(Event::TransportIndication);
        machine.artim().await;
        assert!(begun.elapsed() >= Duration::from_millis(20));
        machine.on(Event::AssociateRqPdu);
        assert!(!runs(&machine));
        machine.on(Event::AssociateReject);
        assert!(runs(&machine));
        machine.on(Event::AssociateAcPdu);
        assert!(runs(&machine), "what is ignored changes nothing");
        machine.on(Event::ArtimExpired);
        assert!(!runs(&machine) && machine.state() == State::Sta1);
    }
}
