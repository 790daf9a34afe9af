"""Settings in containerd's files that do not do what they seem to do, for one image.

Only what follows from the plan is reported; ``pullproof lint`` checks the files themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.nodes.explain.explanation import Diagnostic
from harness.nodes.explain.files import ContainerdQuestion
from harness.nodes.models.containerd.certs_d import directory_names
from harness.nodes.models.containerd.config_files import (
    GRPC_CRI,
    Configuration,
    InvalidConfig,
    version_of,
)
from harness.nodes.models.containerd.config_toml import (
    RegistryConfig,
    is_read,
    parse_config_toml,
    registry_sections,
    section_line,
    section_of,
)
from harness.nodes.models.containerd.plan import Plan
from harness.nodes.models.containerd.pullers import Ctr
from harness.nodes.models.files import FileLine
from harness.nodes.models.kubelet import KeyringEntry
from harness.nodes.models.toml_statements import read_toml


def diagnostics(
    question: ContainerdQuestion, plan: Plan, logins: Sequence[KeyringEntry]
) -> tuple[Diagnostic, ...]:
    """All diagnostics; a reason why the pull fails before any request comes first."""
    refused = None if plan.refusal is None else plan.refusal.finding
    return (
        *(
            Diagnostic(one.reason, question.files.place_of(one.file, one.line))
            for one in (refused, *plan.findings)
            if one is not None
        ),
        *_config_diagnostics(question, plan, logins),
        *_directory_diagnostics(question, plan),
        *_host_diagnostics(question, plan),
    )


def not_contacted(question: ContainerdQuestion, plan: Plan) -> dict[str, Diagnostic]:
    """A diagnostic for each host of ``when`` that the files name and the pull never contacts: such
    a ``when`` has no effect, but it is not a mistake of the caller."""
    files = question.files
    texts = {files.config_file: files.config_toml or "", **files.files}
    shown = {files.shown(file): text for file, text in texts.items()} | files.siblings
    contacted = {host.name for host in plan.hosts}
    found: dict[str, Diagnostic] = {}
    for host in {one.rpartition("=")[0] for one in question.when} - contacted:
        for file, text in shown.items() if host else ():
            if host in text:
                line = text[: text.index(host)].count("\n") + 1
                said = f"this pull never contacts {host}, so --when {host} has no effect"
                found.setdefault(host, Diagnostic(said, FileLine(file, line)))
    return found


# -- config.toml --------------------------------------------------------------------------------
def _config_diagnostics(
    question: ContainerdQuestion, plan: Plan, logins: Sequence[KeyringEntry]
) -> Iterator[Diagnostic]:
    files = question.files
    config = _config(question)
    if isinstance(plan.puller, Ctr):
        if (config is not None or files.files) and plan.puller.hosts_dir is None:
            yield Diagnostic(
                "ctr ignores certs.d without --hosts-dir, and always ignores the CRI plugin's "
                "settings; use --puller cri to see what kubelet does"
            )
        return
    if config is None:
        return
    yield from _unread_sections(question, config.configuration)
    if files.unread_directory is not None:
        yield Diagnostic(
            f"{files.unread_directory} is not read: config.toml sets no config_path",
            FileLine(files.shown(files.config_file)),
        )
    if plan.transfer and len(config.directories) > 1:
        yield Diagnostic(
            f"containerd takes config_path {config.config_path!r} for one directory name and finds "
            "nothing; name a single directory",
            _line(question, config, "registry", "config_path"),
        )
    yield from _login_diagnostics(question, plan, config, logins)


def _config(question: ContainerdQuestion) -> RegistryConfig | None:
    files = question.files
    if files.config_toml is None:
        return None
    try:
        return parse_config_toml(
            files.config_toml, question.release, files.files, files.config_file
        )
    except InvalidConfig:
        return None


def _unread_sections(
    question: ContainerdQuestion, configuration: Configuration
) -> Iterator[Diagnostic]:
    """Registry settings in sections that the release does not read or that an import replaces."""
    release, shown = question.release, question.files.shown
    expected = section_of(configuration.version, release)
    for number, (file, text) in enumerate(configuration.files):
        for name in registry_sections(text):
            place = FileLine(shown(file), section_line(text, name))
            later = [
                f for f, t in configuration.files[number + 1 :] if name in registry_sections(t)
            ]
            if not is_read(name, text, configuration, release):
                version = version_of(read_toml(text))
                said = f"`version = {version}`" if version else "no `version`"
                merged = "" if len(configuration.files) == 1 else " once all files are merged"
                yield Diagnostic(
                    f"the registry settings of {name!r} have no effect: the file has {said}, and "
                    f"containerd {release.version} reads {expected!r}{merged}; {_fix(name)}",
                    place,
                )
            elif later and not release.merges_sections:
                yield Diagnostic(
                    f"the section {name!r} has no effect: {shown(later[-1])} is imported after it "
                    "and replaces the whole section",
                    place,
                )


def _fix(name: str) -> str:
    """A fix that works in every release."""
    first_line = "write `version = 2` as first line"
    return first_line if name == GRPC_CRI else f"name the section {GRPC_CRI!r} and {first_line}"


def _login_diagnostics(
    question: ContainerdQuestion, plan: Plan, config: RegistryConfig, logins: Sequence[KeyringEntry]
) -> Iterator[Diagnostic]:
    contacted = {host.name for host in plan.hosts}
    siblings = {path.split("/")[-2] for path in question.files.siblings if "/" in path}
    for key in config.auths:
        place = _line(question, config, "configs", key) or _line(question, config, "auths", key)
        if logins and key in contacted:
            yield Diagnostic(
                f"the login for {key!r} is not used: a pull secret matches the image, and then "
                "containerd ignores registry.configs",
                place,
                is_warning=False,
            )
        elif key not in contacted:
            like = next((host for host in contacted if host.partition(":")[0] == key), None)
            hint = f" (did you mean {like!r}?)" if like else ""
            yield Diagnostic(
                f"the login for {key!r} is not used for this image: keys must match a contacted "
                f"host and port, not the name of a directory or registry{hint}",
                place,
                is_warning=bool(hint) or key in siblings,
            )


def _line(question: ContainerdQuestion, config: RegistryConfig, *last: str) -> FileLine | None:
    found = config.configuration.place(*last)
    return None if found is None else question.files.place_of(*found)


# -- certs.d ------------------------------------------------------------------------------------
def _directory_diagnostics(question: ContainerdQuestion, plan: Plan) -> Iterator[Diagnostic]:
    """Directories that look meant for this image but have another registry's name."""
    namespace = plan.reference.namespace
    if isinstance(plan.puller, Ctr) or not namespace:
        return
    if plan.directory is not None and not plan.directory.endswith("/_default"):
        return
    own_names = {namespace, *(["registry-1.docker.io"] if namespace == "docker.io" else [])}
    for path, text in question.files.siblings.items():
        if not any(name in text for name in own_names):
            continue
        name = path.rpartition("/")[0].rpartition("/")[2]
        yield Diagnostic(
            f"the directory {name} is not read for {namespace}: directories are named after the "
            f"registry in the image name, not after the mirror; rename it to "
            f"{directory_names(namespace)[0]}",
            FileLine(path, _line_with(text, own_names)),
        )


def _line_with(text: str, names: set[str]) -> int | None:
    for number, line in enumerate(text.split("\n"), 1):
        if any(name in line for name in names) and not line.lstrip().startswith("#"):
            return number
    return None


def _host_diagnostics(question: ContainerdQuestion, plan: Plan) -> Iterator[Diagnostic]:
    seen: set[tuple[str, str]] = set()
    for host in plan.hosts:
        source = host.source
        place = None if source is None else question.files.place_of(source.file, source.line)
        hub_names = {"docker.io", "index.docker.io"}
        if plan.reference.namespace == "docker.io" and host.name in hub_names:
            yield Diagnostic(
                f"{host.name} is contacted under that name and is not a registry: Docker Hub's "
                "registry is registry-1.docker.io",
                place,
            )
        if (host.url, host.path) in seen:
            text = f"{host.name} is listed twice and tried twice for everything"
            yield Diagnostic(text, place, is_warning=False)
        seen.add((host.url, host.path))
