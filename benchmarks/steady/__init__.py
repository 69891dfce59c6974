"""Faults, changes and scaling under a steady load: the parts of benchmarks/reliability.py."""
