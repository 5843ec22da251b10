//! What the internet sees of what is bound, and of what isn't.

use crate::world::{SERVER, STATIC, WORKER, container, wait, world};

#[test]
fn a_bound_container_is_seen_as_its_static_ip_and_its_neighbour_is_not() {
    let Some(mut world) = world() else { return };
    world.start_all();
    let whoami = world.whoami("srv", SERVER);
    let (c1, c2) = (container(0), container(1));
    let worker = Some(WORKER.to_string());
    assert_eq!(world.seen_as(&c1, whoami), worker, "before it is bound");
    world.bind(0, "one");
    wait("the static IP", || {
        world.seen_as(&c1, whoami) == Some(STATIC[0].to_string())
    });
    assert_eq!(world.seen_as(&c2, whoami), worker, "its neighbour");
    assert_eq!(world.seen_as("w", whoami), worker, "the worker itself");
    world.bind(1, "two");
    wait("the other", || {
        world.seen_as(&c2, whoami) == Some(STATIC[1].to_string())
    });
    assert_eq!(world.seen_as(&c1, whoami), Some(STATIC[0].to_string()));
}
