"""Fuzzing: a reader answers any input with a value, a finding or its one documented exception."""
