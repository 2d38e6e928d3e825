"""Memoization for Jupyter: cells and functions computed once, never stale, shared by CID."""

__version__ = "0.1.0"
