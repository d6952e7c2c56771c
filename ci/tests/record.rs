//! What is recorded of the compiler's call for a cell, with this program in the compiler's place.
use std::fs;
use std::process::Command;

use serde_json::Value;

const SECRETS: [&str; 5] = [
    "CARGO_REGISTRY_TOKEN",
    "CARGO_REGISTRIES_FOO_TOKEN",
    "CARGO_REGISTRIES_FOO_CREDENTIAL_PROVIDER",
    "CARGO_HTTP_PROXY",
    "AWS_SECRET_ACCESS_KEY",
];

#[test]
fn the_record_holds_the_package_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("rustc.json");
    let status = Command::new(env!("CARGO_BIN_EXE_ci"))
        .args(["rustc", "--crate-name", "ctx", "src/lib.rs"])
        .env("DLDNA_RECORD", &record)
        .envs(SECRETS.map(|name| (name, "hunter2")))
        .env("CARGO_PKG_NAME", "ctx")
        .env("CARGO_MANIFEST_DIR", folder.path())
        .status()
        .unwrap();
    // The recorder compiles nothing, and tells cargo so.
    assert!(!status.success());
    let text = fs::read_to_string(&record).unwrap();
    for word in SECRETS.iter().chain(&["hunter2"]) {
        assert!(!text.contains(word), "{word} is in the record: {text}");
    }

    let recorded: Value = serde_json::from_str(&text).unwrap();
    let arguments = ["--crate-name", "ctx", "src/lib.rs"];
    assert_eq!(recorded["arguments"], serde_json::json!(arguments));
    let environment = recorded["environment"].as_array().unwrap();
    for variable in [
        ["CARGO_PKG_NAME", "ctx"],
        ["CARGO_MANIFEST_DIR", "{kernel}"],
    ] {
        let variable = serde_json::json!(variable);
        assert!(environment.contains(&variable), "{variable} is missing");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&record).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
