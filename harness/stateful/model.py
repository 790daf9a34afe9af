"""What is known of upstream while a story goes on, as far as it decides what can happen. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.stateful.operations import Operation

__all__ = ["Model"]


@dataclass
class Model:
    """Upstream's content and mood after the operations so far."""

    tags: dict[tuple[int, int], int] = field(default_factory=dict)
    """Which image each tag, by repository and number, is."""
    held: set[tuple[int, int]] = field(default_factory=set)
    """Repository and image."""
    is_down: bool = False
    is_faulty: bool = False

    def take(self, one: Operation) -> bool:
        """Let *one* happen; False where it changes nothing, or cannot happen."""
        place = one.repository, one.tag
        held = one.repository, one.image
        match one.do:
            case "tag":
                self.tags[place] = one.image
                self.held.add(held)
            case "untag":
                return self.tags.pop(place, None) is not None
            case "remove":
                if held not in self.held:
                    return False
                self.held.discard(held)
                self.tags = {
                    (repository, tag): image
                    for (repository, tag), image in self.tags.items()
                    if (repository, image) != held
                }
            case "down" | "up":
                if self.is_down == (one.do == "down"):
                    return False
                self.is_down = one.do == "down"
            case "fault":
                self.is_faulty = True
            case "heal":
                was, self.is_faulty = self.is_faulty, False
                return was
        return True
