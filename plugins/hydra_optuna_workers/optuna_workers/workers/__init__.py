"""Loops that claim trials, the child processes that run them, and launchers."""
