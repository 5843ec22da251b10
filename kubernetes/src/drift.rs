//! PURE. Whether an object of the cluster still says everything we wrote. What others added is theirs:
//! defaults of the server, annotations, containers that a webhook put in.

use serde_json::Value;

/// `live` says all of `ours`. Items of lists are matched by their `name`, where they have one, as
/// Kubernetes itself merges them.
pub(crate) fn holds(live: &Value, ours: &Value) -> bool {
    match (live, ours) {
        (Value::Object(live), Value::Object(ours)) => ours
            .iter()
            .all(|(key, ours)| live.get(key).is_some_and(|live| holds(live, ours))),
        (Value::Array(live), Value::Array(ours)) => {
            let named = ours.iter().all(|item| name(item).is_some());
            if named {
                let of = |ours: &Value| live.iter().find(|live| name(live) == name(ours));
                ours.iter()
                    .all(|ours| of(ours).is_some_and(|live| holds(live, ours)))
            } else {
                let pairs = live.iter().zip(ours);
                live.len() == ours.len() && pairs.into_iter().all(|(live, ours)| holds(live, ours))
            }
        }
        (live, ours) => live == ours,
    }
}

fn name(item: &Value) -> Option<&str> {
    item.get("name")?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_added_is_theirs_and_what_they_changed_is_seen() {
        let ours = json!({"replicas": 2, "containers": [
            {"name": "program", "image": "a", "env": [{"name": "PORT", "value": "8000"}]},
            {"name": "relay", "image": "b", "args": ["relay"]},
        ]});
        let mut live = json!({"replicas": 2, "strategy": "added", "containers": [
            {"name": "injected"},
            {"name": "program", "image": "a", "imagePullPolicy": "Always", "env": [
                {"name": "MORE", "value": "x"}, {"name": "PORT", "value": "8000"}]},
            {"name": "relay", "image": "b", "args": ["relay"]},
        ]});
        assert!(holds(&live, &ours));
        live["containers"][1]["image"] = "c".into();
        assert!(!holds(&live, &ours));
        live["containers"][1]["image"] = "a".into();
        live["containers"][2]["args"] = json!(["relay", "more"]);
        assert!(!holds(&live, &ours));
        live["containers"][2]["args"] = json!(["relay"]);
        live["containers"].as_array_mut().unwrap().remove(1);
        assert!(!holds(&live, &ours));
        assert!(!holds(&json!({"replicas": 3}), &json!({"replicas": 2})));
    }
}
