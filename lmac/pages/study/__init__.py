"""The listening test: its page, its answers, its statistics."""
