#!/usr/bin/env bash
# Makes the images that the tests run, with other people's tools, and prints the directory they are in.
#
#   tests/fixtures.sh CACHE_DIR
#
# CACHE_DIR/fixtures-KEY/
#   rootfs/busybox  rootfs/debian   trees, for --rootfs
#   probe                           static program that tells what busybox cannot (fixtures/probe.c)
#   identities                      static program that tells what becomes of ids and owners (fixtures/identities.c)
#   apt/                            packages of Debian that rootfs/debian lacks, and their index
#   canary/                         what the hostile images point at; nothing may ever change it
#   registry/                       storage of docker-registry, with the images that `images` below names
#
# KEY is the digest of this script and its inputs, so a change makes new fixtures. Needs root, once: mmdebstrap and
# buildah make files of other owners.
set -euo pipefail
umask 022
here=$(dirname "$(readlink -f "$0")")
cache=$1
key=$(cat "$here/fixtures.sh" "$here/fixtures/"*.c | sha256sum | cut -c1-12)
out=$cache/fixtures-$key
if [ -d "$out" ]; then echo "$out"; exit 0; fi
if [ "$(id -u)" != 0 ]; then
    echo "tests/fixtures.sh: $out is missing and making it needs root: run 'sudo tests/run prepare' once" >&2
    exit 1
fi
mkdir -p "$cache"
exec 9>"$cache/fixtures.lock"
flock 9
if [ -d "$out" ]; then echo "$out"; exit 0; fi
exec 3>&1 1>&2

tmp=$(mktemp -d "$cache/tmp.XXXXXX")
registry_pid=
finish() {
    [ -z "$registry_pid" ] || kill "$registry_pid" 2>/dev/null || true
    rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT TERM
chmod 755 "$tmp"
new=$tmp/new
layouts=$tmp/layouts
mkdir -p "$new/rootfs" "$new/canary/dir" "$new/registry" "$layouts"

# What this machine has configured for buildah and skopeo is of no use here.
printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$tmp/buildah" "$tmp/buildah-run" >"$tmp/storage.conf"
export CONTAINERS_STORAGE_CONF=$tmp/storage.conf

gcc -O1 -static -o "$new/probe" "$here/fixtures/probe.c"
gcc -O1 -static -o "$new/identities" "$here/fixtures/identities.c"

# The canary's path is in the hostile images, so it must not change with the key.
canary=$cache/canary
if [ ! -d "$canary" ]; then
    mkdir -p "$canary/dir"
    echo 'top secret of the host' >"$canary/secret"
    chmod -R a+rX "$canary"
fi
rmdir "$new/canary/dir" "$new/canary"
ln -s "$canary" "$new/canary"

# --- trees ------------------------------------------------------------------------------------------------------------

busybox_tree() {
    local tree=$1 applet
    mkdir -p "$tree"/{bin,dev,etc,home/app,proc,root,run,sbin,sys,tmp,usr/bin,var/tmp}
    chmod 1777 "$tree/tmp" "$tree/var/tmp"
    chmod 700 "$tree/root"
    cp /bin/busybox "$tree/bin/busybox"
    cp "$new/probe" "$tree/bin/probe"
    for applet in $("$tree/bin/busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
    done
    printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'daemon:x:1:1:daemon:/usr/sbin:/bin/false' \
        'www-data:x:33:33:www-data:/var/www:/bin/false' 'app:x:1000:1000:app:/home/app:/bin/sh' \
        'nobody:x:65534:65534:nobody:/nonexistent:/bin/false' >"$tree/etc/passwd"
    printf '%s\n' 'root:x:0:' 'daemon:x:1:' 'audio:x:29:app' 'www-data:x:33:' 'staff:x:50:app' 'app:x:1000:' \
        'nogroup:x:65534:' >"$tree/etc/group"
    echo 'NAME=busybox' >"$tree/etc/os-release"
    printf '#!/bin/sh\necho script\n' >"$tree/bin/script"
    chmod 755 "$tree/bin/script"
    echo 'not a program' >"$tree/bin/not-executable"
    printf '#!/no/such/interpreter\n' >"$tree/bin/bad-interpreter"
    chmod 755 "$tree/bin/bad-interpreter"
}

# apt's downloads are what takes time: the finished tree is kept beside the fixtures, which change more often.
debian_tree() {
    local tree=$1 tar=$cache/debian-bookworm-minbase.tar
    if [ ! -f "$tar" ]; then
        mmdebstrap --quiet --variant=minbase bookworm "$tmp/debian.tar"
        mv "$tmp/debian.tar" "$tar"
    fi
    mkdir -p "$tree"
    tar -C "$tree" --numeric-owner -xpf "$tar" --exclude='./dev/*'
}

# Servers and tools of many users. What no test looks at is left out: documents, translations, a compiler for queries.
services_tar() {
    services=$cache/debian-bookworm-services-1.tar
    [ ! -f "$services" ] || return 0
    local path options=()
    for path in doc man locale info; do options+=(--dpkgopt="path-exclude=/usr/share/$path/*"); done
    mmdebstrap --quiet --variant=minbase "${options[@]}" --dpkgopt='path-exclude=/usr/lib/*/libLLVM*' \
        --dpkgopt='path-exclude=/usr/lib/postgresql/*/lib/bitcode/*' \
        --include=acl,busybox-static,gdb-minimal,git,openssh-server,postgresql,procps,rsync,strace,sudo \
        bookworm "$tmp/services.tar"
    mv "$tmp/services.tar" "$services"
}

# Packages for apt to install into rootfs/debian, with everything that they need and it lacks.
apt_repository() {
    local kept=$cache/apt-bookworm-1 file
    if [ ! -d "$kept" ]; then
        mkdir -p "$tmp/apt/partial"
        apt-get -qq update
        apt-get -qq -y --no-install-recommends --download-only -o Dir::State::status="$new/rootfs/debian/var/lib/dpkg/status" \
            -o Dir::Cache::archives="$tmp/apt" install cron dbus nginx-light redis-server
        rm -rf "$tmp/apt/partial" "$tmp/apt/lock"
        (
            cd "$tmp/apt"
            for file in *.deb; do
                # apt asks for names as they are written in the index, in which a colon is not escaped.
                mv "$file" "${file//%3a/.}" 2>/dev/null || true
                file=${file//%3a/.}
                dpkg-deb -f "$file"
                printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$file" "$(stat -c %s "$file")" "$(sha256sum <"$file" | cut -d' ' -f1)"
            done >Packages
        )
        mv "$tmp/apt" "$kept"
    fi
    cp -r "$kept" "$new/apt"
}

# What Alpine has in place of the GNU C library, and a program that is linked to it.
musl_tree() {
    local tree=$1
    cp -a "$new/rootfs/busybox" "$tree"
    mkdir -p "$tree/lib"
    cp -L /lib/ld-musl-x86_64.so.1 "$tree/lib/"
    musl-gcc -O1 -idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu -o "$tree/bin/identities" "$here/fixtures/identities.c"
}

busybox_tree "$new/rootfs/busybox"
cp "$new/identities" "$new/rootfs/busybox/bin/identities"
debian_tree "$new/rootfs/debian"
musl_tree "$tmp/musl"
services_tar
apt_repository

# --- images -----------------------------------------------------------------------------------------------------------

# umoci's options for one image of the layouts directory
layout() { umoci init --layout "$layouts/$1" && umoci new --image "$layouts/$1:latest"; }

# image NAME TREE [CONFIG...]: an OCI layout of one layer, with umoci
image() {
    local name=$1 tree=$2
    shift 2
    layout "$name"
    tar -C "$tree" --sort=name --numeric-owner --owner=0 --group=0 --mtime=@1700000000 -cf "$tmp/layer.tar" .
    umoci raw add-layer --image "$layouts/$name:latest" "$tmp/layer.tar"
    case " $* " in *' --config.cmd '*) ;; *) set -- --config.cmd /bin/sh "$@" ;; esac
    umoci config --image "$layouts/$name:latest" --author tests \
        --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
    umoci gc --layout "$layouts/$name"
}

# derive NAME FROM: a copy of an image, to be changed
derive() { cp -r "$layouts/$2" "$layouts/$1"; }

blob() { echo "$layouts/$1/blobs/sha256/${2#sha256:}"; }
manifest_digest() { jq -r '.manifests[0].digest' "$layouts/$1/index.json"; }

# put NAME FILE: stores a blob, prints "digest size"
put() {
    local digest
    digest=$(sha256sum <"$2" | cut -d' ' -f1)
    cp "$2" "$layouts/$1/blobs/sha256/$digest"
    echo "sha256:$digest $(stat -c %s "$2")"
}

# edit_config NAME JQ-FILTER: what umoci would refuse to write
edit_config() {
    local name=$1 manifest config digest size
    manifest=$(blob "$name" "$(manifest_digest "$name")")
    config=$(blob "$name" "$(jq -r .config.digest "$manifest")")
    jq -c "$2" "$config" >"$tmp/config.json"
    read -r digest size < <(put "$name" "$tmp/config.json")
    jq -c --arg d "$digest" --argjson s "$size" '.config.digest=$d | .config.size=$s' "$manifest" >"$tmp/manifest.json"
    read -r digest size < <(put "$name" "$tmp/manifest.json")
    jq -c --arg d "$digest" --argjson s "$size" '.manifests[0].digest=$d | .manifests[0].size=$s' \
        "$layouts/$name/index.json" >"$tmp/index.json"
    cp "$tmp/index.json" "$layouts/$name/index.json"
}

# hostile NAME COMMAND: busybox with its tree changed by COMMAND (run in the tree)
hostile() {
    rm -rf "$tmp/hostile"
    cp -a "$new/rootfs/busybox" "$tmp/hostile"
    (cd "$tmp/hostile" && eval "$2")
    image "$1" "$tmp/hostile"
}

# Three layers made by buildah: deletions, an opaque directory, a file that becomes a directory and back. Contents differ in
# size: buildah takes a file of the same size and second for the same.
buildah_layers() {
    local store=(--root "$tmp/buildah" --runroot "$tmp/buildah-run" --storage-driver vfs) container mount step
    local previous=scratch
    for step in 1 2 3; do
        container=$(buildah "${store[@]}" from --pull-never "$previous")
        mount=$(buildah "${store[@]}" mount "$container")
        case $step in
            1)
                cp -a "$new/rootfs/busybox/." "$mount/"
                mkdir -p "$mount"/{gone,kept/deep,opaque/old,swap}
                echo one | tee "$mount"/{gone/file,kept/deep/file,opaque/old/file,swap/file,deleted,changed} >/dev/null
                ln "$mount/changed" "$mount/hardlink"
                ;;
            2)
                rm -rf "$mount"/{gone,opaque,swap,deleted,changed}
                mkdir "$mount/opaque"
                echo second | tee "$mount"/{opaque/new,swap,changed} >/dev/null
                ;;
            3)
                rm "$mount/swap"
                mkdir "$mount/swap"
                echo the third | tee "$mount"/{swap/again,deleted} >/dev/null
                ;;
        esac
        buildah "${store[@]}" umount "$container" >/dev/null
        buildah "${store[@]}" config --cmd /bin/sh --env "LAYER=$step" "$container"
        buildah "${store[@]}" commit -q "$container" "localhost/step$step" >/dev/null
        previous=localhost/step$step
    done
    buildah "${store[@]}" push -q "$previous" "oci:$layouts/layers:latest"
}

# multi NAME AMD64 ARM64: one index of two platforms
multi() {
    derive "$1" "$2"
    cp -n "$layouts/$3"/blobs/sha256/* "$layouts/$1/blobs/sha256/"
    jq -n --slurpfile amd "$layouts/$2/index.json" --slurpfile arm "$layouts/$3/index.json" '
        {schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [
            ($arm[0].manifests[0] | del(.annotations) | .platform = {os: "linux", architecture: "arm64", variant: "v8"}),
            ($amd[0].manifests[0] | del(.annotations) | .platform = {os: "linux", architecture: "amd64"})]}' >"$tmp/multi.json"
    local digest size
    read -r digest size < <(put "$1" "$tmp/multi.json")
    jq -n --arg d "$digest" --argjson s "$size" '{schemaVersion: 2, manifests: [{
        mediaType: "application/vnd.oci.image.index.v1+json", digest: $d, size: $s,
        annotations: {"org.opencontainers.image.ref.name": "latest"}}]}' >"$layouts/$1/index.json"
}

# Trees whose owners are kept: those of Debian's packages.
owned_images() {
    local name
    for name in services debian-owned; do
        layout "$name"
        if [ "$name" = services ]; then
            umoci raw add-layer --image "$layouts/$name:latest" "$services"
        else
            umoci raw add-layer --image "$layouts/$name:latest" "$cache/debian-bookworm-minbase.tar"
        fi
        umoci config --image "$layouts/$name:latest" --config.cmd /bin/bash \
            --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
        umoci gc --layout "$layouts/$name"
    done
}

images() {
    owned_images
    image musl "$tmp/musl"
    image busybox "$new/rootfs/busybox"
    image debian "$new/rootfs/debian" --config.cmd /bin/bash
    image users "$new/rootfs/busybox" --config.user app
    image numeric-user "$new/rootfs/busybox" --config.user 1234:2345
    image configured "$new/rootfs/busybox" --config.entrypoint /bin/echo --config.entrypoint entry \
        --config.cmd default --config.env GREETING=hello --config.env 'WITH_SPACE=a b=c' --config.workingdir /work/new \
        --config.volume /data --config.label purpose=test --config.stopsignal SIGINT
    buildah_layers
    image arm64 "$new/rootfs/busybox" --architecture arm64
    multi multi busybox arm64

    # The host's own value must not leak through an entry without '='.
    derive bad-env busybox
    edit_config bad-env '.config.Env += ["AWS_SECRET_ACCESS_KEY", "=x", "GOOD=1"]'

    hostile hostile-proc-link 'mkdir x; rmdir proc; ln -s /x proc'
    hostile hostile-proc-dangling 'rmdir proc; ln -s /nowhere proc'
    hostile hostile-proc-tree 'mkdir -p proc/self/attr; : >proc/self/attr/exec'
    hostile hostile-proc-file 'rmdir proc; : >proc'
    hostile hostile-sys-link 'mkdir x; rmdir sys; ln -s /x sys'
    hostile hostile-dev-link "rmdir dev; ln -s $canary/dir dev"
    hostile hostile-dev-relative "rmdir dev; ln -s ../../../../../../..$canary/dir dev"
    hostile hostile-dev-two-hops "rmdir dev; ln -s tmp/hop dev; ln -s $canary/dir tmp/hop"
    hostile hostile-dev-nodes "ln -s $canary/secret dev/null; ln -s $canary/secret dev/console; ln -s $canary/dir dev/pts; ln -s $canary/secret dev/ptmx; : >dev/zero"
    hostile hostile-etc "ln -s $canary/secret etc/hosts; ln -s $canary/secret etc/resolv.conf; ln -s $canary/secret etc/hostname; ln -s $canary/secret etc/mtab"
    hostile hostile-etc-fifo 'mkfifo etc/hosts etc/resolv.conf etc/hostname'
    hostile hostile-run-link "rmdir run; ln -s $canary/dir run"
    hostile hostile-passwd-fifo 'rm etc/passwd; mkfifo etc/passwd'
    hostile hostile-passwd-link "rm etc/passwd; ln -s $canary/secret etc/passwd"
    hostile hostile-passwd-zero 'rm etc/passwd; ln -s /dev/zero etc/passwd'
    hostile hostile-group-huge 'truncate -s 16M etc/group'
    hostile hostile-workdir-link "ln -s $canary/dir link; ln -s ../../../../.. up; ln -s /proc/self/fd/7 fd"
    derive hostile-workdir-fd busybox
    edit_config hostile-workdir-fd '.config.WorkingDir = "/proc/self/fd/7"'
    derive hostile-workdir-fd-link hostile-workdir-link
    edit_config hostile-workdir-fd-link '.config.WorkingDir = "/fd"'
    derive hostile-workdir-canary hostile-workdir-link
    edit_config hostile-workdir-canary '.config.WorkingDir = "/link/new"'
    derive hostile-workdir-up hostile-workdir-link
    edit_config hostile-workdir-up '.config.WorkingDir = "/up/tmp/made-by-coracle"'
    local volume
    for volume in root=/ proc=/proc proc-self=/proc/self sys=/sys dev=/dev; do
        derive "hostile-volume-${volume%%=*}" busybox
        edit_config "hostile-volume-${volume%%=*}" ".config.Volumes = {\"${volume#*=}\": {}}"
    done
    local user n=0
    for user in 4294967296 2147483648 -1 0x0 +0 ' 0' 99999999999 'root:-1' nosuchuser; do
        derive "hostile-user-$n" busybox
        edit_config "hostile-user-$n" ".config.User = \"$user\""
        n=$((n + 1))
    done
    derive hostile-labels busybox
    edit_config hostile-labels '.config.Labels = {"\u001b[2Jx": "\u001b]0;title\u0007\u202e"}'
    # no layer at all
    layout empty
    umoci config --image "$layouts/empty:latest" --config.cmd /bin/sh
    umoci gc --layout "$layouts/empty"
}

# --- registry ---------------------------------------------------------------------------------------------------------

start_registry() {
    local port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' 2>/dev/null ||
        echo $((20000 + RANDOM % 20000)))
    printf 'version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:%s"}\n' \
        "$new/registry" "$port" >"$tmp/registry.yml"
    docker-registry serve "$tmp/registry.yml" >"$tmp/registry.log" 2>&1 3>&- 9>&- &
    registry_pid=$!
    registry=127.0.0.1:$port
    local i
    for i in $(seq 100); do
        curl -fsS "http://$registry/v2/" >/dev/null 2>&1 && return
        sleep 0.1
    done
    echo "tests/fixtures.sh: docker-registry does not answer on $registry" >&2
    cat "$tmp/registry.log" >&2
    exit 1
}

# copy FROM NAME:TAG [OPTION...]
copy() {
    local from=$1 to=$2
    shift 2
    skopeo copy -q --insecure-policy --dest-tls-verify=false "$@" "$from" "docker://$registry/$to"
}

images
start_registry
# First, while the registry has no other form of these layers that skopeo could use instead. It compresses on its way to a
# registry only what is not compressed, and unless digests must stay.
for name in busybox layers; do
    skopeo copy -q --insecure-policy --format oci --dest-decompress "oci:$layouts/$name:latest" "dir:$tmp/plain-$name"
    copy "dir:$tmp/plain-$name" "$name-zstd:latest" --format oci --dest-compress-format zstd
    copy "dir:$tmp/plain-$name" "$name-plain:latest" --preserve-digests
done
for name in "$layouts"/*/; do
    name=$(basename "$name")
    case $name in
        multi) copy "oci:$layouts/multi:latest" multi:latest --all ;;
        *) copy "oci:$layouts/$name:latest" "$name:latest" --preserve-digests ;;
    esac
done
copy "oci:$layouts/busybox:latest" busybox:1 --preserve-digests
copy "oci:$layouts/busybox:latest" busybox-docker:latest --format v2s2
copy "oci:$layouts/layers:latest" layers-docker:latest --format v2s2
# A fixture that is not what its name says tests nothing.
expect_layers() { # NAME MEDIA-TYPE
    local found
    found=$(curl -fsS -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
        -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' "http://$registry/v2/$1/manifests/latest" |
        jq -r '[.layers[].mediaType] | unique | join(" ")')
    [ "$found" = "$2" ] || { echo "tests/fixtures.sh: the layers of $1 are $found, not $2" >&2 && exit 1; }
}
for name in busybox layers; do
    expect_layers "$name" application/vnd.oci.image.layer.v1.tar+gzip
    expect_layers "$name-plain" application/vnd.oci.image.layer.v1.tar
    expect_layers "$name-zstd" application/vnd.oci.image.layer.v1.tar+zstd
    expect_layers "$name-docker" application/vnd.docker.image.rootfs.diff.tar.gzip
done
kill "$registry_pid"
wait "$registry_pid" 2>/dev/null || true
registry_pid=

chmod -R a+rX "$new"
mv "$new" "$out"
chmod 755 "$out"
echo "$out" >&3
