"""What in containerd's files does not do what it seems to do, for the image at hand.

Only what follows from the plan is said; ``pullproof lint`` looks at the files as such.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.nodes.explain.explanation import Place, Remark
from harness.nodes.explain.secrets import Login
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
from harness.nodes.models.files import FileTree
from harness.nodes.models.toml_statements import read_toml

if TYPE_CHECKING:
    from harness.nodes.explain.containerd_pull import ContainerdQuestion

__all__ = ["never_asked", "remarks"]


def remarks(
    question: ContainerdQuestion, plan: Plan, logins: Sequence[Login]
) -> tuple[Remark, ...]:
    """What there is to say, what ends the pull first."""
    config = _config(question)
    return (
        *_refusal(question, plan),
        *(
            Remark(finding.message, _shown(question, finding.file, finding.line))
            for finding in plan.findings
        ),
        *_config_remarks(question, plan, config, logins),
        *_directory_remarks(question, plan),
        *_host_remarks(question, plan),
    )


def never_asked(question: ContainerdQuestion, plan: Plan) -> dict[str, Remark]:
    """What to say of a ``when`` for a host that the files mention and the pull never asks: that is
    the answer, and no mistake in the question."""
    files = {question.config_file: question.config_toml or "", **question.files}
    shown = {question.shown(file): text for file, text in files.items()} | {**question.siblings}
    asked = {host.name for host in plan.hosts}
    found: dict[str, Remark] = {}
    for host in {one.rpartition("=")[0] for one in question.when} - asked:
        for file, text in shown.items() if host else ():
            lines = (n for n, line in enumerate(text.split("\n"), 1) if host in line)
            line = next(lines, None)
            if line is not None:
                said = f"{host} is never asked in this pull, so that --when {host} changes nothing"
                found.setdefault(host, Remark(said, Place(file, line)))
    return found


def _config(question: ContainerdQuestion) -> RegistryConfig | None:
    if question.config_toml is None:
        return None
    try:
        return parse_config_toml(
            question.config_toml,
            question.release,
            FileTree(question.files),
            question.config_file,
        )
    except InvalidConfig:
        return None


def _shown(question: ContainerdQuestion, file: str | None, line: int | None) -> Place | None:
    return None if file is None else Place(question.shown(file), line)


def _refusal(question: ContainerdQuestion, plan: Plan) -> Iterator[Remark]:
    finding = None if plan.refusal is None else plan.refusal.finding
    if finding is not None:
        yield Remark(finding.message, _shown(question, finding.file, finding.line))


# -- config.toml --------------------------------------------------------------------------------
def _config_remarks(
    question: ContainerdQuestion,
    plan: Plan,
    config: RegistryConfig | None,
    logins: Sequence[Login],
) -> Iterator[Remark]:
    if isinstance(plan.puller, Ctr):
        if (config is not None or question.files) and plan.puller.hosts_dir is None:
            yield Remark(
                "ctr reads no certs.d without --hosts-dir, and never the CRI plugin's settings: "
                "what kubelet would do is shown by --puller cri"
            )
        return
    if config is None:
        return
    if config.configuration is not None:
        yield from _unread_sections(question, config.configuration)
    if question.unread_directory is not None:
        yield Remark(
            f"{question.unread_directory} is not read: config.toml sets no config_path",
            Place(question.shown(question.config_file)),
        )
    if plan.transfer and len(config.directories) > 1:
        yield Remark(
            f"config_path {config.config_path!r} is taken for the name of one directory, so "
            "nothing is found: name one directory only",
            _line(question, config, "registry", "config_path"),
        )
    yield from _login_remarks(question, plan, config, logins)


def _unread_sections(
    question: ContainerdQuestion, configuration: Configuration
) -> Iterator[Remark]:
    """Registry settings that no release, or not this one, takes from where they stand."""
    release = question.release
    counts = section_of(configuration.version, release)
    merges = release.merges_sections
    for number, (file, text) in enumerate(configuration.files):
        for name in registry_sections(text):
            place = Place(question.shown(file), section_line(text, name))
            later = [
                f for f, t in configuration.files[number + 1 :] if name in registry_sections(t)
            ]
            if not is_read(name, text, configuration, release):
                version = version_of(read_toml(text))
                said = f"`version = {version}`" if version else "no `version`"
                last = "" if len(configuration.files) == 1 else ", all files together"
                yield Remark(
                    f"the registry settings of {name!r} do nothing: the file has {said}, and "
                    f"containerd {release.version} reads {counts!r}{last}; {_cure(name)}",
                    place,
                )
            elif later and not merges:
                yield Remark(
                    f"nothing of the section {name!r} counts: that of {question.shown(later[-1])}, "
                    "which is imported after it, replaces the whole",
                    place,
                )


def _cure(name: str) -> str:
    """What every release understands."""
    first_line = "write `version = 2` as first line"
    return first_line if name == GRPC_CRI else f"name the section {GRPC_CRI!r} and {first_line}"


def _login_remarks(
    question: ContainerdQuestion, plan: Plan, config: RegistryConfig, logins: Sequence[Login]
) -> Iterator[Remark]:
    contacted = {host.name for host in plan.hosts}
    for key in config.auths:
        place = _line(question, config, "configs", key) or _line(question, config, "auths", key)
        if logins and key in contacted:
            yield Remark(
                f"the login of {key!r} is not used: a pull secret fits the image, and its mere "
                "presence excludes registry.configs",
                place,
                is_warning=False,
            )
        elif key not in contacted:
            like = next((host for host in contacted if host.partition(":")[0] == key), None)
            hint = f" (did you mean {like!r}?)" if like else ""
            yield Remark(
                f"the login of {key!r} is not used for this image: keys are compared with the "
                f"contacted host and port, not with a directory's or registry's name{hint}",
                place,
                is_warning=bool(hint) or key in _directories(question),
            )


def _directories(question: ContainerdQuestion) -> set[str]:
    return {path.split("/")[-2] for path in question.siblings if "/" in path}


def _line(question: ContainerdQuestion, config: RegistryConfig, *last: str) -> Place | None:
    found = config.place(*last)
    return None if found is None else _shown(question, *found)


# -- certs.d ------------------------------------------------------------------------------------
def _directory_remarks(question: ContainerdQuestion, plan: Plan) -> Iterator[Remark]:
    """Directories that are meant for this image and named for something else."""
    namespace = plan.reference.namespace
    if isinstance(plan.puller, Ctr) or not namespace:
        return
    if plan.directory is not None and not plan.directory.endswith("/_default"):
        return
    own_names = {namespace, *(["registry-1.docker.io"] if namespace == "docker.io" else [])}
    for path, text in question.siblings.items():
        if not any(name in text for name in own_names):
            continue
        directory = path.rpartition("/")[0]
        name = directory.rpartition("/")[2]
        yield Remark(
            f"the directory {name} is not read for {namespace}: directories are named for the "
            f"registry in the image's name, not for the mirror; rename it to "
            f"{directory_names(namespace)[0]}",
            Place(path, _line_with(text, own_names)),
        )


def _line_with(text: str, names: set[str]) -> int | None:
    for number, line in enumerate(text.split("\n"), 1):
        if any(name in line for name in names) and not line.lstrip().startswith("#"):
            return number
    return None


def _host_remarks(question: ContainerdQuestion, plan: Plan) -> Iterator[Remark]:
    namespace = plan.reference.namespace
    seen: set[tuple[str, str]] = set()
    for host in plan.hosts:
        place = (
            None if host.source is None else _shown(question, host.source.file, host.source.line)
        )
        if namespace == "docker.io" and host.name in {"docker.io", "index.docker.io"}:
            yield Remark(
                f"{host.name} is contacted as it stands and is no registry: Docker Hub's is "
                "registry-1.docker.io",
                place,
            )
        if (host.url, host.path) in seen:
            yield Remark(f"{host.name} is asked twice for everything", place, is_warning=False)
        seen.add((host.url, host.path))
