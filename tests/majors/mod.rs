//! The versions that pgjam watches, and tests that run on each of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Arguments, Conclusion, Trial};

/// The major versions that pgjam watches.
pub(crate) const MAJORS: [u32; 5] = [14, 15, 16, 17, 18];

/// Makes a test for each version, called `name::on_14` and so on.
pub(crate) fn on_each<F>(name: &str, test: F) -> Vec<Trial>
where
    F: Fn(u32) + Clone + Send + 'static,
{
    let on = |major| {
        let test = test.clone();
        Trial::test(format!("{name}::on_{major}"), move || {
            test(major);
            Ok(())
        })
    };
    MAJORS.map(on).into()
}

/// Runs what the command line asks for, two at once: such a test is mostly waiting, and has a
/// server to itself.
pub(crate) fn run(trials: Vec<Trial>) -> Conclusion {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    libtest_mimic::run(&arguments, trials)
}

/// Gives the folder of a version's programs; they are fetched once.
pub(crate) fn binaries(major: u32) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server.sh");
    let fetched = Command::new(script)
        .arg(major.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&fetched.stderr);
    assert!(fetched.status.success(), "no PostgreSQL {major}: {said}");
    PathBuf::from(String::from_utf8(fetched.stdout).unwrap().trim())
}
