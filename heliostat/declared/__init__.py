"""The parts of a declaration, each with its defaults and the values that it refuses."""
