//! PURE. The Deployment of a version, as we write it, and how its parts are found again.

use fprs_config::{MadeFor, Version};
use serde_json::{Map, Value, json};

use crate::settings::{Collector, Pods, Relay, SecretKey};

/// Who writes, as Kubernetes notes it.
pub(crate) const MANAGER: &str = "fprs";
/// Of a Deployment: the store's revision it was last written by. Somebody who knows less leaves it.
pub(crate) const REVISION: &str = "fprs/revision";
/// Of a Deployment: the relay it was made with, as JSON.
pub(crate) const RELAY: &str = "fprs/relay";
const PLANE: &str = "fprs/plane";
const SERVER: &str = "fprs/server";
const GENERATION: &str = "fprs/generation";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// `$PORT` of the program.
const PROGRAM_PORT: &str = "8000";
/// Where the relay answers probes.
const ADMIN_PORT: u16 = 8002;
/// After the last exchange, or the exit grace: the relay's last words and the program's end, seconds.
const ENDING_SECONDS: u64 = 30;

/// The Deployment's name. One server's is at most 63 characters, so this is a name that Kubernetes takes.
pub(crate) fn name(made_for: &MadeFor) -> String {
    format!("fprs-{}-{}", made_for.server, made_for.generation)
}

/// Selects everything of a plane.
pub(crate) fn selector(pods: &Pods) -> String {
    format!("{MANAGED_BY}={MANAGER},{PLANE}={}", pods.plane)
}

/// What an object with these labels was made for.
pub(crate) fn made_for(labels: &Value) -> Option<MadeFor> {
    Some(MadeFor {
        server: labels.get(SERVER)?.as_str()?.into(),
        generation: labels.get(GENERATION)?.as_str()?.parse().ok()?,
    })
}

/// The Deployment of that version with so many replicas, without what changes with every write.
pub(crate) fn deployment(
    pods: &Pods,
    relay: &Relay,
    made_for: &MadeFor,
    version: &Version,
    replicas: u32,
) -> Value {
    let selected = json!({
        PLANE: pods.plane,
        SERVER: made_for.server,
        GENERATION: made_for.generation.to_string(),
    });
    let labels = json!({
        PLANE: pods.plane,
        SERVER: made_for.server,
        GENERATION: made_for.generation.to_string(),
        MANAGED_BY: MANAGER,
    });
    let grace = version.exit_grace.as_secs().saturating_add(ENDING_SECONDS);
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name(made_for),
            "namespace": pods.namespace,
            "labels": labels,
            "annotations": { RELAY: json!(relay).to_string() },
        },
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 0,
            "selector": { "matchLabels": selected },
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 },
            },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "terminationGracePeriodSeconds": grace,
                    "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } },
                    // In this order: kubelet pulls and starts them one after the other, so that a
                    // relay that attaches has a program that was started.
                    "containers": [program(version), beside(pods, relay, made_for)],
                    "volumes": volumes(relay),
                },
            },
        },
    })
}

/// The relay a Deployment was made with.
pub(crate) fn relay_of(annotations: &Value) -> Option<Relay> {
    serde_json::from_str(annotations.get(RELAY)?.as_str()?).ok()
}

/// What is written with every change of a Deployment: the revision it follows from.
pub(crate) fn stamp(mut deployment: Value, revision: u64) -> Value {
    if let Some(Value::Object(annotations)) = deployment.pointer_mut("/metadata/annotations") {
        annotations.insert(REVISION.to_owned(), revision.to_string().into());
    }
    deployment
}

/// Written only if the object is still the one that was seen, in the version that was seen.
pub(crate) fn expecting(mut deployment: Value, uid: &str, version: &str) -> Value {
    if let Some(Value::Object(metadata)) = deployment.pointer_mut("/metadata") {
        metadata.insert("uid".to_owned(), uid.into());
        metadata.insert("resourceVersion".to_owned(), version.into());
    }
    deployment
}

fn program(version: &Version) -> Value {
    let mut env = vec![json!({ "name": "PORT", "value": PROGRAM_PORT })];
    let own = version.env.iter();
    // Kubernetes would put the values of other variables in place of `$(NAME)`.
    env.extend(
        own.map(|(name, value)| json!({ "name": name, "value": value.replace("$(", "$$(") })),
    );
    json!({
        "name": "program",
        "image": version.image,
        "env": env,
        "securityContext": { "allowPrivilegeEscalation": false },
        // A pod that somebody takes away: its program ends after its last exchange.
        "lifecycle": { "preStop": { "httpGet": { "path": "/drained", "port": ADMIN_PORT } } },
    })
}

/// Files of the relay's container, each of a Secret: the variable that names one, its volume, and where it
/// is.
fn files(collector: &Collector) -> impl Iterator<Item = (&'static str, &'static str, &SecretKey)> {
    let authorities = ("FPRS_OTLP_CA", "collector-ca", &collector.authorities);
    let headers = ("FPRS_OTLP_HEADERS", "collector-headers", &collector.headers);
    let files = [authorities, headers].into_iter();
    files.filter_map(|(variable, volume, key)| Some((variable, volume, key.as_ref()?)))
}

fn directory(volume: &str) -> String {
    format!("/etc/fprs/{volume}")
}

fn volumes(relay: &Relay) -> Vec<Value> {
    let mut volumes = vec![json!({ "name": "relay", "emptyDir": {} })];
    let files = relay.collector.iter().flat_map(files);
    volumes.extend(files.map(|(_, volume, SecretKey { secret, key })| {
        let items = json!([{ "key": key, "path": key }]);
        json!({ "name": volume, "secret": { "secretName": secret, "items": items } })
    }));
    volumes
}

fn beside(pods: &Pods, relay: &Relay, made_for: &MadeFor) -> Value {
    let value = |name: &str, value: String| json!({ "name": name, "value": value });
    let field = |name: &str, path: &str| {
        let from = json!({ "fieldRef": { "fieldPath": path } });
        json!({ "name": name, "valueFrom": from })
    };
    let probe = |path: &str, more: Value| {
        let mut probe = json!({ "httpGet": { "path": path, "port": ADMIN_PORT } });
        if let (Value::Object(probe), Value::Object(more)) = (&mut probe, more) {
            let more: Map<String, Value> = more;
            probe.extend(more);
        }
        probe
    };
    let token = json!({ "secretKeyRef": { "name": relay.token_secret, "key": "token" } });
    let mut env = vec![
        value(
            "FPRS_POD",
            format!("{}/{}", made_for.server, made_for.generation),
        ),
        field("FPRS_POD_NAME", "metadata.name"),
        field("FPRS_POD_IP", "status.podIP"),
        value("FPRS_CONTROL", relay.control.join(",")),
        value("FPRS_COMPUTE_REGION", pods.compute_region.clone()),
        value("FPRS_CORES", "1".to_owned()),
        value("FPRS_DATA_DIR", "/var/lib/fprs".to_owned()),
        json!({ "name": "FPRS_ADMIN_TOKEN", "valueFrom": token }),
    ];
    let mut mounts = vec![json!({ "name": "relay", "mountPath": "/var/lib/fprs" })];
    if let Some(collector) = &relay.collector {
        env.push(value("FPRS_OTLP_ENDPOINT", collector.endpoint.clone()));
        env.push(value("FPRS_TRACE_SAMPLE", collector.sample.clone()));
        for (variable, volume, SecretKey { key, .. }) in files(collector) {
            let directory = directory(volume);
            env.push(value(variable, format!("{directory}/{key}")));
            mounts.push(json!({ "name": volume, "mountPath": directory, "readOnly": true }));
        }
    }
    json!({
        "name": "relay",
        "image": relay.image,
        "args": ["relay"],
        "env": env,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "capabilities": { "drop": ["ALL"] },
        },
        "readinessProbe": probe("/readyz", json!({
            "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 2,
        })),
        "livenessProbe": probe("/livez", json!({
            "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6,
        })),
        "resources": { "requests": { "cpu": "50m", "memory": "64Mi" } },
        "volumeMounts": mounts,
    })
}

#[cfg(test)]
mod tests {
    use fprs_config::samples;

    use super::*;

    fn made() -> Value {
        made_with(None)
    }

    fn made_with(collector: Option<Collector>) -> Value {
        let pods = Pods {
            plane: "region.localhost".to_owned(),
            namespace: "replicas".to_owned(),
            compute_region: "local".to_owned(),
        };
        let relay = Relay {
            image: "fprs:1".to_owned(),
            control: vec!["control:9090".to_owned()],
            token_secret: "fprs-worker".to_owned(),
            collector,
        };
        let of = MadeFor {
            server: "hello".into(),
            generation: 3,
        };
        let mut version = samples::version(3);
        version.image = "shop/hello:3".to_owned();
        version.env.insert("COST".to_owned(), "$(USD) 5".to_owned());
        deployment(&pods, &relay, &of, &version, 2)
    }

    #[test]
    fn a_deployment_says_what_it_was_made_for_and_with_which_relay() {
        let made = made();
        let labels = &made["metadata"]["labels"];
        assert_eq!(made_for(labels).unwrap().generation, 3);
        assert_eq!(&made["spec"]["template"]["metadata"]["labels"], labels);
        let relay = relay_of(&made["metadata"]["annotations"]).unwrap();
        assert_eq!(relay.image, "fprs:1");
        let selected = made["spec"]["selector"]["matchLabels"].as_object().unwrap();
        assert!(selected.iter().all(|(key, value)| &labels[key] == value));
    }

    #[test]
    fn values_of_the_environment_arrive_as_they_are_and_the_relay_comes_last() {
        let made = made();
        let containers = &made["spec"]["template"]["spec"]["containers"];
        assert_eq!(containers[1]["name"], "relay");
        let env = containers[0]["env"].as_array().unwrap();
        let cost = env.iter().find(|item| item["name"] == "COST").unwrap();
        assert_eq!(cost["value"], "$$(USD) 5");
    }

    #[test]
    fn a_relay_sends_spans_where_it_is_told_and_has_what_the_collector_wants_in_files() {
        let of = |key: &str| {
            Some(SecretKey {
                secret: "collector".to_owned(),
                key: key.to_owned(),
            })
        };
        let made = made_with(Some(Collector {
            endpoint: "https://collector:4317".to_owned(),
            sample: "0.5".to_owned(),
            authorities: of("ca.crt"),
            headers: of("headers"),
        }));
        let pod = &made["spec"]["template"]["spec"];
        let relay = &pod["containers"][1];
        let env = relay["env"].as_array().unwrap();
        let value = |name: &str| {
            let found = env.iter().find(|item| item["name"] == name).unwrap();
            found["value"].as_str().unwrap().to_owned()
        };
        assert_eq!(value("FPRS_OTLP_ENDPOINT"), "https://collector:4317");
        assert_eq!(value("FPRS_TRACE_SAMPLE"), "0.5");
        for (name, path) in [
            ("FPRS_OTLP_CA", "ca/ca.crt"),
            ("FPRS_OTLP_HEADERS", "headers/headers"),
        ] {
            assert_eq!(value(name), format!("/etc/fprs/collector-{path}"));
            let (directory, key) = path.split_once('/').unwrap();
            let volume = format!("collector-{directory}");
            let named = |list: &Value| {
                let mut list = list.as_array().unwrap().iter();
                list.find(|item| item["name"] == volume).unwrap().clone()
            };
            let mount = &named(&relay["volumeMounts"])["mountPath"];
            assert_eq!(mount, &format!("/etc/fprs/{volume}"));
            let secret = &named(&pod["volumes"])["secret"];
            assert_eq!(secret["secretName"], "collector");
            assert_eq!(secret["items"][0]["path"], key);
        }
        let again = relay_of(&made["metadata"]["annotations"]).unwrap();
        assert_eq!(again.collector.unwrap().sample, "0.5");
        // One that was made before there was any tracing is what it was.
        let before = made_with(None);
        let annotation = before["metadata"]["annotations"][RELAY].as_str().unwrap();
        assert!(!annotation.contains("collector"), "{annotation}");
    }

    #[test]
    fn what_is_written_names_the_object_it_was_planned_on() {
        let written = expecting(stamp(made(), 7), "uid-1", "42");
        assert_eq!(written["metadata"]["annotations"][REVISION], "7");
        assert_eq!(written["metadata"]["resourceVersion"], "42");
        assert_eq!(written["metadata"]["uid"], "uid-1");
    }
}
