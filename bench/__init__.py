"""How fast registries are as pull-through caches: ``python -m bench``."""
