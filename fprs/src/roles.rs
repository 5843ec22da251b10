//! The roles, each started from values: what `fprs up` runs together in one process and `fprs
//! proxy`, `control`, `autoscaler` and `relay` one at a time.

mod admin;
mod autoscaler;
mod control;
mod follow;
mod proxy;
mod relay;

pub use admin::{Admin, serve};
pub use autoscaler::Autoscaling;
pub use control::{Controlling, open_store};
pub use follow::{Followed, follow};
pub use proxy::Proxying;
pub use relay::Relaying;
