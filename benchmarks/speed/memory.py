"""Peak memory of a training step, in a process that does nothing else.

python -m benchmarks.speed.memory ours 64 2 5.0 10 cpu    # prints GB
"""

import re
import resource
import subprocess
import sys
from pathlib import Path

import torch


def peak(who, width, batch_size, seconds, n_classes, device):
    """GB that two steps of ``who`` ("ours" or "published") take at most, in a new process."""
    words = [who, width, batch_size, seconds, n_classes, device]
    command = [sys.executable, "-m", "benchmarks.speed.memory", *map(str, words)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{answer.stderr[-2000:]}")
    return float(answer.stdout.split()[-1])


def main(who, width, batch_size, seconds, n_classes, device):
    from benchmarks.speed.ours import Ours
    from benchmarks.speed.published import Published

    ours = Ours(int(batch_size), float(seconds), device, int(width), int(n_classes))
    step = Published(ours).step if who == "published" else ours.step
    for _ in range(2):  # the second one has the optimizer's state
        step()
    print(used_so_far(device))


def used_so_far(device):
    """GB that this process has taken at most: on a GPU there, else as a whole."""
    if str(device).startswith("cuda"):
        return round(torch.cuda.max_memory_allocated(device) / 1e9, 3)
    # Not getrusage, whose maximum on Linux goes back to the process that started this one.
    status = Path("/proc/self/status")
    if status.is_file():
        found = re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(), re.M)
        return round(1024 * int(found[1]) / 1e9, 3)
    return round(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9, 3)


if __name__ == "__main__":
    main(*sys.argv[1:])
