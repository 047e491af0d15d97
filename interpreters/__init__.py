"""Interpreters: one file a method, all behind ``interpreters.base.Interpreter``."""
