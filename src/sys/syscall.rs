//! System calls by name and number, for the application binary interfaces that our processes can use.
//!
//! Sources of the numbers: Linux 6.18, `arch/x86/entry/syscalls/syscall_{32,64}.tbl`, `scripts/syscall.tbl`,
//! `arch/arm/tools/syscall.tbl`, `arch/arm/include/uapi/asm/unistd.h`; of the widths: `include/linux/syscalls.h`.

use std::collections::HashMap;

/// An application binary interface: one numbering of system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Arch {
    /// 64-bit x86. Its x32 variant has numbers of its own and is none of ours.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
    /// 32-bit x86, on x86_64 kernels too.
    X86,
    /// 32-bit Arm (EABI), on aarch64 kernels too.
    Arm,
}

impl Arch {
    /// The interface this program was compiled for.
    #[cfg(target_arch = "x86_64")]
    pub const NATIVE: Self = Self::X86_64;
    /// The interface this program was compiled for.
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE: Self = Self::Aarch64;

    /// Every interface with a column in the table, in the order of the columns.
    pub const ALL: [Self; 4] = [Self::X86_64, Self::Aarch64, Self::X86, Self::Arm];

    /// `AUDIT_ARCH_*` (linux/audit.h), as in `seccomp_data.arch`.
    pub fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::Aarch64 => 0xc000_00b7,
            Self::X86 => 0x4000_0003,
            Self::Arm => 0x4000_0028,
        }
    }

    /// The 32-bit interface that the same kernel may offer.
    pub fn compat(self) -> Option<Self> {
        match self {
            Self::X86_64 => Some(Self::X86),
            Self::Aarch64 => Some(Self::Arm),
            Self::X86 | Self::Arm => None,
        }
    }

    /// Whether arguments have 32 bits, all of them.
    pub fn is_32_bit(self) -> bool {
        matches!(self, Self::X86 | Self::Arm)
    }
}

/// Stands for "no such call here" in [`NUMBERS`]; not a number any table has.
const ABSENT: u32 = u32::MAX;

macro_rules! number {
    (_) => {
        ABSENT
    };
    ($number:literal) => {
        $number
    };
}

macro_rules! syscalls {
    ($($name:ident $x86_64:tt $aarch64:tt $x86:tt $arm:tt $narrow:literal;)*) => {
        /// A system call of at least one [`Arch`].
        #[allow(missing_docs, non_camel_case_types, reason = "the names are the kernel's")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Syscall { $($name,)* }

        impl Syscall {
            /// All of them, in the table's order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }

        const NAMES: &[&str] = &[$(stringify!($name),)*];
        const NUMBERS: &[[u32; 4]] =
            &[$([number!($x86_64), number!($aarch64), number!($x86), number!($arm)],)*];
        const NARROW: &[u8] = &[$($narrow,)*];
    };
}

impl Syscall {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The kernel's name.
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// The number in `arch`, if it has the call.
    pub fn number(self, arch: Arch) -> Option<u32> {
        Some(NUMBERS[self as usize][arch as usize]).filter(|&number| number != ABSENT)
    }

    /// The arguments of which the kernel looks at the low 32 bits only, as a bit mask (bit 0 is the first argument).
    ///
    /// A filter that compares the high half of such an argument is bypassed by setting any bit there (CVE-2019-10063).
    pub fn narrow_arguments(self, arch: Arch) -> u8 {
        if arch.is_32_bit() { 0b11_1111 } else { NARROW[self as usize] }
    }
}

/// What a name in a profile can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A call of the table.
    Call(Syscall),
    /// A call of other architectures only.
    Elsewhere,
}

/// Every name a profile may use: docker's and podman's profiles list the calls of all architectures.
pub fn names() -> HashMap<&'static str, Named> {
    let calls = Syscall::ALL.iter().map(|&call| (call.name(), Named::Call(call)));
    let elsewhere = ELSEWHERE.iter().map(|&name| (name, Named::Elsewhere));
    // The name that libseccomp and the generic table have for Arm's call.
    let alias = ("sync_file_range2", Named::Call(Syscall::arm_sync_file_range));
    calls.chain(elsewhere).chain([alias]).collect()
}

/// Calls that exist only where we do not run, or in a number table but never in a kernel with seccomp.
const ELSEWHERE: &[&str] = &[
    "atomic_barrier",
    "atomic_cmpxchg_32",
    "break",
    "cachectl",
    "getpagesize",
    "kern_features",
    "memory_ordering",
    "multiplexer",
    "perfctr",
    "riscv_flush_icache",
    "riscv_hwprobe",
    "rtas",
    "s390_guarded_storage",
    "s390_pci_mmio_read",
    "s390_pci_mmio_write",
    "s390_runtime_instr",
    "s390_sthyi",
    "spu_create",
    "spu_run",
    "subpage_prot",
    "swapcontext",
    "switch_endian",
    "sys_debug_setcontext",
    "syscall",
    "sysmips",
    "timerfd",
    "utrap_install",
];

// Name, then the numbers in x86_64, aarch64, x86 and arm (`_`: no such call), then the arguments that 64-bit kernels
// truncate to 32 bits (int, pid_t, uid_t, mode_t and the like; clone's flags through lower_32_bits), first one rightmost.
syscalls! {
    read                           0  63   3       3 0b000001;
    write                          1  64   4       4 0b000001;
    open                           2   _   5       5 0b000110;
    close                          3  57   6       6 0b000001;
    stat                           4   _ 106     106 0b000000;
    fstat                          5  80 108     108 0b000001;
    lstat                          6   _ 107     107 0b000000;
    poll                           7   _ 168     168 0b000110;
    lseek                          8  62  19      19 0b000101;
    mmap                           9 222  90       _ 0b000000;
    mprotect                      10 226 125     125 0b000000;
    munmap                        11 215  91      91 0b000000;
    brk                           12 214  45      45 0b000000;
    rt_sigaction                  13 134 174     174 0b000001;
    rt_sigprocmask                14 135 175     175 0b000001;
    rt_sigreturn                  15 139 173     173 0b000000;
    ioctl                         16  29  54      54 0b000011;
    pread64                       17  67 180     180 0b000001;
    pwrite64                      18  68 181     181 0b000001;
    readv                         19  65 145     145 0b000000;
    writev                        20  66 146     146 0b000000;
    access                        21   _  33      33 0b000010;
    pipe                          22   _  42      42 0b000000;
    select                        23   _  82       _ 0b000001;
    sched_yield                   24 124 158     158 0b000000;
    mremap                        25 216 163     163 0b000000;
    msync                         26 227 144     144 0b000100;
    mincore                       27 232 218     219 0b000000;
    madvise                       28 233 219     220 0b000100;
    shmget                        29 194 395     307 0b000101;
    shmat                         30 196 397     305 0b000101;
    shmctl                        31 195 396     308 0b000011;
    dup                           32  23  41      41 0b000001;
    dup2                          33   _  63      63 0b000011;
    pause                         34   _  29      29 0b000000;
    nanosleep                     35 101 162     162 0b000000;
    getitimer                     36 102 105     105 0b000001;
    alarm                         37   _  27       _ 0b000001;
    setitimer                     38 103 104     104 0b000001;
    getpid                        39 172  20      20 0b000000;
    sendfile                      40  71 187     187 0b000011;
    socket                        41 198 359     281 0b000111;
    connect                       42 203 362     283 0b000101;
    accept                        43 202   _     285 0b000001;
    sendto                        44 206 369     290 0b101001;
    recvfrom                      45 207 371     292 0b001001;
    sendmsg                       46 211 370     296 0b000101;
    recvmsg                       47 212 372     297 0b000101;
    shutdown                      48 210 373     293 0b000011;
    bind                          49 200 361     282 0b000101;
    listen                        50 201 363     284 0b000011;
    getsockname                   51 204 367     286 0b000001;
    getpeername                   52 205 368     287 0b000001;
    socketpair                    53 199 360     288 0b000111;
    setsockopt                    54 208 366     294 0b010111;
    getsockopt                    55 209 365     295 0b000111;
    clone                         56 220 120     120 0b000001;
    fork                          57   _   2       2 0b000000;
    vfork                         58   _ 190     190 0b000000;
    execve                        59 221  11      11 0b000000;
    exit                          60  93   1       1 0b000001;
    wait4                         61 260 114     114 0b000101;
    kill                          62 129  37      37 0b000011;
    uname                         63 160 122     122 0b000000;
    semget                        64 190 393     299 0b000111;
    semop                         65 193   _     298 0b000101;
    semctl                        66 191 394     300 0b000111;
    shmdt                         67 197 398     306 0b000000;
    msgget                        68 186 399     303 0b000011;
    msgsnd                        69 189 400     301 0b001001;
    msgrcv                        70 188 401     302 0b010001;
    msgctl                        71 187 402     304 0b000011;
    fcntl                         72  25  55      55 0b000011;
    flock                         73  32 143     143 0b000011;
    fsync                         74  82 118     118 0b000001;
    fdatasync                     75  83 148     148 0b000001;
    truncate                      76  45  92      92 0b000000;
    ftruncate                     77  46  93      93 0b000001;
    getdents                      78   _ 141     141 0b000101;
    getcwd                        79  17 183     183 0b000000;
    chdir                         80  49  12      12 0b000000;
    fchdir                        81  50 133     133 0b000001;
    rename                        82   _  38      38 0b000000;
    mkdir                         83   _  39      39 0b000010;
    rmdir                         84   _  40      40 0b000000;
    creat                         85   _   8       8 0b000010;
    link                          86   _   9       9 0b000000;
    unlink                        87   _  10      10 0b000000;
    symlink                       88   _  83      83 0b000000;
    readlink                      89   _  85      85 0b000100;
    chmod                         90   _  15      15 0b000010;
    fchmod                        91  52  94      94 0b000011;
    chown                         92   _ 182     182 0b000110;
    fchown                        93  55  95      95 0b000111;
    lchown                        94   _  16      16 0b000110;
    umask                         95 166  60      60 0b000001;
    gettimeofday                  96 169  78      78 0b000000;
    getrlimit                     97 163  76       _ 0b000001;
    getrusage                     98 165  77      77 0b000001;
    sysinfo                       99 179 116     116 0b000000;
    times                        100 153  43      43 0b000000;
    ptrace                       101 117  26      26 0b000000;
    getuid                       102 174  24      24 0b000000;
    syslog                       103 116 103     103 0b000101;
    getgid                       104 176  47      47 0b000000;
    setuid                       105 146  23      23 0b000001;
    setgid                       106 144  46      46 0b000001;
    geteuid                      107 175  49      49 0b000000;
    getegid                      108 177  50      50 0b000000;
    setpgid                      109 154  57      57 0b000011;
    getppid                      110 173  64      64 0b000000;
    getpgrp                      111   _  65      65 0b000000;
    setsid                       112 157  66      66 0b000000;
    setreuid                     113 145  70      70 0b000011;
    setregid                     114 143  71      71 0b000011;
    getgroups                    115 158  80      80 0b000001;
    setgroups                    116 159  81      81 0b000001;
    setresuid                    117 147 164     164 0b000111;
    getresuid                    118 148 165     165 0b000000;
    setresgid                    119 149 170     170 0b000111;
    getresgid                    120 150 171     171 0b000000;
    getpgid                      121 155 132     132 0b000001;
    setfsuid                     122 151 138     138 0b000001;
    setfsgid                     123 152 139     139 0b000001;
    getsid                       124 156 147     147 0b000001;
    capget                       125  90 184     184 0b000000;
    capset                       126  91 185     185 0b000000;
    rt_sigpending                127 136 176     176 0b000000;
    rt_sigtimedwait              128 137 177     177 0b000000;
    rt_sigqueueinfo              129 138 178     178 0b000011;
    rt_sigsuspend                130 133 179     179 0b000000;
    sigaltstack                  131 132 186     186 0b000000;
    utime                        132   _  30       _ 0b000000;
    mknod                        133   _  14      14 0b000110;
    uselib                       134   _  86      86 0b000000;
    personality                  135  92 136     136 0b000001;
    ustat                        136   _  62      62 0b000001;
    statfs                       137  43  99      99 0b000000;
    fstatfs                      138  44 100     100 0b000001;
    sysfs                        139   _ 135     135 0b000001;
    getpriority                  140 141  96      96 0b000011;
    setpriority                  141 140  97      97 0b000111;
    sched_setparam               142 118 154     154 0b000001;
    sched_getparam               143 121 155     155 0b000001;
    sched_setscheduler           144 119 156     156 0b000011;
    sched_getscheduler           145 120 157     157 0b000001;
    sched_get_priority_max       146 125 159     159 0b000001;
    sched_get_priority_min       147 126 160     160 0b000001;
    sched_rr_get_interval        148 127 161     161 0b000001;
    mlock                        149 228 150     150 0b000000;
    munlock                      150 229 151     151 0b000000;
    mlockall                     151 230 152     152 0b000001;
    munlockall                   152 231 153     153 0b000000;
    vhangup                      153  58 111     111 0b000000;
    modify_ldt                   154   _ 123       _ 0b000001;
    pivot_root                   155  41 217     218 0b000000;
    _sysctl                      156   _ 149     149 0b000000;
    prctl                        157 167 172     172 0b000001;
    arch_prctl                   158   _ 384       _ 0b000001;
    adjtimex                     159 171 124     124 0b000000;
    setrlimit                    160 164  75      75 0b000001;
    chroot                       161  51  61      61 0b000000;
    sync                         162  81  36      36 0b000000;
    acct                         163  89  51      51 0b000000;
    settimeofday                 164 170  79      79 0b000000;
    mount                        165  40  21      21 0b000000;
    umount2                      166  39  52      52 0b000010;
    swapon                       167 224  87      87 0b000010;
    swapoff                      168 225 115     115 0b000000;
    reboot                       169 142  88      88 0b000111;
    sethostname                  170 161  74      74 0b000010;
    setdomainname                171 162 121     121 0b000010;
    iopl                         172   _ 110       _ 0b000001;
    ioperm                       173   _ 101       _ 0b000100;
    create_module                174   _ 127       _ 0b000000;
    init_module                  175 105 128     128 0b000000;
    delete_module                176 106 129     129 0b000010;
    get_kernel_syms              177   _ 130       _ 0b000000;
    query_module                 178   _ 167       _ 0b000000;
    quotactl                     179  60 131     131 0b000101;
    nfsservctl                   180  42 169     169 0b000000;
    getpmsg                      181   _ 188       _ 0b000000;
    putpmsg                      182   _ 189       _ 0b000000;
    afs_syscall                  183   _ 137       _ 0b000000;
    tuxcall                      184   _   _       _ 0b000000;
    security                     185   _   _       _ 0b000000;
    gettid                       186 178 224     224 0b000000;
    readahead                    187 213 225     225 0b000001;
    setxattr                     188   5 226     226 0b010000;
    lsetxattr                    189   6 227     227 0b010000;
    fsetxattr                    190   7 228     228 0b010001;
    getxattr                     191   8 229     229 0b000000;
    lgetxattr                    192   9 230     230 0b000000;
    fgetxattr                    193  10 231     231 0b000001;
    listxattr                    194  11 232     232 0b000000;
    llistxattr                   195  12 233     233 0b000000;
    flistxattr                   196  13 234     234 0b000001;
    removexattr                  197  14 235     235 0b000000;
    lremovexattr                 198  15 236     236 0b000000;
    fremovexattr                 199  16 237     237 0b000001;
    tkill                        200 130 238     238 0b000011;
    time                         201   _  13       _ 0b000000;
    futex                        202  98 240     240 0b100110;
    sched_setaffinity            203 122 241     241 0b000011;
    sched_getaffinity            204 123 242     242 0b000011;
    set_thread_area              205   _ 243       _ 0b000000;
    io_setup                     206   0 245     243 0b000001;
    io_destroy                   207   1 246     244 0b000000;
    io_getevents                 208   4 247     245 0b000000;
    io_submit                    209   2 248     246 0b000000;
    io_cancel                    210   3 249     247 0b000000;
    get_thread_area              211   _ 244       _ 0b000000;
    lookup_dcookie               212  18 253     249 0b000000;
    epoll_create                 213   _ 254     250 0b000001;
    epoll_ctl_old                214   _   _       _ 0b000000;
    epoll_wait_old               215   _   _       _ 0b000000;
    remap_file_pages             216 234 257     253 0b000000;
    getdents64                   217  61 220     217 0b000101;
    set_tid_address              218  96 258     256 0b000000;
    restart_syscall              219 128   0       0 0b000000;
    semtimedop                   220 192   _     312 0b000101;
    fadvise64                    221 223 250       _ 0b001001;
    timer_create                 222 107 259     257 0b000001;
    timer_settime                223 110 260     258 0b000011;
    timer_gettime                224 108 261     259 0b000001;
    timer_getoverrun             225 109 262     260 0b000001;
    timer_delete                 226 111 263     261 0b000001;
    clock_settime                227 112 264     262 0b000001;
    clock_gettime                228 113 265     263 0b000001;
    clock_getres                 229 114 266     264 0b000001;
    clock_nanosleep              230 115 267     265 0b000011;
    exit_group                   231  94 252     248 0b000001;
    epoll_wait                   232   _ 256     252 0b001101;
    epoll_ctl                    233  21 255     251 0b000111;
    tgkill                       234 131 270     268 0b000111;
    utimes                       235   _ 271     269 0b000000;
    vserver                      236   _ 273     313 0b000000;
    mbind                        237 235 274     319 0b100000;
    set_mempolicy                238 237 276     321 0b000001;
    get_mempolicy                239 236 275     320 0b000000;
    mq_open                      240 180 277     274 0b000110;
    mq_unlink                    241 181 278     275 0b000000;
    mq_timedsend                 242 182 279     276 0b001001;
    mq_timedreceive              243 183 280     277 0b000001;
    mq_notify                    244 184 281     278 0b000001;
    mq_getsetattr                245 185 282     279 0b000001;
    kexec_load                   246 104 283     347 0b000000;
    waitid                       247  95 284     280 0b001011;
    add_key                      248 217 286     309 0b010000;
    request_key                  249 218 287     310 0b001000;
    keyctl                       250 219 288     311 0b000001;
    ioprio_set                   251  30 289     314 0b000111;
    ioprio_get                   252  31 290     315 0b000011;
    inotify_init                 253   _ 291     316 0b000000;
    inotify_add_watch            254  27 292     317 0b000101;
    inotify_rm_watch             255  28 293     318 0b000011;
    migrate_pages                256 238 294     400 0b000001;
    openat                       257  56 295     322 0b001101;
    mkdirat                      258  34 296     323 0b000101;
    mknodat                      259  33 297     324 0b001101;
    fchownat                     260  54 298     325 0b011101;
    futimesat                    261   _ 299     326 0b000001;
    newfstatat                   262  79   _       _ 0b001001;
    unlinkat                     263  35 301     328 0b000101;
    renameat                     264  38 302     329 0b000101;
    linkat                       265  37 303     330 0b010101;
    symlinkat                    266  36 304     331 0b000010;
    readlinkat                   267  78 305     332 0b001001;
    fchmodat                     268  53 306     333 0b000101;
    faccessat                    269  48 307     334 0b000101;
    pselect6                     270  72 308     335 0b000001;
    ppoll                        271  73 309     336 0b000010;
    unshare                      272  97 310     337 0b000000;
    set_robust_list              273  99 311     338 0b000000;
    get_robust_list              274 100 312     339 0b000001;
    splice                       275  76 313     340 0b100101;
    tee                          276  77 315     342 0b001011;
    sync_file_range              277  84 314       _ 0b001001;
    vmsplice                     278  75 316     343 0b001001;
    move_pages                   279 239 317     344 0b100001;
    utimensat                    280  88 320     348 0b001001;
    epoll_pwait                  281  22 319     346 0b001101;
    signalfd                     282   _ 321     349 0b000001;
    timerfd_create               283  85 322     350 0b000011;
    eventfd                      284   _ 323     351 0b000001;
    fallocate                    285  47 324     352 0b000011;
    timerfd_settime              286  86 325     353 0b000011;
    timerfd_gettime              287  87 326     354 0b000001;
    accept4                      288 242 364     366 0b001001;
    signalfd4                    289  74 327     355 0b001001;
    eventfd2                     290  19 328     356 0b000011;
    epoll_create1                291  20 329     357 0b000001;
    dup3                         292  24 330     358 0b000111;
    pipe2                        293  59 331     359 0b000010;
    inotify_init1                294  26 332     360 0b000001;
    preadv                       295  69 333     361 0b000001;
    pwritev                      296  70 334     362 0b000001;
    rt_tgsigqueueinfo            297 240 335     363 0b000111;
    perf_event_open              298 241 336     364 0b001110;
    recvmmsg                     299 243 337     365 0b001101;
    fanotify_init                300 262 338     367 0b000011;
    fanotify_mark                301 263 339     368 0b001011;
    prlimit64                    302 261 340     369 0b000011;
    name_to_handle_at            303 264 341     370 0b010001;
    open_by_handle_at            304 265 342     371 0b000101;
    clock_adjtime                305 266 343     372 0b000001;
    syncfs                       306 267 344     373 0b000001;
    sendmmsg                     307 269 345     374 0b001101;
    setns                        308 268 346     375 0b000011;
    getcpu                       309 168 318     345 0b000000;
    process_vm_readv             310 270 347     376 0b000001;
    process_vm_writev            311 271 348     377 0b000001;
    kcmp                         312 272 349     378 0b000111;
    finit_module                 313 273 350     379 0b000101;
    sched_setattr                314 274 351     380 0b000101;
    sched_getattr                315 275 352     381 0b001101;
    renameat2                    316 276 353     382 0b010101;
    seccomp                      317 277 354     383 0b000011;
    getrandom                    318 278 355     384 0b000100;
    memfd_create                 319 279 356     385 0b000010;
    kexec_file_load              320 294   _     401 0b000011;
    bpf                          321 280 357     386 0b000101;
    execveat                     322 281 358     387 0b010001;
    userfaultfd                  323 282 374     388 0b000001;
    membarrier                   324 283 375     389 0b000111;
    mlock2                       325 284 376     390 0b000100;
    copy_file_range              326 285 377     391 0b100101;
    preadv2                      327 286 378     392 0b100001;
    pwritev2                     328 287 379     393 0b100001;
    pkey_mprotect                329 288 380     394 0b001000;
    pkey_alloc                   330 289 381     395 0b000000;
    pkey_free                    331 290 382     396 0b000001;
    statx                        332 291 383     397 0b001101;
    io_pgetevents                333 292 385     399 0b000000;
    rseq                         334 293 386     398 0b001110;
    uretprobe                    335   _   _       _ 0b000000;
    uprobe                       336   _   _       _ 0b000000;
    pidfd_send_signal            424 424 424     424 0b001011;
    io_uring_setup               425 425 425     425 0b000001;
    io_uring_enter               426 426 426     426 0b001111;
    io_uring_register            427 427 427     427 0b001011;
    open_tree                    428 428 428     428 0b000101;
    move_mount                   429 429 429     429 0b010101;
    fsopen                       430 430 430     430 0b000010;
    fsconfig                     431 431 431     431 0b010011;
    fsmount                      432 432 432     432 0b000111;
    fspick                       433 433 433     433 0b000101;
    pidfd_open                   434 434 434     434 0b000011;
    clone3                       435 435 435     435 0b000000;
    close_range                  436 436 436     436 0b000111;
    openat2                      437 437 437     437 0b000001;
    pidfd_getfd                  438 438 438     438 0b000111;
    faccessat2                   439 439 439     439 0b001101;
    process_madvise              440 440 440     440 0b011001;
    epoll_pwait2                 441 441 441     441 0b000101;
    mount_setattr                442 442 442     442 0b000101;
    quotactl_fd                  443 443 443     443 0b000111;
    landlock_create_ruleset      444 444 444     444 0b000100;
    landlock_add_rule            445 445 445     445 0b001011;
    landlock_restrict_self       446 446 446     446 0b000011;
    memfd_secret                 447 447 447     447 0b000001;
    process_mrelease             448 448 448     448 0b000011;
    futex_waitv                  449 449 449     449 0b010110;
    set_mempolicy_home_node      450 450 450     450 0b000000;
    cachestat                    451 451 451     451 0b001001;
    fchmodat2                    452 452 452     452 0b001101;
    map_shadow_stack             453 453 453     453 0b000100;
    futex_wake                   454 454 454     454 0b001100;
    futex_wait                   455 455 455     455 0b101000;
    futex_requeue                456 456 456     456 0b001110;
    statmount                    457 457 457     457 0b001000;
    listmount                    458 458 458     458 0b001000;
    lsm_get_self_attr            459 459 459     459 0b001001;
    lsm_set_self_attr            460 460 460     460 0b001101;
    lsm_list_modules             461 461 461     461 0b000100;
    mseal                        462 462 462     462 0b000000;
    setxattrat                   463 463 463     463 0b000101;
    getxattrat                   464 464 464     464 0b000101;
    listxattrat                  465 465 465     465 0b000101;
    removexattrat                466 466 466     466 0b000101;
    open_tree_attr               467 467 467     467 0b000101;
    file_getattr                 468 468 468     468 0b010001;
    file_setattr                 469 469 469     469 0b010001;
    listns                       470 470 470     470 0b001000;
    _llseek                        _   _ 140     140 0b000000;
    _newselect                     _   _ 142     142 0b000000;
    arm_fadvise64_64               _   _   _     270 0b000000;
    arm_sync_file_range            _   _   _     341 0b000000;
    bdflush                        _   _ 134     134 0b000000;
    breakpoint                     _   _   _ 0xf0001 0b000000;
    cacheflush                     _   _   _ 0xf0002 0b000000;
    chown32                        _   _ 212     212 0b000000;
    clock_adjtime64                _   _ 405     405 0b000000;
    clock_getres_time64            _   _ 406     406 0b000000;
    clock_gettime64                _   _ 403     403 0b000000;
    clock_nanosleep_time64         _   _ 407     407 0b000000;
    clock_settime64                _   _ 404     404 0b000000;
    fadvise64_64                   _   _ 272       _ 0b000000;
    fchown32                       _   _ 207     207 0b000000;
    fcntl64                        _   _ 221     221 0b000000;
    fstat64                        _   _ 197     197 0b000000;
    fstatat64                      _   _ 300     327 0b000000;
    fstatfs64                      _   _ 269     267 0b000000;
    ftime                          _   _  35       _ 0b000000;
    ftruncate64                    _   _ 194     194 0b000000;
    futex_time64                   _   _ 422     422 0b000000;
    get_tls                        _   _   _ 0xf0006 0b000000;
    getegid32                      _   _ 202     202 0b000000;
    geteuid32                      _   _ 201     201 0b000000;
    getgid32                       _   _ 200     200 0b000000;
    getgroups32                    _   _ 205     205 0b000000;
    getresgid32                    _   _ 211     211 0b000000;
    getresuid32                    _   _ 209     209 0b000000;
    getuid32                       _   _ 199     199 0b000000;
    gtty                           _   _  32       _ 0b000000;
    idle                           _   _ 112       _ 0b000000;
    io_pgetevents_time64           _   _ 416     416 0b000000;
    ipc                            _   _ 117       _ 0b000000;
    lchown32                       _   _ 198     198 0b000000;
    lock                           _   _  53       _ 0b000000;
    lstat64                        _   _ 196     196 0b000000;
    mmap2                          _   _ 192     192 0b000000;
    mpx                            _   _  56       _ 0b000000;
    mq_timedreceive_time64         _   _ 419     419 0b000000;
    mq_timedsend_time64            _   _ 418     418 0b000000;
    nice                           _   _  34      34 0b000000;
    oldfstat                       _   _  28       _ 0b000000;
    oldlstat                       _   _  84       _ 0b000000;
    oldolduname                    _   _  59       _ 0b000000;
    oldstat                        _   _  18       _ 0b000000;
    olduname                       _   _ 109       _ 0b000000;
    pciconfig_iobase               _   _   _     271 0b000000;
    pciconfig_read                 _   _   _     272 0b000000;
    pciconfig_write                _   _   _     273 0b000000;
    ppoll_time64                   _   _ 414     414 0b000000;
    prof                           _   _  44       _ 0b000000;
    profil                         _   _  98       _ 0b000000;
    pselect6_time64                _   _ 413     413 0b000000;
    readdir                        _   _  89       _ 0b000000;
    recv                           _   _   _     291 0b000000;
    recvmmsg_time64                _   _ 417     417 0b000000;
    rt_sigtimedwait_time64         _   _ 421     421 0b000000;
    sched_rr_get_interval_time64   _   _ 423     423 0b000000;
    semtimedop_time64              _   _ 420     420 0b000000;
    send                           _   _   _     289 0b000000;
    sendfile64                     _   _ 239     239 0b000000;
    set_tls                        _   _   _ 0xf0005 0b000000;
    setfsgid32                     _   _ 216     216 0b000000;
    setfsuid32                     _   _ 215     215 0b000000;
    setgid32                       _   _ 214     214 0b000000;
    setgroups32                    _   _ 206     206 0b000000;
    setregid32                     _   _ 204     204 0b000000;
    setresgid32                    _   _ 210     210 0b000000;
    setresuid32                    _   _ 208     208 0b000000;
    setreuid32                     _   _ 203     203 0b000000;
    setuid32                       _   _ 213     213 0b000000;
    sgetmask                       _   _  68       _ 0b000000;
    sigaction                      _   _  67      67 0b000000;
    signal                         _   _  48       _ 0b000000;
    sigpending                     _   _  73      73 0b000000;
    sigprocmask                    _   _ 126     126 0b000000;
    sigreturn                      _   _ 119     119 0b000000;
    sigsuspend                     _   _  72      72 0b000000;
    socketcall                     _   _ 102       _ 0b000000;
    ssetmask                       _   _  69       _ 0b000000;
    stat64                         _   _ 195     195 0b000000;
    statfs64                       _   _ 268     266 0b000000;
    stime                          _   _  25       _ 0b000000;
    stty                           _   _  31       _ 0b000000;
    timer_gettime64                _   _ 408     408 0b000000;
    timer_settime64                _   _ 409     409 0b000000;
    timerfd_gettime64              _   _ 410     410 0b000000;
    timerfd_settime64              _   _ 411     411 0b000000;
    truncate64                     _   _ 193     193 0b000000;
    ugetrlimit                     _   _ 191     191 0b000000;
    ulimit                         _   _  58       _ 0b000000;
    umount                         _   _  22       _ 0b000000;
    usr26                          _   _   _ 0xf0003 0b000000;
    usr32                          _   _   _ 0xf0004 0b000000;
    utimensat_time64               _   _ 412     412 0b000000;
    vm86                           _   _ 166       _ 0b000000;
    vm86old                        _   _ 113       _ 0b000000;
    waitpid                        _   _   7       _ 0b000000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_stands_for_two_calls() {
        for arch in Arch::ALL {
            let mut numbers: Vec<u32> = Syscall::ALL.iter().filter_map(|call| call.number(arch)).collect();
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), count, "{arch:?}");
        }
    }

    #[test]
    fn calls_since_linux_5_1_have_one_number_everywhere() {
        for &call in Syscall::ALL {
            let numbers: Vec<u32> = Arch::ALL.iter().filter_map(|&arch| call.number(arch)).collect();
            if numbers.iter().any(|number| (424..0xf0000).contains(number)) {
                assert!(numbers.len() == 4 && numbers.iter().all(|number| *number == numbers[0]), "{call:?}");
            }
        }
    }

    #[test]
    fn numbers_agree_with_libc() {
        use Syscall::*;
        let sample: [(Syscall, libc::c_long); 12] = [
            (read, libc::SYS_read),
            (ioctl, libc::SYS_ioctl),
            (clone, libc::SYS_clone),
            (socket, libc::SYS_socket),
            (ptrace, libc::SYS_ptrace),
            (unshare, libc::SYS_unshare),
            (keyctl, libc::SYS_keyctl),
            (openat, libc::SYS_openat),
            (seccomp, libc::SYS_seccomp),
            (statx, libc::SYS_statx),
            (io_uring_setup, libc::SYS_io_uring_setup),
            (mseal, libc::SYS_mseal),
        ];
        for (call, number) in sample {
            assert_eq!(call.number(Arch::NATIVE).map(i64::from), Some(number), "{call:?}");
        }
    }

    #[test]
    fn names_are_unique() {
        assert_eq!(names().len(), Syscall::COUNT + ELSEWHERE.len() + 1);
        assert_eq!(names()["read"], Named::Call(Syscall::read));
    }
}
