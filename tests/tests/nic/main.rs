//! The NIC itself: how large its frames are, where the filter meets them, and that it has Ethernet.

mod ethernet;
mod jumbo;
mod witness;

use ftpfw_tests::lab::Family;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
