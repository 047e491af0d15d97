"""Medians of functions that take turns."""

import statistics
import time

import torch

# Two turns of a tenth of a second each would tell little: turns go on for so long, or so often.
LEAST_SECONDS, MOST_TURNS = 5.0, 30
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


class Clock:
    """Times functions on a device.

    Arguments
    ---------
    name : str
        Of ``CLOCKS``. ``processor`` sums over threads; it is for one thread on a busy machine.
    device : str
        Work on a GPU is waited for.
    """

    def __init__(self, name="wall", device="cpu"):
        self.name = name
        self.device = device
        self.now = CLOCKS[name]
        if name == "processor" and (torch.get_num_threads() > 1 or self.on_gpu):
            raise ValueError(
                "--clock=processor adds up the threads of a CPU: set OMP_NUM_THREADS=1, and leave "
                "it out on a GPU."
            )

    @property
    def on_gpu(self):
        return str(self.device).startswith("cuda")

    def seconds(self, function):
        """What one call takes."""
        self._wait()
        start = self.now()
        function()
        self._wait()
        return self.now() - start

    def medians(self, functions, turns):
        """Name to median seconds of functions that take turns; a turn before warms up.

        At least ``turns``; more where they are short (``LEAST_SECONDS``, ``MOST_TURNS``).
        """
        times = {name: [] for name in functions}
        turn, spent = 0, 0.0
        while turn <= turns or (spent < LEAST_SECONDS and turn <= MOST_TURNS):
            for name, function in functions.items():
                taken = self.seconds(function)
                if turn:
                    times[name].append(taken)
                    spent += taken
            turn += 1
        return {name: statistics.median(values) for name, values in times.items()}

    def _wait(self):
        if self.on_gpu:
            torch.cuda.synchronize(self.device)
