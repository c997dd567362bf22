//! Status codes of responses (PS3.7 Annex C, PS3.4 §B.2.3, §C.4).

use std::fmt;

/// Status (0000,0900).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

impl Status {
    pub const SUCCESS: Self = Self(0x0000);
    pub const CANCEL: Self = Self(0xFE00);
    pub const PENDING: Self = Self(0xFF00);
    /// Pending, and some optional keys were not supported.
    pub const PENDING_WITH_WARNING: Self = Self(0xFF01);

    /// Of N-GET: some of what was asked for is not there.
    pub const ATTRIBUTES_NOT_SUPPORTED: Self = Self(0x0001);
    pub const INVALID_ATTRIBUTE_VALUE: Self = Self(0x0106);
    /// A warning: some attributes were passed over.
    pub const ATTRIBUTE_LIST_ERROR: Self = Self(0x0107);
    pub const PROCESSING_FAILURE: Self = Self(0x0110);
    pub const DUPLICATE_SOP_INSTANCE: Self = Self(0x0111);
    pub const NO_SUCH_SOP_INSTANCE: Self = Self(0x0112);
    pub const NO_SUCH_EVENT_TYPE: Self = Self(0x0113);
    pub const INVALID_ARGUMENT_VALUE: Self = Self(0x0115);
    pub const NO_SUCH_SOP_CLASS: Self = Self(0x0118);
    pub const INVALID_SOP_INSTANCE: Self = Self(0x0117);
    pub const CLASS_INSTANCE_CONFLICT: Self = Self(0x0119);
    pub const MISSING_ATTRIBUTE: Self = Self(0x0120);
    pub const MISSING_ATTRIBUTE_VALUE: Self = Self(0x0121);
    pub const SOP_CLASS_NOT_SUPPORTED: Self = Self(0x0122);
    pub const NO_SUCH_ACTION_TYPE: Self = Self(0x0123);
    pub const NOT_AUTHORIZED: Self = Self(0x0124);
    /// The Message ID is that of an operation that is under way.
    pub const DUPLICATE_INVOCATION: Self = Self(0x0210);
    pub const UNRECOGNIZED_OPERATION: Self = Self(0x0211);
    pub const MISTYPED_ARGUMENT: Self = Self(0x0212);
    pub const RESOURCE_LIMITATION: Self = Self(0x0213);

    pub const OUT_OF_RESOURCES: Self = Self(0xA700);
    pub const UNABLE_TO_PERFORM_SUB_OPERATIONS: Self = Self(0xA702);
    pub const MOVE_DESTINATION_UNKNOWN: Self = Self(0xA801);
    /// Of C-STORE: the data set does not match the SOP class. Of queries: the identifier does not.
    pub const DOES_NOT_MATCH_SOP_CLASS: Self = Self(0xA900);
    /// Of C-STORE: cannot understand. Of queries: unable to process.
    pub const CANNOT_UNDERSTAND: Self = Self(0xC000);

    /// Of C-STORE: coercion of data elements. Of retrieves: sub-operations with failures or warnings.
    pub const WARNING: Self = Self(0xB000);

    pub const fn is_pending(self) -> bool {
        matches!(self, Self::PENDING | Self::PENDING_WITH_WARNING)
    }

    /// Of the class Warning (PS3.7 §C.3): 0001H, Bxxx, and 0107H and 0116H.
    pub const fn is_warning(self) -> bool {
        matches!(self.0, 0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}H", self.0)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
