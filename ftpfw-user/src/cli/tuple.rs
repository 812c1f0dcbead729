//! Arguments of the verbs about one tuple: `ftpfw explain`, `allow` and `revoke`.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use clap::{Args, value_parser};
use ftpfw_common::abi::keys::TupleKey;

use super::{QueryArgs, events::age};
use crate::config::UsageError;

/// The longest that `ftpfw allow` may open a port.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Which data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct Ends {
    /// Address of the client.
    pub client: IpAddr,
    /// Address of the server, as the client dials it.
    pub server: IpAddr,
    /// Port of the server.
    #[arg(value_parser = value_parser!(u16).range(1..))]
    pub port: u16,
}

impl Ends {
    /// The tuple that admits such a connection.
    ///
    /// # Errors
    ///
    /// [`UsageError`] where no connection can have these ends.
    pub fn tuple(&self) -> Result<TupleKey, UsageError> {
        let (client, server) = (self.client.to_canonical(), self.server.to_canonical());
        for address in [client, server] {
            let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
            if address.is_unspecified() || address.is_multicast() || broadcast {
                let text = format!("{address} is not the address of one host");
                return Err(UsageError(text));
            }
        }
        if client.is_ipv4() != server.is_ipv4() {
            let text = format!("{client} and {server} are of two families: nobody connects so");
            return Err(UsageError(text));
        }
        Ok(TupleKey::passive(client.into(), server.into(), self.port))
    }
}

/// `ftpfw explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Of which connection.
    #[command(flatten)]
    pub ends: Ends,
    /// Port that the client dials from; it matters only on a kernel without tracepoints, where a tuple
    /// belongs to the first SYN that it lets in, and to whoever repeats that.
    #[arg(long, value_name = "PORT", value_parser = value_parser!(u16).range(1..))]
    pub client_port: Option<u16>,
    /// Where and how.
    #[command(flatten)]
    pub query: QueryArgs,
}

/// `ftpfw allow`.
#[derive(Debug, Args)]
pub struct AllowArgs {
    /// Which connection.
    #[command(flatten)]
    pub ends: Ends,
    /// How long the client has to connect: 30s, 5m, up to 24h.
    #[arg(long = "for", value_name = "TIME", default_value = "120s", value_parser = lifetime)]
    pub lifetime: Duration,
    /// Where and how.
    #[command(flatten)]
    pub query: QueryArgs,
}

/// `ftpfw revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Which connection.
    #[command(flatten)]
    pub ends: Ends,
    /// Where and how.
    #[command(flatten)]
    pub query: QueryArgs,
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = age(text)?;
    if lifetime < Duration::from_secs(1) || lifetime > LONGEST {
        return Err("a tuple may live from 1s to 24h".to_owned());
    }
    Ok(lifetime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_those_of_one_connection() {
        let ends = |client: &str, server: &str| Ends {
            client: client.parse().unwrap(),
            server: server.parse().unwrap(),
            port: 50_001,
        };
        for (client, server) in [
            ("192.0.2.7", "192.0.2.1"),
            ("2001:db8::7", "2001:db8::1"),
            ("::ffff:192.0.2.7", "192.0.2.1"),
        ] {
            assert!(ends(client, server).tuple().is_ok(), "{client} {server}");
        }
        for (client, server) in [
            ("192.0.2.7", "2001:db8::1"),
            ("0.0.0.0", "192.0.2.1"),
            ("192.0.2.7", "::"),
            ("224.0.0.1", "192.0.2.1"),
            ("255.255.255.255", "192.0.2.1"),
        ] {
            assert!(ends(client, server).tuple().is_err(), "{client} {server}");
        }
    }

    #[test]
    fn lifetimes_are_bounded() {
        for (text, seconds) in [("1s", 1), ("120s", 120), ("2m", 120), ("24h", 86_400)] {
            assert_eq!(lifetime(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["0s", "999ms", "25h", "2d", "120", "forever", "-5m"] {
            assert!(lifetime(text).is_err(), "{text}: {:?}", lifetime(text));
        }
    }
}
