//! Static IPs that a cloud maps to gateways' own addresses: the reconciler has the cloud move them. The
//! cloud is a double of what AWS says to instances and of its address API.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::world::{GATEWAYS, SERVER, World, container, wait, world};

/// Where the double is.
const DOUBLE: &str = "203.0.113.30:9000";
/// The static IP, as the world would know it, and what stands for it at each gateway.
const MAPPED: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 101);
const LOCAL: [Ipv4Addr; 2] = [
    Ipv4Addr::new(203, 0, 113, 101),
    Ipv4Addr::new(203, 0, 113, 201),
];

/// What the double was told, the last of it last.
type Told = Arc<Mutex<Vec<String>>>;

#[test]
fn an_address_that_a_cloud_maps_follows_its_owner() {
    let Some(mut world) = world() else { return };
    let told = Told::default();
    let listener = world.inside("rec", || TcpListener::bind(DOUBLE).unwrap());
    let tell = Arc::clone(&told);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tell = Arc::clone(&tell);
            std::thread::spawn(move || answer(stream, &tell));
        }
    });
    settings(&world);
    world.start_all_but_owners();
    let last = || told.lock().unwrap().last().cloned().unwrap_or_default();
    let at = |n: usize| format!("eni-{} {}", n + 1, LOCAL[n]);
    let mut owner = 0;
    wait("the cloud to be told", || {
        owner = usize::from(last() == at(1));
        last() == at(owner)
    });
    world.bind(0, "one");
    let whoami = world.whoami("srv", SERVER);
    let seen = |world: &World| world.seen_as(&container(0), whoami);
    wait("the way by it", || {
        seen(&world) == Some(LOCAL[owner].to_string())
    });
    world.kill(&format!("g{}", owner + 1));
    wait("the cloud to be told again", || last() == at(1 - owner));
    wait("the way by the other", || {
        seen(&world) == Some(LOCAL[1 - owner].to_string())
    });
}

/// The first static IP of the world becomes one that a cloud maps; the second goes.
fn settings(world: &World) {
    let cut = |text: String, from: &str, to: &str| {
        let (head, rest) = text.split_once(from).unwrap();
        let (_, tail) = rest.split_once(to).unwrap_or(("", ""));
        format!("{head}{to}{tail}")
    };
    for (name, local) in [("g1", LOCAL[0]), ("g2", LOCAL[1])] {
        let path = world.path(&format!("{name}.toml"));
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace(
            "ip = \"203.0.113.101\"",
            &format!("ip = \"{MAPPED}\"\nlocal = \"{local}\""),
        );
        let text = cut(text, "[[static_ips]]\nip = \"203.0.113.102\"", "[[agents]]");
        let cloud = format!("cloud = \"aws\"\nmetadata = \"{DOUBLE}\"\n");
        std::fs::write(path, format!("{cloud}{text}")).unwrap();
    }
    let path = world.path("w.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("203.0.113.101", &MAPPED.to_string());
    let (text, _) = text.split_once("[[pools]]\nname = \"two\"").unwrap();
    std::fs::write(path, text).unwrap();
    let mut text = "admin_secret_file = \"admin\"\nauthority = \"ca.pem\"\n".to_owned();
    for (n, node) in GATEWAYS.iter().enumerate() {
        text += &format!(
            "[gateways.g{}]\nnode = \"{node}\"\ncontrol = \"{node}:8443\"\n",
            n + 1
        );
    }
    text += &format!(
        "[[static_ips]]\nip = \"{MAPPED}\"\ngateways = [\"g1\", \"g2\"]\ncloud = true\n\
         [cloud]\nprovider = \"aws\"\nmetadata = \"{DOUBLE}\"\nendpoint = \"{DOUBLE}\"\nauthorities = \"\"\n"
    );
    std::fs::write(world.path("rec.toml"), text).unwrap();
}

/// One request of the metadata service or the API.
fn answer(mut stream: TcpStream, told: &Told) {
    let Ok(IpAddr::V4(from)) = stream.peer_addr().map(|peer| peer.ip()) else {
        return;
    };
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    let path = head.split(' ').nth(1).unwrap();
    let number = if from == GATEWAYS[1] { 2 } else { 1 };
    let text = match path.strip_prefix("/latest/meta-data/").unwrap_or(path) {
        "/latest/api/token" => "session".to_owned(),
        "placement/region" => "eu-test-1".to_owned(),
        "iam/security-credentials/" => "role".to_owned(),
        "iam/security-credentials/role" => {
            r#"{"AccessKeyId":"AKID","SecretAccessKey":"secret"}"#.to_owned()
        }
        "network/interfaces/macs/" => "02:00:00:00:00:01/".to_owned(),
        path if path.ends_with("interface-id") => format!("eni-{number}"),
        path if path.ends_with("local-ipv4s") => format!("{from}\n{}", LOCAL[number - 1]),
        "/" => api(&body, told),
        _ => String::new(),
    };
    let length = text.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{text}"
    )
    .ok();
}

fn api(form: &str, told: &Told) -> String {
    let field = |name: &str| {
        let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(known, _)| *known == name)
            .map_or("", |(_, value)| value)
    };
    let mut told = told.lock().unwrap();
    if field("Action") == "AssociateAddress" {
        told.push(format!(
            "{} {}",
            field("NetworkInterfaceId"),
            field("PrivateIpAddress")
        ));
        return "<R><return>true</return></R>".to_owned();
    }
    let place = told.last().and_then(|last| last.split_once(' '));
    let place = place.map(|(interface, local)| {
        format!("<networkInterfaceId>{interface}</networkInterfaceId><privateIpAddress>{local}</privateIpAddress>")
    });
    format!(
        "<R><addressesSet><item><publicIp>{MAPPED}</publicIp><allocationId>alloc</allocationId>{}</item></addressesSet></R>",
        place.unwrap_or_default()
    )
}
