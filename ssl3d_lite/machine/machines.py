"""Several machines that share a training: which one this is, and whether all are there.

The same command is started once on each. Before any of them trains they meet at the first one's
address, and compare what they have been asked for: machines that disagree would wait for each other
for ever. Their connections stay open, so that none of them waits for one that is gone.

Plain sockets: torch's own store tells a lot before it gives up, and not to whom it has listened.
"""

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any

from ssl3d_lite.errors import InputError

from .collectives import LOST

MEETING_TIME = 600.0  # seconds; machines are started by hand, or by a busy cluster
BEAT, SILENCE = 5.0, 120.0  # seconds between signs of life, and after which there is none
GRACE = 10.0  # seconds in which a process ends by itself that hears of the loss in its own work


@dataclass(frozen=True)
class Rendezvous:
    """Which of several machines this is, and where the first one listens."""

    number: int
    machines: int
    address: str
    port: int

    def __str__(self) -> str:
        return f"machine {self.number} (of {self.machines}, counted from 0)"


# ---- which one this is -------------------------------------------------------------------------


def find_rendezvous(machines: int) -> Rendezvous:
    """This machine's place, by the variables that torchrun and Lightning read too; what srun says
    stands in for those that are not set.

    Raises:
        InputError: one of them is missing, or means nothing.
    """
    known = _from_slurm() | os.environ
    names = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
    if missing := [name for name in names if not known.get(name)]:
        raise InputError(
            f"machines is {machines}, but {' and '.join(missing)} is not set: on each machine set "
            "MASTER_ADDR (the first one's address), MASTER_PORT (a free port there) and NODE_RANK "
            f"(0 on the first, to {machines - 1}); srun --ntasks-per-node 1 does without"
        )
    port, number = (_whole(name, known[name]) for name in names[1:])
    if number >= machines:
        raise InputError(f"NODE_RANK is {number}, but machines is {machines}, counted from 0")
    return Rendezvous(number, machines, known["MASTER_ADDR"], port)


def _from_slurm() -> dict[str, str]:
    """What srun says of one of several tasks, by the names that all others give to it."""
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) == 1:
        return {}
    from lightning_fabric.plugins.environments import SLURMEnvironment

    first = SLURMEnvironment.resolve_root_node_address(os.environ["SLURM_STEP_NODELIST"])
    port = 15000 + int(os.environ["SLURM_JOB_ID"][-4:])  # as Lightning's: each job has its own
    rank = os.environ["SLURM_PROCID"]  # there is one task a machine
    return {"MASTER_ADDR": first, "MASTER_PORT": str(port), "NODE_RANK": rank}


def _whole(name: str, text: str) -> int:
    if not text.isdecimal():
        raise InputError(f"{name} is {text!r}, but must be a whole number")
    return int(text)


def use_network_to(here: Rendezvous) -> None:
    """Let gloo use the interface by which this machine reaches the first, if nothing else is said.

    It would ask for the host's own name, and that is often the loopback, where nobody hears it.

    Raises:
        InputError: there is no way to that address.
    """
    import psutil

    kind = socket.SOCK_DGRAM
    try:
        family, _, _, _, target = socket.getaddrinfo(here.address, here.port, type=kind)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)  # sends nothing
            own = probe.getsockname()[0]
    except OSError as reason:
        raise InputError(f"MASTER_ADDR {here.address}: {reason.strerror}") from None
    for name, addresses in psutil.net_if_addrs().items():
        if own in {each.address for each in addresses}:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


# ---- meeting -----------------------------------------------------------------------------------


def meet(here: Rendezvous, asked: Mapping[str, Any]) -> dict[int, socket.socket]:
    """Wait until all machines are there, and compare what they have been ``asked`` for.

    Returns:
        A connection to each other machine from the first; from the others, one to the first.

    Raises:
        InputError: one does not come, or has been asked for something else.
    """
    print(f"{here}: meets the others at {here.address}:{here.port}", flush=True)
    with ExitStack() as opened:
        come = _await_all if here.number == 0 else _join
        lines, records = come(here, dict(asked), opened)
        check_same(records)
        opened.pop_all()  # they stay open
    for line in lines.values():
        line.settimeout(SILENCE)
    return lines


def check_same(records: list[dict[str, Any]], what: str = "machine") -> None:
    """Raise InputError unless all have been asked for what the first was."""
    for number, record in enumerate(records):
        for name in dict.fromkeys((*records[0], *record)):
            own, first = record.get(name), records[0].get(name)
            if own != first:
                values = f" ({own}, not {first})" if len(f"{own}{first}") < 60 else ""
                raise InputError(
                    f"{name} of {what} {number} is not that of {what} 0{values}; start the same "
                    "command on each"
                )


_Lines = dict[int, socket.socket]


def _await_all(
    here: Rendezvous, asked: dict[str, Any], opened: ExitStack
) -> tuple[_Lines, list[dict[str, Any]]]:
    """The first machine's part: hear all others, then tell each what all have said."""
    lines: _Lines = {}
    records, end = {0: asked}, time.monotonic() + MEETING_TIME
    try:
        server = socket.create_server(("", here.port))
    except OSError as reason:
        raise InputError(
            f"MASTER_PORT {here.port}: {reason.strerror}; choose a free port of machine 0"
        ) from None
    with server:
        while missing := sorted(set(range(here.machines)) - set(records)):
            if (left := end - time.monotonic()) <= 0:
                raise InputError(_did_not_come(here, ", ".join(map(str, missing))))
            server.settimeout(left)
            # nobody comes, or one who is not ours
            with suppress(OSError, ValueError, TypeError), ExitStack() as guest:
                line = guest.enter_context(server.accept()[0])
                line.settimeout(BEAT)
                number, record = json.loads(_read_line(line))
                if number in lines:
                    lines[number].close()  # it was started again
                lines[number], records[number] = line, record
                opened.push(guest.pop_all())
    everything = [records[number] for number in sorted(records)]
    for line in lines.values():
        with suppress(OSError):
            line.sendall(json.dumps(everything).encode() + b"\n")
    return lines, everything


def _join(
    here: Rendezvous, asked: dict[str, Any], opened: ExitStack
) -> tuple[_Lines, list[dict[str, Any]]]:
    """Another machine's part: call the first until it answers."""
    end = time.monotonic() + MEETING_TIME
    while (left := end - time.monotonic()) > 0:
        with suppress(OSError, ValueError):
            calls = socket.create_connection((here.address, here.port), timeout=left)
            line = opened.enter_context(calls)
            line.sendall(json.dumps([here.number, asked]).encode() + b"\n")
            return {0: line}, json.loads(_read_line(line))
        time.sleep(0.5)
    raise InputError(_did_not_come(here, "0, or another"))


def _read_line(line: socket.socket) -> str:
    with line.makefile(encoding="utf-8", newline="\n") as text:
        return text.readline()


def _did_not_come(here: Rendezvous, who: str) -> str:
    return (
        f"{here}: machine {who} has not come to {here.address}:{here.port} within "
        f"{MEETING_TIME / 60:g} minutes; start the same command on each, with its own NODE_RANK"
    )


# ---- watching ----------------------------------------------------------------------------------


class Watch:
    """Ends this process if another machine is gone while they share a run: torch may wait for it
    as long as for one that is at work."""

    def __init__(self, lines: Mapping[int, socket.socket]):
        self.runs = 0
        for line in lines.values():
            Thread(target=self._speak, args=(line,), daemon=True).start()
            Thread(target=self._listen, args=(line,), daemon=True).start()

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """While a run is shared; before and after, each may end when it likes."""
        self.runs += 1
        try:
            yield
        finally:
            self.runs -= 1

    def _speak(self, line: socket.socket) -> None:
        with suppress(OSError):
            while True:
                line.sendall(b".")
                time.sleep(BEAT)

    def _listen(self, line: socket.socket) -> None:
        with suppress(OSError):  # nothing heard for too long, or cut off
            while line.recv(64):
                pass
        while True:
            time.sleep(GRACE)
            if self.runs:
                os.write(2, f"\nssl3d: {LOST}\n".encode())
                os._exit(2)  # its children end with it
