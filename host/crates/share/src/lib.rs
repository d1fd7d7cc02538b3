//! Shares by workspace of whatever there is not enough of: threads, readers of the disk, the compiler, executions at work.
//!
//! A turn goes to the workspace that has had the least time, not the fewest turns: one whose work takes long has it less often.

mod budget;
mod ledger;
mod places;

pub use budget::{Budget, Share};
pub use ledger::Ledger;
pub use places::{Full, Place, Places};
