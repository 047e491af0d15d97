"""Explain any sound: from Python, and as files with figures and audio."""
