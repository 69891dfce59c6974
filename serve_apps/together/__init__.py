"""Many workloads in one process, and workloads that ask each other."""
