//! The TC programs, fed by BPF_PROG_TEST_RUN.

use anyhow::{Context as _, Result, bail};
use aya::{
    maps::{HashMap, Map, MapData, RingBuf, loaded_maps},
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
};
use ftpfw_common::{
    abi::{
        self,
        event::Direction,
        keys::{SessionKey, TupleKey},
        policy::Settings,
        values::Session,
    },
    control::State,
    reason::Reason,
};
use ftpfw_user::{
    config::PortPolicy,
    kernel::{Counters, Kernel, LoadOptions, Wire, tuples::Tuples},
};
use zerocopy::FromBytes as _;

use crate::{model::OPEN_PORT, segment::Segment, told::Told, world::Connection};

const PASS: u32 = -1_i32 as u32;
const DROP: u32 = 2;

type Sessions = HashMap<MapData, Wire<SessionKey>, [u8; size_of::<Session>()]>;

/// The programs and their maps.
pub struct Engine {
    kernel: Kernel,
    events: RingBuf<MapData>,
    sessions: Sessions,
    tuples: Tuples,
}

impl Engine {
    /// Loads the programs; they are attached to nothing.
    pub fn new() -> Result<Self> {
        let options = LoadOptions {
            ports: PortPolicy {
                open: vec![format!("{OPEN_PORT}/tcp").parse().expect("a port")],
                ..PortPolicy::default()
            },
            // Nobody counts down what `forget` removes.
            settings: Settings {
                sessions_per_client: u32::MAX,
                ..Settings::DEFAULT
            },
            ..LoadOptions::default()
        };
        let mut kernel = Kernel::load(&options)?;
        let sessions = sessions(kernel.replies()?)?;
        let events = kernel.maps().events()?;
        let tuples = kernel.maps().tuples()?;
        Ok(Self {
            kernel,
            events,
            sessions,
            tuples,
        })
    }

    /// What the programs make of a segment.
    pub fn take(&mut self, connection: &Connection, segment: &Segment) -> Result<Vec<Told>> {
        let program = match segment.direction {
            Direction::Client => self.kernel.commands()?,
            Direction::Server => self.kernel.replies()?,
        };
        let frame = segment.frame(connection);
        let options = TestRunOptions {
            data_in: Some(&frame),
            ..TestRunOptions::new()
        };
        let action = program.test_run(options)?.return_value;
        let mut told = Vec::new();
        while let Some(record) = self.events.next() {
            told.extend(Told::read(&record)?);
        }
        match action {
            PASS => {}
            DROP if segment.damaged => told.push(Told::Dropped(Reason::ControlChecksum)),
            DROP => told.push(Told::Dropped(Reason::ControlOutOfOrder)),
            other => bail!("the program returned {other}"),
        }
        Ok(told)
    }

    /// All that is armed.
    pub fn armed(&self) -> Result<Vec<TupleKey>> {
        Ok(self.tuples.all()?.into_iter().map(|(key, _)| key).collect())
    }

    /// How many tuples the filter believes to be armed for a port.
    pub fn count(&self, port: u16) -> u32 {
        self.tuples.ports().get(port).armed()
    }

    /// The state of a session, as far as what was said makes it; `None` where there is none.
    pub fn state(&self, connection: &Connection) -> Option<State> {
        let bytes = self.sessions.get(&Wire(connection.key()), 0).ok()?;
        let session = Session::read_from_bytes(&bytes).ok()?;
        Some(State(session.shared.state().0 & !State::ADOPTED))
    }

    pub fn counters(&self) -> Result<Counters> {
        self.kernel.maps().counters()
    }

    /// Removes a session, as the tracepoint does when its socket closes, and all tuples.
    pub fn forget(&mut self, connection: &Connection) -> Result<()> {
        // A dialogue in which the server said nothing has none.
        let _ = self.sessions.remove(&Wire(connection.key()));
        for key in self.armed()? {
            self.tuples.withdraw(&key)?;
        }
        Ok(())
    }
}

/// The map of sessions, for writing: the product itself has no need of that.
fn sessions(program: &SchedClassifier) -> Result<Sessions> {
    let ids = program.info()?.map_ids()?.context("a kernel before 4.15")?;
    for map in loaded_maps() {
        let map = map?;
        if ids.contains(&map.id()) && map.name_as_str() == Some(abi::maps::SESSIONS) {
            let map = Map::from_map_data(MapData::from_id(map.id())?)?;
            return Ok(HashMap::try_from(map)?);
        }
    }
    bail!("the program has no map {}", abi::maps::SESSIONS)
}
