"""Where numbers come from: the code, and the hardware it ran on."""

import os
import platform
import subprocess
from pathlib import Path

import torch


def commit():
    """Short hash of the checkout, with ``+`` when it has changes; "unknown" outside git."""

    def git(*words):
        return subprocess.run(
            ["git", *words], capture_output=True, text=True, check=True,
            cwd=Path(__file__).parent,
        ).stdout.strip()  # fmt: skip

    try:
        return git("rev-parse", "--short", "HEAD") + (
            "+" if git("status", "--porcelain", "-uno") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def hardware(device):
    """What it ran on, in a few words."""
    if str(device).startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} CPU cores ({platform.machine()})"
