//! System calls that no command needs: they change the node, look into other processes, or have been ways out of a sandbox.

use std::{collections::BTreeMap, fs::File, io, io::Write as _};

use rustix::fs::{MemfdFlags, memfd_create};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};

const REFUSED: [libc::c_long; 44] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    // Its flags are in memory, where a filter cannot see them: the C library uses clone in its place.
    libc::SYS_clone3,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];
/// Namespaces that `clone` makes.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];
/// The second argument of `ioctl` that puts keys into a terminal.
const TERMINAL_INPUT: [u64; 2] = [libc::TIOCSTI, libc::TIOCLINUX];
/// Numbers from here on are those of x32, which no Debian program uses: each call has a second number there.
const X32: u32 = 0x4000_0000;

/// The filter as bubblewrap reads it. To the command the kernel does not have these calls.
pub(super) fn refused() -> io::Result<File> {
    let program = compile().map_err(io::Error::other)?;
    let mut file = File::from(memfd_create("refused-calls", MemfdFlags::CLOEXEC)?);
    for (code, jump_true, jump_false, value) in without_x32().into_iter().chain(program) {
        file.write_all(&code.to_ne_bytes())?;
        file.write_all(&[jump_true, jump_false])?;
        file.write_all(&value.to_ne_bytes())?;
    }
    Ok(file)
}

type Instruction = (u16, u8, u8, u32);

fn compile() -> Result<Vec<Instruction>, seccompiler::Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let one_of = |argument, tests: Vec<(SeccompCmpOp, u64)>| {
        let rules = tests.into_iter().map(|(test, value)| {
            let condition = SeccompCondition::new(argument, Dword, test, value)?;
            SeccompRule::new(vec![condition])
        });
        rules.collect::<Result<Vec<_>, seccompiler::BackendError>>()
    };
    let namespaces = NAMESPACES.map(|flag| u64::from(flag.cast_unsigned()));
    let namespaces = namespaces.map(|flag| (SeccompCmpOp::MaskedEq(flag), flag));
    rules.insert(libc::SYS_clone, one_of(0, namespaces.into())?);
    let input = TERMINAL_INPUT.map(|request| (SeccompCmpOp::Eq, request));
    rules.insert(libc::SYS_ioctl, one_of(1, input.into())?);
    // Sockets to the machine that this one runs on.
    let machine = (SeccompCmpOp::Eq, u64::from(libc::AF_VSOCK.cast_unsigned()));
    rules.insert(libc::SYS_socket, one_of(0, vec![machine])?);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.cast_unsigned()),
        std::env::consts::ARCH.try_into()?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    let fields = program.into_iter();
    Ok(fields.map(|at| (at.code, at.jt, at.jf, at.k)).collect())
}

/// Refuses all calls of x32, before anything else.
fn without_x32() -> Vec<Instruction> {
    const LOAD_NUMBER: Instruction = (0x20, 0, 0, 0);
    const JUMP_IF_AT_LEAST_X32: Instruction = (0x35, 0, 1, X32);
    const NOT_THERE: Instruction = (0x06, 0, 0, 0x0005_0000 | libc::ENOSYS.cast_unsigned());
    if cfg!(target_arch = "x86_64") {
        vec![LOAD_NUMBER, JUMP_IF_AT_LEAST_X32, NOT_THERE]
    } else {
        Vec::new()
    }
}
