"""Containers that run the registry, by Kubernetes or compose: configuration and environment."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from harness.nodes.lint.containers import Mount
from harness.nodes.lint.documents import TreeFile
from harness.nodes.lint.finding import Edit, SetValue, quoted
from harness.nodes.lint.kinds import Kind
from harness.nodes.lint.registry_containers import PATHS, each
from harness.nodes.lint.rule import Hit, RuleContext, Rules

__all__ = ["rules"]

rules = Rules(Kind.KUBERNETES, Kind.COMPOSE)

_WITHOUT_EFFECT = frozenset({"unknown-variable", "no-effect"})


@rules("PPW001", "error", fixable=True)
def mounted_elsewhere(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Configuration mounted where this release does not read it.

    why: the image of 2 reads /etc/docker/registry/config.yml, the image of 3
        /etc/distribution/config.yml: a file elsewhere is ignored, and a registry that accepts
        pushes runs instead of the cache
    fix: mount it where the release reads it, or give the path as the command
    source: distribution#4357, distribution#4573; distribution-library-image#166
    """
    for registry in each(file, context.project):
        if registry.container.command or registry.mount is not None:
            continue
        wanted = registry.default_path
        for path in set(PATHS.values()) - {wanted}:
            mount = registry.container.mount_over(path)
            if mount is None or mount.target not in {path, posixpath.dirname(path)}:
                continue
            target = wanted if mount.target == path else posixpath.dirname(wanted)
            what = f"{registry.series} does not read {path}"
            yield Hit(mount.edited.spot, what, f"mount it at {target}",
                      (_moved(mount, target),))  # fmt: skip


def _moved(mount: Mount, target: str) -> Edit:
    text = mount.edited.text
    return SetValue(mount.edited.path, text.replace(mount.target, target, 1))


@rules("PPW002", "error")
def directory_for_file(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Directory mounted in place of config.yml.

    why: a ConfigMap or a Secret is mounted as a directory: the registry exits with: is a directory
    fix: set subPath to the key, or mount it one directory higher
    source: https://kubernetes.io/docs/concepts/storage/volumes/#using-subpath
    """
    for registry in each(file, context.project):
        mount = registry.mount
        whole = mount is not None and mount.kind in {"configMap", "secret"} and not mount.sub_path
        if mount is not None and whole and mount.target == registry.path:
            what = f"{mount.kind} {quoted(mount.source)} becomes the directory {mount.target}"
            yield Hit(mount.edited.spot, what)


@rules("PPW003", "error")
def no_such_key(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """File missing from the ConfigMap.

    why: the registry exits, because its configuration file does not exist
    fix: name the key like the mounted file
    source: https://kubernetes.io/docs/concepts/configuration/configmap/
    """
    for registry in each(file, context.project):
        mount = registry.mount
        if mount is None or mount.kind != "configMap" or registry.text is not None:
            continue
        found = context.cluster.named("ConfigMap", mount.source)
        if found and (mount.sub_path or mount.target != registry.path):
            keys = ", ".join(k for o in found for k, _ in (o.node.get("data") or o.node).items())
            what = f"ConfigMap {quoted(mount.source)} has no {registry.path}, only {keys[:80]}"
            yield Hit(mount.node.spot, what)


@rules("PPW004", "warning")
def unknown_variable(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Variable that this release does not support.

    why: REGISTRY_A_B sets the key a.b; the registry logs a warning for a variable without such a
        key and ignores it
    fix: name the variable after the key, in capitals
    source: distribution docs, about/configuration, override specific options; measured on 2.8.3 to
        3.1.1
    """
    yield from _variables(file, context, fatal=False)


@rules("PPW005", "error")
def refused_variable(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Variable that prevents startup.

    why: the value of a REGISTRY_ variable is YAML: a list in config.yml must be a list here too,
        and a section cannot be set to a single value
    fix: write the value as YAML, such as [one, two]
    source: distribution docs, about/configuration, override specific options; measured on 2.8.3 to
        3.1.1
    """
    yield from _variables(file, context, fatal=True)


def _variables(file: TreeFile, context: RuleContext, *, fatal: bool) -> Iterator[Hit]:
    for registry in each(file, context.project):
        # Of a file that was not given, only what the variables themselves say is known.
        reading = registry.reading
        for problem in reading.problems if reading else ():
            if problem.what == "not available here":
                continue  # the reference registry's own limit
            variable = registry.container.variable(problem.place.source)
            told = problem.exit_code is not None if fatal else problem.rule in _WITHOUT_EFFECT
            if problem.place.line is None and variable and told:
                what = f"{variable.name}: {problem.key}: {problem.what}"
                yield Hit(variable.node.spot, f"{what} [{registry.series}]", problem.fix)


@rules("PPW006", "info")
def overridden(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Variable that overrides the file.

    why: the environment takes precedence: the registry does not do what the file says
    fix: keep one of them
    source: distribution docs, about/configuration, override specific options
    """
    for registry in each(file, context.project):
        written = registry.read(registry.series, {}) if registry.mount else None
        for variable in registry.container.variables if written else ():
            key = variable.name.removeprefix("REGISTRY_").replace("_", ".").lower()
            place = written.places.get(key) if written else None
            if variable.name.startswith("REGISTRY_") and place is not None and "." in key:
                where = f"{posixpath.basename(place.source)}:{place.line}"
                yield Hit(variable.node.spot, f"{variable.name} overrides {where}")


@rules("PPW007", "warning")
def becomes_a_proxy(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Variable that turns a registry into a cache.

    why: the file has no proxy section: with this variable the registry becomes a cache that rejects
        every push
    fix: add the proxy section to the file, or remove the variable
    source: distribution docs, recipes/mirror; measured on 2.8.3 to 3.1.1
    """
    for registry in each(file, context.project):
        variable = registry.container.variable("REGISTRY_PROXY_REMOTEURL")
        written = registry.read(registry.series, {}) if variable and registry.mount else None
        if variable and written and written.attempted and "proxy" not in written.places:
            what = f"{variable.name} with a configuration that has no proxy section"
            yield Hit(variable.node.spot, what)


@rules("PPW008", "warning")
def useless_path(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """REGISTRY_CONFIGURATION_PATH has no effect.

    why: the command of the image names a path, and an argument takes precedence over the variable
    fix: mount the file there, or give its path as the command
    source: distribution registry/registry.go (resolveConfiguration)
    """
    for registry in each(file, context.project):
        variable = registry.container.variable("REGISTRY_CONFIGURATION_PATH")
        if variable and variable.value and registry.path != posixpath.normpath(variable.value):
            what = f"{registry.path} is read, not {quoted(variable.value)}"
            yield Hit(variable.node.spot, what)


@rules("PPW009", "warning")
def of_another_release(file: TreeFile, context: RuleContext) -> Iterator[Hit]:
    """Configuration for another release than the image.

    why: this release silently ignores keys that it does not support
    fix: use the image that the configuration was written for, or remove the keys
    source: distribution docs, about/configuration; measured on 2.8.3 to 3.1.1
    """
    for registry in each(file, context.project):
        if registry.mount is None or registry.text is None:
            continue
        other = "3.1" if registry.series == "2.8" else "2.8"
        here, there = registry.read(registry.series, {}), registry.read(other, {})
        if here and there:
            unknown = {p.key for p in there.problems}
            keys = [p.key for p in here.problems if p.key not in unknown]
            if keys:
                what = f"{quoted(registry.image.text)} does not support {', '.join(keys[:5])}"
                yield Hit(registry.image.spot, what)
