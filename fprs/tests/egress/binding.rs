//! What the internet sees of what is bound, and of what isn't.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use crate::world::{SERVER, STATIC, WORKER, World, container, installed, wait, world};

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

/// What a SOCKS proxy breaks: programs that know nothing of it.
#[test]
fn programs_need_no_change() {
    let Some(mut world) = world() else { return };
    world.start_all();
    world.bind(0, "one");
    let web = web(&world);
    let whoami = world.whoami("srv", SERVER);
    let seen = STATIC[0].to_string();
    wait("the static IP", || {
        world.seen_as(&container(0), whoami) == Some(seen.clone())
    });
    let url = format!("http://{web}/");
    let asyncio = format!(
        "import asyncio\nasync def main():\n r, w = await asyncio.open_connection('{}', {})\n \
         print((await r.readline()).decode().strip())\nasyncio.run(main())",
        whoami.ip(),
        whoami.port()
    );
    let urllib = format!("import urllib.request as u; print(u.urlopen('{url}').read().decode())");
    for (program, args) in [
        ("curl", ["-s", "-m", "10", &url].as_slice()),
        ("python3", &["-c", &asyncio]),
        ("python3", &["-c", &urllib]),
    ] {
        if !installed(program) {
            eprintln!("SKIPPED: `{program}` is not installed");
            continue;
        }
        let printed = world.output(&container(0), program, args);
        assert_eq!(printed.trim(), seen, "{program} {args:?}");
    }
}

/// A web server that tells each who asks as whom it sees it.
fn web(world: &World) -> SocketAddr {
    let (listener, address) = world.listen("srv", SERVER);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 4096];
            if stream.read(&mut head).is_err() {
                continue;
            }
            let peer = stream.peer_addr().unwrap().ip().to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{peer}",
                peer.len()
            );
            stream.write_all(answer.as_bytes()).ok();
        }
    });
    address
}
