//! What a container begins is answered; what it did not begin stays outside.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context as _, Result, ensure};
use ftpfw_tests::container::Container;
use ftpfw_tests::control::{accept, dial};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;

use crate::{FAMILIES, closed_to_others, exchange, udp, unsolicited};

#[test]
fn tcp() -> Result<()> {
    let lab = Lab::new()?;
    let container = Container::behind(&lab, "21")?.host;
    let firewall = Firewall::start(&lab.server, &[])?;
    for family in FAMILIES {
        let outside = SocketAddr::new(lab.client.address(family), 8080);
        let service = lab.client.netns.run(|| TcpListener::bind(outside))??;
        let mut ours = dial(&container.netns, outside).context("a container's connection")?;
        let mut theirs = accept(&service)?;
        exchange(&mut ours, &mut theirs)?;

        // As the world sees it, it is the server's, and on a protected port.
        let seen = theirs.peer_addr()?;
        ensure!(
            seen.ip() == lab.server.address(family) && seen.port() >= 1024,
            "masqueraded as {seen}"
        );
        closed_to_others(&lab, &firewall, seen)?;
        exchange(&mut theirs, &mut ours).context("after the attempts of others")?;
    }
    Ok(())
}

#[test]
fn udp_as_of_a_resolver() -> Result<()> {
    let lab = Lab::new()?;
    let container = Container::behind(&lab, "21")?.host;
    let firewall = Firewall::start(&lab.server, &[])?;
    for family in FAMILIES {
        let outside = SocketAddr::new(lab.client.address(family), 53);
        let resolver = udp(&lab.client.netns, outside)?;
        let asker = udp(
            &container.netns,
            SocketAddr::new(container.address(family), 0),
        )?;
        asker.connect(outside)?;
        asker.send(b"query")?;
        let mut buffer = [0; 16];
        let (_, seen) = resolver.recv_from(&mut buffer)?;
        ensure!(
            seen.ip() == lab.server.address(family) && seen.port() >= 1024,
            "masqueraded as {seen}"
        );
        resolver.send_to(b"answer", seen)?;
        let length = asker.recv(&mut buffer).context("the answer to a query")?;
        ensure!(&buffer[..length] == b"answer", "something else came");

        closed_to_others(&lab, &firewall, seen)?;
        // Nor may who was asked send to where the question did not come from.
        unsolicited(
            &firewall,
            &resolver,
            SocketAddr::new(seen.ip(), seen.port() ^ 1),
        )?;
    }
    Ok(())
}
