"""The harness is a pytest plugin (entry point ``pytest11``); nothing needs to be set up here."""
