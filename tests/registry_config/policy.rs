//! containers-policy.json(5).

use crate::images::Image;
use crate::{User, serve};

const REJECT: &str = r#"{"default": [{"type": "reject"}]}"#;

#[test]
fn what_the_policy_rejects_is_not_asked_for() {
    let image = Image::simple(1000);
    let server = serve(&image);
    let name = format!("{}/app", server.name());
    let user = User::with("");
    user.configure("policy.json", REJECT);
    let refused = user.coracle(["pull", &name]);
    refused.refused(125, "E_POLICY").says("policy.json").says(&format!("rejects {name}:latest"));
    user.coracle(["run", "--rm", &name]).refused(125, "E_POLICY");
    assert!(server.asked().is_empty());

    let scoped = |kind: &str| {
        format!(
            r#"{{"default": [{{"type": "reject"}}], "transports": {{"docker": {{"{name}": [{{"type": "{kind}"}}]}}}}}}"#
        )
    };
    for kind in ["signedBy", "sigstoreSigned"] {
        user.configure("policy.json", scoped(kind));
        user.coracle(["pull", &name]).refused(125, "E_POLICY").says("signatures cannot be verified yet");
    }
    assert!(server.asked().is_empty());
    user.configure("policy.json", scoped("insecureAcceptAnything"));
    user.coracle(["pull", &name]).ok();
    // What is there already is nobody's business.
    user.configure("policy.json", REJECT);
    user.coracle(["pull", "--policy=missing", &name]).ok();
}

#[test]
fn another_policy_can_be_named_and_a_broken_one_is_refused() {
    let image = Image::simple(1000);
    let server = serve(&image);
    let name = format!("{}/app", server.name());
    let user = User::with("");
    let reject = user.lab.write("reject.json", REJECT);
    user.coracle(["pull", "--signature-policy", reject.to_str().unwrap(), &name]).refused(125, "E_POLICY");
    user.configure("policy.json", "{\n  \"default\": [{\"type\": \"accept\"}]\n}");
    user.coracle(["pull", &name]).refused(125, "E_CONFIG").says("policy.json: line 2 column ");
    user.coracle(["images"]).ok();
    let accept = user.lab.write("accept.json", r#"{"default": [{"type": "insecureAcceptAnything"}]}"#);
    user.coracle(["pull", "--signature-policy", accept.to_str().unwrap(), &name]).ok();
}
