"""Peak memory of a training step, in a process that does nothing else.

python -m benchmarks.speed.memory ours 64 2 5.0 cpu 10    # prints GB
"""

import resource
import subprocess
import sys

import torch


def peak(who, width, batch_size, args, seconds=None, n_classes=10):
    """GB that two steps of ``who`` ("ours" or "published") take at most, in a new process."""
    words = [who, width, batch_size, seconds or args.seconds, args.device, n_classes]
    command = [sys.executable, "-m", "benchmarks.speed.memory", *map(str, words)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{answer.stderr[-2000:]}")
    return float(answer.stdout.split()[-1])


def main(who, width, batch_size, seconds, device, n_classes):
    from benchmarks.speed.ours import Ours
    from benchmarks.speed.published import Published

    ours = Ours(int(batch_size), float(seconds), device, int(width), int(n_classes))
    step = Published(ours).step if who == "published" else ours.step
    for _ in range(2):  # the second one has the optimizer's state
        step()
    if device.startswith("cuda"):
        used = torch.cuda.max_memory_allocated(device)
    else:
        used = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(round(used / 1e9, 3))


if __name__ == "__main__":
    main(*sys.argv[1:])
