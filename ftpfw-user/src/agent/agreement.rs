//! Two engines, one code: the kernel's, which arms, and the agent's, over its own copy of the stream.
//! Where they conclude differently, somebody was told a lie or there is a bug, and it is said.

use std::{collections::VecDeque, fmt};

use ftpfw_common::{
    abi::{
        event::{Direction, EventHeader, Kind},
        values::Mode,
    },
    control::Conclusion,
    reason::Refusal,
};

/// A conclusion that both must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Armed(Mode, u16),
    /// The engine refused it.
    Refused(Refusal),
    /// The engine would have armed this port; what only the kernel can know was against it.
    Prevented(Refusal, u16),
    Opaque,
    Plain,
}

impl Verdict {
    /// What a conclusion of the agent's says about the kernel; `None` for what leaves no trace there.
    fn expected(conclusion: Conclusion) -> Option<Self> {
        Some(match conclusion {
            Conclusion::ArmPassive { port, .. } => Self::Armed(Mode::Passive, port),
            Conclusion::ArmActive { port, .. } => Self::Armed(Mode::Active, port),
            Conclusion::Refused(refusal) => Self::Refused(refusal),
            Conclusion::Opaque => Self::Opaque,
            Conclusion::Plain => Self::Plain,
            Conclusion::WithdrawActive { .. } | Conclusion::Withdraw(_) | Conclusion::LoggedIn => {
                return None;
            }
        })
    }

    /// What a record of the kernel's says; `None` for one that is no conclusion.
    fn heard(header: &EventHeader) -> Option<Self> {
        match Kind::from_u16(header.kind)? {
            Kind::Armed => Some(Self::Armed(Mode::from_u8(header.detail)?, header.port)),
            Kind::Refused => {
                let refusal = Refusal::from_u32(header.number)?;
                Some(match header.port {
                    0 => Self::Refused(refusal),
                    port => Self::Prevented(refusal, port),
                })
            }
            // On a port of implicit TLS there was nothing to conclude it from.
            Kind::Opaque if header.direction == Direction::Server as u8 => Some(Self::Opaque),
            Kind::Plain => Some(Self::Plain),
            _ => None,
        }
    }

    fn agrees(self, heard: Self) -> bool {
        match (self, heard) {
            (Self::Armed(_, expected), Self::Prevented(_, port)) => expected == port,
            _ => self == heard,
        }
    }
}

/// A difference, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disagreement {
    expected: Option<Verdict>,
    heard: Option<Verdict>,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |verdict: Option<Verdict>| match verdict {
            None => "nothing".to_owned(),
            Some(Verdict::Armed(mode, port)) => format!("arm {} port {port}", mode.name()),
            Some(Verdict::Refused(refusal)) => format!("refuse: {}", refusal.name()),
            Some(Verdict::Prevented(refusal, port)) => {
                format!("refuse port {port}: {}", refusal.name())
            }
            Some(Verdict::Opaque) => "TLS".to_owned(),
            Some(Verdict::Plain) => "plain text".to_owned(),
        };
        let (kernel, agent) = (text(self.heard), text(self.expected));
        write!(
            f,
            "kernel and agent disagree; the kernel: {kernel}; the agent: {agent}"
        )
    }
}

/// What the agent of one session expects to hear from the kernel, in order.
#[derive(Debug, Default)]
pub struct Agreement {
    expected: [VecDeque<Verdict>; 2],
    /// Records were lost, or the agent came later: nothing can be compared any more.
    doubted: bool,
}

impl Agreement {
    /// Compares nothing from here on.
    pub fn doubt(&mut self) {
        self.doubted = true;
        self.expected.iter_mut().for_each(VecDeque::clear);
    }

    /// The agent concluded this from bytes of `direction`. What it still expected of earlier bytes
    /// the kernel did not conclude: its records come right behind the bytes.
    pub fn expect(
        &mut self,
        direction: Direction,
        concluded: &[Conclusion],
    ) -> Option<Disagreement> {
        if self.doubted {
            return None;
        }
        let expected = &mut self.expected[direction as usize];
        let missed = expected.pop_front();
        expected.clear();
        expected.extend(concluded.iter().copied().filter_map(Verdict::expected));
        missed.map(|missed| Disagreement {
            expected: Some(missed),
            heard: None,
        })
    }

    /// The kernel concluded this.
    pub fn hear(&mut self, header: &EventHeader) -> Option<Disagreement> {
        let heard = Verdict::heard(header)?;
        if self.doubted {
            return None;
        }
        let queue = &mut self.expected[Direction::from_u8(header.direction) as usize];
        let expected = queue.pop_front();
        if expected.is_some_and(|expected| expected.agrees(heard)) {
            return None;
        }
        queue.clear();
        Some(Disagreement {
            expected,
            heard: Some(heard),
        })
    }
}

#[cfg(test)]
mod tests {
    use ftpfw_common::{Address, abi::keys::SessionKey, reason::Negotiation};

    use super::*;

    fn header(kind: Kind, number: u32, port: u16, detail: u8) -> EventHeader {
        let address = Address::UNSPECIFIED;
        let key = SessionKey {
            client: address,
            server: address,
            client_port: 1,
            server_port: 21,
        };
        let (kind, direction) = (kind as u16, Direction::Server as u8);
        EventHeader {
            at: 0,
            session: 1,
            key,
            kind,
            length: 0,
            sequence: 0,
            number,
            port,
            direction,
            detail,
            reserved: 0,
        }
    }

    const ARM: Conclusion = Conclusion::ArmPassive {
        port: 50_000,
        by: Negotiation::Pasv,
    };

    #[test]
    fn the_same_conclusions_are_no_event() {
        let mut agreement = Agreement::default();
        let refused = Conclusion::Refused(Refusal::Bounce);
        assert_eq!(agreement.expect(Direction::Server, &[refused, ARM]), None);
        assert_eq!(
            agreement.hear(&header(Kind::Refused, Refusal::Bounce as u32, 0, 0)),
            None
        );
        assert_eq!(agreement.hear(&header(Kind::Armed, 0, 50_000, 1)), None);
        assert_eq!(agreement.expect(Direction::Server, &[ARM]), None);
        // Only the kernel knows whether anything listens.
        let prevented = header(Kind::Refused, Refusal::NotListening as u32, 50_000, 0);
        assert_eq!(agreement.hear(&prevented), None);
        assert_eq!(agreement.expect(Direction::Server, &[]), None);
    }

    #[test]
    fn every_difference_is_one_event() {
        let mut agreement = Agreement::default();
        assert!(
            agreement.hear(&header(Kind::Armed, 0, 50_000, 1)).is_some(),
            "unexpected"
        );
        assert_eq!(agreement.expect(Direction::Server, &[ARM]), None);
        assert!(
            agreement.hear(&header(Kind::Armed, 0, 50_001, 1)).is_some(),
            "another port"
        );
        assert_eq!(agreement.expect(Direction::Server, &[ARM]), None);
        assert!(
            agreement.expect(Direction::Server, &[]).is_some(),
            "the kernel armed nothing"
        );
        assert_eq!(agreement.expect(Direction::Client, &[]), None);
        agreement.doubt();
        assert_eq!(agreement.hear(&header(Kind::Armed, 0, 50_000, 1)), None);
    }
}
