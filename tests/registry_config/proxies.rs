//! Proxies of the environment.

use crate::faulty::{Answer, Asked, Faulty};
use crate::images::Image;
use crate::{LIMIT, Output, User, output, serve};

/// An address that cannot be reached: nothing but a proxy makes it answer.
const FAR: &str = "255.255.255.255:5000";

/// A proxy that answers as the registry itself would, and tunnels nothing.
fn proxy(image: &Image) -> Faulty {
    let image = image.clone();
    Faulty::start(move |asked| match asked.path.strip_prefix(&format!("http://{FAR}")) {
        Some(path) => image.answer(&Asked { path: path.into(), ..asked.clone() }),
        None => Answer::new(502, ""),
    })
}

fn pull(name: &str, environment: &[(&str, &str)]) -> Output {
    let user = User::with(&format!("[[registry]]\nlocation = \"{FAR}\"\ninsecure = true\n"));
    let mut command = user.command(["pull", "--retry=0", name]);
    output::run(command.envs(environment.iter().copied()), &[], LIMIT)
}

#[test]
fn a_proxy_stands_for_what_cannot_be_reached() {
    let image = Image::simple(1000);
    let name = format!("{FAR}/app");
    for (plain, encrypted) in [("HTTP_PROXY", "HTTPS_PROXY"), ("http_proxy", "https_proxy"), ("ALL_PROXY", "all_proxy")]
    {
        let proxy = proxy(&image);
        pull(&name, &[(plain, &proxy.url()), (encrypted, &proxy.url())]).ok();
        // TLS is asked for first, through a tunnel.
        assert!(proxy.asked().iter().any(|asked| asked.method == "CONNECT" && asked.path == FAR), "{plain}");
        assert!(proxy.count("/manifests/latest") == 1);
    }
}

#[test]
fn hosts_without_a_proxy_are_asked_themselves() {
    let image = Image::simple(1000);
    for variable in ["NO_PROXY", "no_proxy"] {
        let proxy = proxy(&image);
        let url = proxy.url();
        let all =
            [("HTTP_PROXY", url.as_str()), ("HTTPS_PROXY", url.as_str()), (variable, "example.com,255.255.255.255")];
        pull(&format!("{FAR}/app"), &all).refused(125, "E_REGISTRY");
        assert!(proxy.asked().is_empty(), "{variable}");
        let others = [("HTTP_PROXY", url.as_str()), ("HTTPS_PROXY", url.as_str()), (variable, "example.com")];
        pull(&format!("{FAR}/app"), &others).ok();
    }
}

#[test]
fn this_machine_is_no_business_of_a_proxy() {
    let image = Image::simple(1000);
    let (server, proxy) = (serve(&image), Faulty::start(|_| Answer::new(502, "")));
    let url = proxy.url();
    let all = [("HTTP_PROXY", url.as_str()), ("HTTPS_PROXY", url.as_str()), ("ALL_PROXY", url.as_str())];
    pull(&format!("{}/app", server.name()), &all).ok();
    assert!(proxy.asked().is_empty());
}
