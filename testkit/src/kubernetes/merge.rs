//! The two ways in which a patch changes an object.

use serde_json::Value;

/// JSON merge patch, RFC 7386.
pub(super) fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(serde_json::Map::new());
    }
    for (key, value) in patch {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut object[key], value);
        }
    }
}

/// Server-side apply with force, of somebody who always applies the same fields: lists are merged by
/// their items' names.
pub(super) fn apply(object: &mut Value, ours: &Value) {
    match (object, ours) {
        (Value::Object(object), Value::Object(ours)) => {
            for (key, ours) in ours {
                apply(object.entry(key.clone()).or_insert(Value::Null), ours);
            }
        }
        (Value::Array(object), Value::Array(ours))
            if ours.iter().all(|item| name(item).is_some()) =>
        {
            for ours in ours {
                match object.iter_mut().find(|item| name(item) == name(ours)) {
                    Some(item) => apply(item, ours),
                    None => object.push(ours.clone()),
                }
            }
        }
        (object, ours) => *object = ours.clone(),
    }
}

fn name(item: &Value) -> Option<&str> {
    item.get("name")?.as_str()
}
