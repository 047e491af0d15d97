"""Files, processes and the record of runs: nothing here knows the method."""
