//! `ftpfw allow` for a service in a container behind this host, whose sockets cannot be seen from here.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Result, ensure};
use ftpfw_tests::container::Container;
use ftpfw_tests::control::{accept, dial};
use ftpfw_tests::firewall::Firewall;
use ftpfw_tests::lab::Lab;
use ftpfw_tests::probe::expect_dropped;
use ftpfw_tests::scene::PORT;
use serde_json::Value;

use crate::{FAMILIES, answer, ends, words};

#[test]
fn one_connection_to_a_container() -> Result<()> {
    for family in FAMILIES {
        let lab = Lab::new()?;
        let container = Container::behind(&lab, &PORT.to_string())?;
        let inside = SocketAddr::new(container.host.address(family), PORT);
        let service = container.host.netns.run(|| TcpListener::bind(inside))??;
        let firewall = Firewall::start(&lab.server, &[])?;
        let (client, server) = (lab.client.address(family), lab.server.address(family));
        expect_dropped(&firewall, &lab.client, server, PORT, "not-armed")?;

        let asked = ends("allow", client, server, PORT);
        let (code, done) = answer(&firewall, &words(&asked))?;
        ensure!(code == Some(0), "{done}");
        let data = dial(&lab.client.netns, SocketAddr::new(server, PORT))?;
        let accepted = accept(&service)?;
        ensure!(accepted.peer_addr()? == data.local_addr()?);
        firewall.wait_for_tuples("the tuple to be claimed", |tuples| {
            matches!(tuples, [tuple] if tuple.state == "claimed" && tuple.mode == "manual")
        })?;
        let flows: Vec<Value> = firewall.query(&["list", "flows"])?;
        let port = data.local_addr()?.port();
        let flow = flows.iter().find(|it| it["remote_port"] == port);
        let right = |it: &Value| it["protocol"] == "tcp" && it["state"] == "live";
        ensure!(flow.is_some_and(right), "{flows:?}");

        expect_dropped(&firewall, &lab.client, server, PORT, "not-armed")?;
        expect_dropped(&firewall, &lab.stranger, server, PORT, "not-armed")?;
    }
    Ok(())
}
