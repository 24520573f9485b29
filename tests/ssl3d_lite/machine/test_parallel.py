import os
import signal
import subprocess
import sys
import time

import pytest

from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.parallel import Workforce, for_each, usable_cores


def slow_square(number):
    time.sleep(0.05)
    return number**2, os.getpid()


def refuse(number):
    raise InputError(f"number {number} is refused")


def test_results_come_from_several_processes():
    results = list(for_each(slow_square, range(40), Workforce(workers=2), "squares"))
    assert sorted(square for square, _ in results) == [n**2 for n in range(40)]
    processes = {process for _, process in results}
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_one_worker_works_in_this_process():
    results = list(for_each(slow_square, range(3), Workforce(workers=1), "squares"))
    assert results == [(n**2, os.getpid()) for n in range(3)]


def test_nothing_to_do_is_done():
    assert list(for_each(slow_square, [], Workforce(workers=2), "squares")) == []


def test_stopping_early_is_quiet_and_quick():
    results = for_each(time.sleep, [0.05] * 1000, Workforce(workers=2), "naps")
    next(results)
    start = time.perf_counter()
    results.close()
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_is_the_callers(workers):
    with pytest.raises(InputError, match="is refused"):
        list(for_each(refuse, [3, 4], Workforce(workers=workers), "refused"))


def die_of_seven(number):
    if number == 7:
        os._exit(1)
    return number


def die_beside_another(folder):
    """As where two scans at once need more memory than there is."""
    mark = folder / f"{os.getpid()}"
    mark.touch()
    time.sleep(0.3)
    if len(list(folder.glob("*"))) > 1:
        [each.unlink(missing_ok=True) for each in folder.glob("*")]
        os._exit(1)
    mark.unlink(missing_ok=True)  # the other may have taken it away before it died
    return "done"


def test_a_killed_worker_costs_its_item_alone():
    work = Workforce(workers=2)
    results = for_each(die_of_seven, range(20), work, "dying", killed=lambda n: f"{n} was killed")
    assert sorted(map(str, results)) == sorted([*map(str, {*range(20)} - {7}), "7 was killed"])


def test_items_that_are_too_large_together_are_done_one_by_one(tmp_path):
    results = for_each(die_beside_another, [tmp_path] * 2, Workforce(workers=2), "large")
    assert list(results) == ["done", "done"]


def test_a_killed_worker_is_named_as_the_reason():
    with pytest.raises(InputError) as error:
        list(for_each(die_of_seven, [7, 7], Workforce(workers=2), "dying"))
    assert str(error.value) == (
        "its worker process was killed whenever it was at work on it: most likely memory ran out: 7"
    )


def run_without_guard(tmp_path, workers):
    script = tmp_path / "script.py"
    script.write_text(
        "from ssl3d_lite.machine.parallel import Workforce, for_each\n"
        f"print(list(for_each(abs, [-1, 2], Workforce(workers={workers}), 'x')))\n"
    )
    return subprocess.run([sys.executable, script], capture_output=True, text=True)


def test_a_script_without_a_main_guard_is_told_why(tmp_path):
    """Before a worker starts: each would import the script, and print a traceback of its own."""
    done = run_without_guard(tmp_path, 2)
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "ssl3d_lite.errors.InputError: no worker process can be started; a script of one's own "
        'needs `if __name__ == "__main__":` around what it does'
    )


def test_a_script_without_a_main_guard_works_in_its_own_process(tmp_path):
    done = run_without_guard(tmp_path, None)
    assert done.returncode == 0
    assert done.stdout == "[1, 2]\n"
    assert "Traceback" not in done.stderr


def test_workers_leave_with_a_parent_that_is_killed():
    code = (
        "from ssl3d_lite.machine.parallel import Workforce, for_each\n"
        "if __name__ == '__main__':\n"
        "    for pid in for_each(eval, ['__import__(\"os\").getpid()'] * 4 + "
        "['__import__(\"time\").sleep(60)'] * 2, Workforce(workers=2), 'x'): print(pid, flush=True)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    workers = {int(parent.stdout.readline()) for _ in range(4)}
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while any(map(is_running, workers)):
        assert time.monotonic() < deadline, "a worker outlives its parent"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """A process that has ended may still be listed, as a zombie that nobody has waited for."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_usable_cores_are_at_least_one():
    assert 1 <= usable_cores() <= os.cpu_count()


@pytest.mark.parametrize("workers", [0, -3])
def test_no_workers_do_no_work(workers):
    with pytest.raises(InputError, match=f"workers is {workers}, but must be above 0"):
        list(for_each(abs, [1, 2], Workforce(workers=workers), "nothing"))
