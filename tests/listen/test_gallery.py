"""The gallery, looked at, listened to and operated in a real browser."""

import json
import re
import time

import numpy as np
import pytest
import soundfile

from conftest_listen import METHODS, NASTY, NASTY_CLASS, RATE, make_results, tone
