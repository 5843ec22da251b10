use std::path::Path;

use super::*;

fn said(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn lines_of_all_cores_are_written_whole_after_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    std::fs::write(&path, "{\"said\":1}\n").unwrap();
    let log = AccessLog::open(Destination::File(path.clone())).unwrap();
    let pens = [Pen::new(&log), Pen::new(&log)];
    for pen in &pens {
        pen.write(b"{\"said\":2}\n");
    }
    log.flush();
    let said = said(&path);
    assert_eq!(said, ["{\"said\":1}", "{\"said\":2}", "{\"said\":2}"]);
    assert_eq!(log.lost(), 0);
}

#[test]
fn what_comes_faster_than_it_is_written_is_lost_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let log = AccessLog::open(Destination::File(path.clone())).unwrap();
    let pen = Pen::new(&log);
    let mut long = vec![b'x'; ROOM / 4];
    long.push(b'\n');
    // The disk stalls.
    let stalls = lock(&log.0.writing);
    for _ in 0..6 {
        pen.write(&long);
    }
    assert_eq!(log.lost(), 3);
    drop(stalls);
    log.flush();
    pen.write(b"after\n");
    log.flush();
    let said = said(&path);
    assert_eq!(said.len(), 4);
    assert_eq!(said.last().unwrap(), "after");
}

#[test]
fn a_file_that_was_renamed_is_opened_again_under_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (path, rotated) = (dir.path().join("access.log"), dir.path().join("access.1"));
    let log = AccessLog::open(Destination::File(path.clone())).unwrap();
    let pen = Pen::new(&log);
    pen.write(b"1\n");
    log.flush();
    std::fs::rename(&path, &rotated).unwrap();
    fprs_testkit::eventually_blocking("it is there again", Duration::from_secs(10), || {
        pen.write(b"2\n");
        log.flush();
        path.exists()
    });
    assert_eq!(said(&rotated).first().unwrap(), "1");
    assert_eq!(said(&path).last().unwrap(), "2");
    assert_eq!(log.lost(), 0);
}

#[test]
fn a_file_that_cannot_be_written_is_refused_at_once() {
    let missing = Destination::File("/nowhere/access.log".into());
    assert!(AccessLog::open(missing).is_err());
}
