//! Connections to and of a container that are older than the filter.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::container::Container;
use ftpfw_tests::control::{accept, dial};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::{Family, Lab};
use ftpfw_tests::probe::expect_dropped;
use ftpfw_tests::scripted::heard;
use ftpfw_tests::wait;

use crate::{FAMILIES, closed_to_others, exchange};

const PORT: u16 = 8080;

/// A connection from the client to a published port: the client's end, the container's end.
fn to_container(lab: &Lab, container: &Container, family: Family) -> Result<[TcpStream; 2]> {
    let inside = SocketAddr::new(container.host.address(family), PORT);
    let listener = container.host.netns.run(|| TcpListener::bind(inside))??;
    let outside = SocketAddr::new(lab.server.address(family), PORT);
    Ok([dial(&lab.client.netns, outside)?, accept(&listener)?])
}

/// A connection of the container's to the client: the client's end, the container's end.
fn of_container(lab: &Lab, container: &Container, family: Family) -> Result<[TcpStream; 2]> {
    let outside = SocketAddr::new(lab.client.address(family), PORT);
    let listener = lab.client.netns.run(|| TcpListener::bind(outside))??;
    let inside = dial(&container.host.netns, outside)?;
    Ok([accept(&listener)?, inside])
}

#[test]
fn the_container_speaks_first() -> Result<()> {
    let lab = Lab::new()?;
    let container = Container::behind(&lab, &PORT.to_string())?;
    for family in FAMILIES {
        let [mut client, mut inside] = to_container(&lab, &container, family)?;
        let [mut service, mut caller] = of_container(&lab, &container, family)?;
        let firewall = Firewall::start(&lab.server, &[])?;
        exchange(&mut inside, &mut client).context("a published port")?;
        exchange(&mut caller, &mut service).context("the container's own")?;
        let server = lab.server.address(family);
        expect_dropped(&firewall, &lab.client, server, PORT, "not-armed")
            .context("a new connection to the published port")?;
        closed_to_others(&lab, &firewall, service.peer_addr()?)?;
    }
    Ok(())
}

/// The filter has never heard of the connection and no socket of this host knows it: what the client
/// says is dropped, and TCP says it again. The container's first segment, whatever it carries, makes
/// the flow known. A container that only listens is not heard until it speaks: nothing but
/// conntrack's table could tell, which the filter does not ask.
#[test]
fn the_client_speaks_first_and_is_heard_once_the_container_speaks() -> Result<()> {
    let lab = Lab::new()?;
    let container = Container::behind(&lab, &PORT.to_string())?;
    for family in FAMILIES {
        for make in [to_container, of_container] {
            let [mut client, mut inside] = make(&lab, &container, family)?;
            let firewall = Firewall::start(&lab.server, &[])?;
            client.write_all(b"anybody there?")?;
            wait::until("the client's segment to be dropped", || {
                Ok((firewall.stats()?.dropped("no-connection") > 0).then_some(()))
            })?;
            inside.set_nonblocking(true)?;
            ensure!(
                inside.read(&mut [0; 16]).is_err(),
                "dropped, and heard all the same"
            );
            inside.set_nonblocking(false)?;
            inside.write_all(b"hello")?;
            heard(&mut client, b"hello")?;
            heard(&mut inside, b"anybody there?").context("what TCP sends again")?;
            exchange(&mut client, &mut inside)?;
        }
    }
    Ok(())
}

/// An upload that is under way speaks in both directions, by its acknowledgments: those that leave
/// between the attachments at egress and at ingress make it known.
#[test]
fn an_upload_under_way_goes_on() -> Result<()> {
    let lab = Lab::new()?;
    let container = Container::behind(&lab, &PORT.to_string())?;
    for family in FAMILIES {
        let [mut client, mut inside] = to_container(&lab, &container, family)?;
        let (stop, stopped) = mpsc::channel::<()>();
        let (sent, received) = std::thread::scope(|scope| -> Result<_> {
            let sender = scope.spawn(move || -> Result<u64> {
                let (mut sent, bytes) = (0, vec![7; 1 << 14]);
                // Until after the attach, and a good deal beyond.
                let mut rest = 256;
                while rest > 0 {
                    client.write_all(&bytes)?;
                    sent += bytes.len() as u64;
                    if stopped.try_recv() != Err(mpsc::TryRecvError::Empty) {
                        rest -= 1;
                    }
                }
                client.shutdown(Shutdown::Write)?;
                Ok(sent)
            });
            let receiver = scope.spawn(move || std::io::copy(&mut inside, &mut std::io::sink()));
            let firewall = Firewall::start(&lab.server, &[]);
            drop(stop);
            let sent = sender.join().expect("no panic")?;
            let received = receiver.join().expect("no panic")?;
            let passed = firewall?.stats()?.pass["flow"];
            ensure!(passed > 0, "nothing passed as a flow");
            Ok((sent, received))
        })?;
        ensure!(sent == received, "{received} of {sent} bytes arrived");
    }
    Ok(())
}
