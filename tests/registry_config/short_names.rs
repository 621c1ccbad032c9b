//! Names without a registry.

use crate::faulty::{Answer, Faulty};
use crate::images::Image;
use crate::support::Terminal;
use crate::{LIMIT, User, always, nobody, output, questions, serve};

fn searched(registries: &[&str], mode: &str) -> String {
    format!("unqualified-search-registries = {registries:?}\nshort-name-mode = \"{mode}\"\n")
}

#[test]
fn an_alias_decides() {
    let (image, other) = (Image::simple(1000), always(Answer::new(404, "")));
    let server = serve(&image);
    let conf = searched(&[&other.name()], "enforcing");
    let user = User::with(&format!("{conf}[aliases]\n\"short\" = \"{}/app\"\n", server.name()));
    user.coracle(["pull", "short"]).ok();
    assert_eq!(user.images(), [format!("{}/app:latest", server.name())]);
    assert!(other.asked().is_empty());
    // It is found again under the name that the user knows, and nobody is asked.
    server.forget();
    for verb in [["inspect", "short"], ["rmi", "short"]] {
        user.coracle(verb).ok();
    }
    assert!(server.asked().is_empty() && other.asked().is_empty());
    user.coracle(["pull", "--policy=never", "short"]).refused(125, "E_NOTFOUND");
    user.coracle(["pull", "--policy=missing", "short"]).ok();
    server.forget();
    user.coracle(["pull", "--policy=missing", "short"]).ok();
    assert!(server.asked().is_empty());
}

#[test]
fn registries_are_searched_in_their_order() {
    let image = Image::simple(1000);
    let (first, second, third) = (always(Answer::new(404, "")), serve(&image), serve(&image));
    for mode in ["disabled", "permissive"] {
        let user = User::with(&searched(&[&nobody(), &first.name(), &second.name(), &third.name()], mode));
        user.coracle(["pull", "--retry=1", "--retry-delay=1ms", "app"]).ok().says("trying the next registry");
        assert_eq!(user.images(), [format!("{}/app:latest", second.name())], "{mode}");
        assert!(questions(&third).is_empty());
    }
}

#[test]
fn without_a_terminal_an_ambiguous_name_is_refused_or_searched_for() {
    let image = Image::simple(1000);
    let (one, other) = (serve(&image), serve(&image));
    let user = User::with(&searched(&[&one.name(), &other.name()], "enforcing"));
    let refused = user.coracle(["pull", "app"]);
    refused.refused(125, "E_CONFIG").says("\"app\" is a short name");
    refused.says(&format!("{}/app:latest or {}/app:latest", one.name(), other.name()));
    assert!(one.asked().is_empty() && other.asked().is_empty());
    user.configure("registries.conf", searched(&[&one.name()], "enforcing"));
    user.coracle(["pull", "app"]).ok();
    user.configure("registries.conf", "unqualified-search-registries = []");
    user.coracle(["pull", "nothing"]).refused(125, "E_CONFIG").says("names no registry to search");
}

#[test]
fn on_a_terminal_the_user_chooses_once() {
    let image = Image::simple(1000);
    let (one, other) = (serve(&image), serve(&image));
    let user = User::with(&searched(&[&one.name(), &other.name()], "enforcing"));
    let start = |arguments: &[&str]| {
        let mut command = user.lab.program("/usr/bin/setsid");
        command.env("TERM", "xterm").env("CONTAINERS_REGISTRIES_CONF_DIR", user.lab.root().join("none"));
        Terminal::start_command(command.arg("--ctty").arg(crate::support::coracle_path()).args(arguments))
    };
    let mut nothing = start(&["pull", "app"]);
    nothing.expect("Which one (1 to 2)?");
    nothing.send("3\n");
    assert_eq!(nothing.wait(), 125);
    assert!(one.asked().is_empty() && other.asked().is_empty());

    let mut chosen = start(&["pull", "-q", "app:latest"]);
    chosen.expect(&format!("2  {}/app:latest", other.name()));
    chosen.expect("Which one (1 to 2)?");
    chosen.send("2\n");
    assert_eq!(chosen.wait(), 0, "{}", chosen.transcript());
    assert_eq!(user.images(), [format!("{}/app:latest", other.name())]);
    assert!(one.asked().is_empty());
    let remembered = user.lab.root().join("cache/containers/short-name-aliases.conf");
    let remembered = std::fs::read_to_string(remembered).unwrap();
    assert_eq!(remembered, format!("[aliases]\n  \"app\" = \"{}/app\"\n", other.name()));
    // Without a terminal, too, and whatever it is that is wanted of it.
    user.coracle(["pull", "app"]).ok();
    assert!(one.asked().is_empty());
}

#[test]
fn a_choice_that_leads_nowhere_is_not_remembered() {
    let (one, other) = (always(Answer::new(404, "")), always(Answer::new(404, "")));
    let user = User::with(&searched(&[&one.name(), &other.name()], "permissive"));
    let mut command = user.lab.program("/usr/bin/setsid");
    command.env("TERM", "xterm").env("CONTAINERS_REGISTRIES_CONF_DIR", user.lab.root().join("none"));
    let mut terminal =
        Terminal::start_command(command.args(["--ctty"]).arg(crate::support::coracle_path()).args(["pull", "app"]));
    terminal.expect("Which one");
    terminal.send("1\n");
    assert_eq!(terminal.wait(), 125);
    assert!(!user.lab.root().join("cache/containers/short-name-aliases.conf").exists());
    assert!(questions(&other).is_empty(), "what was not chosen is not tried");
}

#[test]
fn with_nothing_configured_docker_io_is_meant() {
    let user = User::with("");
    // Nothing is sent to docker.io: the proxy refuses, and is told where it should have led.
    let proxy = Faulty::start(|_| Answer::new(403, ""));
    let mut command = user.command(["pull", "--retry=0", "debian"]);
    let refused = output::run(command.env("HTTPS_PROXY", proxy.url()), &[], LIMIT);
    refused.refused(125, "E_REGISTRY").says("pulling docker.io/library/debian:latest");
    assert_eq!(proxy.asked().first().map(|asked| asked.path.clone()).as_deref(), Some("registry-1.docker.io:443"));
}

#[test]
fn a_container_is_made_from_what_a_short_name_stands_for() {
    let name = crate::support::image("busybox");
    let registry = name.split('/').next().unwrap();
    let user = User::with(&format!("[aliases]\n\"box\" = \"{registry}/busybox\"\n"));
    assert_eq!(user.coracle(["run", "--rm", "-q", "box", "echo", "hello"]).ok().text(), "hello");
    assert_eq!(user.coracle(["run", "--rm", "--pull=never", "box", "echo", "again"]).ok().text(), "again");
    user.coracle(["create", "--pull=never", "--name", "c", "box"]).ok();
    assert_eq!(user.coracle(["ps", "-a", "--format", "{{.Image}}"]).ok().text(), format!("{registry}/busybox:latest"));
}
