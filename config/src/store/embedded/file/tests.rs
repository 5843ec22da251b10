use super::*;

#[test]
fn a_file_of_a_later_schema_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let (file, state) = File::open(&path, HistoryLimits::default()).unwrap();
    let transaction = file.database.begin_write().unwrap();
    write_meta(&transaction, &state).unwrap();
    transaction
        .open_table(META)
        .unwrap()
        .insert(META_SCHEMA, SCHEMA + 1)
        .unwrap();
    transaction.commit().unwrap();
    drop(file);

    let error = File::open(&path, HistoryLimits::default()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)));
    assert!(error.to_string().contains("later build"), "{error}");
    assert!(path.exists());
}

#[test]
fn a_store_is_created_whole_and_leaves_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    drop(File::open(&path, HistoryLimits::default()).unwrap());
    let names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["store"]);
}

#[test]
fn a_store_that_appears_meanwhile_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    fs::write(&path, "somebody else's").unwrap();
    let fault = create(&path, &State::empty(HistoryLimits::default())).unwrap_err();
    assert!(matches!(fault, Fault::Held));
    assert_eq!(fs::read(&path).unwrap(), b"somebody else's");
}
