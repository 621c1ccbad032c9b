//! Flags of podman's `run` and `create` that are refused, each with its reason: to ignore one would be to promise what is not done.

use clap::Args;

use crate::failure::Failure;

macro_rules! refused {
    ($($field:ident $flag:literal $why:literal $hint:literal;)*) => {
        /// None of them may be given.
        #[derive(Args, Clone, Debug, Default)]
        pub struct RefusedFlags {
            $(
                #[arg(long = $flag, value_name = "VALUE", num_args = 1, hide = true, help = concat!("Refused: ", $why))]
                $field: Vec<String>,
            )*
        }

        impl RefusedFlags {
            /// An error if one was given.
            pub fn check(&self) -> Result<(), Failure> {
                $(
                    if !self.$field.is_empty() {
                        let failure = Failure::new("E_CONFIG", concat!("--", $flag, ": ", $why));
                        return Err(failure.with_hint($hint));
                    }
                )*
                Ok(())
            }
        }

        /// For the manual: flag and reason.
        #[cfg(test)]
        const TABLE: &[(&str, &str)] = &[$(($flag, $why)),*];

        /// For the manual: all of them.
        pub const PARAGRAPH: &str = concat!(
            "Flags of podman that cannot do here what they say are errors: ",
            $("--", $flag, " (", $why, "); ",)*
            "and container:NAME and ns:PATH of --userns (--network, --ipc, --pid and --uts take them: what is joined is joined in the \
             user namespace that it belongs to, so all must be of one container). Without privilege --userns nomap and auto, and --group-add of a group by name, are errors, too: \
             they need ids that the kernel does not give to this user."
        );
    };
}

refused! {
    chrootdirs "chrootdirs" "the files that coracle gives are in /etc only" "--volume shows a file elsewhere, too";
    gidmap "gidmap" "the kernel lets an unprivileged user map one group, its own" "--user and --userns keep-id choose the number that it has inside";
    init_path "init-path" "the init of --init is coracle itself" "give --init alone";
    pod "pod" "there are no pods" "containers share what --network and --volumes-from say";
    pod_id_file "pod-id-file" "there are no pods" "containers share what --network and --volumes-from say";
    rdt_class "rdt-class" "classes of cache and memory bandwidth are root's to give" "--cpuset-cpus and --memory are for everybody";
    requires "requires" "no container starts another" "start it first: coracle start NAME";
    seccomp_policy "seccomp-policy" "an image is not asked what it may do" "--security-opt seccomp=FILE takes a profile from a file";
    shm_size_systemd "shm-size-systemd" "directories in memory have sizes of their own" "for example: --tmpfs /run:size=64m";
    subgidname "subgidname" "coracle does not use ranges of subordinate ids" "--userns keep-id shows the own id under its number";
    subuidname "subuidname" "coracle does not use ranges of subordinate ids" "--userns keep-id shows the own id under its number";
    uidmap "uidmap" "the kernel lets an unprivileged user map one id, its own" "--user and --userns keep-id choose the number that it has inside";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_in_the_manual() {
        for (flag, why) in TABLE {
            assert!(PARAGRAPH.contains(&format!("--{flag} ({why})")), "{flag}");
        }
    }
}
