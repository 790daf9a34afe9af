"""distribution's ``config.yml``: the model, and how it is read.

``model`` is the typed configuration that everything else takes; ``file`` reads it from YAML and
``REGISTRY_*`` variables, with errors that name file, line, key and fix.
"""

from reference_registry.config.model import *  # noqa: F403
