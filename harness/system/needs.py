"""What a scenario may need of a target, and what a target declares that it offers."""

from __future__ import annotations

from enum import Enum


class Need(Enum):
    """What a scenario needs of a target beyond being asked over HTTP."""

    CONFIG = "its configuration can be written"
    STORAGE = "its storage tree can be read"
    RESTART = "it can be stopped and started"
    CLOCK = "time can be made to pass for it"
    GC = "its garbage-collect command can be run"
    STATE_FILE = "it keeps scheduler-state.json"
    DEBUG = "it has a debug listener"
    PROCESS = "it is a process of its own that can be killed"
    LOGS = "its log can be read"
    TAG_LISTS = "it lists the tags of a repository"
    CATALOG = "it lists its repositories"
    REFERRERS = "it can be asked what refers to a manifest"
    X_KEYS = "its configuration knows the x- keys of docs/configuration.md"
