//! The same bytes give the same records, whatever the number of threads.

use capture_user::dissect::app::People;
use serde_json::Value;
use tests::engine::Run;

use super::{expected, folder};

/// What a record says, without the order that records of different shards come in.
fn sorted(records: Vec<Value>) -> Vec<String> {
    let mut lines: Vec<String> = records.iter().map(Value::to_string).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_number_of_workers_changes_no_record() {
    let Some(folder) = folder() else { return };
    for file in expected(&folder).keys() {
        let path = folder.join(file);
        let alone = sorted(Run::of(&path, 0, People::SHOWN).records);
        for workers in [1, 2, 4] {
            let shared = sorted(Run::of(&path, workers, People::SHOWN).records);
            let first = alone.iter().zip(&shared).find(|(one, other)| one != other);
            assert_eq!(first, None, "{file} with {workers} workers");
            assert_eq!(alone.len(), shared.len(), "{file} with {workers} workers");
        }
    }
}
