"""Takes system calls away from a process that has none of them to make: seccomp, as a list of what is refused.

A list of what is allowed would be tighter and would break with every new C library; what is refused here are the ways
out of the process: other programs, other processes, sockets, name spaces, the kernel's own administration, and the
changes to files (owner, mode, times, attributes) that Landlock does not cover. A refused call fails with EPERM, so a
library that can do without goes on. Only 64-bit x86 and ARM are known; elsewhere nothing is filtered.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_CLONE_THREAD = 0x00010000
_ALLOW, _KILL, _EPERM, _ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
_LOAD, _EQUAL, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data; the low half of an argument
_X32_BIT = 0x40000000  # x86-64's second system call table, an old way round filters

# Numbers of x86-64 (asm/unistd_64.h) and of the generic table that ARM64 uses (asm-generic/unistd.h).
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "setns": (308, 268),
    "unshare": (272, 97),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "process_madvise": (440, 440),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "open_by_handle_at": (304, 265),
    "quotactl": (179, 60),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "utimensat": (280, 88),
    "futimesat": (261, None),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "iopl": (172, None),
    "ioperm": (173, None),
}
# clone makes threads too; clone3 hides its flags from a filter, and C libraries fall back on clone when it is missing.
_CLONE, _CLONE3 = (56, 220), (435, 435)
# Only on the process itself: a signal to a thread of its own is how a C library aborts; limits of others are not ours.
_ON_SELF = {"tgkill": (234, 131), "prlimit64": (302, 261)}
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


def refuse_system_calls(libc: ctypes.CDLL) -> bool:
    """Install the filter for this thread and all that it starts; for good. False where the kernel will not have it.

    The process must have given up gaining privileges (no_new_privs) before.
    """
    if not sys.platform.startswith("linux") or platform.machine() not in _MACHINES or sys.maxsize < 2**32:
        return False
    column, architecture = _MACHINES[platform.machine()]
    instructions = b"".join(_program(column, architecture))
    code = ctypes.create_string_buffer(instructions)
    program = struct.pack("@HP", len(instructions) // 8, ctypes.addressof(code))
    mode, pointer = ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.create_string_buffer(program)
    return bool(libc.prctl(_PR_SET_SECCOMP, mode, pointer, ctypes.c_ulong(0), ctypes.c_ulong(0)) == 0)


def _program(column: int, architecture: int) -> list[bytes]:
    """Classic BPF: each test jumps over its own answer, so that no distance has to be counted."""
    out = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, architecture, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32_BIT, 0, 1),
        _step(_RETURN, _ENOSYS),
    ]
    for numbers in _REFUSED.values():
        number = numbers[column]
        if number is not None:
            out += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _EPERM)]
    out += [_step(_EQUAL, _CLONE3[column], 0, 1), _step(_RETURN, _ENOSYS)]
    out += [_step(_EQUAL, _CLONE[column], 0, 4), _step(_LOAD, _FIRST_ARGUMENT)]
    out += [_step(_HAS_BITS, _CLONE_THREAD, 1, 0), _step(_RETURN, _EPERM), _step(_RETURN, _ALLOW)]
    for pair in _ON_SELF.values():
        out += [_step(_EQUAL, pair[column], 0, 5), _step(_LOAD, _FIRST_ARGUMENT)]
        out += [_step(_EQUAL, 0, 2, 0), _step(_EQUAL, os.getpid(), 1, 0)]
        out += [_step(_RETURN, _EPERM), _step(_RETURN, _ALLOW)]
    out.append(_step(_RETURN, _ALLOW))
    return out


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
