"""What a child gives up before it looks at a hostile file: the network, writing, other processes, its privileges.

Everything is asked of the kernel without root being needed, for good, and as far as this kernel grants it; what was
granted is told, and nothing is assumed. ``python -m cluster.isolation`` prints it for this machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import stat
import struct
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from cluster.syscall_filter import refuse_system_calls

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522
_CAP_DAC_READ_SEARCH = 1 << 2
_OPEN_FILES = 256

# linux/landlock.h
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK, _TRUNCATE = 1 << 6, 1 << 11, 1 << 14
_ALL_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}  # by version; from 5 on: 16 bits
_TCP_BIND_AND_CONNECT = 0b11
_SCOPE_SOCKETS_AND_SIGNALS = 0b11


@dataclass(frozen=True, slots=True)
class Isolation:
    """What the kernel granted.

    network: the process is in a network of its own, without interfaces.
    read_only: it can change no file (beyond the folders it was given), reach into no process outside, start no program.
    system_calls: sockets, programs, processes, kernel administration and changes of owner or mode are refused.
    privileges: it can gain none, and keeps none but reading what its user may read.
    """

    network: bool = False
    read_only: bool = False
    system_calls: bool = False
    privileges: bool = False

    @property
    def complete(self) -> bool:
        return self.network and self.read_only and self.system_calls and self.privileges


def isolate(writable: Sequence[str] = ()) -> Isolation:
    """Give up everything that can be given up. Call it while there is one thread; it holds for all later ones.

    writable: folders below which files may be made and changed still.
    """
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    if not sys.platform.startswith("linux"):
        return Isolation()
    libc = ctypes.CDLL(None, use_errno=True)
    network = _leave_network(libc)
    sealed = libc.prctl(_PR_SET_NO_NEW_PRIVS, *(ctypes.c_ulong(value) for value in (1, 0, 0, 0))) == 0
    read_only = sealed and _forbid_writing(libc, writable)
    privileges = sealed and _drop_capabilities(libc)
    return Isolation(network, read_only, sealed and refuse_system_calls(libc), privileges)


def _lower(limit: int, value: int) -> None:
    _soft, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(OSError, ValueError):  # not every platform knows every limit
        resource.setrlimit(limit, (value, value))


def _leave_network(libc: ctypes.CDLL) -> bool:
    """Move into a network namespace without interfaces, by privilege or through a user namespace."""
    if not hasattr(libc, "unshare"):
        return False
    if libc.unshare(_CLONE_NEWNET) == 0:
        return True
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    # Keep the own name inside the new user namespace; unmapped, it would be "nobody" to every tool that asks.
    with contextlib.suppress(OSError):
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    return True


def _forbid_writing(libc: ctypes.CDLL, writable: Sequence[str]) -> bool:
    """Landlock: no file is changed or run any more; reading stays, since an archive may lie anywhere.

    It also keeps the process from reading the memory and the environment of those outside (/proc/PID/environ), as
    ptrace's rules apply to both; newer kernels add TCP, signals and abstract sockets.
    """
    version = _system_call(libc, _CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version < 1:
        return False
    rights = _ALL_RIGHTS.get(version, (1 << 16) - 1)
    handled = rights & ~(_READ_FILE | _READ_DIR)
    net = _TCP_BIND_AND_CONNECT if version >= 4 else 0
    scoped = _SCOPE_SOCKETS_AND_SIGNALS if version >= 6 else 0
    size = 8 if version < 4 else 16 if version < 6 else 24
    attributes = ctypes.create_string_buffer(struct.pack("=QQQ", handled, net, scoped)[:size], size)
    ruleset = _system_call(libc, _CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint(0))
    if ruleset < 0:
        return False
    try:
        below = handled & ~(_EXECUTE | _MAKE_CHAR | _MAKE_BLOCK)
        granted = all(_allow(libc, ruleset, folder, below) for folder in writable)
        _allow(libc, ruleset, os.devnull, handled & (_WRITE_FILE | _TRUNCATE))
        # A folder that cannot be granted would turn all work into failures; better open than useless.
        return granted and _system_call(libc, _RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0)) == 0
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> bool:
    try:
        target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not stat.S_ISDIR(os.fstat(target).st_mode):
            rights &= _WRITE_FILE | _TRUNCATE
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, target), 12)
        below_path = ctypes.c_int(1)
        return _system_call(libc, _ADD_RULE, ctypes.c_int(ruleset), below_path, rule, ctypes.c_uint(0)) == 0
    finally:
        os.close(target)


def _drop_capabilities(libc: ctypes.CDLL) -> bool:
    """Keep of root's powers only that of reading others' files: an archive's owner is seldom who sweeps it."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION, 0), 8)
    data = ctypes.create_string_buffer(24)
    if libc.capget(header, data) != 0:
        return False
    permitted = struct.unpack("=6I", data.raw)[1]
    kept = permitted & _CAP_DAC_READ_SEARCH
    data = ctypes.create_string_buffer(struct.pack("=6I", kept, kept, 0, 0, 0, 0), 24)
    return bool(libc.capset(header, data) == 0)


def _system_call(libc: ctypes.CDLL, number: int, *arguments: object) -> int:
    libc.syscall.restype = ctypes.c_long
    return int(libc.syscall(ctypes.c_long(number), *arguments))


def main() -> int:
    """Print what this kernel grants; the exit status is 1 when something is missing."""
    granted = isolate()
    for name, value in asdict(granted).items():
        print(f"{name:13} {'granted' if value else 'refused by this kernel'}")
    return 0 if granted.complete else 1


if __name__ == "__main__":
    sys.exit(main())
