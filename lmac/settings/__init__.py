"""Settings: YAML files, the command line, what each setting takes, and the words for them."""
