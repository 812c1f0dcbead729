//! ATTACKS 9, 11-13, 17-20, 22, 23, 34, 36, 37, 41: how bytes become lines, and how TCP cuts and
//! repeats them.

mod discarded;
mod lines;
mod segments;
mod whose;
