//! Ends of connections that a program was not told, as when it is interrupted: its tracepoint is taken away.

use std::fs;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context as _, Result, ensure};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};
use ftpfw_common::abi::programs::{SOCKETS, SOCKETS_AGAIN};
use ftpfw_tests::control;
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::report::Tuple;
use ftpfw_tests::scene::{LOGIN, Scene};
use ftpfw_tests::scripted::Talk;
use ftpfw_tests::wait;
use ftpfw_user::kernel::{Maps, PinDir};
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::Signal;

/// Detaches the program from its tracepoint, for certain: the kernel takes its time after the pin is gone.
fn take_away(firewall: &Firewall, program: &str) -> Result<()> {
    let path = firewall.place().pins.join("links").join(program);
    let link = FdLink::from(PinnedLink::from_pin(&path)?).info()?;
    let number = link.program_id();
    fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
    let _counted = enable_stats(Stats::RunTime)?;
    let runs = || {
        let mut loaded = loaded_programs().flatten();
        let info = loaded.find(|it| it.id() == number);
        info.map(|it| it.run_count())
    };
    wait::until("the tracepoint to be without the program", || {
        let before = runs();
        // A socket that changes.
        drop(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
        Ok((runs() == before).then_some(()))
    })
}

/// Numbers of the sessions in the map, and whether they have ended.
fn sessions(firewall: &Firewall) -> Result<Vec<(u64, bool)>> {
    let maps = Maps::open(&PinDir::new(firewall.place().pins.clone()))?;
    let sessions = maps.sessions()?.into_iter();
    let state = |it: &ftpfw_common::abi::values::Session| it.shared.state().name() == "ended";
    Ok(sessions.map(|(_, it)| (it.id, state(&it))).collect())
}

/// The client resets a connection, and the server has noticed.
fn reset(talk: Talk) -> Result<()> {
    let mut server = talk.server.try_clone()?;
    talk.reset()?;
    let read = control::read_all(&mut server);
    ensure!(read.is_err(), "not reset: {read:?}");
    Ok(())
}

/// A connection from that port of the client's.
fn talk_from(scene: &Scene<'_>, port: u16) -> Result<Talk> {
    let from = SocketAddr::new(scene.lab.client.address(scene.family), port);
    let to = SocketAddr::new(scene.address(), 21);
    let client = scene.lab.client.netns.run(|| -> Result<_> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &from)?;
        connect(&socket, &to)?;
        Ok(TcpStream::from(socket))
    })??;
    control::prepare(&client)?;
    Ok(Talk {
        client,
        server: scene.server.accept()?,
    })
}

#[test]
fn either_program_tells_all() -> Result<()> {
    for missing in [SOCKETS, SOCKETS_AGAIN] {
        let lab = Lab::new()?;
        let scene = Scene::new(&lab)?;
        take_away(&scene.firewall, missing)?;
        let mut talk = scene.logged_in()?;
        scene.still_works(&mut talk).context(missing)?;
        let events = scene.firewall.events(&[])?;
        for event in ["claimed", "finished"] {
            let times = events.iter().filter(|it| it.event == event).count();
            ensure!(times == 1, "without {missing}: {event} {times} times");
        }
        scene.closed(ftpfw_tests::scene::PORT, "not-armed")?;
        reset(talk)?;
        ensure!(sessions(&scene.firewall)?.is_empty(), "without {missing}");
    }
    Ok(())
}

/// Nobody tells: the next connection with the same ends has nothing of the last one.
#[test]
fn the_next_connection_begins_anew() -> Result<()> {
    let lab = Lab::new()?;
    let mut scene = Scene::new(&lab)?;
    // Who might help is not there.
    scene.firewall.end_by(Signal::KILL)?;
    for program in [SOCKETS, SOCKETS_AGAIN] {
        take_away(&scene.firewall, program)?;
    }
    let mut before = talk_from(&scene, 40_000)?;
    before.play(&LOGIN)?;
    reset(before)?;
    let first = sessions(&scene.firewall)?;
    ensure!(matches!(first[..], [(_, true)]), "{first:?}");

    let mut talk = talk_from(&scene, 40_000)?;
    talk.play(&LOGIN)?;
    let second = sessions(&scene.firewall)?;
    ensure!(
        matches!(second[..], [(id, false)] if id != first[0].0),
        "{second:?}"
    );
    scene.negotiate(&mut talk)?;
    Ok(())
}

/// Nobody tells: the agent finds out, and counts and the limits go by what is really there.
#[test]
fn the_agent_forgets_what_has_ended() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::with(&lab, &["--max-sessions-per-client", "2"])?;
    for program in [SOCKETS, SOCKETS_AGAIN] {
        take_away(&scene.firewall, program)?;
    }
    let mut half_closed = scene.logged_in()?;
    half_closed.client.shutdown(Shutdown::Write)?;
    ensure!(control::read_all(&mut half_closed.server)?.is_empty());
    let over = scene.logged_in()?;
    reset(over)?;
    let left = sessions(&scene.firewall)?;
    ensure!(left.len() == 2 && left.iter().all(|it| it.1), "{left:?}");
    let _one_too_many = scene.logged_in()?;
    let stats = scene.firewall.stats()?;
    let refused = stats.refused.get("sessions-per-client").copied();
    ensure!(refused > Some(0), "{stats:?}");

    wait::until("the one without a connection to be forgotten", || {
        let left = sessions(&scene.firewall)?;
        ensure!(!left.is_empty(), "the other one has its connection still");
        Ok((left.len() == 1).then_some(()))
    })?;
    let told = scene.firewall.events(&[])?;
    let closed = told.iter().filter(|it| it.event == "closed").count();
    ensure!(closed == 1, "{told:?}");
    // There is room again.
    let mut talk = scene.logged_in()?;
    scene.negotiate(&mut talk)
}

/// Nobody tells the end of a data connection: the agent finds out, and tells it.
#[test]
fn the_agent_finishes_what_is_over() -> Result<()> {
    let lab = Lab::new()?;
    let scene = Scene::new(&lab)?;
    let mut talk = scene.logged_in()?;
    let (client, server) = scene.connect(&mut talk)?;
    let claimed = |tuples: &[Tuple]| matches!(tuples, [tuple] if tuple.state == "claimed");
    scene
        .firewall
        .wait_for_tuples("one claimed tuple", claimed)?;
    for program in [SOCKETS, SOCKETS_AGAIN] {
        take_away(&scene.firewall, program)?;
    }
    // As long as its connection is there, it stays, however often the agent looks: its own end is the mark.
    let over = scene.logged_in()?;
    reset(over)?;
    wait::until("the agent to have looked twice", || {
        Ok((sessions(&scene.firewall)?.len() == 1).then_some(()))
    })?;
    scene
        .firewall
        .wait_for_tuples("the claimed tuple still", claimed)?;

    drop((client, server));
    scene
        .firewall
        .wait_for_tuples("the tuple to be gone", <[_]>::is_empty)?;
    let events = scene.firewall.events(&[])?;
    let finished = events.iter().filter(|it| it.event == "finished").count();
    ensure!(finished == 1, "{events:?}");
    Ok(())
}
