"""Executors run one task's body somewhere."""
