//! Puts the eBPF objects into `OUT_DIR`, so that `cargo build` alone makes a complete `ftpfw`.

#[path = "build/object.rs"]
mod object;
#[path = "build/toolchain.rs"]
mod toolchain;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use object::{Built, Kernels};

fn main() -> ExitCode {
    match embed_objects() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Cargo shows what a failed build script wrote to standard error, as it is.
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn embed_objects() -> Result<(), String> {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let workspace = here
        .parent()
        .ok_or("ftpfw-user is not inside the workspace")?;

    let toolchain = toolchain::find(&variable("CARGO_PKG_RUST_VERSION")?)
        .map_err(|missing| missing.to_string())?;

    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let big_endian = variable("CARGO_CFG_TARGET_ENDIAN")? == "big";
    let target_dir = object::target_dir(&out);
    for kernels in Kernels::ALL {
        let built = object::build(
            &toolchain,
            workspace,
            &target_dir,
            &arch,
            big_endian,
            kernels,
        )?;
        embed(&built, &out.join(kernels.file()))?;
    }
    // Said only now: a script that fails runs again anyway, and its error is easier to find alone.
    let inputs = [
        "ftpfw-ebpf",
        "ftpfw-common/src",
        "ftpfw-common/Cargo.toml",
        "Cargo.toml",
        "Cargo.lock",
    ];
    for input in inputs {
        rerun_if_changed(&workspace.join(input));
    }
    rerun_if_changed(&here.join("build.rs"));
    rerun_if_changed(&here.join("build"));
    rerun_if_changed(&toolchain.compiler.bin.join("rustc"));
    rerun_if_changed(&toolchain.linker.path);
    println!("cargo::rerun-if-env-changed={}", toolchain::OVERRIDE);
    Ok(())
}

fn embed(built: &Built, embedded: &Path) -> Result<(), String> {
    for line in built.warnings.lines() {
        println!("cargo::warning={line}");
    }
    fs::copy(&built.object, embedded)
        .map(|_| ())
        .map_err(|error| {
            format!(
                "copying {} to {}: {error}",
                built.object.display(),
                embedded.display()
            )
        })
}

fn rerun_if_changed(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}, which cargo sets for build scripts: {error}"))
}
