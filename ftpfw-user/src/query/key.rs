//! What `--sort` sorts by.

use std::net::IpAddr;

use serde_json::Value;

/// The value of a field, in an order that people expect: nothing first, numbers and addresses by value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// There is none.
    Nothing,
    /// A number, or no (0) and yes (1).
    Number(u64),
    /// An address.
    Address(IpAddr),
    /// Anything else.
    Text(String),
}

impl Key {
    /// The key of a field as JSON has it.
    #[must_use]
    pub fn of(value: Value) -> Self {
        match value {
            Value::Null => Self::Nothing,
            Value::Bool(yes) => Self::Number(yes.into()),
            Value::Number(number) => Self::Number(number.as_u64().unwrap_or(0)),
            Value::String(text) => match text.parse() {
                Ok(address) => Self::Address(address),
                Err(_) => Self::Text(text),
            },
            other => Self::Text(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_as_people_expect() {
        let texts = ["10.0.0.2", "10.0.0.10", "2001:db8::1", "alice", "bob"];
        let keys = texts.map(|text| Key::of(Value::from(text)));
        assert!(keys.is_sorted(), "{keys:?}");
        let keys = [Value::Null, false.into(), 9.into(), 10.into(), "x".into()].map(Key::of);
        assert!(keys.is_sorted(), "{keys:?}");
    }
}
