"""``certificate``: what was signed, and the proof of it. ``show`` and ``verify`` need no hub."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit, usage
from crossfade.cli.options import PLAIN, Limit, Options, call, settings
from crossfade.cli.output import Output
from crossfade.client.api import Api
from crossfade.client.errors import CrossfadeError

if TYPE_CHECKING:
    from crossfade.core.certificates import Verified
    from crossfade.engine.ports import Verifier

FIELDS: Final = ("digest", "kind", "subject", "role", "outcome", "signer", "issued_at")
VERIFIED: Final = ("where", "result", "message")
PUBLIC_FILE: Final = "signing.pub"
CertificateFile = Annotated[Path, Parameter(name="--file", help="The certificate.")]


def ls(*, limit: Limit = 100, options: Options = PLAIN) -> int:
    """List certificates, newest first."""
    Output(options).table(call(options, lambda api: api.certificates(limit)), FIELDS)
    return Exit.OK


def get(
    digest: Annotated[str, Parameter(help="As `certificate ls` prints it.")],
    *,
    to: Annotated[Path, Parameter(help="Folder for the certificate and the evidence that the hub keeps.")] = Path(),
    options: Options = PLAIN,
) -> int:
    """Fetch a certificate, and what it was given for, into files."""
    from crossfade.core.certificates import Difference, read

    async def work(api: Api) -> dict[str, bytes]:
        content = (await api.kept("certificates", digest)).content
        files = {f"{digest[:12]}.cert.json": content}
        found = read(content)
        for subject in () if isinstance(found, Difference) else found[2].subject:
            try:
                kept = await api.kept("evidence", subject.digest["sha256"])
            except CrossfadeError as error:
                if error.code != "evidence.unknown":
                    raise
                continue
            files[f"{digest[:12]}.{subject.name}"] = kept.content
        return files

    files = call(options, work)
    try:
        to.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (to / name).write_bytes(content)
    except OSError as error:
        raise CommandError("certificate.unwritable", f"{to}: {error.strerror}", "name another: --to") from None
    Output(options).table([{"file": str(to / name), "size_bytes": len(content)} for name, content in files.items()],
        ("file", "size_bytes"))  # fmt: skip
    return Exit.OK


def show(file: CertificateFile, *, options: Options = PLAIN) -> int:
    """Print what a certificate says. It is not checked: see ``verify``."""
    import msgspec

    from crossfade.core.certificates import Difference, read

    found = read(_bytes(file))
    if isinstance(found, Difference):
        what = f"{file}: {found.where}: {found.message}"
        raise CommandError("certificate.unreadable", what, "fetch it again: crossfade certificate get", Exit.FAILED)
    said = found[2]
    row = {"certificate": str(file), "keyid": found[0].signatures[0].keyid if found[0].signatures else ""}
    subjects = {subject.name: subject.digest["sha256"] for subject in said.subject}
    Output(options).one({**row, "subjects": subjects, **msgspec.to_builtins(said.predicate)})
    return Exit.OK


def verify(
    file: CertificateFile,
    *,
    key: Annotated[Path | None, Parameter(help="Public key; else signing.pub of the data folder.")] = None,
    evidence: Annotated[
        list[str] | None,
        Parameter(negative="", help="SUBJECT=FILE to compare, e.g. runsheet=plan.yaml; repeat it."),
    ] = None,
    options: Options = PLAIN,
) -> int:
    """Check a certificate, without a hub: every byte of it, and the files that it was given for.

    Exit code: 0 all as it was signed, 6 something differs; what differs is named.
    """
    from crossfade.core.certificates import verify as checked

    public = _public(key, options)
    verified = checked(_bytes(file), public.keyid, public.check, dict(map(_evidence, evidence or [])))
    Output(options).table(_rows(verified), VERIFIED)
    return Exit.FAILED if verified.differences else Exit.OK


def key(*, options: Options = PLAIN) -> int:
    """Print the public key of the hub on this machine."""
    print(_bytes(settings(options).data_path / PUBLIC_FILE).decode(), end="")
    return Exit.OK


def _rows(verified: "Verified") -> list[dict[str, object]]:
    """What differs; then what was compared and is the same; then the subjects nobody gave a file for."""
    rows: list[dict[str, object]] = [
        {"where": found.where, "result": "differs", "message": found.message} for found in verified.differences
    ]
    if all(str(row["where"]).startswith("subject ") for row in rows):
        rows.insert(0, {"where": "certificate", "result": "ok", "message": "statement and signature are the key's"})
    rows += [{"where": f"subject {name}", "result": "ok", "message": "as signed"} for name in verified.matched]
    named = {str(row["where"]) for row in rows}
    for subject in () if verified.statement is None else verified.statement.subject:
        if f"subject {subject.name}" not in named:
            what = f"sha256 {subject.digest['sha256']}"
            rows.append({"where": f"subject {subject.name}", "result": "not compared", "message": what})
    return rows


def _evidence(text: str) -> tuple[str, str]:
    """Subject and digest of ``SUBJECT=FILE``; a runsheet's digest is that of what it says, not of its layout."""
    from hashlib import sha256

    from crossfade.cli.signoff import runsheet_digest

    name, equals, path = text.partition("=")
    if not equals or not path:
        raise usage(f"--evidence: {text!r} is not SUBJECT=FILE", "write e.g. evidence=facts.json")
    if path.endswith((".yaml", ".yml")):
        return name, runsheet_digest(path)
    return name, sha256(_bytes(Path(path))).hexdigest()


def _public(path: Path | None, options: Options) -> "Verifier":
    from crossfade.bootstrap import public_key

    path = path or settings(options).data_path / PUBLIC_FILE
    try:
        return public_key(_bytes(path))
    except ValueError:
        what = f"{path} is no Ed25519 public key in PEM"
        raise CommandError("certificate.no_key", what, "name the hub's signing.pub: --key", Exit.USAGE) from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError("usage.unreadable", f"{path}: {error.strerror}", "check the path", Exit.USAGE) from None
