//! Compiles the `.proto` files with protox (no `protoc` needed) and tonic's generator.

const PROTOS: [&str; 6] = [
    "etcd/etcd.proto",
    "fprs/record/v1/record.proto",
    "fprs/feed/v1/feed.proto",
    "fprs/worker/v1/worker.proto",
    "fprs/demand/v1/demand.proto",
    "otlp/traces.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for proto in PROTOS {
        println!("cargo:rerun-if-changed={proto}");
    }
    let descriptors = protox::compile(PROTOS, ["."])?;
    tonic_prost_build::configure()
        .bytes(".fprs.feed.v1")
        .bytes(".etcdserverpb")
        .btree_map(".fprs.record.v1")
        .compile_fds(descriptors)?;
    Ok(())
}
