//! Templates as docker's and podman's documentation and their users' scripts have them.

use serde_json::json;

use super::*;

fn data() -> Value {
    json!({
        "Id": "0123456789abcdef",
        "Name": "web",
        "Names": ["web", "www"],
        "Image": "docker.io/library/debian:12",
        "Count": 3,
        "Half": 0.5,
        "Zero": 0,
        "Empty": "",
        "None": null,
        "No": [],
        "Running": true,
        "Labels": {"b": "2", "a": "1", "com.example.x": "y"},
        "State": {"Status": "running", "Pid": 42, "Running": true},
        "Mounts": [
            {"Type": "bind", "Source": "/a", "Destination": "/b", "RW": true},
            {"Type": "tmpfs", "Source": "", "Destination": "/t", "RW": false}
        ],
        "Config": {"Env": ["PATH=/bin", "A=b c"], "Labels": {}, "Cmd": null},
        "NetworkSettings": {"Networks": {"n1": {"IPAddress": "10.0.0.2"}, "n0": {"IPAddress": "10.0.0.1"}}}
    })
}

fn apply(template: &str) -> String {
    match Template::parse(template).and_then(|template| template.apply(&data())) {
        Ok(text) => text,
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn the_corpus() {
    let corpus = [
        // Text, fields, trim markers, comments.
        ("", ""),
        ("plain", "plain"),
        ("{{.Name}}", "web"),
        ("{{ .Name }}", "web"),
        ("a {{.Name}} b {{.Count}}", "a web b 3"),
        ("{{.State.Status}}", "running"),
        ("{{.ID}}", "0123456789abcdef"),
        ("{{.State.pid}}", "42"),
        ("{{$.Name}}", "web"),
        ("a \n {{- .Name -}} \n b", "awebb"),
        ("{{- .Name }} b", "web b"),
        ("{{/* a comment */}}x", "x"),
        ("a {{- /* a comment */ -}} b", "ab"),
        ("{{.Half}}", "0.5"),
        ("{{.Names}}", "[web www]"),
        ("{{.Labels}}", "map[a:1 b:2 com.example.x:y]"),
        ("{{.State}}", "{running 42 true}"),
        ("{{.None}}", "<no value>"),
        ("{{.Labels.a}}{{.Labels.missing}}", "1<no value>"),
        ("{{.Config.Labels.x}}", "<no value>"),
        ("{{(index .Mounts 0).Source}}", "/a"),
        // Constants.
        ("{{\"a\\tb\\\"\\u00e9\"}}{{`raw\\n`}}", "a\tb\"éraw\\n"),
        ("{{1}} {{-2}} {{0x10}} {{1.5}} {{'a'}} {{true}}", "1 -2 16 1.5 97 true"),
        // JSON.
        ("{{json .Names}}", r#"["web","www"]"#),
        ("{{json .State}}", r#"{"Status":"running","Pid":42,"Running":true}"#),
        ("{{.Labels | json}}", r#"{"b":"2","a":"1","com.example.x":"y"}"#),
        ("{{json .Config.Cmd}}", "null"),
        // Functions on text.
        ("{{upper .Name}} {{.Name | upper | lower}}", "WEB web"),
        ("{{title \"a bc-d\"}}", "A Bc-D"),
        ("{{join .Names \", \"}}", "web, www"),
        ("{{join .No \",\"}}", ""),
        ("{{split .Image \":\"}}", "[docker.io/library/debian 12]"),
        ("{{index (split .Image \":\") 1}}", "12"),
        ("{{truncate .Id 12}}", "0123456789ab"),
        ("{{truncate .Name 12}}", "web"),
        ("[{{pad .Name 1 2}}]", "[ web  ]"),
        ("[{{pad .Empty 1 2}}]", "[]"),
        ("{{slice .Id 0 4}} {{slice .Id 12}}", "0123 cdef"),
        ("{{len .Names}} {{len .Name}} {{len .Labels}}", "2 3 3"),
        // Printing.
        ("{{print .Name 1 2 \"x\"}}", "web1 2x"),
        ("{{println .Name 1}}", "web 1\n"),
        ("{{printf \"%s-%d\" .Name .Count}}", "web-3"),
        ("{{printf \"%-6s|%6s|\" .Name .Name}}", "web   |   web|"),
        (
            "{{printf \"%05d %x %q %v %t %.2f %%\" 42 255 \"a\" .Names true .Half}}",
            "00042 ff \"a\" [web www] true 0.50 %",
        ),
        ("{{printf \"%.12s\" .Id}}", "0123456789ab"),
        ("{{.Name | printf \"%s %s\" \"hello\"}}", "hello web"),
        ("{{printf \"%d\" .Name}}", "%!d(string=web)"),
        ("{{printf \"%s\"}}", "%!s(MISSING)"),
        ("{{printf \"x\" 1}}", "x%!(EXTRA int=1)"),
        // Conditions.
        ("{{if .Running}}up{{else}}down{{end}}", "up"),
        ("{{if .Empty}}a{{else}}b{{end}}", "b"),
        ("{{if .Zero}}a{{end}}", ""),
        ("{{if .No}}a{{else if .Names}}b{{else}}c{{end}}", "b"),
        ("{{if and .Running (eq .State.Status \"running\")}}ok{{end}}", "ok"),
        ("{{if or .Empty .Zero}}a{{else}}b{{end}}", "b"),
        ("{{if not .Empty}}a{{end}}", "a"),
        ("{{and .Name .Empty .Missing}}|{{or .Empty .Name .Missing}}", "|web"),
        ("{{if eq .Count 1 2 3}}a{{end}}", "a"),
        ("{{if ne .Name \"x\"}}a{{end}}", "a"),
        ("{{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 1.5 1}} {{lt \"a\" \"b\"}}", "true true false true true"),
        ("{{if .State}}struct{{end}}{{if .Config.Labels}}map{{end}}", "struct"),
        ("{{eq .Running true}}{{eq .None nil}}", "truetrue"),
        // Ranges.
        ("{{range .Names}}[{{.}}]{{end}}", "[web][www]"),
        ("{{range $i, $n := .Names}}{{if $i}},{{end}}{{$n}}{{end}}", "web,www"),
        ("{{range $n := .Names}}{{$n}}{{end}}", "webwww"),
        ("{{range .No}}a{{else}}none{{end}}", "none"),
        ("{{range .None}}a{{else}}none{{end}}", "none"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}} {{end}}", "a=1 b=2 com.example.x=y "),
        ("{{range .Mounts}}{{.Source}}:{{.Destination}}{{println}}{{end}}", "/a:/b\n:/t\n"),
        ("{{range .Mounts}}{{if eq .Type \"bind\"}}{{.Source}}{{end}}{{end}}", "/a"),
        ("{{range .Mounts}}{{$.Name}}{{end}}", "webweb"),
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", "10.0.0.1 10.0.0.2 "),
        ("{{range $i, $e := .Names}}{{if eq $i 1}}{{break}}{{end}}{{$e}}{{end}}", "web"),
        ("{{range .Names}}{{if eq . \"web\"}}{{continue}}{{end}}{{.}}{{end}}", "www"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        (
            "{{range $index, $value := .Config.Env}}{{if eq (index (split $value \"=\") 0) \"A\"}}{{$value}}{{end}}{{end}}",
            "A=b c",
        ),
        // With and variables.
        ("{{with .State}}{{.Status}} {{.Pid}}{{end}}", "running 42"),
        ("{{with .Empty}}a{{else}}b{{end}}", "b"),
        ("{{with .Empty}}a{{else with .Name}}{{.}}{{end}}", "web"),
        ("{{with $x := .Name}}{{$x}}{{end}}", "web"),
        ("{{$x := .Name}}{{$x}}{{$x = \"other\"}} {{$x}}", "web other"),
        ("{{$n := 0}}{{range .Names}}{{$n = len .}}{{end}}{{$n}}", "3"),
        ("{{$s := .State}}{{$s.Pid}}", "42"),
        // Index.
        ("{{index .Names 1}}", "www"),
        ("{{index .Labels \"com.example.x\"}}", "y"),
        ("{{index .Labels \"missing\"}}", ""),
        ("{{index .NetworkSettings.Networks \"n1\" \"IPAddress\"}}", "10.0.0.2"),
        ("{{(index .NetworkSettings.Networks \"n1\").IPAddress}}", "10.0.0.2"),
        // Labels.
        ("{{.Label \"com.example.x\"}}{{.Label \"missing\"}}", "y"),
        ("{{\"a\" | .Label}}", "1"),
    ];
    for (template, expected) in corpus {
        assert_eq!(apply(template), expected, "{template}");
    }
}

#[test]
fn mistakes_are_explained() {
    let mistakes = [
        ("{{.Foo}}", "\"Foo\""),
        ("{{.State.Foo}}", "\"Foo\""),
        ("{{.Name.Foo}}", "\"Foo\""),
        ("{{.None.Foo}}", "\"Foo\""),
        ("{{.Name", "no }}"),
        ("{{}}", "missing"),
        ("{{if}}x{{end}}", "missing"),
        ("{{if .Name}}x", "{{end}}"),
        ("{{end}}", "too many"),
        ("{{else}}", "outside"),
        ("{{break}}", "outside"),
        ("{{range .Names}}{{else if .Name}}{{end}}", "condition"),
        ("{{(.Name}}", "parenthesis"),
        ("{{.Name)}}", "unexpected"),
        ("{{.Name | }}", "missing"),
        ("{{\"a}}", "no end"),
        ("{{`a}}", "no end"),
        ("{{\"\\z\"}}", "escape"),
        ("{{/* a}}", "no end"),
        ("{{1x}}", "number"),
        ("{{$x}}", "not defined"),
        ("{{$x = 1}}", "not defined"),
        ("{{$a, $b, $c := .Names}}", "two"),
        ("{{$a, $b := .Names}}", "range"),
        ("{{foo .Name}}", "does not exist"),
        ("{{.Name .Name}}", "takes no argument"),
        ("{{upper 1}}", "needs text"),
        ("{{upper}}", "0 arguments"),
        ("{{truncate .Name -1}}", "needs a number"),
        ("{{pad .Name 100000000000 1}}", "at most"),
        ("{{index .Names 7}}", "outside"),
        ("{{index .Name 0}}", "cannot be indexed"),
        ("{{slice .Name 2 9}}", "outside"),
        ("{{len 3}}", "no length"),
        ("{{range .Name}}{{end}}", "iterate"),
        ("{{lt 1 \"a\"}}", "cannot be compared"),
        ("{{eq 1}}", "two values"),
        ("{{template \"x\"}}", "not supported"),
        ("{{define \"x\"}}{{end}}", "not supported"),
        ("{{.A:B}}", "':'"),
        ("{{@}}", "unexpected"),
    ];
    for (template, part) in mistakes {
        let text = apply(template);
        assert!(text.starts_with("error: ") && text.contains(part), "{template} -> {text}");
    }
    let deep = format!("{{{{{}.Name{}}}}}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(apply(&deep).contains("deep"));
    let deep = "{{if true}}".repeat(10_000);
    assert!(apply(&deep).contains("deep"));
}

#[test]
fn a_missing_field_names_those_there_are() {
    let error = Template::parse("{{.State.Foo}}").unwrap().apply(&data()).unwrap_err();
    let hint = crate::failure::Explain::hint(&error).unwrap();
    assert_eq!(hint, "the fields are Status, Pid, Running");
}

#[test]
fn headers_are_titles() {
    let titles = [("ID", "CONTAINER ID"), ("Names", "NAMES")];
    let cases = [
        ("{{.ID}}\t{{.Names}}", "CONTAINER ID\tNAMES"),
        ("{{.ImageID}}\t{{upper .Names}}", "IMAGE ID\tNAMES"),
        ("{{.State.Status}}\t{{.Label \"x\"}}", "STATUS\tx"),
        ("{{index .Labels \"a\"}}\t{{json .}}", "a\t"),
        ("{{range .Names}}{{.}}{{end}}\t{{if .Running}}{{.ID}}{{end}}", "NAMES\tCONTAINER ID"),
        ("{{truncate .ID 4}}\t{{join .Names \",\"}}", "CONTAINER ID\tNAMES"),
    ];
    for (template, expected) in cases {
        assert_eq!(Template::parse(template).unwrap().header(&titles).unwrap(), expected, "{template}");
    }
}

proptest::proptest! {
    #[test]
    fn no_template_panics(text in "([{}. |$()a-z\"`0-9:=,/*-]|\\{\\{|\\}\\}|\\{\\{range |\\{\\{if |\\{\\{end\\}\\}|printf \"%[a-z0-9.]*\"|\\.Names?){0,30}") {
        let _ = apply(&text);
    }
}
