//! What a subscriber of workitems has not heard yet, as a line of the register for each, whatever node it is told by.
//!
//! PS3.4 §CC.2.4.3 obliges nobody to keep a report that could not be told. They are kept all the same for who comes back,
//! so many and for so long: behind that it asks for the workitems themselves.

use serde::{Deserialize, Serialize};

use crate::hex::{from_hex, hex};
use crate::model::{Attributes, Encoding, SopInstanceUid};
use crate::workitem::{StepEvent, StepReport};
use crate::{Error, Result};

/// Its kind in the register.
pub(crate) const OUTBOX: &str = "workitem-reports";
/// Reports of one subscriber, and the digits of what they say.
const MOST: usize = 1024;
const MOST_DIGITS: usize = 1 << 20;
/// How long one is kept that nobody hears, in milliseconds.
const KEPT: u64 = 7 * 24 * 3_600_000;
/// How long one is kept that was heard: another connection of the same subscriber may hear it a moment later.
const HEARD: u64 = 10_000;

/// Reports in their order, counted from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Outbox {
    /// How many there were.
    last: u64,
    /// The last one that was told.
    heard: u64,
    reports: Vec<Kept>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Kept {
    number: u64,
    /// In milliseconds since 1970.
    at: u64,
    workitem: String,
    event: StepEvent,
    /// The data set in Explicit VR Little Endian, in hexadecimal digits.
    information: String,
}

impl Outbox {
    pub(crate) fn read(name: &str, body: &str) -> Result<Self> {
        let wrong = || Error::corrupt(format!("reports for subscriber {name} of the register"));
        serde_json::from_str(body).map_err(|cause| wrong().with_source(cause))
    }

    pub(crate) fn body(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|cause| Error::internal("reports are no JSON").with_source(cause))
    }

    /// Adds some, and forgets what has to go for them: the oldest.
    pub(crate) fn add<'a>(&mut self, reports: impl IntoIterator<Item = &'a StepReport>, now: u64) {
        for report in reports {
            self.last += 1;
            self.reports.push(Kept {
                number: self.last,
                at: now,
                workitem: report.workitem.to_string(),
                event: report.event,
                information: hex(&report.information.write(Encoding::ExplicitLittle)),
            });
        }
        let heard = self.heard;
        self.reports.retain(|kept| kept.at + if kept.number > heard { KEPT } else { HEARD } > now);
        let (mut count, mut digits) = (0, 0);
        let fits = |kept: &&Kept| {
            (count, digits) = (count + 1, digits + kept.information.len());
            count <= MOST && (digits <= MOST_DIGITS || count == 1)
        };
        let left = self.reports.iter().rev().take_while(fits).count();
        self.reports.drain(..self.reports.len() - left);
    }

    /// The last one that was told.
    pub(crate) fn heard(&self) -> u64 {
        self.heard
    }

    /// Notes that it was told up to here; gives whether that is new.
    pub(crate) fn hear(&mut self, number: u64) -> bool {
        let is_new = number > self.heard;
        self.heard = self.heard.max(number);
        is_new
    }

    /// Forgets all that was not heard; gives whether there was anything.
    pub(crate) fn forget(&mut self) -> bool {
        self.heard = self.last;
        !std::mem::take(&mut self.reports).is_empty()
    }

    /// Those behind one, with their numbers.
    ///
    /// # Errors
    /// `Corrupt` when one cannot be read.
    pub(crate) fn behind(&self, number: u64) -> Result<Vec<(u64, StepReport)>> {
        let behind = self.reports.iter().filter(|kept| kept.number > number);
        behind.map(|kept| Ok((kept.number, kept.report()?))).collect()
    }
}

impl Kept {
    fn report(&self) -> Result<StepReport> {
        let bytes = from_hex(&self.information).ok_or_else(|| Error::corrupt("a report of the register"))?;
        Ok(StepReport {
            workitem: SopInstanceUid::parse(&self.workitem)?,
            event: self.event,
            information: Attributes::read(bytes.into(), Encoding::ExplicitLittle)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use dicom::dictionary_std::tags;

    use super::*;
    use crate::model::VR;

    fn report(number: u64, text: &str) -> StepReport {
        let mut information = Attributes::new();
        information.put_text(tags::REASON_FOR_CANCELLATION, VR::LT, text);
        let workitem = SopInstanceUid::parse(&format!("2.25.{number}")).unwrap();
        StepReport { workitem, event: StepEvent::CancelRequested, information }
    }

    fn numbers(outbox: &Outbox, behind: u64) -> Vec<u64> {
        outbox.behind(behind).unwrap().into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn what_was_not_heard_comes_back_in_its_order_from_the_register() {
        let mut outbox = Outbox::default();
        let said = [report(7, "một"), report(8, "hai")];
        outbox.add(&said, 1000);
        let again = Outbox::read("WATCH", &outbox.body().unwrap()).unwrap();
        let told = again.behind(0).unwrap().into_iter().map(|(number, report)| {
            let said = report.information.text(tags::REASON_FOR_CANCELLATION).unwrap();
            (number, report.workitem.to_string(), report.event, said)
        });
        let told: Vec<_> = told.collect();
        let expected = [(1, "2.25.7", "một"), (2, "2.25.8", "hai")];
        let expected = expected.map(|(number, workitem, said)| {
            (number, workitem.to_owned(), StepEvent::CancelRequested, said.to_owned())
        });
        assert_eq!(told, expected);
        assert!(outbox.hear(1) && !outbox.hear(1));
        outbox.add(&[report(9, "ba")], 2000);
        assert_eq!((outbox.heard(), numbers(&outbox, 1)), (1, vec![2, 3]));
        // Whoever listens goes on counting.
        assert!(outbox.forget() && !outbox.forget());
        outbox.add(&[report(9, "bốn")], 3000);
        assert_eq!((outbox.heard(), numbers(&outbox, 0)), (3, vec![4]));
    }

    #[test]
    fn what_was_heard_goes_soon_and_what_nobody_hears_at_last() {
        let mut outbox = Outbox::default();
        outbox.add(&[report(1, "a"), report(2, "b")], 1000);
        outbox.hear(1);
        outbox.add(&[], 1000 + HEARD - 1);
        assert_eq!(numbers(&outbox, 0), [1, 2]);
        outbox.add(&[], 1000 + HEARD);
        assert_eq!(numbers(&outbox, 0), [2]);
        outbox.add(&[report(3, "c")], 1000 + KEPT);
        assert_eq!(numbers(&outbox, 0), [3]);
    }

    #[test]
    fn the_oldest_make_room_and_the_newest_stays_whatever_its_size() {
        let mut outbox = Outbox::default();
        let many: Vec<_> = (1..=2000).map(|number| report(number, "x")).collect();
        outbox.add(&many, 1000);
        assert_eq!((numbers(&outbox, 0).len(), numbers(&outbox, 1999)), (MOST, vec![2000]));
        outbox.add(&[report(1, &"y".repeat(MOST_DIGITS / 4))], 1000);
        outbox.add(&[report(2, &"y".repeat(MOST_DIGITS / 4))], 1000);
        assert_eq!(numbers(&outbox, 0), [2002]);
        outbox.add(&[report(3, &"y".repeat(MOST_DIGITS))], 1000);
        assert_eq!(numbers(&outbox, 0), [2003]);
    }
}
