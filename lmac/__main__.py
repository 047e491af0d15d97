"""``python -m lmac``: see :mod:`lmac.commands`."""

import sys

from lmac.commands import dispatch

if __name__ == "__main__":
    dispatch(sys.argv[1:])
