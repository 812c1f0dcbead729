//! Frames as text, in top/frames: a diff shows what has moved. `FTPFW_BLESS=1` writes them anew.

use std::{collections::BTreeMap, env, fs, path::Path};

use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers},
    style::{Color, Modifier},
};

use super::{
    draw::draw,
    look::{Look, Transfer},
    state::{Pane, State, Wish},
};
use crate::query::model::{
    AgentRow, InterfaceRow, PolicyRow, RunningRow, SessionRow, Stats, TupleRow,
};

fn empty() -> Look {
    Look {
        at_ms: 1_000,
        clock: "14:02:11".to_owned(),
        agent: Err("no agent: users, commands and progress are not known".to_owned()),
        policy: PolicyRow {
            opener: "inline",
            ftps: "listener",
            dry_run: false,
            control_ports: vec![21],
            tuple_lifetime_ms: 120_000,
        },
        sessions: Vec::new(),
        transfers: Vec::new(),
        tuples: Vec::new(),
        stats: Stats {
            interfaces: vec![InterfaceRow {
                name: "eth0".to_owned(),
                mode: "native".to_owned(),
                passed: 0,
                dropped: 0,
            }],
            pass: BTreeMap::new(),
            drop: BTreeMap::from([("not-armed", 0)]),
            would_drop: BTreeMap::new(),
            negotiations: BTreeMap::new(),
            refused: BTreeMap::new(),
            events_lost: 0,
            losses: BTreeMap::new(),
        },
    }
}

fn session(id: u64) -> SessionRow {
    SessionRow {
        id,
        client: format!("192.0.2.{}", id % 250).parse().unwrap(),
        client_port: 40_000,
        server: "198.51.100.1".parse().unwrap(),
        server_port: 21,
        user: Some(format!("user{id}")),
        state: "logged-in".to_owned(),
        tls: false,
        adopted: false,
        last_command: Some(format!("RETR pub/images/disk-{id}.iso")),
        transfers: id % 7,
        bytes_in: 120,
        bytes_out: 4_096,
        age_ms: id * 1_000,
    }
}

/// Ten thousand bytes a second for each number below it; the server has told every other length.
fn transfer(id: u64, at_ms: u64) -> Transfer {
    let row = RunningRow {
        client: format!("192.0.2.{}", id % 250).parse().unwrap(),
        client_port: 41_000,
        server: "198.51.100.1".parse().unwrap(),
        port: u16::try_from(50_000 + id).unwrap(),
        mode: "passive".to_owned(),
        session: Some(id),
        user: Some(format!("user{id}")),
        command: Some("RETR".to_owned()),
        path: Some(format!("pub/images/disk-{id}.iso")),
        direction: Some("download".to_owned()),
        bytes: Some(id * 10 * at_ms),
        length: (id % 2 == 1).then_some(20_000_000),
        duration_ms: at_ms + id,
        bytes_per_second: Some(id * 10_000),
    };
    Transfer { row, rate: None }
}

fn tuple(id: u64) -> TupleRow {
    TupleRow {
        client: format!("192.0.2.{}", id % 250).parse().unwrap(),
        client_port: None,
        server: "198.51.100.1".parse().unwrap(),
        port: Some(u16::try_from(50_000 + id).unwrap()),
        mode: "passive".to_owned(),
        state: "armed".to_owned(),
        session: Some(id),
        age_ms: id * 500,
        expires_in_ms: Some(120_000 - id * 500),
    }
}

/// More of everything than there are lines, and one client with a long address.
fn full(at_ms: u64, drops: u64) -> Look {
    let mut look = empty();
    look.at_ms = at_ms;
    look.agent = Ok(AgentRow {
        pid: 812,
        version: "0.1.0".to_owned(),
        uptime_ms: 200_000,
        opener: "inline".to_owned(),
        dry_run: false,
        disagreements: 0,
        contradictions: 0,
        log_left_out: 0,
    });
    look.sessions = (1..=40).map(session).collect();
    look.sessions[0].client = "2001:db8:1234:5678:9abc:def0:1234:5678".parse().unwrap();
    look.transfers = (1..=30).map(|id| transfer(id, at_ms)).collect();
    look.tuples = (31..=60).map(tuple).collect();
    look.stats.interfaces[0].passed = at_ms * 20;
    look.stats.interfaces[0].dropped = drops;
    look.stats.drop = BTreeMap::from([
        ("not-armed", drops),
        ("udp-unsolicited", drops / 4),
        ("malformed", 3),
        ("bad-fragment", 0),
    ]);
    look
}

/// Sixty looks, a second apart, with drops that come and go.
fn busy() -> State {
    let mut state = State::new(full(1_000, 0), true);
    let mut drops = 0;
    for second in 2..=61 {
        drops += 100 * (second % 9);
        state.update(full(second * 1_000, drops));
    }
    state
}

fn drawn(state: &State, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(state, frame)).unwrap();
    terminal
}

/// The frame, without blanks at the ends of lines.
fn text(state: &State, width: u16, height: u16) -> String {
    let terminal = drawn(state, width, height);
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for y in 0..height {
        let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn compare(name: &str, state: &State, width: u16, height: u16) {
    let frame = text(state, width, height);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/top/frames/{name}.txt"));
    if env::var_os("FTPFW_BLESS").is_some() {
        fs::write(&path, &frame).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        frame == expected,
        "not as in {} (FTPFW_BLESS=1 writes it):\n{frame}",
        path.display()
    );
}

fn press(state: &mut State, keys: &[KeyCode]) -> Wish {
    let mut wish = Wish::Watch;
    for key in keys {
        wish = state.on(&Event::Key(KeyEvent::new(*key, KeyModifiers::NONE)));
    }
    wish
}

fn typed(state: &mut State, text: &str) -> Wish {
    let keys: Vec<_> = text.chars().map(KeyCode::Char).collect();
    press(state, &keys)
}

#[test]
fn frames() {
    let nothing = State::new(empty(), true);
    compare("empty-80x24", &nothing, 80, 24);
    compare("empty-170x40", &nothing, 170, 40);
    compare("full-80x24", &busy(), 80, 24);
    compare("full-170x40", &busy(), 170, 40);
    let mut help = busy();
    typed(&mut help, "?");
    compare("help-80x24", &help, 80, 24);
}

/// Whatever its size, it is drawn.
#[test]
fn no_size_is_too_small_to_say_so() {
    let state = busy();
    for (width, height) in [(1, 1), (20, 3), (59, 40), (200, 15), (60, 16), (500, 200)] {
        text(&state, width, height);
    }
    assert!(text(&state, 59, 40).contains("needs 60×16"));
    assert!(text(&state, 60, 16).contains("Sessions"));
}

#[test]
fn quit_and_suspend() {
    let mut state = busy();
    assert_eq!(typed(&mut state, "q"), Wish::Quit);
    for (key, wish) in [('c', Wish::Quit), ('z', Wish::Suspend), ('x', Wish::Watch)] {
        let key = KeyEvent::new(KeyCode::Char(key), KeyModifiers::CONTROL);
        assert_eq!(state.on(&Event::Key(key)), wish);
    }
    // A letter of the filter is no command.
    assert_eq!(typed(&mut state, "/q"), Wish::Watch);
    assert_eq!(state.filter, "q");
}

#[test]
fn panes_turn_both_ways() {
    let mut state = busy();
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(state.pane);
        press(&mut state, &[KeyCode::Tab]);
    }
    assert_eq!(seen, Pane::ALL);
    press(&mut state, &[KeyCode::BackTab]);
    assert_eq!(state.pane, Pane::Drops);
}

#[test]
fn the_filter_is_for_clients() {
    let mut state = busy();
    typed(&mut state, "/2.2");
    press(&mut state, &[KeyCode::Enter]);
    let clients: Vec<_> = state
        .sessions()
        .iter()
        .map(|row| row.client.to_string())
        .collect();
    // 192.0.2.2, and those of 20 to 29.
    assert_eq!(clients.len(), 11, "{clients:?}");
    assert!(text(&state, 120, 40).contains("Sessions 11 of 40"));
    assert!(text(&state, 120, 40).contains("only clients with 2.2"));
    press(&mut state, &[KeyCode::Esc]);
    assert_eq!(state.sessions().len(), 40);
    // Given up while it was typed.
    typed(&mut state, "/zz");
    press(&mut state, &[KeyCode::Esc]);
    assert_eq!(state.sessions().len(), 40);
}

#[test]
fn orders_go_round() {
    let mut state = busy();
    let ids = |state: &State| {
        state
            .sessions()
            .iter()
            .map(|row| row.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&state)[..3], [1, 2, 3]);
    typed(&mut state, "r");
    assert_eq!(ids(&state)[..3], [40, 39, 38]);
    typed(&mut state, "rsss");
    assert_eq!(state.sessions()[0].transfers, 6);
    typed(&mut state, "s");
    assert_eq!(ids(&state)[..3], [1, 2, 3]);
}

#[test]
fn the_mark_stays_on_a_row() {
    let mut state = busy();
    press(&mut state, &[KeyCode::End, KeyCode::Down]);
    assert_eq!(state.view(Pane::Sessions).marked, 39);
    assert!(text(&state, 80, 24).contains("user40"));
    assert!(!text(&state, 80, 24).contains(" user1 "));
    let mut fewer = full(62_000, 0);
    fewer.sessions.truncate(2);
    state.update(fewer);
    assert!(text(&state, 80, 24).contains("user2"));
    press(&mut state, &[KeyCode::Up]);
    assert_eq!(state.view(Pane::Sessions).marked, 0);
}

/// Rates are of the time between two looks, and a dry run shows what would be dropped.
#[test]
fn drops_are_rates() {
    let mut state = State::new(full(1_000, 0), false);
    state.update(full(3_000, 400));
    let drops = state.drops();
    assert_eq!(
        (drops[0].reason, drops[0].total, drops[0].rate),
        ("not-armed", 400, 200)
    );
    assert_eq!(state.history("not-armed").collect::<Vec<_>>(), [200]);
    assert!(drops.iter().all(|row| row.total != 0));

    let mut dry = empty();
    dry.policy.dry_run = true;
    dry.stats.would_drop = BTreeMap::from([("malformed", 7)]);
    let frame = text(&State::new(dry, false), 80, 24);
    assert!(
        frame.contains("Would drop") && frame.contains("malformed"),
        "{frame}"
    );
    assert!(frame.contains("dry run: nothing is dropped"), "{frame}");
}

/// Of the time between two looks; of what was not there before, or is another one, there is none.
#[test]
fn transfers_have_rates() {
    let look = |transfers| Look {
        transfers,
        ..empty()
    };
    let mut state = State::new(look(vec![transfer(1, 1_000)]), false);
    assert_eq!(state.look.transfers[0].rate, None);
    let rates = |state: &State| {
        let all = state.look.transfers.iter();
        all.map(|it| it.rate).collect::<Vec<_>>()
    };
    state.update(look(vec![transfer(1, 3_000), transfer(2, 3_000)]));
    assert_eq!(rates(&state), [Some(10_000), None]);
    state.update(look(vec![transfer(1, 3_500), transfer(2, 3_500)]));
    assert_eq!(rates(&state), [Some(10_000), Some(20_000)]);
    // It stands still.
    let mut still = transfer(1, 3_500);
    still.row.duration_ms += 1_000;
    let mut younger = transfer(2, 3_500);
    younger.row.duration_ms = 4;
    state.update(look(vec![still, younger]));
    assert_eq!(rates(&state), [Some(0), None]);
    // Nobody tells.
    let mut untold = transfer(1, 9_000);
    untold.row.bytes = None;
    state.update(look(vec![untold]));
    assert_eq!(rates(&state), [None]);
}

#[test]
fn progress_is_shown_where_the_length_is_known() {
    let line = |bytes, length| {
        let mut it = transfer(1, 1_000);
        (it.row.bytes, it.row.length) = (bytes, length);
        let state = State::new(
            Look {
                transfers: vec![it],
                ..empty()
            },
            false,
        );
        let frame = text(&state, 80, 24);
        let line = frame.lines().find(|line| line.contains("user1"));
        line.unwrap_or_default().to_owned()
    };
    assert!(line(Some(5), Some(10)).contains("████░░░░  50 %"));
    assert!(line(Some(9_999), Some(10_000)).contains("███████░  99 %"));
    assert!(line(Some(10), Some(10)).contains("████████ 100 %"));
    assert!(line(Some(0), Some(0)).contains("████████ 100 %"));
    for (bytes, length) in [(Some(5), None), (None, Some(10)), (None, None)] {
        assert!(!line(bytes, length).contains('%'), "{bytes:?} {length:?}");
    }
}

#[test]
fn colour_is_for_who_wants_it() {
    let colours = |state: &State| {
        let terminal = drawn(state, 80, 24);
        let cells = terminal.backend().buffer().content();
        cells.iter().filter(|cell| cell.fg != Color::Reset).count()
    };
    let mut state = busy();
    assert!(colours(&state) > 0);
    state.colour = false;
    assert_eq!(colours(&state), 0);
    // The pane that keys go to is told without colour, too.
    let terminal = drawn(&state, 80, 24);
    let cells = terminal.backend().buffer().content();
    assert!(
        cells
            .iter()
            .any(|cell| cell.modifier.contains(Modifier::REVERSED))
    );
}

/// What clients say comes from the agent escaped; if it did not, it would not reach the terminal.
#[test]
fn control_characters_stay_away() {
    let mut look = empty();
    look.sessions = vec![session(1)];
    look.sessions[0].user = Some("a\u{1b}[2Jb\r\n\u{9b}c".to_owned());
    let terminal = drawn(&State::new(look, false), 80, 24);
    let cells = terminal.backend().buffer().content();
    assert!(
        cells
            .iter()
            .all(|cell| !cell.symbol().contains(char::is_control))
    );
}
