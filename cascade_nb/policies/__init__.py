"""Policies decide whether a task has to run, and what becomes of its output."""
