"""Loops that claim slots, the child processes that run their trials, and launchers.

launch starts a command's workers: threads of the command, or one Hydra job each (jobs). A worker
claims slots; an attempt is one try at a slot, run in a child process or here (runners). process is
the child as its worker sees it, child the program, job a trial as a Hydra job inside of it.
current_trial is what the task sees; importing it loads nothing else.
"""
