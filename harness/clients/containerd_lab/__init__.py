"""Any containerd, by its path, private to the test run and asked by gRPC and by ``ctr``."""

from harness.clients.containerd_lab.daemon import Daemon, Names, Surroundings, version_of
from harness.clients.containerd_lab.image_service import ImageService, Pulled

__all__ = ["Daemon", "ImageService", "Names", "Pulled", "Surroundings", "version_of"]
