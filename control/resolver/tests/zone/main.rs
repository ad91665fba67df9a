//! Authoritative zones: what files they are read from, and what they answer.

mod support;

mod answers;
mod data_types;
mod delegations;
mod file_faults;
mod file_syntax;
mod limits;
mod load_checks;
mod random_input;
mod receiving;
mod served_by_others;
mod set_of_zones;
mod signed_answers;
mod tools;
mod transfers;
