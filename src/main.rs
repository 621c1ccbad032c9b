//! temporary
#![allow(clippy::all, clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods)]
use coracle::container::{base::Base, request::*, run};
use coracle::state::layout::Layout;
fn main() {
    let args: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    let layout = Layout::discover(None, None).unwrap();
    for d in [
        layout.data(),
        layout.runtime(),
        &layout.tmp(),
        &layout.containers(),
        &layout.container_names(),
        &layout.process_records(),
    ] {
        std::fs::create_dir_all(d).unwrap();
    }
    let flags = args[0].to_str().unwrap().to_owned();
    let (p, w) = match args[1].to_str().unwrap().strip_suffix(":O") {
        Some(p) => (p.to_owned(), DirectoryWrites::Discarded),
        None => (args[1].to_str().unwrap().to_owned(), DirectoryWrites::Through),
    };
    let request = Request {
        rootfs: RootfsSource::Directory { path: p.clone().into(), writes: w },
        name: None,
        attach: if flags.contains('d') { Attach::Detached } else { Attach::Foreground },
        removal: if flags.contains('k') { Removal::Never } else { Removal::AtExit },
        stdin: if flags.contains('i') { Stdin::Open } else { Stdin::Null },
        terminal: if flags.contains('t') { Terminal::New } else { Terminal::None },
        env: vec![],
        workdir: None,
        user: None,
        entrypoint: None,
        command: args[2..].to_vec(),
        hostname: None,
        rootfs_access: if flags.contains('r') { Access::ReadOnly } else { Access::ReadWrite },
        network: if flags.contains('h') { NetworkMode::Host } else { NetworkMode::None },
        init: if flags.contains('I') { Init::Reaper } else { Init::Payload },
        capabilities: Default::default(),
        security: Default::default(),
        mounts: vec![],
        tmpfs: vec![],
        labels: Default::default(),
        cidfile: None,
    };
    match run::execute(&layout, &request, &Base::Directory(p.into())) {
        Ok(run::Report::Exited(c)) => std::process::exit(c as i32),
        Ok(run::Report::Detached(id)) => eprintln!("{id}"),
        Err(f) => {
            eprintln!("Error: {f}\nhint: {:?}", f.hint());
            std::process::exit(f.exit_code() as i32)
        }
    }
}
