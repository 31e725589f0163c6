"""The layout of the Hugging Face cache, to be filled by tests."""

from pathlib import Path

REVISION = "0" * 40


def cached(hub: Path, repository: str) -> Path:
    """The folder in which the cache keeps a repository's files."""
    place = hub / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(REVISION)
    folder = place / "snapshots" / REVISION
    folder.mkdir(parents=True)
    return folder
